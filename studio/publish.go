package studio

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// loadTimeout bounds one reading of what others have changed, and reloadAfter is the pause after
// a reading that failed.
const (
	loadTimeout = 10 * time.Second
	reloadAfter = time.Second
)

// publish makes the state of a record anew and wakes its watchers; mu is held.
func (h *hub) publish(r *record, now time.Time) {
	var prev *State
	if p, ok := r.states.latest.Load().(*State); ok {
		prev = p
	}
	state := &State{Generation: r.generation}
	state.Progress, state.Images = progressOf(&r.generation, prev, h.snapshot, r.position, h.pace)
	if prev != nil {
		state.Rev = prev.Rev
	}
	state.Rev++
	r.dirtied = time.Time{}
	r.published = now
	r.states.set(state)
	h.nudged = true
}

// run publishes progress, at most one state a generation in h.every, keeps the overview, and
// reads anew what others have changed. It returns when ctx ends.
func (h *hub) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
		case <-timer.C:
		}
		again := h.flush(time.Now())
		if !h.reload(ctx) {
			again = reloadAfter
		}
		if again > 0 {
			timer.Reset(again)
		}
	}
}

// gather is how long a first change waits for those that come with it: ComfyUI tells of one step
// in two messages, and the state between them would hold up the one that counts. Measured with
// ten steps a second: without it the median step was shown 80 ms late.
const gather = 3 * time.Millisecond

// flush publishes what is dirty and due. again is how long until the next is due; 0: nothing is.
func (h *hub) flush(now time.Time) (again time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	later := func(since time.Time, least time.Duration) bool {
		wait := least - now.Sub(since)
		if wait <= 0 {
			return false
		}
		if again == 0 || wait < again {
			again = wait
		}
		return true
	}
	for _, r := range h.records {
		if r.dirtied.IsZero() || later(r.published, h.every) || later(r.dirtied, gather) {
			continue
		}
		h.publish(r, now)
	}
	if (h.moved || h.nudged) && !later(h.made, h.every) {
		h.oversee(now)
	}
	return again
}

// refresh makes the overview now, without waiting for its turn.
func (h *hub) refresh() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.moved = true
	h.oversee(time.Now())
}

// oversee makes the overview anew and wakes its watchers; mu is held.
func (h *hub) oversee(now time.Time) {
	o := &Overview{Servers: h.servers, Demo: h.demo, At: now}
	live := inOrder(h.records)
	if h.moved {
		h.rev++
		for i, position := range positions(live) {
			if r := live[i]; r.position != position {
				r.position = position
				h.publish(r, now)
			}
		}
	}
	o.Rev = h.rev
	o.Live = make([]*State, len(live))
	for i, r := range live {
		o.Live[i] = r.state()
	}
	o.Recent = h.recent
	o.Stage = h.ended
	if len(o.Live) > 0 {
		o.Stage = o.Live[0]
	}
	h.moved, h.nudged = false, false
	h.made = now
	h.overview.set(o)
}

// reload reads what is stale; false if the database did not answer.
func (h *hub) reload(ctx context.Context) bool {
	h.mu.Lock()
	ids := make([]uuid.UUID, 0, len(h.stale))
	for id := range h.stale {
		ids = append(ids, id)
	}
	clear(h.stale)
	h.mu.Unlock()
	if len(ids) == 0 {
		return true
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
		return false
	}
	for _, g := range found {
		h.put(g)
		h.reloaded(g.ID)
	}
	return true
}
