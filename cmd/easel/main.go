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
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// A second signal ends the program at once: the handler is gone after the first.
	context.AfterFunc(ctx, stop)
	err := newRoot().ExecuteContext(ctx)
	stop()
	os.Exit(exitCode(err))
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
