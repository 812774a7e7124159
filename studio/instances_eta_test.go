package studio_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"

	"easel/studio"
)

// slow has the database know how long everything takes, in minutes: what instances say of it can be compared while
// nothing moves.
func (w *workshop) slow() {
	w.t.Helper()
	for _, known := range []struct {
		node, part string
		seconds    float64
	}{
		{"", "rest", 90},
		{"", "steps", 200}, // of a picture of a megapixel
		{"", "store", 3},
		{"CheckpointLoaderSimple", "", 40},
		{"CLIPTextEncode", "", 10},
		{"EmptyLatentImage", "", 1},
		{"KSampler", "first", 20},
		{"KSampler", "step", 200},
		{"KSampler", "last", 1},
		{"VAEDecode", "", 100},
		{"SaveImage", "", 4},
	} {
		if _, err := w.pool.Exec(w.t.Context(), "INSERT INTO timings (scope, node, part, cold, mean, variance, count) VALUES ('all', $1, $2, false, $3, 0.01, 50)",
			known.node, known.part, math.Log(known.seconds)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// apart says how two states of a generation differ in what they foretell; empty: in no more than what goes by while they
// are asked for.
func apart(a, b *studio.State) string {
	const most = 3 * time.Second
	p, q := a.Progress, b.Progress
	switch {
	case !p.ETAKnown || !q.ETAKnown:
		return fmt.Sprintf("an end is foretold: %t and %t", p.ETAKnown, q.ETAKnown)
	case p.Phase != q.Phase || p.QueuePosition != q.QueuePosition:
		return fmt.Sprintf("%s at %d, and %s at %d", p.Phase, p.QueuePosition, q.Phase, q.QueuePosition)
	case (p.ETA-q.ETA).Abs() > most || p.ExpectedFinish.Sub(q.ExpectedFinish).Abs() > most:
		return fmt.Sprintf("%v are left, till %v, and %v till %v", p.ETA, p.ExpectedFinish, q.ETA, q.ExpectedFinish)
	case math.Abs(math.Log(p.ETALow.Seconds()/q.ETALow.Seconds())) > 0.1 || math.Abs(math.Log(p.ETAHigh.Seconds()/q.ETAHigh.Seconds())) > 0.1:
		return fmt.Sprintf("between %v and %v, and between %v and %v", p.ETALow, p.ETAHigh, q.ETALow, q.ETAHigh)
	case p.ExpectedStart.IsZero() != q.ExpectedStart.IsZero() || p.ExpectedStart.Sub(q.ExpectedStart).Abs() > most:
		return fmt.Sprintf("a start at %v, and at %v", p.ExpectedStart, q.ExpectedStart)
	case p.Overall-q.Overall > 2 || q.Overall-p.Overall > 2:
		return fmt.Sprintf("%d %%, and %d %%", p.Overall, q.Overall)
	}
	return ""
}

// Every instance foretells the same, of what runs and of what waits, also one that has just been started, and also to
// somebody who has just come.
func TestInstancesForetellTheSame(t *testing.T) {
	t.Parallel()
	for name, bus := range map[string]func(*studio.MemoryNet) studio.Bus{
		"by the database": func(*studio.MemoryNet) studio.Bus { return nil },
		"by another bus":  func(net *studio.MemoryNet) studio.Bus { return net.NewBus() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t, stepping)
			w.stop()
			w.slow()
			net := new(studio.MemoryNet)
			w.bus = bus(net)
			w.start()
			w.awaitServer(studio.ServerUp)
			w.bus = bus(net)
			second, stop := w.run(w.pool, false)
			defer stop()
			running := w.create(request("it runs"))
			w.atStep(1)
			var waiting []uuid.UUID
			for range 3 {
				waiting = append(waiting, w.create(request("it waits")).ID)
			}
			w.same(second, append(waiting, running.ID)...)
			w.bus = bus(net)
			third, stop := w.run(w.pool, false)
			defer stop()
			w.same(third, append(waiting, running.ID)...)
			w.atStep(3)
			w.same(second, running.ID)

			// Who comes is told at once what all others know.
			for _, id := range append(waiting, running.ID) {
				watch, err := second.Watch(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				here, err := w.studio.State(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if words := apart(here, watch.Latest()); words != "" {
					t.Errorf("to somebody who comes: %s", words)
				}
				watch.Close()
			}
			w.stepper.Open()
			for _, id := range waiting {
				w.awaitStatus(id, studio.Complete)
			}
		})
	}
}

// same waits until another instance foretells the same as the workshop's.
func (w *workshop) same(other *studio.Studio, ids ...uuid.UUID) {
	w.t.Helper()
	words := ""
	defer func() {
		if w.t.Failed() {
			w.t.Log("at last: ", words)
		}
	}()
	for _, id := range ids {
		w.eventually("foretold the same", func() bool {
			here, err := w.studio.State(w.t.Context(), id)
			if err != nil {
				w.t.Fatal(err)
			}
			there, err := other.State(w.t.Context(), id)
			if err != nil {
				w.t.Fatal(err)
			}
			words = apart(here, there)
			return words == "" && here.Progress.ETA > 30*time.Second
		})
	}
}
