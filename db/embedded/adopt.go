//go:build unix

package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// whose says to whom a process id belongs.
type whose int

const (
	unknown whose = iota
	ours          // a process of the server on our data
	another       // some other program, or none that is alive
)

// adopt returns the postmaster that runs on our data already, nil when there is none.
//
// One that answers may still be about to end, since its parent has just died: so it has to answer
// twice, and is watched ever after.
func (s *Server) adopt(ctx context.Context, w *wait) (process, error) {
	answered := 0
	for {
		pid, err := readPID(s.marks()[0])
		if err != nil {
			return nil, err
		}
		if pid == 0 || !s.mayServe(pid) {
			return nil, s.removeStale()
		}
		why := "it answers"
		if err := s.answers(ctx); err == nil {
			answered++
		} else {
			answered, why = 0, err.Error()
		}
		if answered == 2 {
			s.config.Logger.Info("private Postgres was running already", "pid", pid)
			return adoptProcess(pid), nil
		}
		if err := w.pause(ctx, patient, fmt.Sprintf("the server that is there (process %d) to answer or to end", pid), why); err != nil {
			return nil, err
		}
	}
}

// mayServe reports whether pid can be a process of a server on our data.
func (s *Server) mayServe(pid int) bool {
	return running(pid) && usesFolder(pid, s.folder.data) != another
}

// marks are the files in which a postmaster leaves its process id: on its data and on its socket.
func (s *Server) marks() [2]string {
	return [2]string{filepath.Join(s.folder.data, "postmaster.pid"), filepath.Join(s.sockets, ".s.PGSQL.5432.lock")}
}

// removeStale removes marks whose process id now belongs to another program or to a zombie, which
// is what a restarted container meets: Postgres would take that for a postmaster and refuse to start
// for ever. Marks of processes that are gone it removes itself. They also protect the data
// from the backends of a dead postmaster, so they go only when no process works in the data folder.
func (s *Server) removeStale() error {
	for _, mark := range s.marks() {
		pid, err := readPID(mark)
		if err != nil {
			return err
		}
		if pid == 0 || !exists(pid) || s.mayServe(pid) || anyUses(s.folder.data, s.account.uid) {
			continue // Postgres will start, or refuse, and then we try again
		}
		s.config.Logger.Warn("private Postgres: removing the mark of a dead server", "file", mark, "pid", pid)
		if err := os.Remove(mark); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// readPID reads the first line of a mark; 0 when there is no such file, or nothing in it yet.
func readPID(name string) (int, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	pid, err := leadingNumber(string(text))
	if err != nil {
		return 0, nil // Postgres says what it thinks of it
	}
	return pid, nil
}

// adopted is a postmaster that another process started.
type adopted struct {
	id   int
	done chan struct{}
}

func adoptProcess(pid int) *adopted {
	a := &adopted{id: pid, done: make(chan struct{})}
	go func() {
		for running(pid) { // not our child: nobody tells us
			time.Sleep(eager)
		}
		close(a.done)
	}()
	return a
}

func (a *adopted) pid() int               { return a.id }
func (a *adopted) ended() <-chan struct{} { return a.done }
func (a *adopted) lastWords() string {
	return "it was started by an earlier Easel, which had its output"
}

func (a *adopted) stop(ctx context.Context, logger *slog.Logger) error {
	return stopProcess(ctx, a, logger)
}

// exists reports whether a process of that id exists.
func exists(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
