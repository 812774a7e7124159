package studio

import (
	"sync"
	"sync/atomic"
)

// Watch is one watcher of a state. It has room for one wake-up: a slow reader skips states and
// always gets the last.
type Watch[T any] struct {
	*watcher
	latest *atomic.Value // of T, shared by all watches of one topic
	stop   func()
}

// watcher is how one watch is woken.
type watcher struct {
	wake chan struct{}
	call atomic.Pointer[func()] // instead of wake, once it is set
}

func (w *watcher) ring() {
	if call := w.call.Load(); call != nil {
		(*call)()
		return
	}
	ring(w.wake)
}

// Changed receives at once, and then after each change.
func (w *Watch[T]) Changed() <-chan struct{} { return w.wake }

// Notify has changed called, at once and after each change, in the place of what Changed receives. Whoever makes the
// change calls it, under locks of the studio: it must not wait, nor ask the studio for anything but Latest.
func (w *Watch[T]) Notify(changed func()) {
	w.call.Store(&changed)
	changed()
}

// Latest is the present state.
func (w *Watch[T]) Latest() T { return w.latest.Load().(T) } // only T is stored

// Close ends the watch; it may be called more than once.
func (w *Watch[T]) Close() { w.stop() }

// topic is a state that is replaced as a whole, and those who watch it.
type topic[T any] struct {
	latest atomic.Value // of T; set before the topic is handed out

	mu       sync.Mutex // guards watchers
	watchers map[*watcher]struct{}
}

// set replaces the state and wakes all watchers. It never waits for one.
func (t *topic[T]) set(v T) {
	t.latest.Store(v)
	t.mu.Lock()
	defer t.mu.Unlock()
	for w := range t.watchers {
		w.ring()
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
	w := &watcher{wake: make(chan struct{}, 1)}
	w.ring()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watchers == nil {
		t.watchers = make(map[*watcher]struct{})
	}
	t.watchers[w] = struct{}{}
	return &Watch[T]{watcher: w, latest: &t.latest, stop: sync.OnceFunc(func() {
		t.mu.Lock()
		delete(t.watchers, w)
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
