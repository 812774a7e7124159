package easel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"easel/blob"
)

// storageWait bounds the first question to the storage; one that says nothing must not hold up a start for long.
const storageWait = 30 * time.Second

// Storage is where the pictures lie. The caller closes it.
type Storage interface {
	blob.Store
	io.Closer
}

// scratch is the folder for files on their way: the system's is often in memory.
func (c *Config) scratch() string { return filepath.Join(c.DataDir, "tmp") }

// pictureFolder is the folder that EASEL_STORAGE names; ok is false for S3.
func (c *Config) pictureFolder() (dir string, ok bool) {
	dir, ok = strings.CutPrefix(c.Storage, "file:")
	if ok && dir == "" {
		dir = filepath.Join(c.DataDir, "images")
	}
	return dir, ok
}

func (c *Config) checkStorage() error {
	if dir, ok := c.pictureFolder(); ok {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("EASEL_STORAGE: %q is not file: with an absolute path, such as file:/srv/pictures", c.Storage)
		}
		return nil
	}
	if _, err := blob.ParseS3(c.Storage); err != nil {
		return fmt.Errorf("EASEL_STORAGE: %w; file:, file:/path and s3://bucket/prefix?endpoint=host:port are possible", err)
	}
	if (c.S3AccessKey == "") != (c.S3SecretKey == "") {
		return errors.New("EASEL_S3_ACCESS_KEY and EASEL_S3_SECRET_KEY belong together: one is set and the other is not")
	}
	return nil
}

// OpenStorage opens what EASEL_STORAGE names. A folder is made if it is missing; an S3 is not
// asked anything yet.
func (c *Config) OpenStorage() (Storage, error) {
	if dir, ok := c.pictureFolder(); ok {
		folder, err := blob.NewFolder(dir)
		if err != nil {
			return nil, fmt.Errorf("open the pictures' folder (EASEL_STORAGE): %w", err)
		}
		return folder, nil
	}
	s3, err := blob.ParseS3(c.Storage)
	if err != nil {
		return nil, fmt.Errorf("EASEL_STORAGE: %w", err)
	}
	s3.AccessKey, s3.SecretKey, s3.Scratch = string(c.S3AccessKey), string(c.S3SecretKey), c.scratch()
	store, err := blob.NewS3(s3)
	if err != nil {
		return nil, fmt.Errorf("EASEL_STORAGE: %w", err)
	}
	return store, nil
}

// checkStorage refuses a storage that will not have us. One that is away may come back: work goes
// on, and what is finished waits for it.
func (a *App) checkStorage(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storageWait)
	defer cancel()
	err := a.storage.Check(ctx)
	if errors.Is(err, blob.ErrRefused) {
		return fmt.Errorf("EASEL_STORAGE: %w; \"easel doctor\" says more", err)
	}
	if err != nil {
		a.logger.WarnContext(ctx, "the storage of the pictures does not answer; finished pictures wait for it", "err", err)
	}
	return nil
}
