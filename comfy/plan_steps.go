package comfy

import (
	"encoding/json"
	"math"
	"strconv"

	"easel/comfy/workflow"
)

// assumedSteps stands for the steps of a sampler whose inputs do not tell, until it announces
// them. It is what ComfyUI's own nodes propose.
const assumedSteps = 20

// maxSteps bounds what is taken from graphs and messages, so that no sum overflows. ComfyUI's
// samplers stop at 10,000.
const maxSteps = 1_000_000

// plannedSteps reads from the graph how many steps one pass of the sampler at id takes. The
// server's own number, max of its progress, may differ (ddim_uniform does one more).
func plannedSteps(g workflow.Graph, id string) int {
	n := g[id]
	steps, ok := constant(g, n, "steps")
	if !ok {
		// The steps of a custom sampler are in the node that makes its sigmas.
		if n, ok = sigmasNode(g, n); ok {
			steps, ok = constant(g, n, "steps")
		}
	}
	if denoise, known := constant(g, n, "denoise"); known && denoise <= 0 {
		return 0 // such a sampler hands its latent on
	}
	if !ok {
		return assumedSteps
	}
	start, _ := constant(g, n, "start_at_step")
	if end, known := constant(g, n, "end_at_step"); known {
		steps = min(steps, end)
	}
	return stepCount(steps - max(start, 0))
}

// sigmasNode follows the links called sigmas from n to the first node that has steps.
func sigmasNode(g workflow.Graph, n workflow.Node) (workflow.Node, bool) {
	for range len(g) { // a cycle ends too
		from, _, ok := n.Link("sigmas")
		if !ok {
			return workflow.Node{}, false
		}
		if n, ok = g[from]; !ok {
			return workflow.Node{}, false
		}
		if _, ok := n.Inputs["steps"]; ok {
			return n, true
		}
	}
	return workflow.Node{}, false
}

// constant reads a number that stands in the graph: in the input itself, or as the value of the
// primitive node that it links to. A number written as text counts, as it does for ComfyUI.
func constant(g workflow.Graph, n workflow.Node, input string) (float64, bool) {
	raw := n.Inputs[input]
	if from, _, ok := n.Link(input); ok {
		raw = g[from].Inputs["value"]
	}
	text := string(raw)
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		text = quoted
	}
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && !math.IsNaN(v)
}

// stepCount makes a whole number of a message's or a graph's, 0 to maxSteps. NaN gives 0.
func stepCount(f float64) int {
	if f > 0 { // which NaN is not
		return int(min(f, maxSteps))
	}
	return 0
}
