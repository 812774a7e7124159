package studio

import (
	"context"
	"time"

	"github.com/google/uuid"
)

const (
	loadPortion = 500              // generations that are read at once
	loadTimeout = 10 * time.Second // for one portion
	reloadAfter = time.Second      // after a reading that failed
	mostStale   = 20_000           // generations that bells have marked; with more, events are read instead
)

// keepFresh reads anew what others have changed, until ctx ends. While the database is slow or
// away, progress is published all the same: that is run's, on a goroutine of its own.
func (h *hub) keepFresh(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.reread:
		}
		for again := true; again; {
			var ok bool
			if again, ok = h.reload(ctx); ok {
				ok = h.fillUp(ctx)
			}
			if !ok && !sleep(ctx, reloadAfter) {
				return nil
			}
		}
	}
}

// reload reads a portion of what is stale. more: something still is; ok is false if the database
// did not answer.
func (h *hub) reload(ctx context.Context) (more, ok bool) {
	ids, known, more := h.takeStale()
	if len(ids) == 0 {
		return false, true
	}
	loadCtx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	found, err := h.load(loadCtx, ids)
	if err != nil {
		if ctx.Err() == nil {
			h.logger.Warn("could not read what others have changed", "err", err, "retry_in", reloadAfter)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, id := range ids {
			h.stale[id] = struct{}{}
		}
		return true, false
	}
	for _, g := range found {
		h.put(g)
		h.reloaded(g.ID)
		delete(known, g.ID)
	}
	for id := range known {
		h.remove(id)
	}
	return more, true
}

// takeStale takes a portion of what is stale off the list; more is true if it leaves some. What is
// marked while it is being read is on the list again. known are those that were in the database once: if they are not
// found there they have been deleted.
func (h *hub) takeStale() (ids []uuid.UUID, known map[uuid.UUID]struct{}, more bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	known = make(map[uuid.UUID]struct{})
	for id := range h.stale {
		if len(ids) == loadPortion {
			return ids, known, true
		}
		ids = append(ids, id)
		delete(h.stale, id)
		if _, live := h.records[id]; live || h.shows(id) {
			known[id] = struct{}{}
		}
	}
	return ids, known, false
}

// spoil marks a generation as stale; mu is held.
func (h *hub) spoil(id uuid.UUID) {
	h.stale[id] = struct{}{}
	ring(h.reread)
}

// thin has the newest pictures read anew.
func (h *hub) thin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.thinned = true
	ring(h.reread)
}

// fillUp reads the newest pictures anew if one of them was deleted; false if the database did not answer.
func (h *hub) fillUp(ctx context.Context) bool {
	h.mu.Lock()
	thinned := h.thinned
	h.thinned = false
	h.mu.Unlock()
	if !thinned {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	if err := h.refill(ctx); err != nil {
		h.logger.WarnContext(ctx, "could not read the newest pictures", "err", err, "retry_in", reloadAfter)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.thinned = true
		ring(h.reread)
		return false
	}
	return true
}
