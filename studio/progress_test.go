package studio

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"easel/comfy"
)

func three() *Generation {
	g := &Generation{ID: uuid.New(), Status: Generating, Images: make([]Image, 3)}
	for i := range g.Images {
		g.Images[i] = Image{Index: i + 1, Status: Pending, PromptID: string(rune('a' + i))}
	}
	return g
}

func TestProgressWords(t *testing.T) {
	t.Parallel()
	sampling := comfy.Progress{
		Phase: comfy.PhaseInference, Step: 5, Steps: 20, StepsDone: 5, StepsPlanned: 20,
		Percent: 25, Fraction: 0.3, StepTime: time.Second, NodeClass: "KSampler",
	}
	at := func(state string, s comfy.Progress) (Progress, []ImageProgress) {
		g := three()
		g.Images[0].Status, g.Images[0].AttemptState = Generating, state
		return progressOf(g, nil, sight{heard: func(id string) (comfy.Progress, bool) { return s, id == "a" }})
	}
	whole, images := at(attemptRunning, sampling)
	if images[0].Status != "Step 5 of 20" || images[0].Percentage != 25 || images[0].CurrentStep != 5 {
		t.Errorf("image = %+v", images[0])
	}
	// Three images of 20 steps: 5 of 60.
	if whole.Status != "Step 5 of 20" || whole.Percentage != 8 || whole.CurrentStep != 5 || whole.TotalSteps != 60 || whole.ImageIndex != 1 {
		t.Errorf("whole = %+v", whole)
	}
	for _, test := range []struct {
		state string
		s     comfy.Progress
		phase comfy.Phase
		words string
	}{
		{attemptRunning, comfy.Progress{Phase: comfy.PhaseSetup, NodeClass: "CheckpointLoaderSimple"}, comfy.PhaseSetup, "Loading checkpoint"},
		{attemptRunning, comfy.Progress{Phase: comfy.PhaseSetup, NodeClass: "CLIPTextEncode"}, comfy.PhaseSetup, "Encoding the prompt"},
		{attemptRunning, comfy.Progress{Phase: comfy.PhaseSetup, NodeClass: "X", NodeTitle: "My node"}, comfy.PhaseSetup, "My node"},
		{attemptRunning, comfy.Progress{Phase: comfy.PhaseQueued}, comfy.PhaseSetup, "Running"},
		{attemptSubmitted, comfy.Progress{Phase: comfy.PhaseQueued}, comfy.PhaseQueued, "Waiting for a server"},
		{attemptSubmitted, sampling, comfy.PhaseInference, "Step 5 of 20"},
		{attemptRunning, comfy.Progress{Phase: comfy.PhaseFinishing, NodeClass: "VAEDecode"}, comfy.PhaseFinishing, "Decoding"},
		{attemptRunning, comfy.Progress{Phase: comfy.PhaseFinishing, NodeClass: "SaveImage"}, comfy.PhaseFinishing, "Saving"},
		{attemptRunning, comfy.Progress{Phase: comfy.PhaseComplete, Ended: true}, comfy.PhaseFinishing, "Storing"},
		{attemptFinalizing, comfy.Progress{}, comfy.PhaseFinishing, "Storing"},
		{attemptRunning, comfy.Progress{Phase: comfy.PhaseFinishing, Reused: true}, comfy.PhaseFinishing, "Reused an earlier result"},
	} {
		whole, _ := at(test.state, test.s)
		if whole.Phase != test.phase || whole.Status != test.words {
			t.Errorf("%s and %s: %s %q, want %s %q", test.state, test.s.Phase, whole.Phase, whole.Status, test.phase, test.words)
		}
	}
}

// Whatever the trackers say and the images come to: no number goes back, none leaves its range,
// and overall says 100 with complete and only then.
func TestProgressProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := three()
		heard := map[string]comfy.Progress{}
		snapshot := func(id string) (comfy.Progress, bool) {
			s, ok := heard[id]
			return s, ok
		}
		var prev *State
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			image := &g.Images[rapid.IntRange(0, 2).Draw(t, "image")]
			if !image.Status.Ended() && !g.Status.Ended() {
				switch rapid.IntRange(0, 4).Draw(t, "change") {
				case 0:
					image.Status, image.AttemptState = Generating, attemptSubmitted
				case 1:
					image.Status, image.AttemptState = Generating, attemptRunning
					planned := rapid.IntRange(0, 50).Draw(t, "planned")
					done := rapid.IntRange(0, planned).Draw(t, "done")
					heard[image.PromptID] = comfy.Progress{
						Phase: comfy.PhaseInference, StepsDone: done, StepsPlanned: planned,
						Percent: percent(done, planned), Fraction: rapid.Float64Range(0, 1).Draw(t, "fraction"), StepTime: time.Second,
					}
				case 2: // lost: it begins again
					image.Status, image.AttemptState = Pending, attemptLost
					delete(heard, image.PromptID)
				case 3:
					image.Status = rapid.SampledFrom([]Status{Complete, Failed, Cancelled}).Draw(t, "end")
				case 4:
					at := time.Now()
					g.CancelRequestedAt = &at
				}
			}
			g.Status = endOf(g)
			state := &State{Generation: g.clone()}
			state.Progress, state.Images = progressOf(g, prev, sight{
				heard: snapshot, place: place{position: rapid.IntRange(0, 3).Draw(t, "position"), start: time.Now(), more: amount{60, 100}},
				another: amount{60, 100}, now: time.Now(),
				outlook: func(_ *Image, s *comfy.Progress) outlook {
					return outlook{
						Fraction: s.Fraction, Spent: rapid.Float64Range(0, 100).Draw(t, "spent"),
						Left: rapid.Float64Range(0, 100).Draw(t, "left"), Variance: 1, Known: rapid.Bool().Draw(t, "known"),
					}
				},
			})
			p := state.Progress
			if p.Percentage < 0 || p.Percentage > 100 || p.Overall < 0 || p.Overall > 100 || p.CurrentStep < 0 || p.ETA < 0 || p.ETAKnown && (p.ETALow > p.ETAHigh || p.ETALow < 0) ||
				p.TotalSteps > 0 && p.CurrentStep > p.TotalSteps {
				t.Fatalf("out of range: %+v", p)
			}
			if (p.Overall == 100) != (g.Status == Complete) {
				t.Fatalf("overall is %d while %s", p.Overall, g.Status)
			}
			if prev != nil && (p.Percentage < prev.Progress.Percentage || p.Overall < prev.Progress.Overall || p.CurrentStep < prev.Progress.CurrentStep) {
				t.Fatalf("went back from %+v to %+v", prev.Progress, p)
			}
			prev = state
		}
	})
}

// endOf is how a generation stands by its images.
func endOf(g *Generation) Status {
	complete, left := 0, 0
	for i := range g.Images {
		switch {
		case g.Images[i].Status == Complete:
			complete++
		case !g.Images[i].Status.Ended():
			left++
		}
	}
	switch {
	case left > 0:
		return Generating
	case complete == len(g.Images):
		return Complete
	case g.CancelRequestedAt != nil:
		return Cancelled
	}
	return Failed
}

// What has ended without its picture says how far it came, not that its time is over.
func TestRecordProgressOfWhatFailed(t *testing.T) {
	t.Parallel()
	g := &Generation{Status: Failed, Images: []Image{
		{Index: 1, Status: Complete, StepsDone: 20, StepsPlanned: 20},
		{Index: 2, Status: Failed, StepsDone: 5, StepsPlanned: 20},
	}}
	p := RecordProgress(g)
	if p.Phase != comfy.PhaseFailed || p.CurrentStep != 25 || p.TotalSteps != 40 || p.Percentage != 62 || p.Overall != 62 || p.ETAKnown {
		t.Errorf("RecordProgress = %+v, want 25 of 40 steps and 62 %% of both kinds", p)
	}
	g.Status, g.Images[1].Status = Complete, Complete
	if p = RecordProgress(g); p.Percentage != 100 || p.Overall != 100 {
		t.Errorf("RecordProgress of a complete one = %+v, want 100 %%", p)
	}
	if p = RecordProgress(&Generation{Status: Pending}); p.Phase != comfy.PhaseQueued || p.Overall != 0 {
		t.Errorf("RecordProgress without images = %+v", p)
	}
}
