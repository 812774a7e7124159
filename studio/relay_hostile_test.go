package studio

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
)

// Whoever can reach the bus can say anything there. It costs readings, and never a state: what is shown stays
// what the database and trackers say, within bounds.
func TestForgedMessages(t *testing.T) {
	t.Parallel()
	stored := Generation{ID: uuid.New(), Status: Generating, Rev: 3, Images: []Image{
		{Index: 1, Status: Generating, PromptID: "p1", AttemptState: attemptRunning}, {Index: 2, Status: Pending},
	}}
	other := Generation{ID: uuid.New(), Status: Generating, Rev: 1, Images: []Image{{Index: 1, Status: Generating, PromptID: "q1", AttemptState: attemptRunning}}}
	here := Generation{ID: uuid.New(), Status: Generating, Rev: 1, Images: []Image{{Index: 1, Status: Generating, PromptID: "ours", AttemptState: attemptRunning}}}
	load := func(_ context.Context, ids []uuid.UUID) (found []Generation, _ error) {
		for _, id := range ids {
			for _, g := range []Generation{stored, other, here} {
				if g.ID == id {
					found = append(found, g.clone())
				}
			}
		}
		return found, nil
	}
	h := newHub(0, load, slog.New(slog.DiscardHandler))
	for _, g := range []Generation{stored, other, here} {
		h.put(g)
	}
	tracker := comfy.NewTracker()
	tracker.Expect("ours", comfy.NewPlan(nil, nil))
	h.follow("ours", here.ID, 1, tracker)
	s := &Studio{hub: h, config: Config{Instance: uuid.New()}}
	r := &relay{
		bus: new(MemoryNet).NewBus(), hub: h, logger: slog.New(slog.DiscardHandler), noticed: s.noticed, counters: new(Counters),
		wake: make(chan struct{}, 1), look: make(chan struct{}, 1), behind: make(chan struct{}, 1),
		peers: make(map[uuid.UUID]peer), news: make(map[string]struct{}), said: make(map[string]time.Time),
	}
	s.relay = r
	say := func(m message) {
		t.Helper()
		m.From = uuid.New()
		raw, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		r.hear(raw)
	}
	tell := func(generation uuid.UUID, image int, p comfy.Progress) {
		t.Helper()
		say(message{notice: notice{Kind: kindProgress}, Progress: []relayed{{Generation: generation, Image: image, Progress: p}}})
	}
	shown := func(id uuid.UUID) Progress {
		t.Helper()
		h.flush(time.Now().Add(time.Minute))
		h.mu.Lock()
		defer h.mu.Unlock()
		known, ok := h.records[id]
		if !ok {
			t.Fatal("a live generation is gone")
		}
		return known.state().Progress
	}

	for _, raw := range []string{
		"", "\x00", "{", "null", "[]", `{"kind":7}`, `{"kind":"here"}`, `{"kind":"preview"}`, `{"kind":"progress","progress":[{}]}`,
		`{"kind":"here","here":{"nonce":-1}}`, strings.Repeat(`{"bells":[`, 100_000), strings.Repeat("[", 10<<20),
	} {
		r.hear([]byte(raw))
	}

	// Numbers that cannot be.
	tell(stored.ID, 1, comfy.Progress{
		PromptID: "p1", Phase: comfy.PhaseInference, StepsDone: 1 << 60, StepsPlanned: -5, Percent: 100, Fraction: 1e300, Step: -1, Steps: -1,
		StepTime: -time.Hour, NodeTitle: strings.Repeat("<b>x</b>", 10_000),
	})
	p := shown(stored.ID)
	if p.Percentage > 99 || p.Overall < 0 || p.Overall > 99 || p.CurrentStep < 0 || p.CurrentStep > p.TotalSteps || p.TotalSteps > mostSteps || p.ETA < 0 || len(p.NodeTitle) > 4*mostTitle {
		t.Errorf("shown as %+v", p)
	}
	tell(stored.ID, 1, comfy.Progress{PromptID: "p1", Phase: comfy.PhaseInference, StepsDone: 1, StepsPlanned: 10, Percent: -7, Fraction: -1})
	if q := shown(stored.ID); q.Percentage < p.Percentage || q.Overall < p.Overall {
		t.Errorf("went back from %+v to %+v", p, q)
	}
	tell(stored.ID, 1, comfy.Progress{PromptID: "p1", Phase: "<script>"})
	if q := shown(stored.ID); strings.Contains(string(q.Phase)+q.Status, "script") {
		t.Errorf("shown as %+v", q)
	}

	// Prompts of others.
	tell(other.ID, 1, comfy.Progress{PromptID: "q1", Phase: comfy.PhaseInference, StepsDone: 1, StepsPlanned: 10, Percent: 10})
	tell(stored.ID, 1, comfy.Progress{PromptID: "q1", Phase: comfy.PhaseInference, StepsDone: 9, StepsPlanned: 10, Percent: 90})
	tell(here.ID, 1, comfy.Progress{PromptID: "ours", Phase: comfy.PhaseInference, StepsDone: 9, StepsPlanned: 10, Percent: 90})
	if q := shown(other.ID); q.Percentage != 10 {
		t.Errorf("a message about another generation has changed it to %+v", q)
	}
	if q := shown(here.ID); q.Percentage != 0 {
		t.Errorf("a message has changed what is followed here to %+v", q)
	}

	// Floods.
	for range 300 {
		tell(stored.ID, 1, comfy.Progress{PromptID: uuid.NewString(), Phase: comfy.PhaseSetup})
	}
	if n := len(h.tracked); n > 50 {
		t.Errorf("%d prompts are remembered", n)
	}
	for range 2*mostStale/mostBells + 2 {
		var m message
		m.Kind = kindBells
		for range mostBells {
			m.Bells = append(m.Bells, notice{Kind: bellChanged, Generation: uuid.New(), Rev: 9})
		}
		say(m)
	}
	if n := len(h.stale); n > mostStale {
		t.Errorf("%d generations wait to be read", n)
	}
	select {
	case <-r.behind:
	default:
		t.Error("bells were dropped and the events are not read")
	}
	for more := true; more; {
		more, _ = h.reload(t.Context())
	}

	// Bells that lie.
	say(message{notice: notice{Kind: bellDeleted, Generation: stored.ID}})
	say(message{notice: notice{Kind: bellChanged, Generation: stored.ID, Rev: 1 << 62}})
	if _, ok := h.reload(t.Context()); !ok {
		t.Fatal("not read")
	}
	if q := shown(stored.ID); q.TotalImages != 2 {
		t.Errorf("shown as %+v", q)
	}
	if more, _ := h.reload(t.Context()); more || h.anyStale() {
		t.Error("it is read again and again")
	}

	// And one that does not.
	gone := other.ID
	other.ID = uuid.New()
	raw, _ := json.Marshal(notice{Kind: bellDeleted, Generation: gone})
	r.hear(raw)
	h.reload(t.Context())
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.records[gone]; ok {
		t.Error("what was deleted is still there")
	}
}
