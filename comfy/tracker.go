package comfy

import (
	"bytes"
	"sync"
	"time"
)

// maxPreviewBytes bounds the previews that are kept. ComfyUI's are 20 to 50 KB; its largest setting
// makes a few hundred.
const maxPreviewBytes = 4 << 20

// Tracker knows the state of every prompt that is under way on one server. It is fed by the reader of
// the server's socket and asked by any number of goroutines. No method blocks.
type Tracker struct {
	mu       sync.Mutex // guards what follows
	prompts  map[string]*tracked
	watchers map[string]map[chan struct{}]struct{} // by prompt; each has room for one wake-up

	executing string // our prompt that the server runs now, as far as heard; previews without ids are its
	bare      string // the node of an executing without a prompt_id, until it is known whose it is
}

type tracked struct {
	plan     Plan
	progress Progress
}

// NewTracker returns a Tracker that expects nothing.
func NewTracker() *Tracker {
	return &Tracker{prompts: map[string]*tracked{}, watchers: map[string]map[chan struct{}]struct{}{}}
}

// Expect announces a prompt before it is sent: messages may overtake the answer to the POST. A prompt
// that is expected already keeps its state.
func (t *Tracker) Expect(promptID string, plan Plan) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.prompts[promptID]; ok {
		return
	}
	e := &tracked{plan: plan}
	e.progress = e.plan.Start(promptID)
	t.prompts[promptID] = e
	t.wake(promptID)
}

// Apply takes the next message of the server and reports the prompt that it concerned and whether its
// state is another now. Messages of prompts that were not expected are dropped: other programs use
// the server too, and prompts without a client_id are told to everybody. A preview is
// copied out of its frame.
func (t *Tracker) Apply(m Message, at time.Time) (promptID string, changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	promptID = t.attribute(m)
	e, ok := t.prompts[promptID]
	if !ok {
		return "", false
	}
	if m.Type == TypePreview || m.Type == TypePreviewWithMetadata {
		if len(m.Image) > maxPreviewBytes || e.plan.showsResult(e.progress, m) {
			return e.progress.PromptID, false
		}
		m.Image = bytes.Clone(m.Image)
	}
	return e.progress.PromptID, t.set(e, Fold(&e.plan, e.progress, m, at))
}

// attribute finds the prompt that m belongs to, and keeps track of which one runs.
func (t *Tracker) attribute(m Message) string {
	switch m.Type {
	case TypePreview:
		return t.executing
	case TypeStatus:
		if m.SID != "" { // a new connection: what ran before may be over
			t.executing, t.bare = "", ""
		}
		return ""
	case TypeExecuting:
		if m.PromptID == "" {
			t.bare = m.Node
			return t.executing
		}
	}
	switch e, ours := t.prompts[m.PromptID]; {
	case m.PromptID == "":
	case !ours: // one prompt runs at a time, and it is not ours
		t.executing, t.bare = "", ""
	case m.EndsPrompt():
		t.executing, t.bare = "", ""
	case !e.progress.Ended:
		t.executing = e.progress.PromptID
	}
	return m.PromptID
}

// showsResult reports whether an image without ids is a result rather than a preview: the node at
// work is one that outputs (SaveImageWebsocket sends its pictures as event 1, in PNG).
func (plan *Plan) showsResult(q Progress, m Message) bool {
	return m.Type == TypePreview && q.active > 0 && plan.nodes[q.active-1].output
}

// Resumed tells what /queue said after a reconnect: the prompt runs, and some of its messages were
// missed.
func (t *Tracker) Resumed(promptID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.prompts[promptID]
	if !ok || e.progress.Ended {
		return
	}
	node := t.bare
	t.executing, t.bare = e.progress.PromptID, ""
	t.set(e, resume(&e.plan, e.progress, node, time.Now()))
}

// set stores the state, and wakes the watchers if it is another.
func (t *Tracker) set(e *tracked, p Progress) (changed bool) {
	if p == e.progress {
		return false
	}
	e.progress = p
	t.wake(p.PromptID)
	return true
}

func (t *Tracker) wake(promptID string) {
	for ch := range t.watchers[promptID] {
		select {
		case ch <- struct{}{}:
		default: // already awake; it will read this state too
		}
	}
}

// Snapshot returns the present state of a prompt; false if it is not expected or was forgotten.
func (t *Tracker) Snapshot(promptID string) (Progress, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.prompts[promptID]
	if !ok {
		return Progress{}, false
	}
	return e.progress, true
}

// Watch returns a channel that receives after every change of the prompt's state, and once at
// the start. Changes that come faster than they are read are one. stop ends it and may be called more than once;
// the channel is never closed.
func (t *Tracker) Watch(promptID string) (changed <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	ch <- struct{}{}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watchers[promptID] == nil {
		t.watchers[promptID] = map[chan struct{}]struct{}{}
	}
	t.watchers[promptID][ch] = struct{}{}
	return ch, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.watchers[promptID], ch)
		if len(t.watchers[promptID]) == 0 {
			delete(t.watchers, promptID)
		}
	}
}

// Forget drops a prompt and wakes its watchers a last time.
func (t *Tracker) Forget(promptID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.prompts[promptID]; !ok {
		return
	}
	delete(t.prompts, promptID)
	if t.executing == promptID {
		t.executing = ""
	}
	t.wake(promptID)
}
