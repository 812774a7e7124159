package trouble

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"easel/test/harness"
)

// ComfyUI restarts with one of ours running and one waiting inside, and five hundred pictures behind them
// (row 21, P15): the two are made again, in the order of all, and nothing else is sent twice.
func TestFault21_ComfyUIRestarted(t *testing.T) {
	t.Parallel()
	r := open(t)
	var ids []string
	for n := range 10 {
		ids = append(ids, r.Generate(harness.Ask{Prompt: fmt.Sprint("in turn ", n), Steps: 8}))
	}
	for range 8 {
		r.Generate(harness.Ask{Prompt: "far behind", Steps: 8, Images: 64})
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
	r.cancelAll()
	harness.Eventually(t, "has all ended", func() bool { return r.Count("SELECT count(*) FROM generations WHERE finished_at IS NULL") == 0 })
	// The two that were inside, and then all in turn. The first of the two may be made again before the loss of the
	// second is certain, so the others may come between.
	got := r.sent()[:len(ids)+2]
	lost := func(id string) bool { return id == ids[0] || id == ids[1] }
	again, others := 0, slices.DeleteFunc(slices.Clone(got[2:]), lost)
	for _, id := range got[2:] {
		if lost(id) {
			again++
		}
	}
	if !slices.Equal(got[:2], ids[:2]) || again != 2 || !slices.Equal(others, ids[2:]) {
		t.Errorf("sent in the order\n%v, want the first two of\n%v, and then all of them", got, ids)
	}
	if n := r.Count("SELECT count(*) FROM attempts WHERE state = 'lost'"); n != 2 {
		t.Errorf("%d attempts are lost, want 2", n)
	}
	r.once()
}

// sent are the generations of all attempts, in the order in which they were made.
func (r *rig) sent() []string {
	r.t.Helper()
	conn, err := r.Database(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close(r.t.Context())
	rows, err := conn.Query(r.t.Context(), "SELECT generation_id::text FROM attempts ORDER BY created_at, prompt_id")
	if err != nil {
		r.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		r.t.Fatal(err)
	}
	return ids
}

// cancelAll gives up all that waits and runs.
func (r *rig) cancelAll() {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.URL+"/api/queue/cancel", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusAccepted {
		r.t.Fatalf("POST /api/queue/cancel: %s, %v", response.Status, err)
	}
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
