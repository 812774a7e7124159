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
	process  process

	stopping sync.Once
	expected chan struct{} // closed when Stop begins: the end is then no surprise
	died     chan struct{} // closed when the end was one
	watched  chan struct{} // closed when the watching goroutine has ended
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
	s := &Server{config: config, expected: make(chan struct{}), died: make(chan struct{}), watched: make(chan struct{})}
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
	go s.watch()
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

// Done is closed when the server died without being asked to. The Server is of no more use then:
// after Stop, Start brings the database back, with the same URL.
func (s *Server) Done() <-chan struct{} { return s.died }

// Stop ends the server and waits for it: open transactions are rolled back, everything committed
// is on disk. After 30 s, or when ctx ends, it is stopped the hard way, and the next start recovers.
// Later calls return what the first one did.
func (s *Server) Stop(ctx context.Context) error {
	s.stopping.Do(func() {
		close(s.expected)
		s.stopErr = s.process.stop(ctx, s.config.Logger)
		<-s.watched
		s.stopErr = errors.Join(s.stopErr, s.lock.Close())
	})
	return s.stopErr
}

func (s *Server) watch() {
	defer close(s.watched)
	<-s.process.ended()
	select {
	case <-s.expected:
	default:
		s.config.Logger.Error("private Postgres died", "pid", s.process.pid(), "why", s.process.lastWords())
		close(s.died)
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
