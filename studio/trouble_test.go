package studio_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"easel/comfy/simulator"
	"easel/studio"
)

// A new studio on the same database finds what runs, follows it, and posts nothing twice.
func TestStudioRestart(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	r := request("survives")
	r.TotalImages = 3
	g := w.create(r)
	w.atStep(2)
	// With no POST under way: one that the end cuts off may not have arrived, and is then made again.
	before := w.await(g.ID, "running, the next inside", func(s *studio.State) bool {
		return s.Generation.Images[0].AttemptState == "running" && s.Generation.Images[1].AttemptState == "submitted"
	})
	w.restart()
	after := w.await(g.ID, "known again", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "running" })
	if before.Generation.Images[0].PromptID != after.Generation.Images[0].PromptID {
		t.Error("the prompt that runs was given up")
	}
	w.stepper.Open()
	w.awaitStatus(g.ID, studio.Complete)
	if n := w.count("SELECT count(*) FROM attempts"); n != 3 {
		t.Errorf("%d attempts for 3 images", n)
	}
	w.once()
}

// The studio is away while ComfyUI finishes; what it finds afterwards is stored.
func TestFinishedMeanwhile(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	g := w.create(request("while away"))
	w.atStep(4)
	w.await(g.ID, "running", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "running" })
	w.stop()
	w.stepper.Open()
	w.start()
	w.awaitStatus(g.ID, studio.Complete)
	w.once()
}

// A ComfyUI that restarts has forgotten what it had: it is made again under new ids.
func TestComfyUIRestart(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	first, second := w.create(request("was running")), w.create(request("was waiting"))
	w.atStep(2)
	w.await(second.ID, "submitted", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "submitted" })
	if err := w.comfy.Restart(); err != nil {
		t.Fatal(err)
	}
	w.stepper.Open()
	a, b := w.awaitStatus(first.ID, studio.Complete), w.awaitStatus(second.ID, studio.Complete)
	if a.Generation.Images[0].Attempts != 2 || b.Generation.Images[0].Attempts != 2 {
		t.Errorf("attempts = %d and %d, want 2 each", a.Generation.Images[0].Attempts, b.Generation.Images[0].Attempts)
	}
	attempts, err := w.studio.Attempts(t.Context(), first.ID)
	if err != nil || attempts[0].State != "lost" || attempts[0].LossReason != "absent" {
		t.Errorf("Attempts() = %+v, %v", attempts, err)
	}
	w.once()
}

// A prompt that takes ComfyUI down twice is not given a third chance.
func TestCrashesServer(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	g := w.create(request("poison"))
	for range 2 {
		w.atStep(1)
		w.await(g.ID, "running", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "running" })
		if err := w.comfy.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	state := w.awaitStatus(g.ID, studio.Failed)
	if state.Generation.ErrorCode != "crashes_server" || len(w.comfy.Ledger().Posts()) != 2 {
		t.Errorf("failed as %q after %d posts", state.Generation.ErrorCode, len(w.comfy.Ledger().Posts()))
	}
	w.stepper.Open()
}

// P08 holds whichever way the image got back into the queue: here its server goes down with it, does
// not come back and is switched off; then another goes down with it.
func TestCrashesServersThatAreSwitchedOff(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	w.awaitServer(studio.ServerUp)
	g := w.create(request("poison"))
	for n := range 2 {
		w.atStep(1)
		w.await(g.ID, "running", func(s *studio.State) bool {
			image := s.Generation.Images[0]
			return image.AttemptState == "running" && image.Attempts == n+1
		})
		w.comfy.Kill()
		w.awaitServer(studio.ServerDown)
		w.exec("UPDATE servers SET mode = 'off'")
		w.eventually("given up with its server", func() bool {
			return w.count("SELECT count(*) FROM attempts WHERE loss_reason = 'unreachable' AND was_running") == n+1
		})
		if err := w.comfy.Restart(); err != nil {
			t.Fatal(err)
		}
		w.exec("UPDATE servers SET mode = 'active'")
	}
	state := w.awaitStatus(g.ID, studio.Failed)
	if state.Generation.ErrorCode != "crashes_server" || len(w.comfy.Ledger().Posts()) != 2 {
		t.Errorf("failed as %q after %d posts", state.Generation.ErrorCode, len(w.comfy.Ledger().Posts()))
	}
	w.stepper.Open()
	w.awaitStatus(w.create(request("the next")).ID, studio.Complete)
}

// What counts as a crash and what does not, whatever put the image back.
func TestWhatCountsAsACrash(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.awaitServer(studio.ServerUp)
	if err := w.studio.SetQueuePaused(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	type loss struct {
		reason  string
		running bool
	}
	want := map[uuid.UUID]studio.Status{}
	for _, test := range []struct {
		past []loss
		end  studio.Status
	}{
		{[]loss{{"absent", true}, {"unreachable", true}}, studio.Failed},
		{[]loss{{"unreachable", true}, {"restored", true}, {"absent", true}}, studio.Failed},
		{[]loss{{"absent", true}, {"absent", false}}, studio.Complete},
		{[]loss{{"absent", true}, {"server_removed", true}, {"restored", true}, {"outputs_missing", true}}, studio.Complete},
	} {
		g := w.create(request("past"))
		want[g.ID] = test.end
		for i, l := range test.past {
			w.exec("INSERT INTO attempts (prompt_id, generation_id, image_index, number, server_id, fence, state, graph, was_running, loss_reason, finished_at) "+
				"SELECT gen_random_uuid(), $1, 1, $2, id, 1, 'lost', '{}', $3, $4, now() FROM servers", g.ID, i+1, l.running, l.reason)
		}
	}
	if err := w.studio.SetQueuePaused(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for id, status := range want {
		g := w.awaitStatus(id, status).Generation
		if (g.ErrorCode == "crashes_server") != (status == studio.Failed) {
			t.Errorf("ended as %s, %q", g.Status, g.ErrorCode)
		}
	}
	if n := len(w.comfy.Ledger().Posts()); n != 2 {
		t.Errorf("%d prompts were posted, want those of the two that may go on", n)
	}
}

// Without ComfyUI work is accepted and waits; it is done when ComfyUI comes.
func TestComfyUIDownThenUp(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.comfy.Kill()
	w.awaitServer(studio.ServerDown)
	g := w.create(request("patient"))
	if s, err := w.studio.State(t.Context(), g.ID); err != nil || s.Progress.QueuePosition != 1 || s.Progress.Status != "Position 1 in the queue" {
		t.Errorf("State() = %+v, %v", s.Progress, err)
	}
	if err := w.comfy.Restart(); err != nil {
		t.Fatal(err)
	}
	w.awaitStatus(g.ID, studio.Complete)
	w.awaitServer(studio.ServerUp)
}

// The answer to a POST that was lost on its way says nothing: the prompt is looked up by its id,
// and never posted again.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	t.Run("queued", func(t *testing.T) {
		t.Parallel()
		w := open(t)
		w.awaitServer(studio.ServerUp)
		w.comfy.Faults().BadGatewayPosts(1)
		g := w.create(request("adopted"))
		state := w.awaitStatus(g.ID, studio.Complete)
		if n := state.Generation.Images[0].Attempts; n != 1 {
			t.Errorf("attempts = %d, want 1", n)
		}
		w.once()
	})
	t.Run("not queued", func(t *testing.T) {
		t.Parallel()
		w := open(t)
		w.awaitServer(studio.ServerUp)
		w.comfy.Faults().LosePosts(1)
		g := w.create(request("lost on the way"))
		state := w.awaitStatus(g.ID, studio.Complete)
		if n := state.Generation.Images[0].Attempts; n != 2 {
			t.Errorf("attempts = %d, want 2", n)
		}
		w.once()
	})
}

// Samplers whose results are cached show no step, and the run ends normally.
func TestCachedSamplers(t *testing.T) {
	t.Parallel()
	w := open(t)
	first := w.create(request("the same"))
	w.awaitStatus(first.ID, studio.Complete)
	again, err := w.studio.Retry(t.Context(), first.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	state := w.awaitStatus(again.ID, studio.Complete)
	a, _ := w.content(first.ID, 1, 0, false)
	b, _ := w.content(again.ID, 1, 0, false)
	if len(a) == 0 || len(b) == 0 || state.Progress.Percentage != 100 || state.Progress.TotalSteps != 0 {
		t.Errorf("a cached run: %d and %d bytes, %+v", len(a), len(b), state.Progress)
	}
}

// What ComfyUI refuses fails with the name that people know the field by.
func TestRejected(t *testing.T) {
	t.Parallel()
	w := open(t, func(_ *workshop, c *simulator.Config) { c.Models = []string{"one.safetensors"} })
	w.awaitServer(studio.ServerUp)
	g := w.create(request("refused"))
	w.awaitStatus(g.ID, studio.Complete)
	// The sampler was there when it was asked for, and is gone when it is sent.
	w.comfy.Faults().Refuse(true)
	w.comfy.Faults().CutSockets()
	w.awaitServer(studio.ServerDown)
	r := request("refused")
	r.Settings["model"] = []byte(`"one.safetensors"`)
	bad := w.create(r)
	if _, err := w.pool.Exec(t.Context(),
		`UPDATE generations SET settings = settings || '{"sampler": "gone"}' WHERE id = $1`, bad.ID); err != nil {
		t.Fatal(err)
	}
	w.comfy.Faults().Refuse(false)
	state := w.awaitStatus(bad.ID, studio.Failed)
	if got := state.Generation; got.ErrorCode != "rejected" || !strings.Contains(got.ErrorMessage, "Sampler: ") {
		t.Errorf("failed as %q: %q", got.ErrorCode, got.ErrorMessage)
	}
}

// A server that lacks memory is asked to free some, and the image is sent again, once.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.comfy.Faults().OutOfMemory(1)
	g := w.create(request("large"))
	state := w.awaitStatus(g.ID, studio.Complete)
	if image := state.Generation.Images[0]; image.Attempts != 2 ||
		image.RetryReason != "Sent again: out of memory, memory was freed" || image.ErrorMessage != "" {
		t.Errorf("complete after %d attempts: %q, %q", image.Attempts, image.RetryReason, image.ErrorMessage)
	}
	if n := w.comfy.Ledger().Requests()["POST /free"]; n != 1 {
		t.Errorf("memory was freed %d times, want once", n)
	}
	if stored := w.stored(g.ID).Images[0]; stored.RetryReason != state.Generation.Images[0].RetryReason || stored.Attempts != 2 {
		t.Errorf("stored are %d attempts: %q", stored.Attempts, stored.RetryReason)
	}
	attempts, err := w.studio.Attempts(t.Context(), g.ID)
	if err != nil || len(attempts) != 2 || attempts[0].State != "failed" || attempts[0].Again() == "" || attempts[1].Again() != "" {
		t.Errorf("Attempts() = %+v, %v", attempts, err)
	}
	w.once()
}

// A node that raises fails the image; its paths are for those who run the server.
func TestNodeFails(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.comfy.Faults().OutOfMemory(2)
	g := w.create(request("too large"))
	state := w.awaitStatus(g.ID, studio.Failed)
	if n := len(w.comfy.Ledger().Posts()); n != 2 {
		t.Errorf("it was sent %d times, want 2", n)
	}
	if got := state.Generation; got.ErrorCode != "execution_error" || !strings.Contains(got.ErrorMessage, "memory") ||
		strings.Contains(got.ErrorMessage, "/") {
		t.Errorf("failed as %q: %q", got.ErrorCode, got.ErrorMessage)
	}
	attempts, err := w.studio.Attempts(t.Context(), g.ID)
	if err != nil || !strings.Contains(attempts[0].ErrorDetail, "OutOfMemoryError") {
		t.Errorf("Attempts() = %+v, %v", attempts, err)
	}
}

// With no event arriving, asking does the work.
func TestEventsStalled(t *testing.T) {
	t.Parallel()
	w := open(t, func(w *workshop, _ *simulator.Config) {
		w.timing.StatusWithin = 100 * time.Millisecond
		w.timing.Silence = 100 * time.Millisecond
		w.timing.Poll = 200 * time.Millisecond
		w.timing.Health = time.Hour // what is shown has to be told, not found by looking
	}, stepping)
	w.awaitServer(studio.ServerUp)
	w.comfy.Faults().StallEvents(true)
	g := w.create(request("in silence"))
	w.atStep(1)
	w.awaitServer(studio.ServerStalled)
	w.stepper.Open()
	w.awaitStatus(g.ID, studio.Complete)
	w.comfy.Faults().StallEvents(false)
	w.awaitStatus(w.create(request("heard again")).ID, studio.Complete)
	w.awaitServer(studio.ServerUp) // with the first event, not with the next try in five minutes
	w.once()
}

// Files that are cut on their way are fetched again; files that are gone are made again, once.
func TestFilesMissing(t *testing.T) {
	t.Parallel()
	t.Run("cut", func(t *testing.T) {
		t.Parallel()
		w := open(t)
		w.comfy.Faults().TruncateViews(2)
		g := w.create(request("cut"))
		if s := w.awaitStatus(g.ID, studio.Complete); s.Generation.Images[0].Attempts != 1 {
			t.Errorf("attempts = %d, want 1", s.Generation.Images[0].Attempts)
		}
	})
	t.Run("gone once", func(t *testing.T) {
		t.Parallel()
		w := open(t)
		w.comfy.Faults().MissViews(5)
		g := w.create(request("gone"))
		if s := w.awaitStatus(g.ID, studio.Complete); s.Generation.Images[0].Attempts != 2 {
			t.Errorf("attempts = %d, want 2", s.Generation.Images[0].Attempts)
		}
	})
	t.Run("gone for good", func(t *testing.T) {
		t.Parallel()
		w := open(t)
		w.comfy.Faults().MissViews(100)
		g := w.create(request("gone"))
		if s := w.awaitStatus(g.ID, studio.Failed); s.Generation.ErrorCode != "outputs_missing" {
			t.Errorf("failed as %q", s.Generation.ErrorCode)
		}
	})
}

// Every connection to the database is cut in the middle: the listener, the jobs and the lease find
// their way back, and the work goes on.
func TestDatabaseCut(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	g := w.create(request("after the cut"))
	w.atStep(2)
	w.await(g.ID, "running", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "running" })
	if _, err := w.pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
	w.stepper.Open()
	w.awaitStatus(g.ID, studio.Complete)
	after := w.create(request("and the next"))
	w.awaitStatus(after.ID, studio.Complete)
	w.once()
}
