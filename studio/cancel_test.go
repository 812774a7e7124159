package studio_test

import (
	"errors"
	"slices"
	"testing"

	"easel/comfy/simulator"
	"easel/studio"
)

// What waits in our own queue ends with the request (P14).
func TestCancelQueued(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.comfy.Kill()
	w.awaitServer(studio.ServerDown)
	g := w.create(request("never drawn"))
	got, changed, err := w.studio.Cancel(t.Context(), g.ID)
	if err != nil || !changed || got.Status != studio.Cancelled || got.Images[0].Status != studio.Cancelled {
		t.Fatalf("Cancel() = %+v, %t, %v", got, changed, err)
	}
	if again, changed, err := w.studio.Cancel(t.Context(), g.ID); err != nil || changed || again.Status != studio.Cancelled {
		t.Errorf("Cancel() of an ended one = %s, %t, %v", again.Status, changed, err)
	}
	if n := w.count("SELECT count(*) FROM attempts"); n != 0 {
		t.Errorf("%d attempts of a generation that was never picked", n)
	}
}

// What runs is shown as cancelling until ComfyUI has confirmed, and nothing else is stopped (P14).
func TestCancelRunning(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	first, second := w.create(request("stopped")), w.create(request("goes on"))
	at := w.atStep(2)
	w.await(first.ID, "running", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "running" })
	w.await(second.ID, "submitted", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "submitted" })
	g, changed, err := w.studio.Cancel(t.Context(), first.ID)
	if err != nil || !changed || g.Status != studio.Generating || g.CancelRequestedAt == nil {
		t.Fatalf("Cancel() = %s, %t, %v", g.Status, changed, err)
	}
	w.await(first.ID, "cancelling", func(s *studio.State) bool { return s.Progress.Cancelling && s.Progress.Status == "Cancelling" })
	w.eventually("interrupted", func() bool { return len(w.comfy.Ledger().Interrupts()) > 0 })
	w.stepper.Open()
	w.awaitStatus(first.ID, studio.Cancelled)
	w.awaitStatus(second.ID, studio.Complete)
	for _, id := range w.comfy.Ledger().Interrupts() {
		if id != at.PromptID {
			t.Errorf("prompt %q was interrupted, only %s was to be", id, at.PromptID)
		}
	}
	w.once()
}

// What waits inside ComfyUI is deleted there.
func TestCancelInsideQueue(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	first, second := w.create(request("goes on")), w.create(request("taken out"))
	w.atStep(1)
	s := w.await(second.ID, "submitted", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "submitted" })
	if _, _, err := w.studio.Cancel(t.Context(), second.ID); err != nil {
		t.Fatal(err)
	}
	w.awaitStatus(second.ID, studio.Cancelled)
	if !slices.Contains(w.comfy.Ledger().Deletes(), s.Generation.Images[0].PromptID) {
		t.Error("the prompt was not taken out of ComfyUI's queue")
	}
	w.stepper.Open()
	w.awaitStatus(first.ID, studio.Complete)
}

// Of several images the finished ones stay, and the generation is cancelled.
func TestCancelBetweenImages(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	r := request("three")
	r.TotalImages = 3
	g := w.create(r)
	one := w.atStep(1).PromptID
	w.at(func(p simulator.Point) bool { return p.Stage == simulator.StageStep && p.PromptID != one })
	w.await(g.ID, "one image complete", func(s *studio.State) bool { return s.Generation.Images[0].Status == studio.Complete })
	if _, _, err := w.studio.Cancel(t.Context(), g.ID); err != nil {
		t.Fatal(err)
	}
	w.eventually("interrupted", func() bool { return len(w.comfy.Ledger().Interrupts()) > 0 })
	w.await(g.ID, "third one taken out of ComfyUI's queue", func(s *studio.State) bool { return s.Generation.Images[2].Status == studio.Cancelled })
	w.stepper.Open()
	state := w.awaitStatus(g.ID, studio.Cancelled)
	if images := state.Generation.Images; len(images[0].Outputs) != 1 || images[2].Status != studio.Cancelled {
		t.Errorf("images = %+v", images)
	}
	if state.Progress.Overall == 100 {
		t.Error("overall is 100 for a cancelled generation")
	}
}

// An ended generation can be asked for again, as it was or with other settings.
func TestRetry(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	old := w.create(request("once more"))
	if _, err := w.studio.Retry(t.Context(), old.ID, nil); !errors.Is(err, studio.ErrLive) {
		t.Errorf("Retry() of a live one = %v, want ErrLive", err)
	}
	w.stepper.Open()
	w.awaitStatus(old.ID, studio.Complete)
	same, err := w.studio.Retry(t.Context(), old.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if same.RetryOf == nil || *same.RetryOf != old.ID || same.Images[0].Seed != old.Images[0].Seed || same.Prompt != old.Prompt {
		t.Errorf("Retry() = %+v", same)
	}
	other, err := w.studio.Retry(t.Context(), old.ID, &studio.Request{
		Prompt: "another", Settings: request("").Settings, TotalImages: 2,
	})
	if err != nil || other.Prompt != "another" || len(other.Images) != 2 {
		t.Errorf("Retry() with changes = %+v, %v", other, err)
	}
	w.awaitStatus(same.ID, studio.Complete)
	w.awaitStatus(other.ID, studio.Complete)
}
