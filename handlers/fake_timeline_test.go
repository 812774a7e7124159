package handlers

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/studio"
)

// Timelines of the fake: each attempt ran as fakeAttempts says, with a loader, an encoder that was
// cached, a sampler, a decoder and the saving.
func (f *fakeStudio) Timelines(_ context.Context, id uuid.UUID) ([]studio.Timeline, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	var list []studio.Timeline
	for _, a := range f.attempts[id] {
		line := studio.Timeline{
			ImageIndex: a.ImageIndex, PromptID: a.PromptID, Number: a.Number, Server: a.Server, State: "succeeded",
			AcceptedAt: f.states[id].Generation.CreatedAt, CreatedAt: a.CreatedAt, SubmittedAt: a.SubmittedAt, RunningAt: a.RunningAt,
			SamplingAt: a.SamplingAt, FinalizingAt: a.FinalizingAt, FinishedAt: a.FinishedAt,
		}
		if a.RunningAt == nil {
			line.State = "failed"
		} else {
			line.StartedAt, line.Whole = a.RunningAt, true
			line.Fetch, line.Store = 400*time.Millisecond, 600*time.Millisecond
			line.Nodes = fakeNodes()
			line.Calibration = &studio.Calibration{Seconds: 40, Errors: studio.PointErrors{Overall: float64(a.ImageIndex)}}
		}
		list = append(list, line)
	}
	return list, nil
}

// fakeNodes are a run of 39 s.
func fakeNodes() []comfy.NodeTime {
	const s = time.Second
	return []comfy.NodeTime{
		{Node: "4", Class: "CheckpointLoaderSimple", Title: "Load Checkpoint", End: 4 * s},
		{Node: "3", Class: "KSampler", Title: "KSampler", Start: 4 * s, End: 36 * s, Passes: []comfy.PassTime{
			{Start: 6 * s, First: 1, End: 35 * s, Steps: 20},
		}},
		{Node: "8", Class: "VAEDecode", Title: "VAE Decode", Start: 36 * s, End: 38 * s},
		{Node: "9", Class: "SaveImage", Title: "Save Image", Start: 38 * s, End: 39 * s},
		{Node: "6", Class: "CLIPTextEncode", Title: "CLIP Text Encode (Prompt)", Cached: true},
	}
}

func (f *fakeStudio) Usual(context.Context, uuid.UUID) (studio.Usual, error) {
	const s = time.Second
	return studio.Usual{Runs: 7, Took: 30 * s, Nodes: map[string]studio.UsualNode{
		"4": {Took: 4 * s, Cached: true}, "3": {Took: 25 * s}, "8": {Took: 2 * s}, "6": {Took: s / 5, Cached: true},
	}}, f.fail()
}

func (f *fakeStudio) Calibrations(context.Context) (studio.Calibrations, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calibrations, f.err
}

// calibrate gives the fake a calibration of every finished generation.
func (f *fakeStudio) calibrate() {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := studio.Calibrations{
		Errors: studio.PointErrors{Overall: 2.84, Nodes: 31.02, Steps: 14.6, Seconds: 40},
		Phases: []studio.PhaseErrors{
			{Phase: comfy.PhaseSetup, Runs: 9, PointErrors: studio.PointErrors{Overall: 1.5, Nodes: 9, Steps: 5, Seconds: 4}},
			{Phase: comfy.PhaseInference, Runs: 30, PointErrors: studio.PointErrors{Overall: 3, Nodes: 33, Steps: 16, Seconds: 32}},
			{Phase: comfy.PhaseFinishing, Runs: 30, PointErrors: studio.PointErrors{Overall: 2.5, Nodes: 12, Steps: 4, Seconds: 4}},
		},
	}
	for x := 0.0; x <= 100; x += 5 {
		nodes, steps := 20.0, max(0, min(100, (x-12)*1.25))
		if x > 90 {
			nodes = 70
		}
		c.Curve = append(c.Curve, studio.CurvePoint{Actual: x, Overall: max(0, x-2), Nodes: nodes, Steps: steps, Low: max(0, x-7), High: min(99, x+4)})
	}
	for i, state := range slices.Backward(f.newestFirst()) {
		if state.Generation.Status != studio.Complete {
			continue
		}
		run := studio.CalibratedRun{
			Generation: state.Generation.ID, ImageIndex: 1, Prompt: state.Generation.Prompt, Workflow: state.Generation.Workflow,
			FinishedAt: *state.Generation.FinishedAt,
		}
		run.Seconds, run.Errors = 40.5, c.Errors
		if i%5 != 0 {
			run.First = &studio.ETASaid{At: 1, Low: 36, Mean: 40, High: 44, Inside: i%4 != 0}
			c.Ranges[0].Told++
			if run.First.Inside {
				c.Ranges[0].Inside++
			}
		}
		c.Runs = append(c.Runs, run)
	}
	f.calibrations = c
}
