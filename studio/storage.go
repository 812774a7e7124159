package studio

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"easel/blob"
)

const (
	storageFresh = 5 * time.Second // how old an answer of the storage may be
	storageWait  = time.Second     // for an answer, which a probe waits for
)

// storageState remembers what the storage said last, so that probes of many cost one question.
type storageState struct {
	mu  sync.Mutex // guards the rest
	at  time.Time
	err error
}

// Storage says whether the storage of the pictures answers; nil: it does, or did a moment ago.
func (s *Studio) Storage(ctx context.Context) error {
	state := &s.storage
	state.mu.Lock()
	defer state.mu.Unlock()
	if time.Since(state.at) > storageFresh {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageWait)
		defer cancel()
		state.err = s.blobs.Check(ctx)
		state.at = time.Now()
	}
	return state.err
}

func noSpace(err error) bool {
	return errors.Is(err, blob.ErrNoSpace) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// storageAway: it cannot be reached, or has begun to refuse us. Both may end.
func storageAway(err error) bool {
	return errors.Is(err, blob.ErrUnavailable) || errors.Is(err, blob.ErrRefused)
}

// waitForStorage pauses picking: what is made now could not be kept. The pause outlasts the next
// tries, which prolong it or end it.
func (s *Studio) waitForStorage() {
	s.noStorageUntil.Store(time.Now().Add(4 * s.timing.Storage).UnixNano())
}

// storageWorks ends the pause.
func (s *Studio) storageWorks() {
	if s.noStorageUntil.Swap(0) != 0 {
		s.wakeSupervisors()
	}
}

// storageAfter is how long to wait before the storage is believed to take pictures again; not
// positive: no longer.
func (s *Studio) storageAfter(now time.Time) time.Duration {
	return time.Duration(s.noStorageUntil.Load() - now.UnixNano())
}
