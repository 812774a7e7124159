package studio_test

import (
	"testing"

	"easel/studio"
)

// Each image has its own attempt and seed, at most two are inside ComfyUI, and the number of the
// whole never goes back.
func TestSeveralImages(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := request("four cranes")
	r.TotalImages = 4
	r.Settings["seed"] = []byte(`"18446744073709551614"`)
	g := w.create(r)
	overall, percentage := 0, 0
	state := w.await(g.ID, "complete", func(s *studio.State) bool {
		if s.Progress.Overall < overall || s.Progress.Percentage < percentage {
			t.Errorf("progress went back: overall %d to %d, percentage %d to %d",
				overall, s.Progress.Overall, percentage, s.Progress.Percentage)
		}
		overall, percentage = s.Progress.Overall, s.Progress.Percentage
		if overall == 100 && s.Generation.Status != studio.Complete {
			t.Errorf("overall is 100 while %s", s.Generation.Status)
		}
		return s.Generation.Status.Ended()
	})
	if state.Generation.Status != studio.Complete || state.Progress.CurrentStep != 16 || state.Progress.TotalSteps != 16 {
		t.Errorf("ended as %s with %+v", state.Generation.Status, state.Progress)
	}
	seeds := []uint64{1<<64 - 2, 1<<64 - 1, 0, 1}
	prompts := map[string]bool{}
	for i, image := range w.stored(g.ID).Images {
		if image.Seed != seeds[i] || image.Status != studio.Complete || len(image.Outputs) != 1 {
			t.Errorf("image %d = %+v, want seed %d", i+1, image, seeds[i])
		}
		prompts[image.PromptID] = true
	}
	if len(prompts) != 4 {
		t.Errorf("4 images were made by %d prompts", len(prompts))
	}
	w.once()
}

// No more than two prompts of ours are inside one ComfyUI, whatever waits (P13).
func TestInflight(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	r := request("many")
	r.TotalImages = 6
	g := w.create(r)
	w.atStep(2)
	w.await(g.ID, "two inside", func(s *studio.State) bool {
		inside := 0
		for _, image := range s.Generation.Images {
			if image.AttemptState == "submitted" || image.AttemptState == "running" {
				inside++
			}
		}
		return inside == 2
	})
	if n := len(w.comfy.Ledger().Posts()); n != 2 {
		t.Errorf("%d prompts were posted, want 2", n)
	}
	w.stepper.Open()
	w.awaitStatus(g.ID, studio.Complete)
}
