package comfy

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A run with a cached encoder, a sampler with two passes, and a decoder that goes unmentioned until it is over.
func TestTimeline(t *testing.T) {
	plan := NewPlan(graphOf(t, textToImage), stockInfo(t))
	p := plan.Start(promptA)
	for _, said := range []struct {
		after   time.Duration
		message Message
	}{
		{0, start(promptA)},
		{0, cachedNodes(promptA, "7")},
		{10 * time.Millisecond, states(promptA, nodeRuns("4", 0, 1))},
		{10 * time.Millisecond, executing(promptA, "4")},
		{2 * time.Second, states(promptA, nodeOver("4"), nodeRuns("3", 0, 2))},
		{2 * time.Second, executing(promptA, "3")},
		{5 * time.Second, step(promptA, "3", 1, 2)},
		{6 * time.Second, step(promptA, "3", 2, 2)},
		{8 * time.Second, step(promptA, "3", 1, 2)},
		{9 * time.Second, step(promptA, "3", 2, 2)},
		{9 * time.Second, step(promptA, "3", 2, 2)},
		{10 * time.Second, states(promptA, nodeOver("4"), nodeOver("3"), nodeOver("8"), nodeRuns("9", 0, 1))},
		{11 * time.Second, success(promptA)},
	} {
		p = Fold(&plan, p, said.message, at(said.after))
	}
	want := []NodeTime{
		{Node: "4", Class: "CheckpointLoaderSimple", Title: "Load Checkpoint", Start: 10 * time.Millisecond, End: 2 * time.Second},
		{Node: "3", Class: "KSampler", Title: "The sampler", Start: 2 * time.Second, End: 10 * time.Second, Passes: []PassTime{
			{Start: 5 * time.Second, First: 1, End: 6 * time.Second, Steps: 2},
			{Start: 8 * time.Second, First: 1, End: 9 * time.Second, Steps: 2},
		}},
		{Node: "8", Class: "VAEDecode", Title: "VAE Decode", Start: 10 * time.Second, End: 10 * time.Second},
		{Node: "9", Class: "SaveImage", Title: "Save Image", Start: 10 * time.Second, End: 11 * time.Second},
		{Node: "7", Class: "CLIPTextEncode", Title: "CLIP Text Encode (Prompt)", Cached: true},
	}
	got := p.Timeline()
	if !slices.EqualFunc(got, want, sameTimes) {
		t.Errorf("Timeline()\n got %+v\nwant %+v", got, want)
	}
	if !p.Whole() {
		t.Error("Whole() = false although all was heard")
	}
	if q := resume(&plan, plan.Start(promptA), "3", at(0)); q.Whole() {
		t.Error("Whole() = true of a prompt whose beginning was missed")
	}
}

func sameTimes(a, b NodeTime) bool {
	return slices.Equal(a.Passes, b.Passes) &&
		a.Node == b.Node && a.Class == b.Class && a.Title == b.Title && a.Cached == b.Cached && a.Start == b.Start && a.End == b.End
}

// Whatever was heard, the times of a run lie within it, and passes within their nodes.
func TestTimelineWithinRun(t *testing.T) {
	info := stockInfo(t)
	rapid.Check(t, func(t *rapid.T) {
		s := drawScript(t, promptA)
		plan := NewPlan(s.graph, info)
		p := plan.Start(promptA)
		from := rapid.IntRange(0, len(s.messages)).Draw(t, "from")
		to := rapid.IntRange(from, len(s.messages)).Draw(t, "to")
		for i, m := range s.messages {
			if from <= i && i < to {
				continue
			}
			p = Fold(&plan, p, m, at(time.Duration(i)*time.Second))
			for _, n := range p.Timeline() {
				end := n.End
				if end == 0 {
					end = p.UpdatedAt.Sub(p.StartedAt)
				}
				if n.Start < 0 || end < n.Start || end > time.Duration(i)*time.Second {
					t.Fatalf("after %d s node %s ran from %v to %v", i, n.Node, n.Start, n.End)
				}
				for k, pass := range n.Passes {
					if pass.Start < n.Start || pass.End < pass.Start || pass.End > end || pass.First < 1 || pass.Steps < pass.First ||
						k > 0 && pass.Start < n.Passes[k-1].End {
						t.Fatalf("node %s from %v to %v has passes %+v", n.Node, n.Start, n.End, n.Passes)
					}
				}
			}
		}
		if from == to && len(p.Timeline()) < s.ran {
			t.Fatalf("%d nodes in the timeline, %d samplers ran", len(p.Timeline()), s.ran)
		}
	})
}
