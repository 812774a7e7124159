package studio

import (
	"sync"
	"sync/atomic"
)

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
func (w *Watch[T]) Latest() T { return w.latest.Load().(T) } // only T is stored

// Close ends the watch; it may be called more than once.
func (w *Watch[T]) Close() { w.stop() }

// topic is a state that is replaced as a whole, and those who watch it.
type topic[T any] struct {
	latest atomic.Value // of T; set before the topic is handed out

	mu       sync.Mutex // guards watchers
	watchers map[chan struct{}]struct{}
}

// set replaces the state and wakes all watchers. It never waits for one.
func (t *topic[T]) set(v T) {
	t.latest.Store(v)
	t.mu.Lock()
	defer t.mu.Unlock()
	for wake := range t.watchers {
		ring(wake)
	}
}

// watched reports whether anybody watches.
func (t *topic[T]) watched() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.watchers) > 0
}

// watch adds a watcher, already awake. onStop runs once, after it has left.
func (t *topic[T]) watch(onStop func()) *Watch[T] {
	wake := make(chan struct{}, 1)
	wake <- struct{}{}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watchers == nil {
		t.watchers = make(map[chan struct{}]struct{})
	}
	t.watchers[wake] = struct{}{}
	return &Watch[T]{wake: wake, latest: &t.latest, stop: sync.OnceFunc(func() {
		t.mu.Lock()
		delete(t.watchers, wake)
		t.mu.Unlock()
		if onStop != nil {
			onStop()
		}
	})}
}

// ring puts a wake-up into a channel that has room for one. One that is there already will do:
// whoever takes it reads the state of now.
func ring(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
