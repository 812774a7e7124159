package studio

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"easel/comfy"
	"easel/comfy/workflow"
)

// What is left of a part that runs is its whole time at first, and later less than that was, or, of one that is late,
// more with every second.
func TestGuessRest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.Float64Range(0.01, 1000).Draw(t, "seconds")
		g := guessOf(seconds, rapid.Float64Range(0, 1.4).Draw(t, "spread"))
		if whole := g.amount(); math.Abs(whole.mean-seconds) > 0.01*seconds || g.rest(0) != whole || math.Abs(g.rest(1e-9*seconds).mean-seconds) > 0.01*seconds {
			t.Fatalf("a mean of %v, %v when it begins, want %v", whole.mean, g.rest(1e-9*seconds).mean, seconds)
		}
		elapsed := seconds * rapid.Float64Range(0, 20).Draw(t, "elapsed")
		rest, later := g.rest(elapsed), g.rest(elapsed*1.01)
		for _, a := range []amount{rest, later} {
			if !(a.mean >= 0) || !(a.variance >= 0) || math.IsInf(a.mean+a.variance, 0) {
				t.Fatalf("after %v of %v s left %+v", elapsed, seconds, a)
			}
		}
		// The moment of the end moves on with time, and never back.
		if elapsed*1.01+later.mean < (elapsed+rest.mean)*(1-1e-3) {
			t.Fatalf("after %v s the end is expected at %v, after %v at %v", elapsed, elapsed+rest.mean, elapsed*1.01, elapsed*1.01+later.mean)
		}
		low, high := rest.between(aim{})
		if low < 0 || low > high {
			t.Fatalf("between %v and %v", low, high)
		}
	})
}

// The range holds four of five of the times that are distributed as is believed.
func TestRangeHoldsFourOfFive(t *testing.T) {
	t.Parallel()
	for _, spread := range []float64{0.1, 0.3, 1} {
		g := guessOf(60, spread)
		low, high := g.amount().between(aim{})
		inside := normalBelow((math.Log(high.Seconds())-g.mu)/spread) - normalBelow((math.Log(low.Seconds())-g.mu)/spread)
		if math.Abs(inside-0.8) > 0.02 {
			t.Errorf("spread %v: %.0f %% are between %v and %v, want 80", spread, 100*inside, low, high)
		}
	}
}

// randomRun is a graph and what a server says of it, node after node, each with its own time.
type randomRun struct {
	plan     comfy.Plan
	messages []said
}

func drawRun(t *rapid.T) randomRun {
	g := workflow.Graph{}
	add := func(id, class string, inputs map[string]any) {
		raw := map[string]json.RawMessage{}
		for name, v := range inputs {
			raw[name], _ = json.Marshal(v)
		}
		g[id] = workflow.Node{ClassType: class, Inputs: raw}
	}
	var r randomRun
	at := time.Duration(0)
	say := func(m comfy.Message) {
		m.PromptID = "p"
		r.messages = append(r.messages, said{m, at})
		at += time.Duration(rapid.IntRange(0, 5000).Draw(t, "milliseconds")) * time.Millisecond
	}
	say(comfy.Message{Type: comfy.TypeExecutionStart})
	before, cached := "", rapid.IntRange(0, 4).Draw(t, "cached")
	nodes := rapid.IntRange(1, 12).Draw(t, "nodes")
	for i := range nodes {
		id := fmt.Sprint(i)
		inputs := map[string]any{}
		if before != "" {
			inputs["images"] = []any{before, 0}
		}
		steps := 0
		if rapid.IntRange(0, 3).Draw(t, "sampler") == 0 && before != "" {
			steps = rapid.IntRange(1, 8).Draw(t, "steps")
			inputs = map[string]any{"steps": steps, "model": []any{before, 0}, "latent_image": []any{before, 0}}
		}
		add(id, rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "class"), inputs)
		before = id
		if i < cached && i+1 < nodes {
			say(comfy.Message{Type: comfy.TypeExecutionCached, Cached: []string{id}})
			continue
		}
		say(comfy.Message{Type: comfy.TypeExecuting, Node: id, DisplayNode: id})
		for value := 1; value <= steps; value++ {
			say(comfy.Message{Type: comfy.TypeProgress, Node: id, Value: float64(value), Max: float64(steps)})
		}
	}
	say(comfy.Message{Type: comfy.TypeExecutionSuccess})
	say(comfy.Message{Type: comfy.TypeExecuting})
	r.plan = comfy.NewPlan(g, nil)
	return r
}

// Whatever the graph, whatever was learned of it and however long it is silent: the number stays below 100 until the
// end, never goes back, and where nothing is known no time is named.
func TestForetellProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := drawRun(t)
		l, k := &lore{}, kind{workflow: "w", width: 512, height: 512, steps: 4}
		lessons := rapid.IntRange(0, 2).Draw(t, "lessons")
		g := &Generation{Status: Generating, Images: []Image{{Index: 1, Status: Generating, AttemptState: attemptRunning, PromptID: "p"}}}
		for range lessons + 1 {
			p := r.plan.Start("p")
			var prev *State
			start := time.Now()
			now := start
			show := func() {
				state := &State{Generation: *g}
				state.Progress, state.Images = progressOf(g, prev, sight{
					heard: func(string) (comfy.Progress, bool) { return p, true }, now: now,
					outlook: func(_ *Image, s *comfy.Progress) outlook {
						stored := time.Duration(-1)
						if s.Ended {
							stored = now.Sub(s.UpdatedAt)
						}
						return l.outlookOf(k, s, s.Elapsed(now), stored, now)
					},
				})
				shown := state.Progress
				switch {
				case shown.Overall < 0 || shown.Overall > 99:
					t.Fatalf("overall is %d while it runs", shown.Overall)
				case prev != nil && shown.Overall < prev.Progress.Overall:
					t.Fatalf("overall went back from %d to %d", prev.Progress.Overall, shown.Overall)
				case shown.ETA < 0 || shown.ETALow > shown.ETAHigh || !shown.ETAKnown && (shown.ETA != 0 || shown.Pace != 0):
					t.Fatalf("left: %v, between %v and %v, known = %t", shown.ETA, shown.ETALow, shown.ETAHigh, shown.ETAKnown)
				case l.known == nil && p.StepTime == 0 && shown.ETAKnown:
					t.Fatalf("nothing was ever seen, and %v are left", shown.ETA)
				}
				prev = state
			}
			for _, m := range r.messages {
				for now.Before(start.Add(m.at)) {
					show()
					now = now.Add(700 * time.Millisecond)
				}
				now = start.Add(m.at)
				p = comfy.Fold(&r.plan, p, m.Message, now)
				show()
			}
			l.study(k, &p)
			l.teach(k, &comfy.Work{}, partStore, false, time.Second)
		}
	})
}

// A prompt that hangs is no further than its present step: however much time passes, the number stops where that step
// would have ended had it been no later than usual.
func TestNumberStopsWhereTheWorkStops(t *testing.T) {
	t.Parallel()
	plan := comfy.NewPlan(workflow.Graph{
		"1": {ClassType: "Loader"},
		"2": {ClassType: "KSampler", Inputs: map[string]json.RawMessage{
			"steps": json.RawMessage("20"), "model": json.RawMessage(`["1",0]`), "latent_image": json.RawMessage(`["1",0]`),
		}},
		"3": {ClassType: "SaveImage", Inputs: map[string]json.RawMessage{"images": json.RawMessage(`["2",0]`)}},
	}, nil)
	const tick = 100 * time.Millisecond
	l, k := &lore{}, kind{workflow: "w", width: 512, height: 512, steps: 20}
	// run is a run up to a step, or to its end, and the most that is said of it while it says nothing for two hours.
	run := func(node string, until int) (at, most float64) {
		start := time.Now()
		now := start
		p := plan.Start("p")
		say := func(m comfy.Message) {
			m.PromptID, now = "p", now.Add(tick)
			p = comfy.Fold(&plan, p, m, now)
		}
		look := func() (at, most float64) {
			told := l.outlookOf(k, &p, p.Elapsed(now), -1, now)
			for later := tick; later < 2*time.Hour; later *= 2 {
				here := l.outlookOf(k, &p, p.Elapsed(now.Add(later)), -1, now.Add(later))
				most = max(most, here.Fraction, told.after(later).Fraction)
			}
			return told.Fraction, most
		}
		say(comfy.Message{Type: comfy.TypeExecutionStart})
		for _, id := range []string{"1", "2", "3"} {
			say(comfy.Message{Type: comfy.TypeExecuting, Node: id, DisplayNode: id})
			for step := 1; id == "2" && step <= 20; step++ {
				if id == node && step > until {
					return look()
				}
				say(comfy.Message{Type: comfy.TypeProgress, Node: id, Value: float64(step), Max: 20})
			}
			if id == node {
				return look()
			}
		}
		say(comfy.Message{Type: comfy.TypeExecutionSuccess})
		say(comfy.Message{Type: comfy.TypeExecuting})
		l.study(k, &p)
		l.teach(k, &comfy.Work{}, partStore, false, tick)
		return 0, 0
	}
	for range 5 {
		run("", 0)
	}
	for step := range 19 {
		_, next := run("2", step+1)
		if at, most := run("2", step); most > next || most < at {
			t.Errorf("at step %d of 20 it is %.2f, and %.2f when that hangs; one step more and it were %.2f", step, at, most, next)
		}
	}
	if at, most := run("1", 0); most > 0.15 || most < at {
		t.Errorf("in the loader it is %.2f, and %.2f when that hangs", at, most)
	}
}
