package studio

import (
	"context"
	"slices"
	"time"
)

// publish makes the state of a record anew and wakes its watchers; mu is held.
func (h *hub) publish(r *record, now time.Time) {
	var prev *State
	if p, ok := r.states.latest.Load().(*State); ok {
		prev = p
	}
	state := &State{Generation: r.generation}
	state.Progress, state.Images = progressOf(&r.generation, prev, h.snapshot, r.place, h.pace)
	if prev != nil {
		state.Rev = prev.Rev
	}
	state.Rev++
	delete(h.dirty, r)
	r.published, r.placed = now, r.place
	r.states.set(state)
	h.nudged = true
}

// run publishes progress, at most one state a generation in h.every, and keeps the overview. It
// waits for nobody else, the database least of all, and returns when ctx ends.
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
		if again := h.flush(time.Now()); again > 0 {
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
	for r, since := range h.dirty {
		if !later(r.published, h.every) && !later(since, gather) {
			h.publish(r, now)
		}
	}
	if (h.moved || h.nudged) && !later(h.made, max(h.every, h.rest)) {
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
	began := time.Now()
	o := &Overview{Servers: h.servers, Demo: slices.ContainsFunc(h.servers, func(s Server) bool { return s.Demo }), QueuePaused: h.paused, At: now}
	if h.moved {
		h.rev++
		h.arrange(now)
	}
	o.Rev = h.rev
	o.Live = make([]*State, len(h.live))
	for i, r := range h.live {
		o.Live[i] = r.state()
	}
	o.Recent = h.recent
	o.Stage = h.ended
	if len(o.Live) > 0 && (o.Live[0].Generation.HeldAt == nil || o.Stage == nil) {
		o.Stage = o.Live[0]
	}
	h.moved, h.nudged = false, false
	h.made = now
	h.overview.set(o)
	h.rest = max(h.every, min(overseeShare*time.Since(began), longestRest))
}

// overseeShare keeps the overview to a tenth of the time, however long the queue is; longestRest bounds that
// where it was the machine that took the time.
const (
	overseeShare = 10
	longestRest  = time.Second
)

// placedAtOnce is how many of the queue have a new state with each move.
const placedAtOnce = 500

// showPlace sees that a record's state has its present place; mu is held.
func (h *hub) showPlace(r *record) {
	if now := time.Now(); !r.placed.near(r.place, now) {
		h.publish(r, now)
	}
}
