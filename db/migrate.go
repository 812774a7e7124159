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

func migrate(ctx context.Context, pool *pgxpool.Pool, fsys fs.FS) error {
	// Connections of its own: the timeouts differ from the pool's, and a waiting instance
	// takes none of the pool's connections.
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
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	if err := refuseNewer(ctx, provider); err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		if partial, ok := errors.AsType[*goose.PartialError](err); ok {
			return fmt.Errorf("migrate database: %s: %w", partial.Failed.Source.Path, partial.Err)
		}
		return fmt.Errorf("migrate database: %w", err)
	}
	return refuseNewer(ctx, provider) // a newer instance may have had its turn between the two
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
