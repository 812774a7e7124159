package studio_test

import (
	"encoding/json"
	"testing"

	"easel/comfy"
	"easel/studio"
)

// What is usual is learned from finished runs of the same kind, and how true the progress was is read from
// those that were measured.
func TestUsualOfRealRuns(t *testing.T) {
	t.Parallel()
	w := open(t)
	kind := func(steps string) studio.Request {
		r := request("usual")
		r.Settings["steps"] = json.RawMessage(steps)
		return r
	}
	var last studio.Generation
	// The first one comes before the server's models are known, so that none is chosen.
	for _, steps := range []string{"5", "4", "4", "3", "4", "4"} {
		last = w.create(kind(steps))
		w.awaitStatus(last.ID, studio.Complete)
	}
	usual, err := w.studio.Usual(t.Context(), last.ID)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := w.studio.Timelines(t.Context(), last.ID)
	if err != nil || len(lines) != 1 || !lines[0].Succeeded() {
		t.Fatalf("Timelines() = %+v, %v", lines, err)
	}
	if usual.Runs != 3 || usual.Took <= 0 {
		t.Errorf("Usual() = %+v, want that of the three runs before with the same steps", usual)
	}
	known := 0
	for _, n := range lines[0].Nodes {
		if _, ok := usual.Nodes[n.Node]; ok {
			known++
		}
	}
	if known != len(lines[0].Nodes) || known == 0 {
		t.Errorf("of %d nodes it is known for %d what is usual", len(lines[0].Nodes), known)
	}

	// One of them was measured.
	if _, err := w.pool.Exec(t.Context(), `UPDATE attempts SET calibration = NULL`); err != nil {
		t.Fatal(err)
	}
	if c, err := w.studio.Calibrations(t.Context()); err != nil || len(c.Runs) != 0 {
		t.Errorf("Calibrations() = %d runs, %v, want none", len(c.Runs), err)
	}
	measured, err := json.Marshal(studio.Calibration{
		Seconds: 3, Errors: studio.PointErrors{Overall: 2}, Phases: map[comfy.Phase]studio.PointErrors{comfy.PhaseSetup: {Overall: 1}},
		Samples: []studio.Sample{{At: 1, Phase: comfy.PhaseSetup, Overall: 30}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.pool.Exec(t.Context(), `UPDATE attempts SET calibration = $1 WHERE generation_id = $2`, measured, last.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.pool.Exec(t.Context(), `UPDATE attempts SET calibration = '{"first":{"at":1}}' WHERE generation_id <> $1`, last.ID); err != nil {
		t.Fatal(err)
	}
	c, err := w.studio.Calibrations(t.Context())
	if err != nil || len(c.Runs) != 1 || c.Runs[0].Generation != last.ID || c.Runs[0].Prompt != last.Prompt || c.Errors.Overall != 2 || len(c.Phases) != 1 {
		t.Errorf("Calibrations() = %+v, %v, want the one that was measured", c, err)
	}
}
