package studio

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
)

// Calibrations is how true the progress of the last runs was.
type Calibrations struct {
	Runs   []CalibratedRun // newest first
	Errors PointErrors     // the mean over them, each run with the same weight
	Phases []PhaseErrors   // the same by phase: setup, inference, finishing, those that there were
	Curve  []CurvePoint    // along a run

	// Ranges are those that were said first, and first from a quarter, a half and three quarters of a run on.
	Ranges [100 / quarter]RangesSaid
}

// RangesSaid counts runs of which an end was foretold, and those that ended inside the range that was said.
type RangesSaid struct{ Told, Inside int }

// CalibratedRun is one of them.
type CalibratedRun struct {
	Generation uuid.UUID
	ImageIndex int
	Prompt     string
	Workflow   string
	FinishedAt time.Time
	Calibration
}

// PhaseErrors are the errors in one phase, over those runs that had it.
type PhaseErrors struct {
	Phase comfy.Phase
	Runs  int
	PointErrors
}

// CurvePoint is what the bars showed when Actual percent of a run had passed: means over the runs, and the
// range in which Easel's number lay in eight of ten.
type CurvePoint struct {
	Actual                float64
	Overall, Nodes, Steps float64
	Low, High             float64 // of Overall
}

// calibratedRuns is how many runs are looked at.
const calibratedRuns = 100

// Calibrations tells of the last runs.
func (s *Studio) Calibrations(ctx context.Context) (Calibrations, error) {
	rows, err := s.queries.CalibrationsRecent(ctx, calibratedRuns)
	if err != nil {
		return Calibrations{}, unavailable(fmt.Errorf("read calibrations: %w", err))
	}
	var runs []CalibratedRun
	for _, row := range rows {
		c := readCalibration(row.Calibration)
		if c == nil || row.FinishedAt == nil {
			continue
		}
		runs = append(runs, CalibratedRun{
			Generation: row.GenerationID, ImageIndex: int(row.ImageIndex), Prompt: row.Prompt, Workflow: row.Workflow,
			FinishedAt: *row.FinishedAt, Calibration: *c,
		})
	}
	return sumCalibrations(runs), nil
}

// sumCalibrations adds runs up.
func sumCalibrations(runs []CalibratedRun) Calibrations {
	c := Calibrations{Runs: runs}
	if len(runs) == 0 {
		return c
	}
	var all errorSum
	phases := map[comfy.Phase]*errorSum{comfy.PhaseSetup: {}, comfy.PhaseInference: {}, comfy.PhaseFinishing: {}}
	for i := range runs {
		run := &runs[i]
		all.add(run.Errors)
		for phase, errors := range run.Phases {
			if sum, ok := phases[phase]; ok {
				sum.add(errors)
			}
		}
		for said := range run.said() {
			c.Ranges[within(said.From/quarter, len(c.Ranges)-1)].count(said.Inside)
		}
	}
	c.Errors = all.mean()
	for _, phase := range []comfy.Phase{comfy.PhaseSetup, comfy.PhaseInference, comfy.PhaseFinishing} {
		if sum := phases[phase]; sum.n > 0 {
			c.Phases = append(c.Phases, PhaseErrors{phase, sum.n, sum.mean()})
		}
	}
	for actual := 0; actual <= 100; actual += 5 {
		c.Curve = append(c.Curve, curvePoint(runs, float64(actual)))
	}
	return c
}

func (r *RangesSaid) count(inside bool) {
	r.Told++
	if inside {
		r.Inside++
	}
}

// curvePoint is what the bars showed when so many percent of each run had passed.
func curvePoint(runs []CalibratedRun, actual float64) CurvePoint {
	p := CurvePoint{Actual: actual}
	var all []float64
	for i := range runs {
		shown := runs[i].shownAt(actual / 100 * runs[i].Seconds)
		p.Overall += float64(shown.Overall)
		p.Nodes += float64(shown.Nodes)
		p.Steps += float64(shown.Steps)
		all = append(all, float64(shown.Overall))
	}
	n := float64(len(runs))
	p.Overall, p.Nodes, p.Steps = p.Overall/n, p.Nodes/n, p.Steps/n
	slices.Sort(all)
	last := float64(len(all) - 1)
	p.Low, p.High = all[int(0.1*last+0.5)], all[int(0.9*last+0.5)]
	return p
}

// shownAt is what stood there so many seconds after the start: the last that had been said.
func (c *Calibration) shownAt(seconds float64) Sample {
	var shown Sample
	for _, s := range c.Samples {
		if s.At > seconds {
			break
		}
		shown = s
	}
	return shown
}
