//go:build unix

// Package embedded runs a private Postgres for an Easel that was given none: a child process on
// a socket that nobody else can reach, with its data below Easel's data folder.
//
// It never deletes or overwrites a data folder, needs no hand after a kill -9 of anybody, and
// leaves no server behind where the system can see to that (Linux). The folder:
//
//	<DataDir>/pg/data   the database; owned by the account that runs Postgres, 0700
//	<DataDir>/pg/run    its socket, unless the path is too long for one
//	<DataDir>/pg/lock   held by the Easel that uses it, with its process id inside
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// role and database are the only ones there are, beside Postgres' own.
	role     = "easel"
	database = "easel"

	startPatience = 60 * time.Second // for what a dead predecessor left: its backends, its crash recovery
	stopPatience  = 30 * time.Second // for a fast shutdown (SIGINT) before an immediate one (SIGQUIT)
	killPatience  = 10 * time.Second // for the immediate one, which leaves recovery to the next start

	maxDeaths    = 5               // in a row, each sooner than
	healthyAfter = 1 * time.Minute // after its start
)

// Config says where the private Postgres lives and what runs it.
type Config struct {
	DataDir string       // Easel's data folder; the database lies in its folder pg
	BinDir  string       // holds postgres and initdb; empty: they are looked for
	User    string       // account that runs Postgres when Easel is root; empty: the data's owner, else postgres, else nobody
	Logger  *slog.Logger // nil: slog.Default()

	// Settings are put over Postgres' and our own: fsync=off makes a database for tests fast,
	// and any other worthless.
	Settings map[string]string
}

// Server is a running private Postgres.
type Server struct {
	config   Config
	account  account
	folder   folder
	binaries binaries
	lock     *os.File
	sockets  string // folder of the socket
	password string

	mu      sync.Mutex // guards process
	process process

	stopping sync.Once
	unwatch  context.CancelFunc // ends the watching goroutine
	watched  chan struct{}      // closed when it has ended
	lost     chan struct{}      // closed when the server died and could not be brought back
	stopErr  error
}

// Start starts the private Postgres, creates its database where there is none, and returns once
// it answers. The first start takes seconds (initdb), a later one about 0.2 s, one after a crash as
// long as the recovery does. ctx bounds the start only. The caller calls Stop.
//
// Errors are sentences for whoever runs Easel, with the way out in them.
func Start(ctx context.Context, config Config) (*Server, error) {
	s, err := start(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("private Postgres: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, config Config) (_ *Server, err error) {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	s := &Server{config: config, watched: make(chan struct{}), lost: make(chan struct{})}
	if s.folder, err = newFolder(config.DataDir); err != nil {
		return nil, err
	}
	if s.account, err = chooseAccount(config.User, s.folder.data); err != nil {
		return nil, err
	}
	if err := s.folder.prepare(s.account); err != nil {
		return nil, err
	}
	if s.lock, err = acquireLock(s.folder.lock); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.lock.Close() // lets go of the lock; nothing was written that could be lost
		}
	}()
	if err := s.prepareCluster(ctx); err != nil {
		return nil, err
	}
	if s.sockets, err = s.folder.socketFolder(s.account); err != nil {
		return nil, err
	}
	if s.process, err = s.adoptOrLaunch(ctx); err != nil {
		return nil, err
	}
	if err := s.createDatabase(ctx); err != nil {
		return nil, errors.Join(err, s.process.stop(context.WithoutCancel(ctx), config.Logger))
	}
	watching, unwatch := context.WithCancel(context.Background()) // until Stop, whatever becomes of ctx
	s.unwatch = unwatch
	go s.watch(watching)
	return s, nil
}

// URL is what db.Open takes. It holds the password.
func (s *Server) URL() string {
	return s.url(database)
}

func (s *Server) url(database string) string {
	return (&url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(role, s.password),
		Path:     "/" + database,
		RawQuery: url.Values{"host": {s.sockets}, "sslmode": {"disable"}}.Encode(),
	}).String()
}

// Done is closed when the server died and could not be brought back. One that dies is started
// again, with the same URL, so that pools find it: after kill -9 that takes as long as its backends
// and the recovery need. Stop is still to be called.
func (s *Server) Done() <-chan struct{} { return s.lost }

// Stop ends the server and waits for it: open transactions are rolled back, everything committed
// is on disk. After 30 s, or when ctx ends, it is stopped the hard way, and the next start recovers.
// Later calls return what the first one did.
func (s *Server) Stop(ctx context.Context) error {
	s.stopping.Do(func() {
		s.unwatch()
		<-s.watched
		if err := s.running().stop(ctx, s.config.Logger); err != nil {
			s.stopErr = fmt.Errorf("private Postgres: %w", err)
		}
		s.stopErr = errors.Join(s.stopErr, s.lock.Close())
	})
	return s.stopErr
}

func (s *Server) running() process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// watch starts a server that died again. One that dies every time is left alone.
func (s *Server) watch(ctx context.Context) {
	defer close(s.watched)
	for deaths := 0; ; {
		began, p := time.Now(), s.running()
		select {
		case <-ctx.Done():
			return
		case <-p.ended():
		}
		if ctx.Err() != nil {
			return // both, and the select chose the other
		}
		s.config.Logger.Error("private Postgres died", "pid", p.pid(), "why", p.lastWords())
		if time.Since(began) > healthyAfter {
			deaths = 0
		}
		if deaths++; deaths > maxDeaths {
			s.config.Logger.Error("private Postgres dies again and again", "deaths", deaths)
			close(s.lost)
			return
		}
		again, err := s.adoptOrLaunch(ctx)
		if err != nil {
			if ctx.Err() == nil {
				s.config.Logger.Error("private Postgres does not come back", "err", err)
				close(s.lost)
			}
			return
		}
		s.config.Logger.Info("private Postgres is back", "pid", again.pid())
		s.mu.Lock()
		s.process = again
		s.mu.Unlock()
	}
}

// signal sends sig to one process. One that is gone already is no error: its end is what
// signals are for here.
func signal(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}
