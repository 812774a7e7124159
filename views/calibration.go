package views

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// CalibrationView is how true the progress of the last runs was.
type CalibrationView struct {
	Count          int // of runs
	Errors         BarErrors
	Phases         []PhaseErrors // in the order of a run
	Curve          []CurvePoint  // along a run
	Ranged, Inside int           // runs of which an end was foretold, and that ended inside the range said first
	Runs           []CalibratedRun
	Now            time.Time
}

// BarErrors are mean absolute errors in points, of 100: of Easel's number, and of the two bars that others show.
type BarErrors struct{ Easel, Nodes, Steps float64 }

// PhaseErrors are those in one phase.
type PhaseErrors struct {
	Name string
	Runs int // that had it
	BarErrors
}

// CurvePoint is what bars showed on average when Actual of a run had passed, all in 0 to 100. Of nine runs in ten
// Easel's number was above Low, and of nine in ten below High.
type CurvePoint struct {
	Actual    float64
	Shown     BarErrors
	Low, High float64
}

// CalibratedRun is one run: what was said, and what came.
type CalibratedRun struct {
	Generation string // id
	Prompt     string
	Image      int
	At         time.Time // of its end
	Took       time.Duration
	Errors     BarErrors
	Said       string // "30 to 45 s"; empty: no end was foretold
	Inside     bool   // of what was said
}

// Sentence is the whole page in a few words.
func (v CalibrationView) Sentence() string {
	said := fmt.Sprintf("Over the last %s the number was %s points off on average. A bar that counts nodes would have been off by %s, one that counts sampler steps alone by %s.",
		plural(v.Count, "run"), points(v.Errors.Easel), points(v.Errors.Nodes), points(v.Errors.Steps))
	if v.Ranged > 0 {
		said += fmt.Sprintf(" %d of %d ended inside the range of times that was said first.", v.Inside, v.Ranged)
	}
	return said
}

// points is an error as it is written.
func points(e float64) string { return strconv.FormatFloat(e, 'f', 1, 64) }

// curve is a line of the chart, in its own coordinates: 0 to 100 to the right, 0 at the bottom.
func (v CalibrationView) curve(bar func(BarErrors) float64) string {
	var b strings.Builder
	for _, p := range v.Curve {
		plot(&b, p.Actual, bar(p.Shown))
	}
	return strings.TrimSpace(b.String())
}

// band is the outline of what Easel's number showed in eight runs of ten.
func (v CalibrationView) band() string {
	var b strings.Builder
	for _, p := range v.Curve {
		plot(&b, p.Actual, p.High)
	}
	for i := len(v.Curve) - 1; i >= 0; i-- {
		plot(&b, v.Curve[i].Actual, v.Curve[i].Low)
	}
	return strings.TrimSpace(b.String())
}

func plot(b *strings.Builder, x, y float64) {
	fmt.Fprintf(b, "%.1f,%.1f ", min(max(x, 0), 100), 100-min(max(y, 0), 100))
}

// bars are the three lines, in the order in which they are drawn.
var bars = []struct {
	kind, words string
	of          func(BarErrors) float64
}{
	{"nodes", "nodes that are over, of all", func(e BarErrors) float64 { return e.Nodes }},
	{"steps", "sampler steps alone", func(e BarErrors) float64 { return e.Steps }},
	{"easel", "Easel", func(e BarErrors) float64 { return e.Easel }},
}

// quarters are where the chart has lines.
var quarters = []int{0, 25, 50, 75, 100}

// insideWords say whether a run ended as foretold.
func (r CalibratedRun) insideWords() string {
	switch {
	case r.Said == "":
		return "nothing"
	case r.Inside:
		return r.Said + ": right"
	}
	return r.Said + ": wrong"
}

// SaidRange is a range of times as people say it: "30 to 45 s".
func SaidRange(low, high time.Duration) string {
	if high < 90*time.Second {
		return fmt.Sprintf("%s to %s s", tenths(low), tenths(high))
	}
	return fmt.Sprintf("%s to %s", Took(low), Took(high))
}

// tenths are seconds, with a decimal where they are few.
func tenths(d time.Duration) string {
	if d < 10*time.Second {
		return strconv.FormatFloat(max(0, d.Seconds()), 'f', 1, 64)
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 0, 64)
}
