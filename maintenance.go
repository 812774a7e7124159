package easel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"easel/db"
	"easel/db/embedded"
)

// Stores are an Easel's database and storage without the Easel: for backup, restore and the
// doctor. Close lets go of them.
type Stores struct {
	Pool     *pgxpool.Pool
	Storage  Storage
	Keys     string // folder of key files
	Attached bool   // the private Postgres belongs to an Easel that is running

	postgres *embedded.Server // started by us
}

// OpenStores opens the database and the storage of config and migrates nothing. A private Postgres
// that another Easel runs is used too if shared is set, and refused otherwise; one that nobody
// runs is started until Close.
func OpenStores(ctx context.Context, config Config, shared bool) (_ *Stores, err error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	s := &Stores{Keys: filepath.Join(config.DataDir, "keys")}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := os.MkdirAll(config.DataDir, 0o711); err != nil { //nolint:gosec // the private database's user must cross it
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := os.MkdirAll(config.scratch(), 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	address, err := s.address(ctx, config, shared)
	if err != nil {
		return nil, err
	}
	if s.Pool, err = db.Open(ctx, address); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if s.Storage, err = config.OpenStorage(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Stores) address(ctx context.Context, config Config, shared bool) (address string, err error) {
	if config.DatabaseURL != "" {
		return string(config.DatabaseURL), nil
	}
	private := embedded.Config{DataDir: config.DataDir, BinDir: config.PGBin, User: config.PGUser, Logger: config.Logger}
	if shared {
		if address, s.Attached, err = embedded.Attach(ctx, private); err != nil || s.Attached {
			return address, err
		}
	}
	if s.postgres, err = embedded.Start(ctx, private); err != nil {
		return "", err
	}
	return s.postgres.URL(), nil
}

// Close lets go of both, and ends a private Postgres that OpenStores started.
func (s *Stores) Close() error {
	var errs []error
	if s.Storage != nil {
		errs = append(errs, s.Storage.Close())
	}
	if s.Pool != nil {
		s.Pool.Close()
	}
	if s.postgres != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		errs = append(errs, s.postgres.Stop(ctx))
	}
	return errors.Join(errs...)
}
