//go:build unix

package dbtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"easel/db/embedded"
)

// startPatience includes initdb on a machine that is busy with other packages' tests.
const startPatience = 2 * time.Minute

// folderPrefix marks the temporary folders of private servers.
const folderPrefix = "easel-dbtest-"

// server is where this process has its databases.
type server struct {
	url   string        // of the database to connect to for making others
	admin *pgxpool.Pool // on it

	private *embedded.Server // nil on a server that we were given
	folder  string           // of private

	mu        sync.Mutex
	templates map[string]bool // that are known to exist
}

var (
	sharedServer = sync.OnceValues(startServer)
	started      *server // for Stop, which must not start one
)

func startServer() (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	s := &server{url: os.Getenv("EASEL_TEST_DATABASE_URL"), templates: make(map[string]bool)}
	if s.url == "" {
		if err := s.startPrivate(ctx); err != nil {
			return nil, err
		}
	} else if u, err := url.Parse(s.url); err != nil || u.Scheme == "" {
		return nil, errors.New("EASEL_TEST_DATABASE_URL is no URL (postgres://...)")
	}
	started = s
	// Not db.Open: its pool cuts statements that wait long, as for another process's template.
	admin, err := pgxpool.New(ctx, s.url)
	if err != nil {
		return nil, err
	}
	s.admin = admin
	return s, nil
}

// startPrivate starts a Postgres that forgets everything in a power cut, and is fast for it.
func (s *server) startPrivate(ctx context.Context) error {
	sweep()
	folder, err := os.MkdirTemp("", folderPrefix)
	if err != nil {
		return err
	}
	s.folder = folder
	s.private, err = embedded.Start(ctx, embedded.Config{
		DataDir: folder,
		BinDir:  os.Getenv("EASEL_PG_BIN"),
		User:    os.Getenv("EASEL_PG_USER"),
		Logger:  slog.New(slog.DiscardHandler),
		Settings: map[string]string{
			"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off",
			"autovacuum":      "off", // tests that look at plans say ANALYZE themselves
			"max_connections": "200", // of many tests at once, with a pool each
		},
	})
	if err != nil {
		return errors.Join(err, os.RemoveAll(folder))
	}
	s.url = s.private.URL()
	return nil
}

// Stop ends what this process started, when all tests have ended: for a TestMain that has more to
// end than Main does.
func Stop() error {
	if started == nil {
		return nil
	}
	if started.admin != nil {
		started.admin.Close()
	}
	if started.private == nil {
		return nil
	}
	if err := started.private.Stop(context.Background()); err != nil {
		return fmt.Errorf("stop private Postgres: %w", err)
	}
	return os.RemoveAll(started.folder)
}

// sweep removes the folders of processes that could not do it: killed ones. A living one holds
// its lock; the age leaves time to take it.
func sweep() {
	folders, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*")) // the pattern is well formed
	for _, folder := range folders {
		stat, err := os.Stat(folder)
		if err != nil || time.Since(stat.ModTime()) < startPatience {
			continue
		}
		lock, err := os.Open(filepath.Join(folder, "pg", "lock"))
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(folder) // another user's stays
		}
		_ = lock.Close()
	}
}
