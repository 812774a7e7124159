// Command easel is the live studio in front of ComfyUI.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"easel/db"
)

// Exit codes beside 0.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitDatabase    = 69 // cannot be reached
	exitInterrupted = 130
)

// usageError is a command line or a configuration that cannot be followed.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// databaseError says that there is no database to work with.
type databaseError struct{ error }

func (e databaseError) Unwrap() error { return e.error }

// unreachable marks an error that says so.
func unreachable(err error) error {
	if db.Unavailable(err) {
		return databaseError{err}
	}
	return err
}

func main() {
	ctx, stop := untilSignal(context.Background())
	err := newRoot().ExecuteContext(ctx)
	stop()
	os.Exit(exitCode(err))
}

// untilSignal ends the context when the program is asked to stop, also by a terminal that is closed. A second SIGINT or
// SIGTERM ends the program at once: their handler is gone after the first. Not so a second SIGHUP: shell and kernel
// may both send one. Under nohup it says nothing.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	hear := func() {}
	if !signal.Ignored(syscall.SIGHUP) {
		ctx, hear = signal.NotifyContext(ctx, syscall.SIGHUP)
	}
	context.AfterFunc(ctx, stop)
	return ctx, func() {
		stop()
		hear()
	}
}

func exitCode(err error) int {
	var usage usageError
	var database databaseError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage):
		fmt.Fprintln(os.Stderr, "easel:", err)
		return exitUsage
	case errors.As(err, &database):
		fmt.Fprintln(os.Stderr, "easel:", err)
		return exitDatabase
	default:
		fmt.Fprintln(os.Stderr, "easel:", err)
		return exitFailure
	}
}
