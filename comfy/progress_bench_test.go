package comfy

import (
	"fmt"
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

// largeRun is a graph of 500 nodes, and the progress_state at each step of the node in its middle.
func largeRun(t testing.TB, promptID string) (plan Plan, frames [][]byte) {
	t.Helper()
	const nodes, steps = 500, 20
	g := workflow.Graph{}
	members := make([]string, nodes)
	for i := range nodes {
		id := fmt.Sprint(i)
		g[id] = graphOf(t, `{"1": {"class_type": "CLIPTextEncode", "inputs": {}}}`)["1"]
	}
	for step := range steps {
		for i := range members {
			members[i] = stateMember(promptID, fmt.Sprint(i), "1.0", "1.0", "finished")
		}
		members[nodes/2] = stateMember(promptID, fmt.Sprint(nodes/2), fmt.Sprint(step+1), fmt.Sprint(steps), "running")
		frames = append(frames, statesFrame(promptID, members...))
	}
	return NewPlan(g, stockInfo(t)), frames
}

// BenchmarkDecodeFoldState500 takes a progress_state that names 500 nodes, as a graph of that size
// sends at every step: one after the other as they come over a connection, and each for itself.
func BenchmarkDecodeFoldState500(b *testing.B) {
	var decoder Decoder
	for name, decode := range map[string]func([]byte) (Message, error){"connection": decoder.Text, "alone": DecodeText} {
		b.Run(name, func(b *testing.B) {
			plan, frames := largeRun(b, promptA)
			p := fold(&plan, plan.Start(promptA), at(0), start(promptA))
			b.ReportAllocs()
			b.SetBytes(int64(len(frames[0])))
			for i := 0; b.Loop(); i++ {
				m, err := decode(frames[i%len(frames)])
				if err != nil {
					b.Fatal(err)
				}
				p = Fold(&plan, p, m, at(0))
			}
			if p.UpdatedAt.IsZero() {
				b.Fatal("the messages changed nothing")
			}
		})
	}
}

// That a connection's next progress_state is read without an allocation is a promise, too.
func TestStatesAllocateNothing(t *testing.T) {
	_, frames := largeRun(t, promptA)
	var decoder Decoder
	i := 0
	next := func() {
		if m, err := decoder.Text(frames[i%len(frames)]); err != nil || len(m.Nodes) == 0 {
			t.Fatalf("%d nodes, %v", len(m.Nodes), err)
		}
		i++
	}
	for range frames {
		next()
	}
	if allocs := testing.AllocsPerRun(100, next); allocs > 0 {
		t.Errorf("%v allocations for a frame of %d bytes", allocs, len(frames[0]))
	}
}
