package studio

import "sync/atomic"

// NewWatch makes a watch for those who stand in for Studio. wake has room for one value and holds
// it from the beginning; latest holds a T and is replaced before wake receives again. stop may be
// called more than once.
func NewWatch[T any](wake chan struct{}, latest *atomic.Value, stop func()) *Watch[T] {
	return &Watch[T]{wake: wake, latest: latest, stop: stop}
}
