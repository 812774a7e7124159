package trouble

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// Easel is told to stop with work under way (row 10): it ends within 10 s, marks nothing as failed,
// lets go of its server, and goes on with the same prompt afterwards.
func TestEaselStopped(t *testing.T) {
	t.Parallel()
	r := open(t)
	var ids []string
	for _, prompt := range []string{"runs", "waits inside", "waits"} {
		ids = append(ids, r.Generate(harness.Ask{Prompt: prompt}))
	}
	watching := r.Follow(ids[0]) // an open stream must not hold the end up
	r.afterStep(5)
	before := r.awaitStep(ids[0], 5)
	asked := time.Now()
	r.Stop()
	harness.Within(t, "the end (row 10)", asked, 10*time.Second)
	<-watching
	if strays := r.Strays(); len(strays) > 0 {
		t.Errorf("processes %v are left", strays)
	}
	r.Restart()
	after := r.Await(ids[0], "goes on", func(g harness.Generation) bool { return g.Progress.CurrentStep >= 5 || g.Progress.Phase == "setup" })
	if after.Status != "generating" || after.Images[0].ComfyUIPromptID != before.Images[0].ComfyUIPromptID {
		t.Errorf("after the restart %+v, before it %+v", after, before)
	}
	r.stepper.Open()
	for _, id := range ids {
		r.AwaitStatus(id, "complete")
		same(t, r, id)
	}
	if n := len(r.comfy.Ledger().Posts()); n != len(ids) {
		t.Errorf("%d prompts were sent for %d generations", n, len(ids))
	}
	r.once()
}

// ComfyUI finishes while Easel is down: the picture is fetched at the next start.
func TestFinishedWhileEaselWasDown(t *testing.T) {
	t.Parallel()
	r := open(t)
	id := r.Generate(harness.Ask{Prompt: "while nobody looked"})
	r.afterStep(5)
	r.awaitStep(id, 5)
	r.Kill()
	r.stepper.Open()
	harness.Eventually(t, "has ComfyUI an end", func() bool { return inHistory(t, r.comfy) > 0 })
	r.Restart()
	r.AwaitStatus(id, "complete")
	same(t, r, id)
	r.once()
}

// Easel is killed again and again while people ask for a picture each (P02, P23): each time in the middle of
// something that it says to ComfyUI or hears from it. Nothing that was acknowledged is lost, every picture is
// whole, no prompt is sent twice, and no Postgres is left behind.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	const kills = 8
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	r := &rig{t: t, comfy: startComfyUI(t, simulator.Config{PreviewSize: 64, Pace: simulator.Pace{Step: 5 * time.Millisecond}})}
	r.link = harness.NewProxy(t, r.comfy.URL())
	r.Easel = harness.Start(t, harness.Options{ComfyUI: r.link.URL()})

	var acknowledged sync.Map
	var asking sync.WaitGroup
	// ask asks until there is an answer, each time with the same key.
	ask := func(n int) {
		ask := harness.Ask{Prompt: fmt.Sprintf("survivor %d", n), Key: fmt.Sprintf("survivor-%d", n), Steps: 5}
		pause := time.NewTicker(100 * time.Millisecond)
		defer pause.Stop()
		for {
			g, status, err := r.Try(t.Context(), ask)
			if err == nil && status == http.StatusCreated {
				acknowledged.Store(g.ID, true)
				return
			}
			select {
			case <-pause.C:
			case <-t.Context().Done():
				return
			}
		}
	}

	for kill := range kills {
		asking.Go(func() { ask(kill) })
		left := atomic.Int64{}
		left.Store(1 + random.Int64N(60))
		now := make(chan struct{})
		r.link.OnPiece(func(bool, []byte) {
			if left.Add(-1) == 0 {
				close(now)
			}
		})
		select {
		case <-now:
		case <-time.After(3 * time.Second): // there was less to say
		}
		r.Kill()
		r.link.OnPiece(nil)
		harness.Eventually(t, "is the private Postgres gone too", func() bool { return len(r.Strays()) == 0 },
			func() string { return fmt.Sprint("strays ", r.Strays()) })
		r.Restart()
	}
	asking.Wait()

	count := 0
	acknowledged.Range(func(id, _ any) bool {
		count++
		r.AwaitStatus(id.(string), "complete")
		same(t, r, id.(string))
		return true
	})
	if stored := r.Count("SELECT count(*) FROM generations"); count != kills || stored != kills {
		t.Errorf("%d generations were acknowledged and %d stored, want %d", count, stored, kills)
	}
	if n := r.Count("SELECT count(*) - count(DISTINCT (generation_id, image_index)) FROM attempts WHERE state = 'succeeded'"); n != 0 {
		t.Errorf("%d images were finished twice", n)
	}
	if n := r.Count("SELECT count(*) FROM attempts WHERE state IN ('submitting', 'submitted', 'running', 'finalizing')"); n != 0 {
		t.Errorf("%d attempts are still live", n)
	}
	r.once()
}
