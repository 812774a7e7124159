package studio_test

import (
	"testing"

	"easel/studio"
)

// The schema itself refuses what must never be, whoever writes.
func TestSchemaHolds(t *testing.T) {
	t.Parallel()
	w := open(t)
	g := w.create(request("final"))
	w.awaitStatus(g.ID, studio.Complete)
	for _, test := range []struct{ name, sql string }{
		{"an ended generation changes", "UPDATE generations SET status = 'generating', images_left = 1, images_complete = 0, finished_at = NULL"},
		{"an ended generation fails", "UPDATE generations SET status = 'failed', images_complete = 0"},
		{"an ended image changes", "UPDATE images SET status = 'failed'"},
		{"an ended image runs again", "UPDATE images SET status = 'pending', finished_at = NULL"},
		{"an ended attempt changes", "UPDATE attempts SET state = 'cancelled'"},
		{"an end without a time", "UPDATE generations SET finished_at = NULL"},
		{"complete with an image left", "UPDATE generations SET images_left = 1"},
		{"a seed beyond 2^64-1", "UPDATE images SET seed = 18446744073709551616"},
		{"a negative seed", "UPDATE images SET seed = -1"},
		{"two live attempts of an image", `INSERT INTO attempts (prompt_id, generation_id, image_index, number, server_id, fence, graph)
			SELECT gen_random_uuid(), generation_id, image_index, 1 + n, server_id, 1, '' FROM attempts, generate_series(1, 2) n`},
		{"a loss without a reason", "UPDATE attempts SET state = 'lost'"},
		{"an output without a hash", "UPDATE outputs SET sha256 = ''"},
		{"a prompt that is too long", "UPDATE generations SET prompt = repeat('x', 10001)"},
	} {
		if _, err := w.pool.Exec(t.Context(), test.sql); err == nil {
			t.Errorf("%s: the database took it", test.name)
		}
	}
	if got := w.stored(g.ID); got.Status != studio.Complete {
		t.Errorf("status = %s after all that", got.Status)
	}
}

// A stale owner changes no row: its fence is not the lease's any more.
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
	// And the other way round: what one cancels the owner of the lease carries out.
	w.eventually("shown among the newest", func() bool { return len(second.Overview().Recent) == 1 && len(first.Overview().Recent) == 1 })
	if err := second.Delete(t.Context(), g.ID); err != nil {
		t.Fatal(err)
	}
	w.eventually("gone from the other", func() bool { return len(first.Overview().Recent) == 0 })
	w.studio = first
}
