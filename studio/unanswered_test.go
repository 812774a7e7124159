package studio_test

import (
	"slices"
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/studio"
)

// What is inside a server that answers nothing stays there while nobody else can run it, and is made by another as
// soon as one can. The old prompt is taken out when the server is back.
func TestWorkLeavesAServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	models := []string{"one.safetensors"}
	w := open(t, stepping, func(w *workshop, c *simulator.Config) {
		c.Models = models
		w.timing.Abandon = 300 * time.Millisecond
	})
	w.awaitServer(studio.ServerUp)
	g := w.create(withModel("moves on", models[0]))
	w.atStep(1)
	running := w.await(g.ID, "running", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "running" })
	old := running.Generation.Images[0].PromptID
	w.comfy.Faults().Refuse(true)
	w.comfy.Faults().CutSockets()
	silent := time.Now()
	w.awaitServer(studio.ServerDown)
	unable := w.another(simulator.Config{PreviewSize: 64, Models: []string{"two.safetensors"}})
	w.add("unable", unable.URL())
	w.shown(w.studio, "unable", "up", isUp)
	w.eventually("silent for long", func() bool { return time.Since(silent) > 5*w.timing.Abandon })
	if image := w.stored(g.ID).Images[0]; image.AttemptState != "running" || image.PromptID != old {
		t.Fatalf("it was taken from where alone it can be made: %+v", image)
	}
	able := w.another(simulator.Config{PreviewSize: 64, Models: models})
	w.add("able", able.URL())
	state := w.awaitStatus(g.ID, studio.Complete)
	if image := state.Generation.Images[0]; image.Server != "able" || image.Attempts != 2 ||
		image.RetryReason != "Sent again: its server does not answer" {
		t.Errorf("made by %s in attempt %d: %q", image.Server, image.Attempts, image.RetryReason)
	}
	if n := w.count("SELECT count(*) FROM attempts WHERE prompt_id = $1 AND state = 'lost' AND loss_reason = 'unreachable' AND was_running", old); n != 1 {
		t.Error("the old attempt is not lost, or does not count as a crash")
	}
	w.comfy.Faults().Refuse(false)
	w.eventually("taken out of the server that is back", func() bool {
		ledger := w.comfy.Ledger()
		return slices.Contains(ledger.Interrupts(), old) || slices.Contains(ledger.Cancels(), old)
	})
	w.stepper.Open()
	w.once()
}

// What is to be cancelled need not wait for a server that does not answer.
func TestCancelOnAServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	w := open(t, stepping, func(w *workshop, _ *simulator.Config) { w.timing.Abandon = 300 * time.Millisecond })
	g := w.create(request("stopped"))
	w.atStep(1)
	w.await(g.ID, "running", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "running" })
	w.comfy.Faults().Refuse(true)
	w.comfy.Faults().CutSockets()
	if _, changed, err := w.studio.Cancel(t.Context(), g.ID); err != nil || !changed {
		t.Fatalf("Cancel() = %t, %v", changed, err)
	}
	w.awaitStatus(g.ID, studio.Cancelled)
	w.comfy.Faults().Refuse(false)
	w.eventually("taken out of the server that is back", func() bool {
		return len(w.comfy.Ledger().Interrupts())+len(w.comfy.Ledger().Cancels()) > 0
	})
	w.stepper.Open()
	w.once()
}
