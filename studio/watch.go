package studio

import "sync/atomic"

// Watch is one watcher of a state. It has room for one wake-up: a slow reader skips states and
// always gets the last.
type Watch[T any] struct {
	wake   chan struct{}
	latest *atomic.Value // of T, shared by all watches of one topic
	stop   func()
}

// Changed receives at once, and then after each change.
func (w *Watch[T]) Changed() <-chan struct{} { return w.wake }

// Latest is the present state.
func (w *Watch[T]) Latest() T { return w.latest.Load().(T) } //nolint:errcheck,forcetypeassert // only T is stored

// Close ends the watch; it may be called more than once.
func (w *Watch[T]) Close() { w.stop() }
