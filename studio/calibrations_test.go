package studio

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"easel/comfy"
)

// Each run has the same weight, whatever its length, and a phase counts only the runs that had it.
func TestSumCalibrations(t *testing.T) {
	if got := sumCalibrations(nil); len(got.Curve) != 0 || got.Errors != (PointErrors{}) {
		t.Errorf("without runs: %+v", got)
	}
	runs := []CalibratedRun{
		{Calibration: Calibration{
			Seconds: 10, Errors: PointErrors{Overall: 2, Nodes: 30, Steps: 10, Seconds: 10},
			Phases: map[comfy.Phase]PointErrors{comfy.PhaseSetup: {Overall: 4}, comfy.PhaseInference: {Overall: 1}},
			First:  &ETASaid{Low: 8, High: 12, Inside: true},
			Samples: []Sample{
				{At: 1, Overall: 10}, {At: 5, Overall: 48, Nodes: 20, Steps: 40}, {At: 9.6, Overall: 97, Nodes: 60, Steps: 100},
			},
		}},
		{Calibration: Calibration{
			Seconds: 100, Errors: PointErrors{Overall: 4, Nodes: 50, Steps: 20, Seconds: 100},
			Phases: map[comfy.Phase]PointErrors{comfy.PhaseInference: {Overall: 3}, "strange": {Overall: 100}},
			First:  &ETASaid{Low: 8, High: 12}, Later: []ETASaid{{From: 75, Inside: true}}, Samples: []Sample{{At: 49, Overall: 52, Nodes: 40, Steps: 60}},
		}},
		{Calibration: Calibration{Seconds: 1, Errors: PointErrors{Overall: 3, Nodes: 40, Steps: 15, Seconds: 1}}},
	}
	got := sumCalibrations(runs)
	if want := (PointErrors{Overall: 3, Nodes: 40, Steps: 15, Seconds: 37}); got.Errors != want || got.Ranges != [4]RangesSaid{{2, 1}, {}, {}, {1, 1}} {
		t.Errorf("errors = %+v, ranges %v; want %+v, 1 of 2 and 1 of 1", got.Errors, got.Ranges, want)
	}
	phases := []PhaseErrors{
		{Phase: comfy.PhaseSetup, Runs: 1, PointErrors: PointErrors{Overall: 4}},
		{Phase: comfy.PhaseInference, Runs: 2, PointErrors: PointErrors{Overall: 2}},
	}
	if diff := cmp.Diff(phases, got.Phases); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
	if len(got.Curve) != 21 || got.Curve[20].Actual != 100 {
		t.Fatalf("%d points to %+v", len(got.Curve), got.Curve)
	}
	// In the middle the first run showed 48, the second 52, the third nothing.
	half := CurvePoint{Actual: 50, Overall: 100. / 3, Nodes: 20, Steps: 100. / 3, Low: 0, High: 52}
	if diff := cmp.Diff(half, got.Curve[10], cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })); diff != "" {
		t.Errorf("at 50 %% (-want +got):\n%s", diff)
	}
}

func TestPointHistogram(t *testing.T) {
	var h PointHistogram
	for _, points := range []float64{0, 1.5, 4, 99} {
		h.observe(points)
	}
	n, sum, notAbove := h.Read()
	if n != 4 || sum != 104.5 || notAbove[1] != 1 || notAbove[2] != 2 || notAbove[5] != 3 || notAbove[50] != 3 {
		t.Errorf("%d, %g, %v", n, sum, notAbove)
	}
}

// Usual is the middle of what runs took; a node that most runs had cached is said to be.
func TestUsualOf(t *testing.T) {
	run := func(took time.Duration, nodes ...storedNode) pastRun { return pastRun{took: took, nodes: nodes} }
	loaded := func(ms milliseconds) storedNode { return storedNode{Node: "4", Start: 100, End: 100 + ms} }
	cached := storedNode{Node: "4", Cached: true}
	sampled := func(ms milliseconds) storedNode { return storedNode{Node: "3", Start: 5000, End: 5000 + ms} }
	odd := storedNode{Node: "9", Start: 5, End: 3}
	for _, tt := range []struct {
		name string
		runs []pastRun
		want Usual
	}{
		{"too few", []pastRun{run(time.Second), run(time.Second)}, Usual{}},
		{
			"mostly cached",
			[]pastRun{run(9*time.Second, cached, sampled(300)), run(time.Second, loaded(4000), sampled(100)), run(3*time.Second, cached, sampled(200))},
			Usual{Runs: 3, Took: 3 * time.Second, Nodes: map[string]UsualNode{
				"4": {Took: 4 * time.Second, Cached: true}, "3": {Took: 200 * time.Millisecond},
			}},
		},
		{
			"mostly not",
			[]pastRun{run(4, loaded(1)), run(3, loaded(3)), run(2, loaded(2), odd), run(1, cached)},
			Usual{Runs: 4, Took: 2, Nodes: map[string]UsualNode{"4": {Took: 2 * time.Millisecond}, "9": {}}},
		},
	} {
		if diff := cmp.Diff(tt.want, usualOf(tt.runs)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
