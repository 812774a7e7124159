//go:build unix

package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Attach finds the private Postgres of a data folder that another Easel is running, and gives the
// address to reach it; running is false when nobody runs it. It starts and changes nothing, and the
// database ends with its Easel.
func Attach(ctx context.Context, config Config) (url string, running bool, err error) {
	url, running, err = attach(ctx, config)
	if err != nil {
		return "", false, fmt.Errorf("private Postgres: %w", err)
	}
	return url, running, nil
}

func attach(ctx context.Context, config Config) (string, bool, error) {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	s := &Server{config: config}
	var err error
	if s.folder, err = newFolder(config.DataDir); err != nil {
		return "", false, err
	}
	if held, err := lockHeld(s.folder.lock); err != nil || !held {
		return "", false, err
	}
	if s.account, err = chooseAccount(config.User, s.folder.data); err != nil {
		return "", false, err
	}
	password, err := os.ReadFile(filepath.Join(s.folder.data, passwordFile))
	if err != nil {
		return "", false, fmt.Errorf("read the database's password: %w; run this as the user that runs Easel", err)
	}
	s.password = strings.TrimSpace(string(password))
	if s.sockets, err = s.folder.socketFolder(s.account); err != nil {
		return "", false, err
	}
	if err := s.answers(ctx); err != nil {
		return "", false, fmt.Errorf("another Easel runs it, and it does not answer: %w", err)
	}
	return s.URL(), true, nil
}

// lockHeld reports whether another Easel uses the database.
func lockHeld(name string) (bool, error) {
	file, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at the lock: %w; run this as the user that runs Easel", err)
	}
	defer file.Close() // lets go of the lock if we got it
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}
