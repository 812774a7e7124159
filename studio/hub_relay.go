package studio

import (
	"time"

	"github.com/google/uuid"

	"easel/comfy"
)

// interest says what is watched on this instance: all that runs, by somebody who looks at the overview, and the
// generations whose previews are looked at, at most most of them.
func (h *hub) interest(most int) (all bool, watched []uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all = h.overview.watched()
	for r := range h.watched {
		switch {
		case r.generation.Status.Ended():
		case len(watched) == most:
			return true, watched
		default:
			watched = append(watched, r.generation.ID)
		}
	}
	if o, ok := h.overview.latest.Load().(*Overview); all && ok && o.Stage != nil && len(watched) < most &&
		!o.Stage.Generation.Status.Ended() {
		if r, ok := h.records[o.Stage.Generation.ID]; ok && r.watchers == 0 {
			watched = append(watched, o.Stage.Generation.ID)
		}
	}
	return all, watched
}

// watches reports whether a generation is looked at here, by itself or on the stage.
func (h *hub) watches(id uuid.UUID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r, ok := h.records[id]; ok && r.watchers > 0 {
		return true
	}
	o, ok := h.overview.latest.Load().(*Overview)
	return ok && h.overview.watched() && o.Stage != nil && o.Stage.Generation.ID == id
}

// prompts names the prompts that are followed here.
func (h *hub) prompts() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]string, 0, len(h.tracked))
	for promptID, t := range h.tracked {
		if _, elsewhere := t.source.(*told); !elsewhere {
			list = append(list, promptID)
		}
	}
	return list
}

// ours is the present progress of those prompts that are followed here.
func (h *hub) ours(prompts []string) []relayed {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]relayed, 0, len(prompts))
	now := time.Now()
	for _, promptID := range prompts {
		t, ok := h.tracked[promptID]
		if !ok {
			continue
		}
		if _, elsewhere := t.source.(*told); elsewhere {
			continue
		}
		if p, ok := t.source.Snapshot(promptID); ok {
			list = append(list, relayed{Generation: t.generation, Image: t.image, Progress: p, Outlook: h.tell(t, &p, now)})
		}
	}
	return list
}

// tell is what others are told of how long a prompt takes; mu is held.
func (h *hub) tell(t tracked, p *comfy.Progress, now time.Time) outlook {
	r, ok := h.records[t.generation]
	if !ok || t.image < 1 || t.image > len(r.generation.Images) {
		return outlook{}
	}
	return h.outlook(r, &r.generation.Images[t.image-1], p, now)
}

// relayed takes in how prompts are that are followed elsewhere. Those that are followed here are known better.
func (h *hub) relayed(list []relayed, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range list {
		p := &list[i]
		t, known, ok := h.elsewhere(p.Generation, p.Progress.PromptID)
		if !ok || p.Image < 1 || p.Image > len(h.records[p.Generation].generation.Images) || !p.hold() || !known && h.full(p) {
			continue
		}
		p.Progress.Preview = t.progress.Preview
		t.progress, t.outlook, t.at = p.Progress, p.Outlook, at
		now := tracked{generation: p.Generation, image: p.Image, source: t, notes: new(notes)}
		h.tracked[p.Progress.PromptID] = now
		h.touch(p.Generation)
		h.hurry(now, &p.Progress)
	}
}

// previewed takes in a preview of a prompt that is followed elsewhere and whose progress was told already.
func (h *hub) previewed(generation uuid.UUID, promptID string, preview *comfy.Preview) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t, known, ok := h.elsewhere(generation, promptID); ok && known {
		t.progress.Preview = preview
		h.touch(generation)
	}
}

// elsewhere is the source of a prompt of a live generation, unless it is followed here; known is false if
// nothing was told of it before. mu is held.
func (h *hub) elsewhere(generation uuid.UUID, promptID string) (t *told, known, ok bool) {
	if r, live := h.records[generation]; !live || r.generation.Status.Ended() || promptID == "" {
		return nil, false, false
	}
	present, known := h.tracked[promptID]
	if !known {
		return &told{}, false, true
	}
	t, ok = present.source.(*told)
	return t, true, ok && present.generation == generation
}

// full: as many prompts were told of as a generation can have, and this is none that the database knows; mu is held.
// A prompt is told of before its bell is heard, so that there may be some which are not known yet.
func (h *hub) full(p *relayed) bool {
	images := h.records[p.Generation].generation.Images
	if images[p.Image-1].PromptID == p.Progress.PromptID {
		return false
	}
	n := 0
	for _, t := range h.tracked {
		if t.generation == p.Generation {
			n++
		}
	}
	return n >= 2*len(images)+mostUnsure
}

// followedElsewhere reports whether an image is at work on a server that another instance supervises.
func (h *hub) followedElsewhere(id uuid.UUID, image int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.records[id]
	if !ok || image < 1 || image > len(r.generation.Images) || r.generation.Images[image-1].Status != Generating {
		return false
	}
	t, ok := h.tracked[r.generation.Images[image-1].PromptID]
	if !ok {
		return true
	}
	_, elsewhere := t.source.(*told)
	return elsewhere
}

// letGo notes that a tracker hears nothing more, since the lease of its server is gone: what it knew of its
// prompts stays, as the state from which another instance goes on.
func (h *hub) letGo(tracker source) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for promptID, t := range h.tracked {
		if t.source != tracker {
			continue
		}
		p, ok := tracker.Snapshot(promptID)
		if !ok {
			p = comfy.Progress{PromptID: promptID}
		}
		t.source = &told{progress: p, outlook: h.tell(t, &p, now), at: now}
		h.tracked[promptID] = t
	}
}

// touch has the state of a generation made anew; mu is held.
func (h *hub) touch(id uuid.UUID) {
	if r, ok := h.records[id]; ok {
		if _, ok := h.dirty[r]; !ok {
			h.dirty[r] = time.Now()
		}
		ring(h.wake)
	}
}

// hurry shows a step without a wait for what may come with it, or as soon as it may; mu is held.
func (h *hub) hurry(t tracked, p *comfy.Progress) {
	r, ok := h.records[t.generation]
	if !ok || t.image < 1 {
		return
	}
	if images := r.state().Images; t.image > len(images) || p.StepsDone <= images[t.image-1].CurrentStep {
		return
	}
	h.dirty[r] = time.Time{}
	if now := time.Now(); now.Sub(r.published) >= h.every {
		h.publish(r, now)
	}
}

// watchOverview follows the overview; whoever does is interested in all that runs.
func (h *hub) watchOverview() *Watch[*Overview] {
	w := h.overview.watch(nil)
	h.interested()
	return w
}
