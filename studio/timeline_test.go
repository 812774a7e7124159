package studio_test

import (
	"slices"
	"testing"

	"easel/comfy"
	"easel/studio"
)

// When each node ran is told while it does, and kept with the attempt; the files' way is timed, too.
func TestTimelines(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	g := w.create(request("timed"))
	w.atStep(3)
	w.await(g.ID, "at step 2", func(s *studio.State) bool { return s.Progress.CurrentStep == 2 })
	live := w.timeline(g)
	if live.FinishedAt != nil || len(live.Nodes) == 0 || live.StartedAt == nil {
		t.Errorf("while it runs: %+v", live)
	}
	w.stepper.Open()
	w.awaitStatus(g.ID, studio.Complete)

	kept := w.timeline(g)
	switch {
	case kept.State != "succeeded" || kept.Server != "easel-1" || kept.Number != 1 || !kept.Whole:
		t.Errorf("of an attempt that succeeded: %+v", kept)
	case kept.SubmittedAt == nil || kept.RunningAt == nil || kept.SamplingAt == nil || kept.FinalizingAt == nil || kept.FinishedAt == nil:
		t.Errorf("moments are missing: %+v", kept)
	case kept.Fetch <= 0 || kept.Store <= 0:
		t.Errorf("fetched in %v, stored in %v", kept.Fetch, kept.Store)
	case kept.CreatedAt.Before(kept.AcceptedAt) || kept.FinishedAt.Before(kept.CreatedAt):
		t.Errorf("accepted %v, picked %v, finished %v", kept.AcceptedAt, kept.CreatedAt, kept.FinishedAt)
	}
	c := kept.Calibration
	if c == nil || c.Seconds <= 0 || len(c.Samples) == 0 || c.Errors.Overall <= 0 || c.Over > c.Noted || c.Noted > c.Seconds {
		t.Errorf("calibration: %+v", c)
	}
	w.eventually("one run is counted", func() bool {
		n, _, _ := w.studio.Counters().ProgressErrors.Read()
		return n == 1
	})
	steps := 0
	for _, n := range kept.Nodes {
		if n.End < n.Start || n.Cached {
			t.Errorf("node %+v", n)
		}
		for _, pass := range n.Passes {
			steps += pass.Steps
		}
	}
	if steps != 4 || len(kept.Nodes) < 5 {
		t.Errorf("%d steps, want 4; nodes %+v", steps, kept.Nodes)
	}

	again := w.create(request("timed"))
	w.awaitStatus(again.ID, studio.Complete)
	if nodes := w.timeline(again).Nodes; !slices.ContainsFunc(nodes, func(n comfy.NodeTime) bool { return n.Cached }) {
		t.Errorf("the model was loaded before, and no node is cached: %+v", nodes)
	}
}

// timeline is that of a generation's only image.
func (w *workshop) timeline(g studio.Generation) studio.Timeline {
	w.t.Helper()
	list, err := w.studio.Timelines(w.t.Context(), g.ID)
	if err != nil || len(list) != 1 || list[0].PromptID == "" || list[0].ImageIndex != 1 {
		w.t.Fatalf("Timelines() = %+v, %v", list, err)
	}
	return list[0]
}
