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
	state := h.present(r, prev, now)
	h.note(state, now)
	h.show(r, state, prev, now)
}

// present is the state of a record as it is now; mu is held.
func (h *hub) present(r *record, prev *State, now time.Time) *State {
	state := &State{Generation: r.generation}
	state.Progress, state.Images = progressOf(&r.generation, prev, h.sight(r, now))
	return state
}

// show makes a state the record's latest, and wakes its watchers; mu is held.
func (h *hub) show(r *record, state, prev *State, now time.Time) {
	if prev != nil {
		state.Rev = prev.Rev
	}
	state.Rev++
	delete(h.dirty, r)
	r.published, r.looked, r.placed = now, now, r.place
	r.states.set(state)
	h.nudged = true
}

// note keeps what is said of the prompts that are followed here; mu is held.
func (h *hub) note(state *State, now time.Time) {
	for i := range state.Images {
		image := &state.Generation.Images[i]
		if image.Status != Generating {
			continue
		}
		t, ok := h.tracked[image.PromptID]
		if _, elsewhere := t.source.(*told); !ok || elsewhere {
			continue
		}
		if s, ok := t.source.Snapshot(image.PromptID); ok {
			t.notes.add(&state.Images[i].Progress, &s, now)
		}
	}
}

// run publishes progress, at most one state a generation in h.every, and keeps the overview. (A step that may be shown is
// published by whoever brings it.) It
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

// gather is how long a first change waits for those that come with it: ComfyUI says in several messages that a node
// has begun, and a state between them would hold up the one that counts. A step waits for nothing.
const gather = 3 * time.Millisecond

// wordsEvery is how many times as long as a step what is none waits for the state before to have been shown: between the
// last step and the end of a quick server three nodes come and go that nobody could read of.
const wordsEvery = 4

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
		every := h.every
		if !since.IsZero() { // no step
			every *= wordsEvery
		}
		if !later(r.published, every) && !later(since, gather) {
			h.publish(r, now)
		}
	}
	h.eachInSight(func(r *record) {
		if !later(r.looked, moveAfter(r.state().Progress.Pace)) {
			h.move(r, now)
			later(r.looked, moveAfter(r.state().Progress.Pace))
		}
	})
	if (h.moved || h.nudged) && !later(h.made, max(h.every, h.rest)) {
		h.oversee(now)
	}
	return again
}

// moveAfter is how long after its last state that, which somebody looks at, is looked at for what time alone has
// changed, for a loader says nothing for half a minute: when its number is due to grow by one, and once a second.
// pace is in points a second.
func moveAfter(pace float64) time.Duration {
	return min(max(inSeconds(1/pace), shortestMove), longestMove)
}

const (
	shortestMove = 250 * time.Millisecond
	longestMove  = time.Second
)

// eachInSight calls f for the records that somebody looks at and of which an end is foretold; mu is held. For all
// others time does nothing.
func (h *hub) eachInSight(f func(*record)) {
	each := func(r *record) {
		if !r.generation.Status.Ended() && r.state().Progress.ETAKnown {
			f(r)
		}
	}
	for r := range h.watched {
		each(r)
	}
	if len(h.live) > 0 && h.live[0].watchers == 0 && h.overview.watched() {
		each(h.live[0])
	}
}

// leastETA is how far the time left has to move, without the number, to be worth a state.
const leastETA = 5 * time.Second

// move shows what time alone has changed; mu is held.
func (h *hub) move(r *record, now time.Time) {
	r.looked = now
	prev := r.state()
	state := h.present(r, prev, now)
	if state.Progress.Overall != prev.Progress.Overall || (state.Progress.ETA-prev.Progress.ETA).Abs() >= leastETA {
		h.show(r, state, prev, now)
	}
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

// showPlace sees that a record's state has its present place, and says how long it takes from now on: of what nobody
// has looked at time went by unsaid. mu is held.
func (h *hub) showPlace(r *record) {
	now := time.Now()
	if !r.placed.near(r.place, now) || r.state().Progress.ETAKnown && now.Sub(r.looked) >= longestMove {
		h.publish(r, now)
	}
}
