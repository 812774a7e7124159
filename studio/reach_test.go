package studio

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"easel/comfy"
)

func TestReach(t *testing.T) {
	for _, test := range []struct {
		name  string
		p     Progress
		reach float64
		in    time.Duration
	}{
		{"a step ahead", Progress{Phase: comfy.PhaseInference, Overall: 20, ETA: 40 * time.Second, ETAKnown: true, StepTime: 2 * time.Second}, 24, 2 * time.Second},
		{"a point ahead where steps are small", Progress{Phase: comfy.PhaseInference, Overall: 20, ETA: 80 * time.Second, ETAKnown: true, StepTime: 10 * time.Millisecond}, 21, time.Second},
		{"nothing is known", Progress{Phase: comfy.PhaseInference, Overall: 20, StepTime: time.Second}, 20, leastReach},
		{"what waits does not move", Progress{Phase: comfy.PhaseQueued, ETA: time.Minute, ETAKnown: true}, 0, leastReach},
		{"nor what is cancelled", Progress{Phase: comfy.PhaseInference, Overall: 50, ETA: time.Minute, ETAKnown: true, Cancelling: true}, 50, leastReach},
		{"a very long step", Progress{Phase: comfy.PhaseInference, Overall: 0, ETA: 1000 * time.Second, ETAKnown: true, StepTime: time.Minute}, 1, mostReach},
		{"nearly there", Progress{Phase: comfy.PhaseFinishing, Overall: 98, ETA: 2 * time.Second, ETAKnown: true}, 99, time.Second},
		{"the last point", Progress{Phase: comfy.PhaseFinishing, Overall: 99, ETA: time.Second, ETAKnown: true}, 99, time.Second},
		{"not further than the end", Progress{Phase: comfy.PhaseInference, Overall: 90, ETA: time.Second, ETAKnown: true, StepTime: 5 * time.Second}, 99, time.Second},
		{"further before", Progress{Phase: comfy.PhaseInference, Overall: 20, Reach: 24, ETA: 80 * time.Second, ETAKnown: true}, 24, time.Second},
		{"complete", Progress{Phase: comfy.PhaseComplete, Overall: 100}, 100, leastReach},
		{"failed", Progress{Phase: comfy.PhaseFailed, Overall: 40, Reach: 45}, 40, leastReach},
	} {
		if test.p.reach(); test.p.Reach != test.reach || test.p.ReachIn != test.in {
			t.Errorf("%s: to %v in %v, want to %v in %v", test.name, test.p.Reach, test.p.ReachIn, test.reach, test.in)
		}
	}
}

// Whatever is known, a bar is between the truth and the end, and moves forward.
func TestReachIsNeverBehindNorBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		last := Progress{}
		for range rapid.IntRange(1, 20).Draw(t, "states") {
			p := Progress{
				Phase:    rapid.SampledFrom([]comfy.Phase{comfy.PhaseQueued, comfy.PhaseSetup, comfy.PhaseInference, comfy.PhaseFinishing}).Draw(t, "phase"),
				Overall:  rapid.IntRange(0, 99).Draw(t, "overall"),
				ETA:      time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "eta")),
				ETAKnown: rapid.Bool().Draw(t, "known"),
				StepTime: time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "step")),
			}
			p.neverBack(last)
			p.reach()
			if p.Reach < float64(p.Overall) || p.Reach > 99 || p.Reach < last.Reach {
				t.Fatalf("after %v: %v of %d", last.Reach, p.Reach, p.Overall)
			}
			if p.ReachIn < 0 || p.ReachIn > mostReach {
				t.Fatalf("in %v", p.ReachIn)
			}
			last = p
		}
	})
}
