//go:build unix

package dbtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"runtime/debug"

	"github.com/jackc/pgx/v5/pgxpool"

	"easel/db"
)

// recipe is what a template is made with.
type recipe struct {
	steps []step
}

type step struct {
	name string
	run  func(context.Context, *pgxpool.Pool) error
}

func newRecipe(options []Option) recipe {
	r := recipe{steps: []step{{"easel", db.Migrate}}}
	for _, option := range options {
		option(&r)
	}
	return r
}

// templateName is made from everything that goes into the template: the migrations, the names of
// the steps, and the versions of the modules that the steps may call. So a server that is used for
// long never gives out a stale one.
func (r recipe) templateName() (string, error) {
	hash := sha256.New()
	if err := fs.WalkDir(db.Migrations(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(db.Migrations(), name)
		_, _ = fmt.Fprintf(hash, "%q %d\n%s", name, len(content), content)
		return err
	}); err != nil {
		return "", err
	}
	for _, step := range r.steps {
		_, _ = fmt.Fprintf(hash, "%q\n", step.name)
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			_, _ = fmt.Fprintf(hash, "%s %s\n", module.Path, module.Version)
		}
	}
	return "easel_template_" + hex.EncodeToString(hash.Sum(nil)[:8]), nil
}

// template returns the name of a template made by r, and makes it if there is none.
func (s *server) template(ctx context.Context, r recipe) (string, error) {
	name, err := r.templateName()
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.templates[name] {
		return name, nil
	}
	if err := s.makeTemplate(ctx, name, r); err != nil {
		return "", fmt.Errorf("make template: %w", err)
	}
	s.templates[name] = true
	return name, nil
}

// makeTemplate takes turns with other test processes on the same server. The name is given last:
// what has it is whole.
func (s *server) makeTemplate(ctx context.Context, name string, r recipe) error {
	conn, err := s.admin.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext('easel dbtest'))"); err != nil {
		return err
	}
	defer func() { // a broken connection unlocks as well
		_, _ = conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock(hashtext('easel dbtest'))")
	}()

	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil || there {
		return err
	}
	unfinished := name + "_unfinished"
	for _, statement := range []string{
		"DROP DATABASE IF EXISTS " + quote(unfinished) + " WITH (FORCE)",
		"CREATE DATABASE " + quote(unfinished) + " TEMPLATE template0",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := r.cook(ctx, withDatabase(s.url, unfinished)); err != nil {
		return err
	}
	for _, statement := range []string{
		"ALTER DATABASE " + quote(unfinished) + " RENAME TO " + quote(name),
		// Nobody can be connected to it when it is copied, autovacuum neither.
		"ALTER DATABASE " + quote(name) + " ALLOW_CONNECTIONS false",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (r recipe) cook(ctx context.Context, databaseURL string) error {
	pool, err := db.Open(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	for _, step := range r.steps {
		if err := step.run(ctx, pool); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}
