package comfy

import (
	"fmt"
	"testing"

	"easel/comfy/workflow"
)

func TestPlanSteps(t *testing.T) {
	const sampler = `{"3": {"class_type": %q, "inputs": {%s, "model": ["4", 0], "latent_image": ["5", 0]}},
		"4": {"class_type": "CheckpointLoaderSimple", "inputs": {}}, "5": {"class_type": "EmptyLatentImage", "inputs": {}},
		"20": {"class_type": "BasicScheduler", "inputs": {"steps": 12, "denoise": 1.0, "model": ["4", 0]}},
		"21": {"class_type": "BasicScheduler", "inputs": {"steps": 12, "denoise": 0, "model": ["4", 0]}},
		"22": {"class_type": "SplitSigmasDenoise", "inputs": {"sigmas": ["20", 0]}},
		"30": {"class_type": "PrimitiveInt", "inputs": {"value": 17}},
		"31": {"class_type": "SomeMaths", "inputs": {"a": 1}},
		"9": {"class_type": "SaveLatent", "inputs": {"samples": ["3", 0]}}}`
	for _, tt := range []struct {
		name, class, inputs string
		want                int
	}{
		{"steps", "KSampler", `"steps": 20, "denoise": 1.0`, 20},
		{"as text, as the server takes it", "KSampler", `"steps": "20"`, 20},
		{"part of the noise, all the steps", "KSampler", `"steps": 20, "denoise": 0.5`, 20},
		{"no noise", "KSampler", `"steps": 20, "denoise": 0`, 0},
		{"linked to a constant", "KSampler", `"steps": ["30", 0]`, 17},
		{"linked to what is not known", "KSampler", `"steps": ["31", 0]`, assumedSteps},
		{"none", "KSampler", `"seed": 1`, assumedSteps},
		{"first part", "KSamplerAdvanced", `"steps": 10, "start_at_step": 0, "end_at_step": 6`, 6},
		{"second part", "KSamplerAdvanced", `"steps": 10, "start_at_step": 6, "end_at_step": 10000`, 4},
		{"empty part", "KSamplerAdvanced", `"steps": 10, "start_at_step": 8, "end_at_step": 3`, 0},
		{"custom", "SamplerCustomAdvanced", `"sigmas": ["20", 0]`, 12},
		{"custom, through another node", "SamplerCustomAdvanced", `"sigmas": ["22", 0]`, 12},
		{"custom without noise", "SamplerCustomAdvanced", `"sigmas": ["21", 0]`, 0},
		{"custom without sigmas", "SamplerCustomAdvanced", `"seed": 1`, assumedSteps},
		{"nonsense", "KSampler", `"steps": 1e300`, maxSteps},
		{"less than none", "KSampler", `"steps": -5`, 0},
		{"no sampler", "AddNoise", `"sigmas": ["20", 0]`, 0},
		{"no sampler either", "VAEDecode", `"steps": 9`, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan := NewPlan(graphOf(t, fmt.Sprintf(sampler, tt.class, tt.inputs)), stockInfo(t))
			if got := plan.Steps(); got != tt.want {
				t.Errorf("Steps() = %d, want %d", got, tt.want)
			}
		})
	}
}

// A circle of sigmas, which a server refuses, ends too.
func TestPlanOfACycle(t *testing.T) {
	g := graphOf(t, `{"1": {"class_type": "SamplerCustomAdvanced", "inputs": {"sigmas": ["2", 0], "latent_image": ["1", 0]}},
		"2": {"class_type": "FlipSigmas", "inputs": {"sigmas": ["2", 0]}},
		"3": {"class_type": "SaveLatent", "inputs": {"samples": ["1", 0]}}}`)
	plan := NewPlan(g, stockInfo(t))
	if got := plan.Steps(); got != assumedSteps {
		t.Errorf("Steps() = %d, want %d", got, assumedSteps)
	}
}

// Without object_info the samplers are told by what they take.
func TestPlanWithoutObjectInfo(t *testing.T) {
	plan := NewPlan(graphOf(t, textToImage), nil)
	if got := plan.Steps(); got != 20 {
		t.Errorf("Steps() = %d, want 20", got)
	}
	p := fold(&plan, plan.Start(promptA), at(0), start(promptA), executing(promptA, "3"))
	if p.Node != "3" || p.NodeClass != "KSampler" || p.NodeTitle != "The sampler" {
		t.Errorf("node = %q %q %q", p.Node, p.NodeClass, p.NodeTitle)
	}
	p = Fold(&plan, p, executing(promptA, "8"), at(0))
	if p.NodeTitle != "VAEDecode" {
		t.Errorf("title = %q, want the class", p.NodeTitle)
	}
}

// A sampler that no output needs does not run, and is not waited for.
func TestPlanLeavesOutWhatNobodyNeeds(t *testing.T) {
	g := graphOf(t, textToImage)
	spare := g["3"]
	g["33"] = spare
	plan := NewPlan(g, stockInfo(t))
	if got := plan.Steps(); got != 20 {
		t.Errorf("Steps() = %d, want those of one sampler", got)
	}
}

// The plan of a graph not known still follows a prompt to its end.
func TestZeroPlan(t *testing.T) {
	var plan Plan
	p := fold(&plan, Progress{}, at(0), start(promptA), cachedNodes(promptA, "1"), executing(promptA, "3"),
		states(promptA, nodeRuns("3", 1, 20)), step(promptA, "3", 1, 20))
	if p.Phase != PhaseSetup || p.Node != "3" {
		t.Errorf("state = %s at %q", words(p), p.Node)
	}
	p = fold(&plan, p, at(0), success(promptA), finished(promptA))
	if p.Phase != PhaseComplete || !p.Ended || p.Fraction != 1 {
		t.Errorf("at the end: %s", words(p))
	}
}

// A large graph is planned in time, however deep it is.
func TestPlanOfALongChain(t *testing.T) {
	g := workflow.Graph{}
	for i := range workflow.MaxNodes {
		node := graphOf(t, `{"1": {"class_type": "LatentFlip", "inputs": {}}}`)["1"]
		if i > 0 {
			node = graphOf(t, fmt.Sprintf(`{"1": {"class_type": "LatentFlip", "inputs": {"samples": ["%d", 0]}}}`, i-1))["1"]
		}
		g[fmt.Sprint(i)] = node
	}
	plan := NewPlan(g, stockInfo(t))
	for i, n := range plan.nodes {
		if n.id != fmt.Sprint(i) {
			t.Fatalf("node %d of the order is %s", i, n.id)
		}
	}
	p := fold(&plan, plan.Start(promptA), at(0), start(promptA), states(promptA, nodeOver("0"), nodeRuns("1", 0, 1)))
	if p.Node != "1" || p.Fraction <= 0 {
		t.Errorf("at node %q, Fraction %v", p.Node, p.Fraction)
	}
}
