package comfy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"easel/comfy/workflow"
)

// BenchmarkDecodeFoldProgress takes one step message from the frame to the new state. A new id
// each round would be a new prompt, so only the value moves.
func BenchmarkDecodeFoldProgress(b *testing.B) {
	plan := NewPlan(graphOf(b, textToImage), stockInfo(b))
	frames := make([][]byte, 20)
	for i := range frames {
		frames[i] = fmt.Appendf(nil, `{"type": "progress", "data": {"value": %d, "max": 20, "prompt_id": "%s", "node": "3"}}`, i+1, promptA)
	}
	p := fold(&plan, plan.Start(promptA), at(0), start(promptA), cachedNodes(promptA))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		m, err := DecodeText(frames[i%len(frames)])
		if err != nil {
			b.Fatal(err)
		}
		p = Fold(&plan, p, m, at(time.Duration(i)*time.Millisecond))
		i++
	}
}

// What a step costs in allocations is a promise, so it is a test as well.
func TestStepAllocatesLittle(t *testing.T) {
	plan := NewPlan(graphOf(t, textToImage), stockInfo(t))
	p := fold(&plan, plan.Start(promptA), at(0), start(promptA), cachedNodes(promptA), step(promptA, "3", 1, 20))
	frame := []byte(`{"type": "progress", "data": {"value": 2, "max": 20, "prompt_id": "` + promptA + `", "node": "3"}}`)
	var q Progress
	allocs := testing.AllocsPerRun(100, func() {
		m, err := DecodeText(frame)
		if err != nil {
			t.Fatal(err)
		}
		q = Fold(&plan, p, m, at(time.Second))
	})
	if allocs > 2 || q.Step != 2 {
		t.Errorf("%v allocations for step %d, want at most 2", allocs, q.Step)
	}
}

// BenchmarkDecodeFoldState500 takes a progress_state that names 500 nodes, as a graph of that
// size sends at every step.
func BenchmarkDecodeFoldState500(b *testing.B) {
	const nodes = 500
	g := workflow.Graph{}
	var states []string
	for i := range nodes {
		id := fmt.Sprint(i)
		g[id] = graphOf(b, `{"1": {"class_type": "CLIPTextEncode", "inputs": {}}}`)["1"]
		states = append(states, fmt.Sprintf(`"%[1]s": {"value": 1.0, "max": 1.0, "state": "finished", "node_id": "%[1]s", "prompt_id": "%[2]s", "display_node_id": "%[1]s", "parent_node_id": null, "real_node_id": "%[1]s"}`, id, promptA))
	}
	plan := NewPlan(g, stockInfo(b))
	frame := []byte(`{"type": "progress_state", "data": {"prompt_id": "` + promptA + `", "nodes": {` + strings.Join(states, ", ") + `}}}`)
	p := fold(&plan, plan.Start(promptA), at(0), start(promptA))
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		m, err := DecodeText(frame)
		if err != nil {
			b.Fatal(err)
		}
		p = Fold(&plan, p, m, at(0))
	}
	if p.UpdatedAt.IsZero() {
		b.Fatal("the message changed nothing")
	}
}
