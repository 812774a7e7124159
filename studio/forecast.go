package studio

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// serve notes when a server last took an image of a user's; mu is held. Readings and changes may
// come in another order than they were made in.
func (h *hub) serve(g *Generation) {
	if g.served.After(h.served[g.UserID]) {
		h.served[g.UserID] = g.served
	}
}

// arrange makes the order anew and gives each its place; mu is held. When the first of a long queue
// begins, all others move up: those that are watched or near enough to be seen have a new state at
// once, the rest when somebody asks.
func (h *hub) arrange(now time.Time) {
	live, turns := inOrder(h.records, h.served)
	h.live, h.waiting = live, 0
	ahead := make(map[*record]int, len(turns))
	for _, t := range turns {
		ahead[t.record] = t.ahead
	}
	f := h.foresee(live)
	for i, r := range live {
		at := place{held: r.generation.HeldAt != nil, paused: h.paused}
		if r.generation.Status == Pending && h.missing != nil {
			at.missing = h.missing(r.generation.needs)
		}
		known := false
		switch stage(&r.generation) {
		case stageSubmitted:
			at.wait, known = f.inside[r], h.pace.image > 0
		case stageWaiting:
			at.wait, known = f.start(ahead[r])
			known = known && !h.paused
		}
		if s := stage(&r.generation); s == stageSubmitted || s == stageWaiting {
			h.waiting++
			at.position = h.waiting
		}
		if known {
			at.start = now.Add(at.wait)
		}
		r.place = at
		if !r.placed.near(at, now) && (i < placedAtOnce || r.watchers > 0) {
			h.publish(r, now)
		}
	}
}

// near reports whether people would see no difference between two places: an expectation that has
// moved by a tenth of the wait is no news.
func (at place) near(next place, now time.Time) bool {
	if at.position != next.position || at.held != next.held || at.paused != next.paused || at.missing != next.missing || at.start.IsZero() != next.start.IsZero() {
		return false
	}
	return next.start.Sub(at.start).Abs() <= max(next.start.Sub(now)/10, 2*time.Second)
}

// forecast foretells when servers will be free for what waits. Each works at one prompt at a time,
// and an image is taken to last as long as the last ones did on any of them.
type forecast struct {
	image  time.Duration
	starts []time.Duration           // of the first images of the queue, until all servers are about level
	free   []time.Duration           // when each server is free after these, soonest first
	inside map[*record]time.Duration // until those begin that a server has in its own queue
}

// mostStarts bounds how far servers are followed one by one that are busy for very different times.
const mostStarts = 1000

// foresee looks at the servers that take work and at what is inside them; mu is held.
func (h *hub) foresee(live []*record) forecast {
	f := forecast{image: h.pace.image, inside: make(map[*record]time.Duration)}
	if f.image <= 0 {
		return f
	}
	busy := make(map[uuid.UUID]time.Duration)
	for _, r := range live {
		for i := range r.generation.Images {
			image := &r.generation.Images[i]
			if image.Status != Generating {
				continue
			}
			if _, found := f.inside[r]; !found {
				f.inside[r] = busy[image.ServerID]
			}
			busy[image.ServerID] += h.remaining(r, i)
		}
	}
	for _, server := range h.servers {
		if server.takesWork() {
			f.free = append(f.free, busy[server.ID])
		}
	}
	slices.Sort(f.free)
	for last := len(f.free) - 1; last >= 0 && f.free[last]-f.free[0] > f.image && len(f.starts) < mostStarts; {
		next := f.free[0]
		f.starts = append(f.starts, next)
		f.free = f.free[1:]
		at, _ := slices.BinarySearch(f.free, next+f.image)
		f.free = slices.Insert(f.free, at, next+f.image)
	}
	return f
}

// takesWork reports whether something new may be sent to a server.
func (s *Server) takesWork() bool {
	switch s.Mode {
	case ModePaused, ModeDraining, ModeOff:
		return false
	}
	return s.State == ServerUp || s.State == ServerStalled
}

// remaining is how long a server still has with an image that is inside it; mu is held.
func (h *hub) remaining(r *record, image int) time.Duration {
	if state, ok := r.states.latest.Load().(*State); ok && image < len(state.Images) {
		if p := state.Images[image].Progress; p.ETAKnown {
			return p.ETA
		}
	}
	return h.pace.image
}

// start is when an image begins that so many others go before; ok is false while nothing is known
// of how long images take, and without a server.
func (f *forecast) start(ahead int) (wait time.Duration, ok bool) {
	switch {
	case len(f.free) == 0 || f.image <= 0:
		return 0, false
	case ahead < len(f.starts):
		return f.starts[ahead], true
	}
	ahead -= len(f.starts)
	return f.free[ahead%len(f.free)] + time.Duration(ahead/len(f.free))*f.image, true
}
