package studio

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/comfy/workflow"
)

// Changes that arrive in another order than they were stored in end as the database has them,
// even when the one that was missing is stored while the generation is being read.
func TestChangesOutOfOrder(t *testing.T) {
	t.Parallel()
	stored := Generation{ID: uuid.New(), Status: Pending, Rev: 1, Images: []Image{{Index: 1, Status: Pending}}}
	first := stored.clone()
	var h *hub
	loads := 0
	load := func(context.Context, []uuid.UUID) ([]Generation, error) {
		loads++
		read := stored.clone()
		if loads == 1 { // between this reading and its arrival the end is stored, and told
			at := time.Now()
			stored.Rev, stored.Status, stored.FinishedAt = 4, Failed, &at
			stored.Images[0].Status = Failed
			h.change(stored.ID, 4, func(*Generation) { t.Error("a change that leaves a gap was applied") })
		}
		return []Generation{read}, nil
	}
	h = newHub(time.Millisecond, load, slog.New(slog.DiscardHandler))
	h.reloaded = func(uuid.UUID) {}
	h.refresh()
	h.put(first)
	w, _ := h.watch(first.ID, nil)
	defer w.Close()

	stored = stored.clone()
	stored.Rev, stored.Status = 3, Generating
	h.change(first.ID, 3, func(*Generation) { t.Error("a change that leaves a gap was applied") })
	for h.anyStale() {
		if _, ok := h.reload(t.Context()); !ok {
			t.Fatal("reload failed")
		}
	}
	if got := w.Latest().Generation; got.Status != Failed || got.Rev != 4 || loads != 2 {
		t.Errorf("shown as %s in revision %d after %d readings", got.Status, got.Rev, loads)
	}
	h.change(first.ID, 2, func(*Generation) { t.Error("a change that was read already was applied") })
}

// What was deleted elsewhere while it was being read stays away, and the newest pictures are read anew.
func TestDeletedWhileItIsRead(t *testing.T) {
	t.Parallel()
	ended := time.Now()
	g := Generation{
		ID: uuid.New(), Status: Complete, Rev: 5, FinishedAt: &ended,
		Images: []Image{{Index: 1, Status: Complete, Outputs: []Output{{}}}},
	}
	var h *hub
	load := func(context.Context, []uuid.UUID) ([]Generation, error) {
		h.remove(g.ID) // the bell overtakes the reading
		return []Generation{g}, nil
	}
	h = newHub(time.Millisecond, load, slog.New(slog.DiscardHandler))
	refilled := 0
	h.refill = func(context.Context) error {
		refilled++
		h.setRecent([]*State{stateOf(&g)}) // read before the deletion
		return nil
	}
	h.setRecent([]*State{stateOf(&g)})
	h.refresh()
	h.invalidate(g.ID, 5)
	if _, ok := h.reload(t.Context()); !ok || !h.fillUp(t.Context()) {
		t.Fatal("reading failed")
	}
	h.refresh()
	if o := h.overview.latest.Load().(*Overview); len(o.Recent) != 0 || o.Stage != nil || len(h.records) != 0 || refilled != 1 {
		t.Errorf("a deleted generation is back: %d recent, %d records, read anew %d times", len(o.Recent), len(h.records), refilled)
	}
}

func (h *hub) anyStale() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.stale) > 0
}

// A watcher that does not read holds up nobody, and finds the last state when it does.
func TestSlowWatcher(t *testing.T) {
	t.Parallel()
	h := newHub(time.Millisecond, nil, slog.New(slog.DiscardHandler))
	h.put(Generation{ID: uuid.New(), Status: Pending, Rev: 1, Images: []Image{{Index: 1, Status: Pending}}})
	var id uuid.UUID
	for id = range h.records {
	}
	slow, _ := h.watch(id, nil)
	for rev := int64(2); rev <= 1000; rev++ {
		h.change(id, rev, func(g *Generation) { g.Status = Generating })
	}
	h.change(id, 1001, func(g *Generation) { g.Status, g.Images[0].Status = Complete, Complete })
	<-slow.Changed()
	if got := slow.Latest(); got.Generation.Status != Complete || got.Progress.Overall != 100 {
		t.Errorf("a slow watcher sees %s, %d %%", got.Generation.Status, got.Progress.Overall)
	}
	select {
	case <-slow.Changed():
		t.Error("a thousand changes woke a watcher more than once")
	default:
	}
	if len(h.records) != 1 {
		t.Error("forgotten while somebody watches")
	}
	slow.Close()
	slow.Close()
	if len(h.records) != 0 {
		t.Error("kept though it has ended and nobody watches")
	}
}

// A database that does not answer holds up what others have changed, and no step.
func TestStepsAreShownWhileTheDatabaseIsSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		readings := make(chan struct{}, 10)
		load := func(ctx context.Context, _ []uuid.UUID) ([]Generation, error) {
			readings <- struct{}{}
			<-ctx.Done() // until the time for it is over
			return nil, ctx.Err()
		}
		h := newHub(time.Millisecond, load, slog.New(slog.DiscardHandler))
		h.reloaded = func(uuid.UUID) { t.Error("told of a change that was not read") }
		h.refresh()
		g := Generation{ID: uuid.New(), Status: Generating, Rev: 1, Images: []Image{{Index: 1, Status: Generating, PromptID: "p"}}}
		h.put(g)
		tracker := comfy.NewTracker()
		h.follow("p", g.ID, 1, tracker)
		w, _ := h.watch(g.ID, nil)
		defer w.Close()
		go func() { _ = h.run(ctx) }()
		go func() { _ = h.keepFresh(ctx) }()
		h.invalidate(uuid.New(), 7)
		<-readings
		<-w.Changed() // the state that there is

		began := time.Now()
		tracker.Expect("p", comfy.NewPlan(nil, nil))
		h.progressed("p")
		<-w.Changed()
		if took := time.Since(began); took > 2*gather {
			t.Errorf("a step was shown after %v", took)
		}
		<-readings // of the bubble's clock: after a failure it is tried again
		if took := time.Since(began); took < loadTimeout || took > loadTimeout+2*reloadAfter {
			t.Errorf("read again after %v", took)
		}
		stop()
		synctest.Wait()
	})
}

// Twenty steps a second are all shown, each at the moment it is told of.
func TestEachStepIsShownAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		h := newHub(25*time.Millisecond, nil, slog.New(slog.DiscardHandler))
		h.refresh()
		g := Generation{ID: uuid.New(), Status: Generating, Rev: 1, Images: []Image{{Index: 1, Status: Generating, AttemptState: attemptRunning, PromptID: "p"}}}
		h.put(g)
		tracker := comfy.NewTracker()
		tracker.Expect("p", comfy.NewPlan(workflow.Graph{"3": {ClassType: "KSampler", Inputs: map[string]json.RawMessage{"steps": json.RawMessage("20")}}}, nil))
		h.follow("p", g.ID, 1, tracker)
		w, _ := h.watch(g.ID, nil)
		defer w.Close()
		go func() { _ = h.run(ctx) }()
		tracker.Apply(comfy.Message{Type: comfy.TypeExecutionStart, PromptID: "p"}, time.Now())
		tracker.Apply(comfy.Message{Type: comfy.TypeExecuting, PromptID: "p", Node: "3"}, time.Now())
		h.progressed("p")
		synctest.Wait()
		for step := 1; step <= 20; step++ {
			<-time.After(50 * time.Millisecond)
			tracker.Apply(comfy.Message{Type: comfy.TypeProgress, PromptID: "p", Node: "3", Value: float64(step), Max: 20}, time.Now())
			h.progressed("p")
			synctest.Wait() // no time passes
			if shown := w.Latest().Progress.CurrentStep; shown != step {
				t.Fatalf("step %d: %d is shown", step, shown)
			}
		}
		stop()
		synctest.Wait()
	})
}

// A loader says nothing for a minute: what somebody looks at moves all the same, slower and slower when it is late, and
// what nobody looks at costs nothing.
func TestTimeMovesWhatIsWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		h := newHub(25*time.Millisecond, nil, slog.New(slog.DiscardHandler))
		h.refresh()
		graph := workflow.Graph{"4": {ClassType: "Loader"}}
		tracker := comfy.NewTracker()
		run := func(id string) Generation {
			g := Generation{ID: uuid.New(), Status: Generating, Rev: 1, Images: []Image{{Index: 1, Status: Generating, AttemptState: attemptRunning, PromptID: id}}}
			h.lore.teach(kindOf(&g), &comfy.Work{NodeTime: comfy.NodeTime{Node: "4", Class: "Loader"}}, partWhole, false, time.Minute)
			h.put(g)
			h.follow(id, g.ID, 1, tracker)
			tracker.Expect(id, comfy.NewPlan(graph, nil))
			tracker.Apply(comfy.Message{Type: comfy.TypeExecutionStart, PromptID: id}, time.Now())
			tracker.Apply(comfy.Message{Type: comfy.TypeExecuting, PromptID: id, Node: "4"}, time.Now())
			h.progressed(id)
			return g
		}
		watched, alone := run("watched"), run("alone")
		w, _ := h.watch(watched.ID, nil)
		defer w.Close()
		go func() { _ = h.run(ctx) }()
		states, last := 0, 0
		for end := time.After(2 * time.Minute); ; {
			select {
			case <-w.Changed():
				states++
				p := w.Latest().Progress
				if p.Overall < last || p.Overall > 99 || states > 2 && !p.ETAKnown {
					t.Errorf("after %d %%: %+v", last, p)
				}
				last = p.Overall
				continue
			case <-end:
			}
			break
		}
		if last < 60 || states < 40 || states > 150 {
			t.Errorf("a loader of a minute is at %d %% after two, with %d states", last, states)
		}
		if s, _ := h.state(alone.ID); s.Rev > 3 {
			t.Errorf("what nobody watches had %d states", s.Rev)
		}
		stop()
		synctest.Wait()
	})
}
