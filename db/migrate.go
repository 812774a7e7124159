package db

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

const (
	// A migration that waits for a lock makes everybody who comes after it wait as well, the
	// running instances among them: it gives up soon, and the next start tries again.
	migrateLockTimeout      = 5 * time.Second
	migrateStatementTimeout = 10 * time.Minute

	// Instances that start together take turns: they look every second, for as long as a
	// statement of the one that is at work may take.
	turnEverySeconds = 1
	turnTries        = uint64(migrateStatementTimeout / time.Second / turnEverySeconds)
)

// ErrNewerSchema says that a newer Easel has been here. Nothing was changed.
var ErrNewerSchema = errors.New("the database is newer than this Easel")

// Migrations holds the migrations, NNNNN_name.sql, at its root.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is valid: fs.Sub has no other error
	}
	return sub
}

// Migrate brings the schema up to date, each migration in its own transaction. Any number of
// instances may call it at once: a session lock lets one work while the others wait, until ctx ends.
// A database that is newer than this program is left alone: ErrNewerSchema.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	return migrate(ctx, pool, Migrations())
}

// MigrateTo is Migrate up to a version and not beyond.
func MigrateTo(ctx context.Context, pool *pgxpool.Pool, version int64) error {
	return migrateTo(ctx, pool, Migrations(), version)
}

// SchemaVersion tells which version the schema has, 0 for an empty database, and which this
// program brings it to.
func SchemaVersion(ctx context.Context, pool *pgxpool.Pool) (current, known int64, err error) {
	err = withProvider(pool, Migrations(), func(provider *goose.Provider) error {
		known = provider.ListSources()[len(provider.ListSources())-1].Version
		// The provider would make its table in a database that is only asked.
		var migrated bool
		if err := pool.QueryRow(ctx, "SELECT to_regclass('goose_db_version') IS NOT NULL").Scan(&migrated); err != nil || !migrated {
			return err
		}
		current, err = provider.GetDBVersion(ctx)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("read the schema's version: %w", err)
	}
	return current, known, nil
}

// latest is a version that no migration has.
const latest = 0

func migrate(ctx context.Context, pool *pgxpool.Pool, fsys fs.FS) error {
	return migrateTo(ctx, pool, fsys, latest)
}

func migrateTo(ctx context.Context, pool *pgxpool.Pool, fsys fs.FS, to int64) error {
	err := withProvider(pool, fsys, func(provider *goose.Provider) error {
		if err := refuseNewer(ctx, provider); err != nil {
			return err
		}
		up := provider.Up
		if to != latest {
			up = func(ctx context.Context) ([]*goose.MigrationResult, error) { return provider.UpTo(ctx, to) }
		}
		if _, err := up(ctx); err != nil {
			if partial, ok := errors.AsType[*goose.PartialError](err); ok {
				return fmt.Errorf("migrate database: %s: %w", partial.Failed.Source.Path, partial.Err)
			}
			return fmt.Errorf("migrate database: %w", err)
		}
		return refuseNewer(ctx, provider) // a newer instance may have had its turn between the two
	})
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil
	}
	return err
}

// withProvider lends what migrates. It has connections of its own: the timeouts differ from the
// pool's, and a waiting instance takes none of the pool's connections.
func withProvider(pool *pgxpool.Pool, fsys fs.FS, use func(*goose.Provider) error) error {
	config := pool.Config().ConnConfig
	config.RuntimeParams = maps.Clone(config.RuntimeParams)
	config.RuntimeParams["lock_timeout"] = milliseconds(migrateLockTimeout)
	config.RuntimeParams["statement_timeout"] = milliseconds(migrateStatementTimeout)
	sqlDB := stdlib.OpenDB(*config)
	defer func() { _ = sqlDB.Close() }()

	turns, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(turnEverySeconds, turnTries))
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, sqlDB, fsys,
		goose.WithSessionLocker(turns), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return use(provider)
}

func refuseNewer(ctx context.Context, provider *goose.Provider) error {
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("migrate database: read version: %w", err)
	}
	if current > known {
		return fmt.Errorf("%w: its schema has version %d, this program knows up to %d; start the newer Easel, "+
			"or restore the backup made before the upgrade", ErrNewerSchema, current, known)
	}
	return nil
}
