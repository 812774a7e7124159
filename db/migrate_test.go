package db_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"

	"easel/db"
	"easel/db/dbtest"
)

// steps are the first n migrations of a small schema.
func steps(n int) fstest.MapFS {
	all := []struct{ name, sql string }{
		{"00001_marks.sql", "-- +goose Up\nCREATE TABLE marks (name text PRIMARY KEY);\nSELECT pg_sleep(0.05);\n"},
		{"00002_first.sql", "-- +goose Up\nINSERT INTO marks VALUES ('first');\n"},
		{"00003_index.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY marks_name ON marks (name);\n"},
	}
	fsys := fstest.MapFS{"README.md": {Data: []byte("not a migration")}}
	for _, step := range all[:n] {
		fsys[step.name] = &fstest.MapFile{Data: []byte(step.sql)}
	}
	return fsys
}

func marks(t *testing.T, pool *pgxpool.Pool) (count int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM marks").Scan(&count); err != nil {
		t.Fatal(err)
	}
	return count
}

// The real migrations work on an empty database, and once more on the result.
func TestMigrate(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, dbtest.Empty())
	for range 2 {
		if err := db.Migrate(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
	}
	files, err := fs.Glob(db.Migrations(), "*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("embedded migrations: %q, %v", files, err)
	}
	var applied int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM goose_db_version WHERE version_id > 0").Scan(&applied); err != nil || applied != len(files) {
		t.Errorf("%d migrations applied, %v, want %d", applied, err, len(files))
	}
}

// Instances that start together run each migration once, and all of them find it done (P24).
func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, dbtest.Empty())
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := db.MigrateFS(context.Background(), pool, steps(3)); err != nil {
				t.Errorf("migrate: %v", err)
			}
		})
	}
	group.Wait()
	if got := marks(t, pool); got != 1 {
		t.Errorf("%d marks, want 1: each migration runs once", got)
	}
}

// An older program refuses a newer schema, names both versions, and changes nothing.
func TestMigrateNewerSchema(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, dbtest.Empty())
	if err := db.MigrateFS(t.Context(), pool, steps(3)); err != nil {
		t.Fatal(err)
	}
	err := db.MigrateFS(t.Context(), pool, steps(1))
	if !errors.Is(err, db.ErrNewerSchema) || !strings.Contains(err.Error(), "version 3") || !strings.Contains(err.Error(), "up to 1") {
		t.Errorf("migrate: %v, want ErrNewerSchema with both versions", err)
	}
	if got := marks(t, pool); got != 1 {
		t.Errorf("%d marks, want 1", got)
	}
}

// A migration that fails leaves nothing of itself; mended, it goes on from there.
func TestMigrateFailure(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, dbtest.Empty())
	broken := steps(1)
	broken["00002_first.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nINSERT INTO marks VALUES ('half');\nSELECT nonsense;\n")}
	if err := db.MigrateFS(t.Context(), pool, broken); err == nil || !strings.Contains(err.Error(), "00002_first.sql") {
		t.Errorf("migrate: %v, want an error that names the file", err)
	}
	if got := marks(t, pool); got != 0 {
		t.Errorf("%d marks of a migration that failed", got)
	}
	if err := db.MigrateFS(t.Context(), pool, steps(2)); err != nil {
		t.Fatal(err)
	}
	if got := marks(t, pool); got != 1 {
		t.Errorf("%d marks, want 1", got)
	}
}

// A migration does not queue for a lock before everybody else: it gives up after lock_timeout,
// which its connection has and the pool's have not.
func TestMigrateTimeouts(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, dbtest.Empty())
	fsys := fstest.MapFS{"00001_settings.sql": {Data: []byte("-- +goose Up\nCREATE TABLE settings AS " +
		"SELECT current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement;\n")}}
	if err := db.MigrateFS(t.Context(), pool, fsys); err != nil {
		t.Fatal(err)
	}
	var lock, statement, ofPool string
	err := pool.QueryRow(t.Context(), "SELECT lock, statement, current_setting('lock_timeout') FROM settings").Scan(&lock, &statement, &ofPool)
	if err != nil || lock != "5s" || statement != "10min" || ofPool != "0" {
		t.Errorf("lock_timeout %s, statement_timeout %s, the pool's lock_timeout %s, %v; want 5s, 10min, 0", lock, statement, ofPool, err)
	}
}
