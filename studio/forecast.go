package studio

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
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
	f := h.foresee(live, turns, now)
	aim, missing := h.lore.queueAim(), make(map[*demand]string)
	for i, r := range live {
		at := place{held: r.generation.HeldAt != nil, paused: h.paused, foretold: now}
		if r.generation.Status == Pending && h.missing != nil {
			said, asked := missing[r.demand]
			if !asked {
				said = h.missing(r.demand.needs)
				missing[r.demand] = said
			}
			at.missing = said
		}
		s := stage(&r.generation)
		if s == stageSubmitted || s == stageWaiting {
			h.waiting++
			at.position = h.waiting
		}
		if e, known := f.expected[r]; known && (s == stageSubmitted || !h.paused) {
			if s == stageSubmitted || s == stageWaiting {
				at.start, at.more, at.aim = now.Add(inSeconds(e.start.mean)), e.end, aim
			} else {
				at.more = e.end.since(e.inside)
			}
		}
		if s != stageRunning {
			r.promise(at, now)
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

// forecast foretells when servers will be free for what waits. Each works at one prompt at a time, and takes the next
// image of the queue when it is free.
type forecast struct {
	hub      *hub
	typical  map[asking]amount
	servers  []freeing
	expected map[*record]*expected
}

// freeing is when a server will have done what it has.
type freeing struct {
	id     uuid.UUID
	free   amount   // from now on
	loaded []string // the models that it will have then
}

// expected is what is foretold of one generation, in times from now on.
type expected struct {
	start  amount // of its first image
	inside amount // the end of those of its images that are inside a server
	end    amount // of the last
}

// since is what a has beyond b.
func (a amount) since(b amount) amount {
	return amount{max(a.mean-b.mean, 0), max(a.variance-b.variance, 0)}
}

// foresee looks at the servers that take work, at what is inside them and at what waits; mu is held.
func (h *hub) foresee(live []*record, turns []turn, now time.Time) forecast {
	f := forecast{hub: h, typical: make(map[asking]amount), expected: make(map[*record]*expected)}
	busy := make(map[uuid.UUID]amount)
	loaded := make(map[uuid.UUID][]string)
	for _, r := range live { // what runs comes before what only waits inside
		for i := range r.generation.Images {
			image := &r.generation.Images[i]
			if image.Status != Generating {
				continue
			}
			models, inside := loaded[image.ServerID]
			cold := inside && !subset(r.demand.models, models) // what is before it has others
			if len(r.demand.models) > 0 {
				loaded[image.ServerID] = r.demand.models
			}
			left, known := h.remaining(r, image, cold, now)
			if !known {
				continue
			}
			begins := busy[image.ServerID]
			ends := begins.plus(left)
			busy[image.ServerID] = ends
			f.note(r, begins, ends).inside = f.expected[r].end
		}
	}
	for i := range h.servers {
		if server := &h.servers[i]; server.takesWork() {
			models, inside := loaded[server.ID]
			if !inside {
				models = h.loaded[server.ID].models
			}
			f.servers = append(f.servers, freeing{server.ID, busy[server.ID], models})
		}
	}
	if len(f.servers) > 0 {
		f.queue(turns)
	}
	return f
}

// note takes in when an image of r begins and ends.
func (f *forecast) note(r *record, begins, ends amount) *expected {
	e, ok := f.expected[r]
	if !ok {
		e = &expected{start: begins}
		f.expected[r] = e
	}
	if ends.mean > e.end.mean {
		e.end = ends
	}
	return e
}

// takesWork reports whether something new may be sent to a server.
func (s *Server) takesWork() bool {
	switch s.Mode {
	case ModePaused, ModeDraining, ModeOff:
		return false
	}
	return s.State == ServerUp || s.State == ServerStalled
}

// remaining is how long a server still has with an image that is inside it. cold says that it will have to read models
// for it if it has not begun; mu is held.
func (h *hub) remaining(r *record, image *Image, cold bool, now time.Time) (amount, bool) {
	if s, ok := h.snapshot(image.PromptID); ok && !s.StartedAt.IsZero() {
		if o := h.outlook(r, image, &s, now); o.Known {
			return o.left(), true
		}
	}
	return h.lore.typical(r.kind.on(image.ServerID), cold)
}

// sight is what the progress of a generation is made from; mu is held.
func (h *hub) sight(r *record, now time.Time) sight {
	see := sight{
		heard: h.snapshot, place: r.place, now: now,
		outlook: func(image *Image, s *comfy.Progress) outlook { return h.outlook(r, image, s, now) },
	}
	if pending(&r.generation) > 0 {
		see.another, _ = h.lore.typical(r.kind.on(workplace(&r.generation)), false)
	}
	return see
}

// workplace is a server that works or has worked at a generation; zero: none has.
func workplace(g *Generation) uuid.UUID {
	for i := range g.Images {
		if id := g.Images[i].ServerID; id != uuid.Nil {
			return id
		}
	}
	return uuid.Nil
}

// outlook is what is foretold of an image at work: by those who follow it, or here if that is us; mu is held.
func (h *hub) outlook(r *record, image *Image, s *comfy.Progress, now time.Time) outlook {
	if t, elsewhere := h.tracked[image.PromptID].source.(*told); elsewhere {
		o := t.outlook.after(now.Sub(t.at))
		if !o.Known {
			o.Fraction = s.Fraction
		}
		return o
	}
	spent := s.Elapsed(now)
	if image.StartedAt != nil && !s.Whole() { // we were not there when it began
		spent = max(spent, now.Sub(*image.StartedAt))
	}
	stored := time.Duration(-1)
	switch {
	case s.Ended:
		stored = max(now.Sub(s.UpdatedAt), 0)
	case image.AttemptState == attemptFinalizing:
		stored = 0
	}
	return h.lore.outlookOf(r.kind.on(image.ServerID), s, spent, stored, now)
}

// kindOf is what a generation's images have in common.
func kindOf(g *Generation) kind {
	k := kind{workflow: g.Workflow}
	if g.WorkflowVersion > 0 { // in another one a node's id may be that of another node
		k.workflow = fmt.Sprintf("%s %d", g.Workflow, g.WorkflowVersion)
	}
	k.model, _ = g.Settings.Text("model")
	if steps, ok := g.Settings.Int("steps"); ok {
		k.steps = within(int(steps), mostSteps)
	}
	if len(g.Images) > 0 {
		k.width, k.height = g.Images[0].Width, g.Images[0].Height
	}
	return k
}

// on is the kind on a server.
func (k kind) on(server uuid.UUID) kind {
	k.server = server
	return k
}
