package studio_test

import (
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/studio"
)

// A stale owner changes no row (P10): its fence is not the lease's any more.
func TestStaleOwner(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	g := w.create(request("taken over"))
	w.atStep(1)
	w.await(g.ID, "running", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "running" })
	// Another owner, as after a take-over: nothing that ours does from here on may be stored.
	if _, err := w.pool.Exec(t.Context(),
		"UPDATE servers SET owner = gen_random_uuid(), fence = fence + 1, lease_until = now() + interval '1 hour'"); err != nil {
		t.Fatal(err)
	}
	revision := w.stored(g.ID).Rev
	w.stepper.Open()
	w.eventually("run to its end", func() bool {
		return w.comfy.Ledger().Requests()["GET /history/{prompt_id}"] > 0 || len(w.comfy.Ledger().Runs()) == 1
	})
	w.stop()
	if got := w.stored(g.ID); got.Rev != revision || got.Status != studio.Generating {
		t.Errorf("a stale owner has written: revision %d, was %d, %s", got.Rev, revision, got.Status)
	}
	w.start() // the only instance takes the lease by right, and finds the prompt in history
	w.awaitStatus(g.ID, studio.Complete)
	w.once()
}

// What one instance is asked to cancel, the owner of the lease carries out.
func TestCancelElsewhere(t *testing.T) {
	t.Parallel()
	w := open(t, stepping, func(w *workshop, _ *simulator.Config) { w.timing.Poll = time.Hour })
	w.awaitServer(studio.ServerUp)
	second, stop := w.run(w.pool, false)
	defer stop()
	g := w.create(request("stopped from elsewhere"))
	w.atStep(1)
	w.await(g.ID, "running", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "running" })
	if _, changed, err := second.Cancel(t.Context(), g.ID); err != nil || !changed {
		t.Fatalf("Cancel() = %t, %v", changed, err)
	}
	w.eventually("interrupted", func() bool { return len(w.comfy.Ledger().Interrupts()) > 0 })
	w.stepper.Open()
	w.awaitStatus(g.ID, studio.Cancelled)
}

// What another instance changes is heard and shown.
func TestSecondInstance(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	w.awaitServer(studio.ServerUp)
	first := w.studio
	second, stop := w.run(w.pool, false)
	defer stop()
	g := w.create(request("seen from two places"))
	w.atStep(1)
	w.studio = second
	w.eventually("known to the other", func() bool {
		s, err := second.State(t.Context(), g.ID)
		return err == nil && s.Generation.Images[0].AttemptState == "running"
	})
	w.stepper.Open()
	w.awaitStatus(g.ID, studio.Complete)
	if n := len(w.comfy.Ledger().Posts()); n != 1 {
		t.Errorf("%d prompts were posted, want 1", n)
	}
	w.eventually("shown among the newest", func() bool { return len(second.Overview().Recent) == 1 && len(first.Overview().Recent) == 1 })
	if err := second.Delete(t.Context(), g.ID); err != nil {
		t.Fatal(err)
	}
	w.eventually("gone from the other", func() bool { return len(first.Overview().Recent) == 0 })
	w.studio = first
}
