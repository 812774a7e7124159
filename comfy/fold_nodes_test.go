package comfy

import "testing"

// expanded is a node on the wire that came out of a node of the sent graph.
func expanded(id, display string, value, limit float64, state string) NodeState {
	return NodeState{id, display, display, value, limit, state}
}

// A sampler that expands into others: their steps are its own, each part is a pass, and it is over
// when it says so itself, not with its first part.
func TestFoldExpandedSampler(t *testing.T) {
	plan := NewPlan(graphOf(t, textToImage), stockInfo(t))
	p := fold(&plan, plan.Start(promptA), at(0), start(promptA), cachedNodes(promptA, "4", "5", "6", "7"),
		states(promptA, nodeRuns("3", 0, 1)), executing(promptA, "3"),
		states(promptA, nodeRuns("3", 0, 1), expanded("3.0.0.1", "3", 0, 1, "running")),
		step(promptA, "3.0.0.1", 8, 8))
	// The graph says 20 steps, and 8 are known: 12 are still to come.
	wantWords(t, p, "inference 8/8 pass 1/1, 8 of 20, 40 %")

	p = fold(&plan, p, at(0),
		states(promptA, nodeRuns("3", 0, 1), expanded("3.0.0.1", "3", 8, 8, "finished"), expanded("3.0.0.2", "3", 0, 1, "running")),
		step(promptA, "3.0.0.2", 4, 16))
	wantWords(t, p, "inference 4/16 pass 2/2, 12 of 24, 50 %")
	if p.Node != "3" {
		t.Errorf("node = %q", p.Node)
	}
	// Side by side their messages alternate; that makes no new passes.
	p = fold(&plan, p, at(0), step(promptA, "3.0.0.1", 8, 8), step(promptA, "3.0.0.2", 16, 16))
	wantWords(t, p, "inference 16/16 pass 2/2, 24 of 24, 99 %")

	p = fold(&plan, p, at(0), states(promptA, NodeState{"3", "3", "3", 1, 1, "finished"},
		expanded("3.0.0.1", "3", 8, 8, "finished"), expanded("3.0.0.2", "3", 16, 16, "finished")))
	wantWords(t, p, "finishing 16/16 pass 2/2, 24 of 24, 100 %")
}

// A loop copies a sampler of the sent graph under an id that begins with another node's; what
// stands for it is told by executing, by progress_state or by its real node.
func TestFoldCopyOfASampler(t *testing.T) {
	g := graphOf(t, textToImage)
	g["50"] = graphOf(t, `{"50": {"class_type": "LatentFlip", "inputs": {"samples": ["3", 0]}}}`)["50"]
	plan := NewPlan(g, stockInfo(t))
	begin := fold(&plan, plan.Start(promptA), at(0), start(promptA), cachedNodes(promptA, "4", "5", "6", "7"), step(promptA, "3", 20, 20))
	told := executing(promptA, "50.0.0.3")
	told.DisplayNode = "3"
	for name, m := range map[string]Message{
		"executing":      told,
		"progress_state": states(promptA, expanded("50.0.0.3", "3", 0, 1, "running")),
	} {
		p := fold(&plan, begin, at(0), m, step(promptA, "50.0.0.3", 5, 20))
		if p.Node != "3" || p.Step != 5 || p.StepsDone != 25 || p.StepsPlanned != 40 {
			t.Errorf("%s: %s at %q", name, words(p), p.Node)
		}
	}
	foreign := NodeState{Node: "elsewhere", DisplayNode: "gone", RealNode: "3", Max: 1, State: "running"}
	if p := fold(&plan, begin, at(0), states(promptA, foreign), step(promptA, "elsewhere", 5, 20)); p.Step != 5 || p.StepsDone != 25 {
		t.Errorf("real node: %s", words(p))
	}
}

// Servers from before progress_state say only which node is next.
func TestFoldWithoutStates(t *testing.T) {
	plan := NewPlan(graphOf(t, textToImage), stockInfo(t))
	p := fold(&plan, plan.Start(promptA), at(0), start(promptA), cachedNodes(promptA, "4", "5", "6", "7"),
		executing(promptA, "3"), step(promptA, "3", 20, 20))
	wantWords(t, p, "inference 20/20 pass 1/1, 20 of 20, 99 %")
	p = fold(&plan, p, at(0), executing(promptA, "8"))
	wantWords(t, p, "finishing 20/20 pass 1/1, 20 of 20, 100 %")
	before := p.Fraction
	p = fold(&plan, p, at(0), executing(promptA, "9"), Message{Type: TypeExecuted, PromptID: promptA, Node: "9"})
	if p.Fraction <= before {
		t.Errorf("Fraction = %v after decoding and saving, %v before", p.Fraction, before)
	}
}

// A sampler in a branch that a lazy node leaves out is not waited for.
func TestFoldBranchThatNeverRuns(t *testing.T) {
	g := graphOf(t, textToImage)
	g["33"] = g["3"]
	g["8"] = graphOf(t, `{"8": {"class_type": "SomeSwitch", "inputs": {"on_true": ["3", 0], "on_false": ["33", 0]}}}`)["8"]
	plan := NewPlan(g, stockInfo(t))
	if got := plan.Steps(); got != 40 {
		t.Fatalf("Steps() = %d", got)
	}
	p := fold(&plan, plan.Start(promptA), at(0), start(promptA), cachedNodes(promptA, "4", "5", "6", "7"),
		states(promptA, nodeRuns("8", 0, 1)), states(promptA, nodeRuns("8", 0, 1), nodeRuns("3", 0, 1)), step(promptA, "3", 20, 20),
		states(promptA, nodeRuns("8", 0, 1), nodeOver("3")))
	wantWords(t, p, "inference 20/20 pass 1/2, 20 of 40, 50 %")
	p = fold(&plan, p, at(0), states(promptA, nodeOver("8"), nodeOver("3")))
	wantWords(t, p, "finishing 20/20 pass 1/1, 20 of 20, 100 %")
}
