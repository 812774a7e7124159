package comfy

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"easel/comfy/workflow"
)

// script is a made-up run: a graph with a chain of samplers, and all that a server says of it.
type script struct {
	graph    workflow.Graph
	messages []Message
	samplers map[string]bool // by id
	steps    int             // that the samplers took, all passes together
	ran      int             // samplers that ran
}

// drawScript makes a run as servers make them: results cached from the beginning up to some node, samplers
// that repeat for a list, announce another number than asked for, stop early or go on at the last
// step, servers without progress_state.
func drawScript(t *rapid.T, id string) script {
	s := script{graph: workflow.Graph{}, samplers: map[string]bool{}}
	var order []string
	add := func(node, class string, inputs map[string]any) {
		raw := map[string]json.RawMessage{}
		for name, v := range inputs {
			raw[name], _ = json.Marshal(v)
		}
		s.graph[node] = workflow.Node{ClassType: class, Inputs: raw}
		order = append(order, node)
	}
	add("1", "CheckpointLoaderSimple", map[string]any{"ckpt_name": "a"})
	add("2", "CLIPTextEncode", map[string]any{"text": "a", "clip": []any{"1", 1}})
	add("3", "EmptyLatentImage", nil)
	latent := "3"
	for i := range rapid.IntRange(0, 3).Draw(t, "samplers") {
		node := fmt.Sprint(10 + 2*i)
		s.samplers[node] = true
		add(node, "KSampler", map[string]any{"steps": rapid.IntRange(1, 12).Draw(t, "steps"), "denoise": 1, "model": []any{"1", 0}, "positive": []any{"2", 0}, "latent_image": []any{latent, 0}})
		latent = fmt.Sprint(11 + 2*i)
		add(latent, "LatentUpscale", map[string]any{"samples": []any{node, 0}})
	}
	add("80", "VAEDecode", map[string]any{"samples": []any{latent, 0}, "vae": []any{"1", 2}})
	add("90", "SaveImage", map[string]any{"images": []any{"80", 0}})

	cached := rapid.IntRange(0, len(order)-1).Draw(t, "cached")
	withStates := rapid.Bool().Draw(t, "progress_state")
	say := func(m Message) { m.PromptID = id; s.messages = append(s.messages, m) }
	var touched []NodeState
	tell := func() {
		if withStates {
			say(states(id, append([]NodeState(nil), touched...)...))
		}
	}
	say(start(id))
	say(cachedNodes(id, order[:cached]...))
	for _, node := range order[cached:] {
		touched = append(touched, nodeRuns(node, 0, 1))
		here := &touched[len(touched)-1]
		tell()
		say(executing(id, node))
		if s.samplers[node] {
			s.ran++
			s.drawSteps(t, node, here, tell, say)
		}
		here.State = "finished"
		tell()
	}
	say(success(id))
	say(finished(id))
	return s
}

// drawSteps makes the steps of one sampler.
func (s *script) drawSteps(t *rapid.T, node string, here *NodeState, tell func(), say func(Message)) {
	limit := rapid.IntRange(1, 12).Draw(t, "max")
	passes := 1
	if limit > 1 { // passes of one step cannot be told apart
		passes = rapid.IntRange(1, 3).Draw(t, "passes")
	}
	for range passes {
		last := limit
		if rapid.IntRange(0, 4).Draw(t, "early") == 0 && passes == 1 {
			last = rapid.IntRange(0, limit).Draw(t, "last")
		}
		for v := 1; v <= last; v++ {
			here.Value, here.Max = float64(v), float64(limit)
			tell()
			say(step("", node, float64(v), float64(limit)))
		}
		for range rapid.IntRange(0, 3).Draw(t, "again") {
			if last == limit {
				say(step("", node, float64(last), float64(limit)))
			}
		}
		if last > 0 {
			s.steps += limit
		}
	}
}

// checkFold folds a message and checks the step from p to the next state.
func checkFold(t *rapid.T, plan *Plan, p Progress, m Message, when time.Time) Progress {
	q := Fold(plan, p, m, when)
	if again := Fold(plan, p, m, when); words(again) != words(q) || again.Fraction != q.Fraction || again.Node != q.Node {
		t.Fatalf("%s: folded twice: %s, then %s", m.Type, words(q), words(again))
	}
	checkNumbers(t, q)
	switch {
	case q.Percent < p.Percent || q.Fraction < p.Fraction || q.StepsDone < p.StepsDone:
		t.Fatalf("%s went back: %s %v, then %s %v", m.Type, words(p), p.Fraction, words(q), q.Fraction)
	case q.Percent == 100 && q.Phase != PhaseFinishing && q.Phase != PhaseComplete:
		t.Fatalf("%s: 100 %% too early: %s", m.Type, words(q))
	case q.Fraction == 1 && !q.Ended:
		t.Fatalf("%s: Fraction 1 before the end", m.Type)
	case m.Type == TypeProgress && (q.Step != int(m.Value) || q.Steps != int(m.Max) || q.Node != m.Node):
		t.Fatalf("step %v of %v at %s: %s at %s", m.Value, m.Max, m.Node, words(q), q.Node)
	}
	return q
}

// A run that is heard from the first to the last message counts every step and never goes back.
func TestFoldWholeRun(t *testing.T) {
	info := stockInfo(t)
	rapid.Check(t, func(t *rapid.T) {
		s := drawScript(t, promptA)
		plan := NewPlan(s.graph, info)
		p := plan.Start(promptA)
		var states []Progress
		for i, m := range s.messages {
			states = append(states, p)
			p = checkFold(t, &plan, p, m, at(time.Duration(i)*time.Second))
		}
		if p.Phase != PhaseComplete || !p.Ended || p.Percent != 100 || p.Fraction != 1 {
			t.Fatalf("at the end: %s, Ended = %v, Fraction = %v", words(p), p.Ended, p.Fraction)
		}
		if p.StepsDone != s.steps || p.StepsPlanned != s.steps {
			t.Fatalf("%d of %d steps, want %d", p.StepsDone, p.StepsPlanned, s.steps)
		}
		if want := len(s.samplers) > 0 && s.ran == 0; p.Reused != want {
			t.Fatalf("Reused = %v, want %v", p.Reused, want)
		}
		// The states of before are as they were: folding on from them gives the same again.
		for i, before := range states {
			if again := Fold(&plan, before, s.messages[i], at(time.Duration(i)*time.Second)); words(again) != words(after(states, i, p)) {
				t.Fatalf("message %d from an old state: %s, then %s", i, words(after(states, i, p)), words(again))
			}
		}
	})
}

func after(states []Progress, i int, last Progress) Progress {
	if i+1 < len(states) {
		return states[i+1]
	}
	return last
}

// Whatever is missed in the middle, with or without word of it, nothing goes back and the end is right.
func TestFoldWithGap(t *testing.T) {
	info := stockInfo(t)
	rapid.Check(t, func(t *rapid.T) {
		s := drawScript(t, promptA)
		plan := NewPlan(s.graph, info)
		from := rapid.IntRange(0, len(s.messages)-1).Draw(t, "from")
		to := rapid.IntRange(from, len(s.messages)-1).Draw(t, "to")
		p := plan.Start(promptA)
		for i, m := range s.messages {
			if from <= i && i < to {
				continue
			}
			if i == to && rapid.Bool().Draw(t, "resumed") && i < len(s.messages)-2 {
				q := resume(&plan, p, "", at(0))
				if q.Percent < p.Percent || q.Fraction < p.Fraction {
					t.Fatalf("the reconnect went back: %s, then %s", words(p), words(q))
				}
				p = q
			}
			p = checkFold(t, &plan, p, m, at(time.Duration(i)*time.Second))
		}
		if !p.Ended {
			t.Fatalf("at the end: %s, Ended = false", words(p))
		}
		verdictHeard := to <= len(s.messages)-2 || from > len(s.messages)-2
		if verdictHeard && (p.Phase != PhaseComplete || p.Percent != 100 || p.Fraction != 1 || p.StepsDone != p.StepsPlanned) {
			t.Fatalf("at the end: %s, Fraction = %v", words(p), p.Fraction)
		}
		if !verdictHeard && (p.Phase.Ended() || p.Fraction == 1) {
			t.Fatalf("a verdict out of nothing: %s, Fraction = %v", words(p), p.Fraction)
		}
	})
}

// Two prompts whose messages come mixed, through one tracker, end in the states that each has alone.
func TestFoldInterleaved(t *testing.T) {
	info := stockInfo(t)
	rapid.Check(t, func(t *rapid.T) {
		left, right := drawScript(t, promptA), drawScript(t, promptB)
		plans := []Plan{NewPlan(left.graph, info), NewPlan(right.graph, info)}
		tracker := NewTracker()
		tracker.Expect(promptA, plans[0])
		tracker.Expect(promptB, plans[1])
		alone := []Progress{plans[0].Start(promptA), plans[1].Start(promptB)}
		queues := [][]Message{left.messages, right.messages}
		for len(queues[0])+len(queues[1]) > 0 {
			side := rapid.IntRange(0, 1).Draw(t, "side")
			if len(queues[side]) == 0 {
				side = 1 - side
			}
			m := queues[side][0]
			queues[side] = queues[side][1:]
			alone[side] = Fold(&plans[side], alone[side], m, at(0))
			if id, _ := tracker.Apply(m, at(0)); id != m.PromptID {
				t.Fatalf("%s of %s is taken for %q", m.Type, m.PromptID, id)
			}
		}
		for i, id := range []string{promptA, promptB} {
			if got, _ := tracker.Snapshot(id); words(got) != words(alone[i]) || got.Fraction != alone[i].Fraction {
				t.Fatalf("%s: %s, alone %s", id, words(got), words(alone[i]))
			}
		}
	})
}

// Messages that no server would send do no harm either: any type, any node, any number, in any order.
func TestFoldNonsense(t *testing.T) {
	plan := NewPlan(graphOf(t, textToImage), stockInfo(t))
	node := rapid.SampledFrom([]string{"", "3", "4", "8", "9", "3.0.0.1", "3.0.0.2", "unknown", "."})
	number := rapid.OneOf(rapid.Float64(), rapid.Map(rapid.IntRange(-2, 30), func(i int) float64 { return float64(i) }))
	rapid.Check(t, func(t *rapid.T) {
		p := plan.Start(promptA)
		for range rapid.IntRange(1, 40).Draw(t, "messages") {
			m := Message{
				Type: rapid.SampledFrom([]string{
					TypeExecutionStart, TypeExecutionCached, TypeExecuting, TypeProgress, TypeProgressState, TypeExecuted, TypePreview, TypeStatus, "other",
				}).Draw(t, "type"),
				Node: node.Draw(t, "node"), DisplayNode: node.Draw(t, "display"),
				Value: number.Draw(t, "value"), Max: number.Draw(t, "max"),
				Cached: rapid.SliceOfN(node, 0, 3).Draw(t, "cached"),
			}
			for _, id := range rapid.SliceOfN(node, 0, 4).Draw(t, "nodes") {
				m.Nodes = append(m.Nodes, NodeState{
					id, node.Draw(t, "display"), node.Draw(t, "real"), number.Draw(t, "value"), number.Draw(t, "max"),
					rapid.SampledFrom([]string{"running", "finished", "pending", "error", ""}).Draw(t, "state"),
				})
			}
			p = checkNonsense(t, &plan, p, m)
		}
		p = fold(&plan, p, at(0), success(promptA), finished(promptA))
		if p.Phase != PhaseComplete || p.Percent != 100 || p.Fraction != 1 {
			t.Fatalf("at the end: %s, Fraction = %v", words(p), p.Fraction)
		}
	})
}

// checkNonsense is checkFold for messages that may undo an end: a node that ran may run again.
func checkNonsense(t *rapid.T, plan *Plan, p Progress, m Message) Progress {
	q := Fold(plan, p, m, at(0))
	checkNumbers(t, q)
	if q.Percent < p.Percent || q.Fraction < p.Fraction || q.StepsDone < p.StepsDone {
		t.Fatalf("%s went back: %s %v, then %s %v", m.Type, words(p), p.Fraction, words(q), q.Fraction)
	}
	return q
}
