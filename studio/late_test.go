package studio_test

import (
	"testing"
	"time"

	"easel/comfy"
	"easel/comfy/simulator"
	"easel/studio"
)

// A POST is carried out only when its prompt was believed lost and another was made (row 25): the late
// one is taken out of the queue by its id, and the image is made once.
func TestLatePromptIsTakenOut(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	w.awaitServer(studio.ServerUp)
	w.comfy.Faults().DelayPosts(1)
	g := w.create(request("late"))
	w.atStep(1)
	w.await(g.ID, "running, sent again", func(s *studio.State) bool {
		image := s.Generation.Images[0]
		return image.Attempts == 2 && image.AttemptState == "running" && s.Progress.Retry == "Sent again: the server lost it"
	})
	attempts, err := w.studio.Attempts(t.Context(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	late := attempts[0].PromptID
	w.comfy.Faults().ReleasePosts()
	w.eventually("taken out", func() bool {
		return len(w.comfy.Ledger().Cancels())+len(w.comfy.Ledger().Deletes()) > 0
	})
	w.stepper.Open()
	w.awaitStatus(g.ID, studio.Complete)
	if runs := w.comfy.Ledger().Runs(); runs[late] != 0 || len(runs) != 1 {
		t.Errorf("ran %v, want the second attempt alone", runs)
	}
	if n := w.count("SELECT count(*) FROM attempts WHERE prompt_id = $1 AND state = 'lost'", late); n != 1 {
		t.Error("the late attempt is not lost any more")
	}
	w.once()
}

// It succeeds before the attempt that was made in its place (row 25): its result is the image's, and
// the other is cancelled without failing anything. Here it does so while Easel is being restarted,
// since one that looks meanwhile takes it out.
func TestLateSuccessIsAdopted(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.awaitServer(studio.ServerUp)
	w.comfy.Faults().DelayPosts(1)
	g := w.create(request("adopted"))
	w.eventually("cut", func() bool { return w.comfy.Faults().Delayed() == 1 })
	w.comfy.Faults().HangPosts(true)
	w.await(g.ID, "sent again", func(s *studio.State) bool { return s.Generation.Images[0].Attempts == 2 })
	w.stop()
	w.comfy.Faults().ReleasePosts()
	client, err := comfy.NewClient(w.comfy.URL(), comfy.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var late string
	if err := w.pool.QueryRow(t.Context(), "SELECT prompt_id::text FROM attempts WHERE state = 'lost'").Scan(&late); err != nil {
		t.Fatal(err)
	}
	w.eventually("done", func() bool {
		l, err := client.Lookup(t.Context(), late)
		return err == nil && l.State == comfy.Succeeded
	})
	w.timing.Settle = time.Hour // the other is nowhere, and not given up
	w.start()
	state := w.awaitStatus(g.ID, studio.Complete)
	attempts, err := w.studio.Attempts(t.Context(), g.ID)
	if err != nil || len(attempts) != 2 {
		t.Fatalf("Attempts() = %d, %v", len(attempts), err)
	}
	first, second := attempts[0], attempts[1]
	if first.State != "succeeded" || first.AdoptedAt == nil || second.State != "cancelled" {
		t.Errorf("attempts ended as %s (adopted %v) and %s", first.State, first.AdoptedAt, second.State)
	}
	for what, image := range map[string]studio.Image{"shown": state.Generation.Images[0], "stored": w.stored(g.ID).Images[0]} {
		if image.PromptID != first.PromptID || image.Attempts != 2 || len(image.Outputs) != 1 {
			t.Errorf("%s is %+v, want the first attempt's", what, image)
		}
	}
	w.content(g.ID, 1, 0, false)
	w.comfy.Faults().HangPosts(false)
	w.once()
}

// Where the database refuses what became of a prompt, asking again is no use: the attempt is given
// up in plain words, and the next image is made.
func TestUnstorable(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	g := w.create(request("unstorable"))
	w.atStep(1)
	w.await(g.ID, "running", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "running" })
	if _, err := w.pool.Exec(t.Context(), "ALTER TABLE attempts ADD CONSTRAINT never CHECK (state <> 'finalizing')"); err != nil {
		t.Fatal(err)
	}
	w.at(func(p simulator.Point) bool { return p.Stage == simulator.StageStep && p.Step == 4 })
	w.stepper.Open()
	state := w.awaitStatus(g.ID, studio.Failed)
	if got := state.Generation; got.ErrorCode != "unstorable" || got.ErrorMessage == "" {
		t.Errorf("failed as %q: %q", got.ErrorCode, got.ErrorMessage)
	}
	if _, err := w.pool.Exec(t.Context(), "ALTER TABLE attempts DROP CONSTRAINT never"); err != nil {
		t.Fatal(err)
	}
	w.awaitStatus(w.create(request("storable")).ID, studio.Complete)
	w.once()
}

// Nor does the bar go back, though it knows of less than it did: nothing but its own number tells how much of a new
// model was read, say.
func TestNumberIsKnownAfterRestart(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	g := w.create(request("kept"))
	w.atStep(2)
	before := w.await(g.ID, "at step 1", func(s *studio.State) bool { return s.Progress.CurrentStep == 1 }).Progress
	w.restart()
	state := w.await(g.ID, "known again", func(s *studio.State) bool { return s.Generation.Status == studio.Generating })
	if got := state.Progress.Overall; got < before.Overall || before.Overall <= before.Percentage {
		t.Errorf("after the restart the number is %d, before it was %d, the steps' %d", got, before.Overall, before.Percentage)
	}
	w.stepper.Open()
	w.awaitStatus(g.ID, studio.Complete)
	w.once()
}

// What was reached before a restart of ours is shown from the first moment after it, and never goes
// back, though ComfyUI says nothing until its next step.
func TestStepIsKnownAfterRestart(t *testing.T) {
	t.Parallel()
	w := open(t, stepping, func(w *workshop, _ *simulator.Config) { w.timing.NoteStep = quick.LatePoll })
	g := w.create(request("kept"))
	w.atStep(3)
	w.await(g.ID, "at step 2", func(s *studio.State) bool { return s.Progress.CurrentStep == 2 })
	w.eventually("kept", func() bool { return w.count("SELECT coalesce(max(steps_done), 0) FROM attempts") == 2 })
	w.restart()
	state := w.await(g.ID, "known again", func(s *studio.State) bool { return s.Generation.Status == studio.Generating })
	if p := state.Progress; p.CurrentStep != 2 || p.TotalSteps != 4 || p.Percentage != 50 || p.Status != "Step 2 of 4" {
		t.Errorf("after the restart: %+v", p)
	}
	w.stepper.Open()
	w.awaitStatus(g.ID, studio.Complete)
	if n := w.count("SELECT steps_done FROM attempts"); n != 4 {
		t.Errorf("%d steps are stored, want 4", n)
	}
	w.once()
}
