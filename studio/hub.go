package studio

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// hub holds in memory what people look at: the live generations, those that ended but are still
// watched, the newest pictures, and the servers. Stored changes come in as mutations with the
// revision that the database gave them, progress comes from the trackers; what goes out is one
// immutable State a change.
type hub struct {
	every  time.Duration // least time between two states of mere progress
	load   func(context.Context, []uuid.UUID) ([]Generation, error)
	logger *slog.Logger
	lore   *lore

	// Set before run; none of them waits.
	missing    func(needs []string) string                // says what no server has; set before run
	fits       func(server uuid.UUID, d *demand) bool     // says whether it can run that
	over       func()                                     // somebody else's generation has ended
	reloaded   func(uuid.UUID)                            // somebody else's change was taken in
	refill     func(context.Context) error                // reads the newest pictures
	announce   func(kind string, id uuid.UUID, rev int64) // a change was stored here; mu is held
	moving     func(promptID string)                      // a prompt that is followed here has moved; mu is held
	interested func()                                     // more is watched than before

	wake   chan struct{} // for run: something is to be published
	reread chan struct{} // for keepFresh: something is stale
	outbox chan struct{} // for keepOutbox: something that ended is to be told of

	mu       sync.Mutex // guards all below
	records  map[uuid.UUID]*record
	dirty    map[*record]time.Time  // whose progress has changed since the last state, first at this time; zero: by a step
	tracked  map[string]tracked     // by prompt_id: attempts whose progress is known, from here or elsewhere
	stale    map[uuid.UUID]struct{} // changed by somebody else, to be read
	thinned  bool                   // one of the newest pictures was deleted elsewhere: read them anew
	past     past
	watched  map[*record]struct{}       // that have watchers
	live     []*record                  // in the order in which they will run, as of the last overview
	waiting  int                        // generations with a position
	served   map[uuid.UUID]time.Time    // when a server last took an image, by user
	loaded   map[uuid.UUID]loadedModels // by server
	demands  map[string]*demand
	moved    bool // the order or membership of Live, Recent or Servers has changed
	nudged   bool // a state in them was replaced
	recent   []*State
	paused   bool   // the queue is: nothing new is sent to a server
	push     bool   // browsers may want to be told of ends
	ended    *State // the last that ended, with pictures or without
	servers  []Server
	rev      uint64
	made     time.Time     // of the present overview
	rest     time.Duration // until the next, so that a long one takes no more than its share
	overview topic[*Overview]
}

// record is one generation in memory.
type record struct {
	generation Generation
	kind       kind    // of its images, without the server
	demand     *demand // of its images
	states     topic[*State]
	watchers   int
	place      place
	placed     place // as its state shows it
	promised   promise
	published  time.Time
	looked     time.Time // when it was looked at last for what time alone has changed
}

func (r *record) state() *State { return r.states.latest.Load().(*State) } // only states are stored

// tracked says whose progress a prompt_id is.
type tracked struct {
	generation uuid.UUID
	image      int
	source     source
	notes      *notes // of what is said of it
}

// recentPictures is how many ended generations the overview shows.
const recentPictures = 12

func newHub(every time.Duration, load func(context.Context, []uuid.UUID) ([]Generation, error), logger *slog.Logger) *hub {
	return &hub{
		every: every, load: load, logger: logger, lore: &lore{},
		wake:    make(chan struct{}, 1),
		reread:  make(chan struct{}, 1),
		outbox:  make(chan struct{}, 1),
		records: make(map[uuid.UUID]*record),
		dirty:   make(map[*record]time.Time),
		tracked: make(map[string]tracked),
		stale:   make(map[uuid.UUID]struct{}),
		watched: make(map[*record]struct{}),
		served:  make(map[uuid.UUID]time.Time),
		loaded:  make(map[uuid.UUID]loadedModels),
		demands: make(map[string]*demand),

		fits:       func(uuid.UUID, *demand) bool { return true },
		over:       func() {},
		reloaded:   func(uuid.UUID) {},
		refill:     func(context.Context) error { return nil },
		announce:   func(string, uuid.UUID, int64) {},
		moving:     func(string) {},
		interested: func() {},
	}
}

// put takes in a generation as the database had it. One that is known already in the same or a
// later revision is left alone. It may be older by now than what was marked stale while it was
// being read, so the mark stays.
func (h *hub) put(g Generation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, known := h.records[g.ID]
	if known && r.generation.Rev >= g.Rev || !known && h.past.knows(g.ID, g.Rev) {
		return
	}
	if !known {
		r = h.add(g)
	} else {
		r.generation, r.demand = g, h.demandOf(g.needs)
	}
	if g.Status.Ended() {
		h.over()
	}
	h.changed(r)
}

// add makes a record for g; mu is held.
func (h *hub) add(g Generation) *record {
	r := &record{generation: g, kind: kindOf(&g), demand: h.demandOf(g.needs)}
	if g.Status == Pending {
		h.waiting++
		r.place.position = h.waiting // until the order is made anew, which run does at once
	}
	h.records[g.ID] = r
	return r
}

// change applies a change that the database has stored as revision rev. Changes may arrive in
// another order than they were stored in: one that leaves a gap has the generation read anew, and
// one that such a reading has already shown is passed over.
func (h *hub) change(id uuid.UUID, rev int64, mutate func(*Generation)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.announce(bellChanged, id, rev)
	r, known := h.records[id]
	if !known || rev > r.generation.Rev+1 {
		h.spoil(id)
		return
	}
	if rev <= r.generation.Rev {
		return
	}
	g := r.generation.clone()
	mutate(&g)
	g.Rev = rev
	g.showFailure()
	r.generation = g
	h.changed(r)
	if g.Status.Ended() && (g.Webhook != "" || h.push) {
		ring(h.outbox) // only here, where it was ended: elsewhere they would all look for the same
	}
}

// changed publishes a stored change; mu is held.
func (h *hub) changed(r *record) {
	h.serve(&r.generation)
	h.begunWith(r)
	if r.generation.Status.Ended() {
		r.place = place{}
	}
	h.publish(r, time.Now())
	h.moved = true
	if r.generation.Status.Ended() {
		h.retire(r)
	}
	ring(h.wake)
}

// retire moves a generation that has ended out of the live ones; mu is held.
func (h *hub) retire(r *record) {
	state := r.state()
	if h.ended == nil || !finishedAt(h.ended).After(finishedAt(state)) {
		h.ended = state
	}
	if hasPicture(&r.generation) {
		h.remember(state)
	}
	for id, t := range h.tracked {
		if t.generation == r.generation.ID {
			t.source.Forget(id)
			delete(h.tracked, id)
		}
	}
	h.drop(r)
}

// remember puts a state among the newest pictures, which are sorted by age; mu is held.
func (h *hub) remember(state *State) {
	list := make([]*State, 0, recentPictures+1)
	list = append(list, state)
	for _, other := range h.recent {
		if other.Generation.ID != state.Generation.ID {
			list = append(list, other)
		}
	}
	h.recent = newestFirst(list)
}

// drop forgets a generation that has ended and that nobody watches; mu is held.
func (h *hub) drop(r *record) {
	if r.watchers == 0 && r.generation.Status.Ended() {
		delete(h.records, r.generation.ID)
		delete(h.dirty, r)
		h.past.add(r.generation.ID, r.generation.Rev)
	}
}

// remove forgets a generation that was deleted, for good: a reading that is under way does not bring it back.
func (h *hub) remove(id uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.past.knows(id, deleted) {
		return
	}
	delete(h.dirty, h.records[id])
	delete(h.records, id) // its watchers keep the last state that there was
	delete(h.stale, id)
	h.past.add(id, deleted)
	for i, state := range h.recent {
		if state.Generation.ID == id {
			h.recent = append(append([]*State{}, h.recent[:i]...), h.recent[i+1:]...)
			h.thinned = true
			ring(h.reread)
			break
		}
	}
	if h.ended != nil && h.ended.Generation.ID == id {
		h.ended = nil
		if len(h.recent) > 0 {
			h.ended = h.recent[0]
		}
	}
	h.moved = true
	ring(h.wake)
}

// invalidate has a generation read anew, because somebody else has changed it to revision rev.
func (h *hub) invalidate(id uuid.UUID, rev int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r, known := h.records[id]; known && r.generation.Rev >= rev || !known && h.past.knows(id, rev) {
		return
	}
	h.spoil(id)
}

// suspect has a generation read anew because a bell says that it was changed to revision rev, or that it is gone.
// False if too much is waiting to be read already.
func (h *hub) suspect(id uuid.UUID, rev int64, gone bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, known := h.records[id]
	switch {
	case gone && !known && !h.shows(id):
		return true
	case !gone && (known && r.generation.Rev >= rev || !known && h.past.knows(id, rev)):
		return true
	case len(h.stale) >= mostStale:
		return false
	}
	h.spoil(id)
	return true
}

// shows reports whether a generation is among the newest pictures; mu is held.
func (h *hub) shows(id uuid.UUID) bool {
	return slices.ContainsFunc(h.recent, func(s *State) bool { return s.Generation.ID == id })
}

// follow connects a prompt_id with the generation whose progress it is.
func (h *hub) follow(promptID string, generation uuid.UUID, image int, from source) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tracked[promptID] = tracked{generation: generation, image: image, source: from, notes: new(notes)}
}

// unfollow ends that, when an attempt gave nothing. After a success the progress stays until the
// files are stored: see retire.
func (h *hub) unfollow(promptID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t, ok := h.tracked[promptID]; ok {
		t.source.Forget(promptID)
		delete(h.tracked, promptID)
	}
}

// progressed notes that a tracker knows something new of a prompt. It is called by the readers of sockets and never
// waits.
func (h *hub) progressed(promptID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, ok := h.tracked[promptID]
	if !ok {
		return
	}
	h.touch(t.generation)
	if s, ok := t.source.Snapshot(promptID); ok {
		h.hurry(t, &s)
	}
	h.moving(promptID)
}

func finishedAt(s *State) time.Time {
	if at := s.Generation.FinishedAt; at != nil {
		return *at
	}
	return s.Generation.UpdatedAt
}

func hasPicture(g *Generation) bool {
	for _, image := range g.Images {
		if len(image.Outputs) > 0 {
			return true
		}
	}
	return false
}

// setRecent takes in the newest pictures as the database has them.
func (h *hub) setRecent(states []*State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	// What ended since they were read is kept, and what was deleted stays away.
	known := make(map[uuid.UUID]bool)
	merged := make([]*State, 0, len(states)+len(h.recent))
	for _, state := range slices.Concat(states, h.recent) {
		id := state.Generation.ID
		if !known[id] && !h.past.knows(id, deleted) {
			known[id] = true
			merged = append(merged, state)
		}
	}
	h.recent = newestFirst(merged)
	if h.ended == nil && len(h.recent) > 0 {
		h.ended = h.recent[0]
	}
	h.moved = true
	ring(h.wake)
}
