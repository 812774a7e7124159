package studio

import (
	"context"
	"fmt"
)

// Turning says whether the work of this process goes on: the locks that everything goes through can be had before
// ctx ends. The error is for a watchdog, which ends the process: the goroutine that waits for them ends with it.
func (s *Studio) Turning(ctx context.Context) error {
	turned := make(chan struct{})
	go func() {
		s.hub.mu.Lock()
		s.hub.mu.Unlock() //nolint:staticcheck // to have it is all that is asked
		s.mu.Lock()
		s.mu.Unlock() //nolint:staticcheck // see above
		close(turned)
	}()
	select {
	case <-turned:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("studio: its locks cannot be had: %w", ctx.Err())
	}
}
