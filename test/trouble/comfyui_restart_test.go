package trouble

import (
	"testing"

	"easel/test/harness"
)

// ComfyUI restarts with one of ours running and one waiting inside, and more behind them (row 21,
// P15): the two are made again, nothing else is, and nothing is lost.
func TestFault21_ComfyUIRestarted(t *testing.T) {
	t.Parallel()
	r := open(t)
	var ids []string
	for _, prompt := range []string{"was running", "was waiting", "third", "fourth"} {
		ids = append(ids, r.Generate(harness.Ask{Prompt: prompt}))
	}
	r.afterStep(5)
	r.awaitStep(ids[0], 5)
	harness.Eventually(t, "are two inside (P13)", func() bool { return len(r.comfy.Ledger().Posts()) == 2 })
	if err := r.comfy.Restart(); err != nil {
		t.Fatal(err)
	}
	r.stepper.Open()
	for _, id := range ids {
		r.AwaitStatus(id, "complete")
	}
	if n := len(r.comfy.Ledger().Posts()); n != len(ids)+2 {
		t.Errorf("%d prompts were sent for %d generations, want two more", n, len(ids))
	}
	if n := r.Count("SELECT count(*) FROM attempts WHERE state = 'lost'"); n != 2 {
		t.Errorf("%d attempts are lost, want 2", n)
	}
	r.once()
}

// A prompt that takes ComfyUI down twice is not run a third time (row 20, P08), and says why.
func TestFault20_ComfyUIKilledTwiceByTheSamePrompt(t *testing.T) {
	t.Parallel()
	r := open(t)
	poison := r.Generate(harness.Ask{Prompt: "poison"})
	for range 2 {
		r.afterStep(1)
		r.awaitStep(poison, 1)
		if err := r.comfy.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	g := r.AwaitStatus(poison, "failed")
	if !contains(g.ErrorMessage, "went down twice") {
		t.Errorf("the reason is %q", g.ErrorMessage)
	}
	if _, page := r.Get("/generations/" + poison); !contains(page, "ComfyUI went down twice while it worked on this") {
		t.Error("the page does not give the reason")
	}
	r.stepper.Open()
	next := r.Generate(harness.Ask{Prompt: "harmless"})
	r.AwaitStatus(next, "complete")
	if n := len(r.comfy.Ledger().Runs()); n != 3 {
		t.Errorf("ComfyUI ran %d prompts, want twice the poison and once the harmless one", n)
	}
	r.once()
}

// ComfyUI is stopped for a while and goes on (row 22): nothing has failed, nothing is made twice.
func TestFault22_ComfyUIFrozen(t *testing.T) {
	t.Parallel()
	r := open(t)
	id := r.Generate(harness.Ask{Prompt: "frozen"})
	seen := r.Follow(id)
	r.afterStep(5)
	r.awaitStep(id, 5)
	r.comfy.Faults().Freeze(true)
	r.awaitServer("down")
	r.comfy.Faults().Freeze(false)
	r.stepper.Open()
	r.AwaitStatus(id, "complete")
	neverBack(t, <-seen)
	r.once()
}

// Somebody empties ComfyUI's queue while one of ours waits in it (row 28): it is sent again.
func TestFault28_QueueClearedBySomebody(t *testing.T) {
	t.Parallel()
	r := open(t)
	running, waiting := r.Generate(harness.Ask{Prompt: "runs on"}), r.Generate(harness.Ask{Prompt: "swept away"})
	r.afterStep(5)
	r.awaitStep(running, 5)
	harness.Eventually(t, "are two inside", func() bool { return len(r.comfy.Ledger().Posts()) == 2 })
	r.comfy.Faults().ClearQueue()
	r.stepper.Open()
	r.AwaitStatus(running, "complete")
	r.AwaitStatus(waiting, "complete")
	if n := len(r.comfy.Ledger().Posts()); n != 3 {
		t.Errorf("%d prompts were sent, want 3", n)
	}
	r.once()
}
