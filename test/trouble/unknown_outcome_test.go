package trouble

import (
	"testing"

	"easel/test/harness"
)

// A POST hangs until nobody waits for its answer, and is queued then (row 25): the prompt is found by
// its id and run once.
func TestPostHangsThenEnqueues(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.stepper.Open()
	r.comfy.Faults().HangPosts(true)
	id := r.Generate(harness.Ask{Prompt: "hangs"})
	harness.Eventually(t, "was the POST given up", func() bool { return contains(r.Log(), "outcome of a submission is unknown") })
	r.comfy.Faults().HangPosts(false)
	r.AwaitStatus(id, "complete")
	if n := len(r.comfy.Ledger().Runs()); n != 1 {
		t.Errorf("%d prompts ran, want 1", n)
	}
	r.once()
}

// It is queued only when the prompt was believed lost and another was made for the same picture: one
// of the two is the result, and the other is taken out of ComfyUI's queue or runs for nothing.
func TestFault25_PostHangsForLongThenEnqueues(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.stepper.Open()
	r.comfy.Faults().HangPosts(true)
	id := r.Generate(harness.Ask{Prompt: "hangs for long"})
	harness.Eventually(t, "was it believed lost", func() bool {
		return r.Count("SELECT count(*) FROM attempts WHERE state = 'lost'") == 1
	})
	r.comfy.Faults().HangPosts(false)
	g := r.AwaitStatus(id, "complete")
	if len(g.Images) != 1 {
		t.Errorf("the generation has %d images", len(g.Images))
	}
	same(t, r, id)
	if n := r.Count("SELECT count(*) FROM attempts WHERE state = 'succeeded'"); n != 1 {
		t.Errorf("%d attempts succeeded, want 1", n)
	}
	r.once()
}

// A proxy in front of ComfyUI answers 502 though the prompt was queued (row 26): it is adopted.
func TestFault26_PostAnswered502ThoughQueued(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.stepper.Open()
	r.comfy.Faults().BadGatewayPosts(1)
	id := r.Generate(harness.Ask{Prompt: "bad gateway"})
	r.AwaitStatus(id, "complete")
	if n := len(r.comfy.Ledger().Posts()); n != 1 {
		t.Errorf("%d prompts were sent, want 1", n)
	}
	r.once()
}

// A POST is cut before ComfyUI has read it: after 30 s of absence it is sent again under another id.
func TestPostLost(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.stepper.Open()
	r.comfy.Faults().LosePosts(1)
	id := r.Generate(harness.Ask{Prompt: "lost on the way"})
	r.AwaitStatus(id, "complete")
	if n := len(r.comfy.Ledger().Runs()); n != 1 {
		t.Errorf("%d prompts ran, want 1", n)
	}
	if n := r.Count("SELECT count(*) FROM attempts WHERE state = 'lost'"); n != 1 {
		t.Errorf("%d attempts are lost, want 1", n)
	}
	r.once()
}

// Files are cut on their way (row 32, P06): they are fetched again, and never stored in part.
func TestFault32_FilesCut(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.stepper.Open()
	r.comfy.Faults().TruncateViews(2)
	cut := r.Generate(harness.Ask{Prompt: "cut"})
	r.AwaitStatus(cut, "complete")
	same(t, r, cut)
	if n := len(r.comfy.Ledger().Runs()); n != 1 {
		t.Errorf("%d prompts ran for one picture", n)
	}
	r.once()
}

// Somebody empties the history right after the end (row 27): the picture is made again.
func TestFault27_HistoryCleared(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.stepper.Open()
	r.comfy.Faults().ClearHistoryAtEnd(1)
	forgotten := r.Generate(harness.Ask{Prompt: "forgotten"})
	r.AwaitStatus(forgotten, "complete")
	same(t, r, forgotten)
	if n := len(r.comfy.Ledger().Runs()); n > 2 {
		t.Errorf("%d prompts ran for one picture, want at most 2", n)
	}
	r.once()
}
