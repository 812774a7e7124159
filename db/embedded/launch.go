//go:build unix

package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	eager      = 20 * time.Millisecond // between two questions to a server that has just started
	eagerTime  = 2 * time.Second
	patient    = 250 * time.Millisecond
	reportWait = 5 * time.Second // between two lines in the log about the same wait
)

// adoptOrLaunch returns a postmaster that answers. One that runs on our data already is adopted;
// else one is started, again and again while the remains of the last one are in the way: the
// backends of a killed postmaster finish their statements before they notice, and no new
// one may touch the data until then.
func (s *Server) adoptOrLaunch(ctx context.Context) (process, error) {
	w := s.newWait()
	for {
		p, err := s.adopt(ctx, w)
		if p != nil || err != nil {
			return p, err
		}
		child, err := launch(s.account.command("/", s.binaries.postgres(), s.arguments()...), s.config.Logger)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", s.binaries.postgres(), err)
		}
		err = s.ready(ctx, child, w)
		if err == nil {
			return child, nil
		}
		if !errors.Is(err, errRemains) {
			return nil, errors.Join(err, child.stop(context.WithoutCancel(ctx), s.config.Logger))
		}
		if err := w.pause(ctx, patient, "the previous server's processes to end", child.lastWords()); err != nil {
			return nil, err
		}
	}
}

// arguments are ours rather than the configuration file's, so that a newer Easel needs no new file.
func (s *Server) arguments() []string {
	settings := map[string]string{
		"listen_addresses":                 "", // the socket alone: no port to clash, nobody from outside
		"unix_socket_directories":          `"` + strings.ReplaceAll(s.sockets, `"`, `""`) + `"`,
		"unix_socket_permissions":          "0700",
		"port":                             "5432", // the end of the socket's name
		"cluster_name":                     "easel",
		"shared_buffers":                   "64MB",
		"max_connections":                  "50",
		"jit":                              "off", // our statements are short; compiling one costs more than it saves
		"timezone":                         "UTC",
		"client_connection_check_interval": "5s", // a client that died in mid-query holds its locks no longer
		"log_timezone":                     "UTC",
		"log_destination":                  "stderr",
		"logging_collector":                "off",
		"log_error_verbosity":              "terse", // details can hold what visitors typed,
		"log_min_error_statement":          "panic", // and so can statements
	}
	maps.Copy(settings, s.config.Settings)
	args := []string{"-D", s.folder.data}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// errRemains: the postmaster refused to start because of what the last one left.
var errRemains = errors.New("remains of the previous server")

// ready returns when the child answers. A child that ended is errRemains or an error with its last words.
func (s *Server) ready(ctx context.Context, c *child, w *wait) error {
	began := time.Now()
	for {
		err := s.answers(ctx)
		if err == nil {
			return nil
		}
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && strings.HasPrefix(pgErr.Code, "28") {
			return fmt.Errorf("the database refuses our password: %w; docs/database.md says how to set a new one", err)
		}
		if recovering(err) {
			w.extend() // it works on what a crash left; giving up would mean to begin again
		}
		interval := patient
		if time.Since(began) < eagerTime {
			interval = eager
		}
		select {
		case <-c.ended():
			words := c.lastWords()
			if strings.Contains(words, "lock file") || strings.Contains(words, "pre-existing shared memory block") {
				return errRemains
			}
			return fmt.Errorf("postgres ended at once: %s", words)
		default:
		}
		if err := w.pause(ctx, interval, "the server to answer", err.Error()); err != nil {
			return err
		}
	}
}

// recovering reports whether a server says that it will answer later.
func recovering(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == "57P03" // cannot_connect_now
}

// wait is the patience of one start.
type wait struct {
	logger   *slog.Logger
	deadline time.Time
	report   time.Time // when the next line in the log is due
}

func (s *Server) newWait() *wait {
	now := time.Now()
	return &wait{logger: s.config.Logger, deadline: now.Add(startPatience), report: now.Add(time.Second)}
}

func (w *wait) extend() { w.deadline = time.Now().Add(startPatience) }

// pause waits once; what is awaited and why goes into the log now and then, and into the error
// when patience or ctx ends.
func (w *wait) pause(ctx context.Context, d time.Duration, what, why string) error {
	now := time.Now()
	if now.After(w.deadline) {
		return fmt.Errorf("waited %v for %s: %s", startPatience, what, why)
	}
	if now.After(w.report) {
		w.report = now.Add(reportWait)
		w.logger.Warn("private Postgres: waiting", "for", what, "why", why)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s: %w (%s)", what, ctx.Err(), why)
	case <-timer.C:
		return nil
	}
}
