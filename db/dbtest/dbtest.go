//go:build unix

// Package dbtest gives each test a real, migrated Postgres database of its own, so that tests run
// in parallel and share nothing, not even NOTIFY channels, which belong to a database.
//
// The databases are copies of a template that is migrated once. They live on the server of
// EASEL_TEST_DATABASE_URL (postgres://..., its user may create databases), or, when that is empty, on a private
// one that the first test of a process starts in a temporary folder and Main stops.
package dbtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"easel/db"
)

// closePatience is how long a pool may take to get its connections back when its test is over.
const closePatience = 10 * time.Second

// Main is the whole of a TestMain: it runs the tests, stops the private Postgres, and fails when
// goroutines are left.
func Main(m *testing.M, options ...goleak.Option) {
	code := m.Run()
	if err := Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "dbtest:", err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(options...); err != nil {
			fmt.Fprintln(os.Stderr, "dbtest: goroutines are left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// Option changes what the database holds at the beginning.
type Option func(*recipe)

// With runs fn on the template, after Easel's migrations. name stands for what fn does: databases
// of the same names are copies of one template.
func With(name string, fn func(context.Context, *pgxpool.Pool) error) Option {
	return func(r *recipe) { r.steps = append(r.steps, step{name, fn}) }
}

// Empty leaves the migrations out, and every With before it.
func Empty() Option {
	return func(r *recipe) { r.steps = nil }
}

// New returns a pool on a database of the test's own. Both are gone when the test ends.
func New(t testing.TB, options ...Option) *pgxpool.Pool {
	t.Helper()
	pool, err := db.Open(t.Context(), URL(t, options...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() {
			pool.Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(closePatience):
			t.Errorf("%d connections were not given back to the pool", pool.Stat().AcquiredConns())
		}
	})
	return pool
}

// URL returns the URL of a database of the test's own, for what opens its pool itself, such as
// the built program. Whoever is still connected when the test ends is cut off.
func URL(t testing.TB, options ...Option) string {
	t.Helper()
	s, err := sharedServer()
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	name, err := s.create(t.Context(), newRecipe(options))
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	t.Cleanup(func() {
		if err := s.drop(context.Background(), name); err != nil { // the test's context has ended
			t.Errorf("dbtest: %v", err)
		}
	})
	return withDatabase(s.url, name)
}

// create copies the recipe's template.
func (s *server) create(ctx context.Context, r recipe) (name string, err error) {
	template, err := s.template(ctx, r)
	if err != nil {
		return "", err
	}
	name = "easel_test_" + strings.ToLower(rand.Text())
	if _, err := s.admin.Exec(ctx, "CREATE DATABASE "+quote(name)+" TEMPLATE "+quote(template)); err != nil {
		return "", fmt.Errorf("copy template: %w", err)
	}
	return name, nil
}

func (s *server) drop(ctx context.Context, name string) error {
	if _, err := s.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+quote(name)+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database: %w", err)
	}
	return nil
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// withDatabase names another database in a URL.
func withDatabase(databaseURL, name string) string {
	u, err := url.Parse(databaseURL)
	if err != nil {
		panic(err) // startServer has looked
	}
	u.Path = "/" + name
	return u.String()
}
