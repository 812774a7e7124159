package studio

import (
	"time"

	"github.com/google/uuid"

	"easel/comfy"
)

// state is the present state of a generation that is in memory.
func (h *hub) state(id uuid.UUID) (*State, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r, ok := h.records[id]; ok {
		h.showPlace(r)
		return r.state(), true
	}
	for _, state := range h.recent {
		if state.Generation.ID == id {
			return state, true
		}
	}
	return nil, false
}

// generation is a copy of a generation that is in memory.
func (h *hub) generation(id uuid.UUID) (Generation, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.records[id]
	if !ok {
		return Generation{}, false
	}
	return r.generation.clone(), true
}

// prompt is the prompt_id of an image's attempt, as far as memory knows it; empty: not at all.
func (h *hub) prompt(id uuid.UUID, image int) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r, ok := h.records[id]; ok && image <= len(r.generation.Images) {
		return r.generation.Images[image-1].PromptID
	}
	return ""
}

// cancelling reports whether somebody has asked for the end of a live generation.
func (h *hub) cancelling(id uuid.UUID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.records[id]
	return ok && r.generation.CancelRequestedAt != nil && !r.generation.Status.Ended()
}

// overall is what is shown of an image, 0 to 100; 0 when nobody knows it.
func (h *hub) overall(id uuid.UUID, image int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.records[id]
	if !ok {
		return 0
	}
	return r.state().Images[image-1].Overall
}

// watch follows a generation. One that is not in memory is taken from g, if that is given, and
// stays for as long as it is watched; without it ok is false.
func (h *hub) watch(id uuid.UUID, g *Generation) (w *Watch[*State], ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, known := h.records[id]
	if !known {
		if g == nil {
			return nil, false
		}
		r = h.add(*g)
		h.publish(r, time.Now())
	}
	if r.watchers++; r.watchers == 1 {
		h.watched[r] = struct{}{}
		ring(h.wake) // time passes for it from now on
		h.showPlace(r)
		h.interested()
	}
	return r.states.watch(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if r.watchers--; r.watchers == 0 {
			delete(h.watched, r)
		}
		if h.records[id] == r {
			h.drop(r)
		}
	}), true
}

// snapshot is what a tracker knows of a prompt; mu is held.
func (h *hub) snapshot(promptID string) (comfy.Progress, bool) {
	t, ok := h.tracked[promptID]
	if !ok {
		return comfy.Progress{}, false
	}
	return t.source.Snapshot(promptID)
}

// kind is what the images of a generation in memory have in common.
func (h *hub) kind(id uuid.UUID) (kind, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.records[id]
	if !ok {
		return kind{}, false
	}
	return r.kind, true
}

// calibration is what is kept of what was said of a prompt that is followed here and that ComfyUI is done with;
// nil: not enough of it was heard.
func (h *hub) calibration(promptID string, now time.Time) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.snapshot(promptID)
	t := h.tracked[promptID]
	if !ok || !s.Whole() || s.Reused || len(t.notes.samples) == 0 {
		return nil
	}
	return t.notes.conclude(s.Elapsed(s.UpdatedAt).Seconds(), s.Elapsed(now).Seconds()).store()
}

// heard is what is known here of a prompt that is at work or has just ended.
func (h *hub) heard(promptID string) (comfy.Progress, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.snapshot(promptID)
}

// preview is the latest live preview of an image.
func (h *hub) preview(id uuid.UUID, index int) (*comfy.Preview, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.records[id]
	if !ok || index < 1 || index > len(r.generation.Images) {
		return nil, false
	}
	p, ok := h.snapshot(r.generation.Images[index-1].PromptID)
	return p.Preview, ok && p.Preview != nil
}

// memory names the live generations in memory.
func (h *hub) memory() []uuid.UUID {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make([]uuid.UUID, 0, len(h.records))
	for id, r := range h.records {
		if !r.generation.Status.Ended() {
			ids = append(ids, id)
		}
	}
	return ids
}

// waits reports whether an image of a generation waits to be picked, and what it needs.
func (h *hub) waits(id uuid.UUID) (needs []string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, known := h.records[id]
	if !known || !waits(&r.generation) {
		return nil, false
	}
	return r.generation.needs, true
}

// needed is what some of those need that wait, at most most of them.
func (h *hub) needed(most int) (needs [][]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.records {
		if len(needs) == most {
			break
		}
		if waits(&r.generation) {
			needs = append(needs, r.generation.needs)
		}
	}
	return needs
}

// anyPending reports whether an image of a live generation waits to be picked.
func (h *hub) anyPending() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.stale) > 0 {
		return true // not read yet: it may
	}
	for _, r := range h.records {
		if r.generation.CancelRequestedAt != nil || r.generation.HeldAt != nil {
			continue
		}
		for i := range r.generation.Images {
			if r.generation.Images[i].Status == Pending {
				return true
			}
		}
	}
	return false
}
