//go:build unix

package embedded

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a postmaster: a child of ours, or an adopted one.
type process interface {
	pid() int
	ended() <-chan struct{} // closed when it has ended
	lastWords() string      // what it printed last, as far as we heard it
	stop(ctx context.Context, logger *slog.Logger) error
}

// child is a postmaster that we started.
type child struct {
	id      int
	done    chan struct{}
	exit    error // of Wait; read after done
	printed *tail
}

// launch starts cmd, the postmaster, with what it prints going to logger.
//
// The signal that the kernel sends when the parent dies belongs to the thread that started the
// child, not to the process. So the goroutine keeps its thread to itself until the child's end;
// Go ends a thread with the goroutine that locked it, and then there is nobody to signal.
func launch(cmd *exec.Cmd, logger *slog.Logger) (*child, error) {
	c := &child{done: make(chan struct{}), printed: &tail{logger: logger}}
	cmd.Stdout, cmd.Stderr = c.printed, c.printed
	cmd.WaitDelay = 5 * time.Second // a backend that outlives a killed postmaster holds the pipe
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		c.exit = cmd.Wait()
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	c.id = cmd.Process.Pid
	return c, nil
}

func (c *child) pid() int               { return c.id }
func (c *child) ended() <-chan struct{} { return c.done }

func (c *child) lastWords() string {
	words := c.printed.String()
	select {
	case <-c.done:
		if c.exit != nil {
			words = strings.TrimSpace(c.exit.Error() + "; " + words)
		}
	default:
	}
	return words
}

func (c *child) stop(ctx context.Context, logger *slog.Logger) error {
	return stopProcess(ctx, c, logger)
}

// stopProcess asks for a fast shutdown, then for an immediate one, then no more.
func stopProcess(ctx context.Context, p process, logger *slog.Logger) error {
	for _, step := range []struct {
		signal   syscall.Signal
		patience time.Duration
	}{
		{syscall.SIGINT, stopPatience},
		{syscall.SIGQUIT, killPatience},
		{syscall.SIGKILL, killPatience},
	} {
		select {
		case <-p.ended():
			return nil
		default:
		}
		if err := signal(p.pid(), step.signal); err != nil {
			return err
		}
		patience := time.NewTimer(step.patience)
		cancelled := ctx.Done()
		if step.signal != syscall.SIGINT {
			cancelled = nil // the caller's haste ends the fast shutdown only
		}
		select {
		case <-p.ended():
			patience.Stop()
			return nil
		case <-patience.C:
		case <-cancelled:
			patience.Stop()
		}
		logger.Warn("private Postgres does not stop", "pid", p.pid(), "signal", step.signal.String())
	}
	return errors.New("private Postgres does not stop, not even when killed")
}

// tail passes on what Postgres prints, line by line, and keeps the last lines for an error.
type tail struct {
	logger *slog.Logger

	mu    sync.Mutex // guards what follows
	rest  []byte     // of a line that has not ended
	lines []string   // the last tailLines
}

const (
	tailLines     = 12
	tailLineBytes = 2048 // of a longer line the beginning is kept
)

// Write implements io.Writer for exec.Cmd, which calls it from one goroutine.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	scanner := bufio.NewReader(io.MultiReader(strings.NewReader(string(t.rest)), strings.NewReader(string(p))))
	t.rest = t.rest[:0]
	for {
		line, err := scanner.ReadString('\n')
		if err != nil {
			t.rest = append(t.rest, line[:min(len(line), tailLineBytes)]...)
			return len(p), nil
		}
		t.add(strings.TrimRight(line, "\r\n"))
	}
}

func (t *tail) add(line string) {
	line = line[:min(len(line), tailLineBytes)]
	t.lines = append(t.lines, line)
	if len(t.lines) > tailLines {
		t.lines = t.lines[1:]
	}
	// Debug, whatever it is: an error in a statement of ours comes back to its caller, and the
	// last lines of a server that died are in the error that says so.
	t.logger.Debug("postgres", "line", line)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(append(t.lines[:len(t.lines):len(t.lines)], string(t.rest)), "\n")
}
