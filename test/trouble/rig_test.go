package trouble

import (
	"context"
	"testing"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// rig is one running Easel with one ComfyUI whose worker goes on only when the test says so. Between
// them lies a proxy.
type rig struct {
	*harness.Easel

	t       *testing.T
	comfy   *simulator.Running
	stepper *simulator.Stepper
	link    *harness.Proxy // Easel's way to ComfyUI
}

func open(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, stepper: simulator.NewStepper()}
	r.comfy = startComfyUI(t, simulator.Config{Gate: r.stepper.Pass, PreviewSize: 64})
	r.link = harness.NewProxy(t, r.comfy.URL())
	r.Easel = harness.Start(t, harness.Options{ComfyUI: r.link.URL()})
	r.awaitServer("up")
	return r
}

func startComfyUI(t *testing.T, c simulator.Config) *simulator.Running {
	t.Helper()
	comfy, err := simulator.Start("127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(comfy.Close)
	return comfy
}

// at leads ComfyUI's worker to the first point that want accepts, and leaves it there.
func (r *rig) at(want func(simulator.Point) bool) simulator.Point {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), harness.Patience)
	defer cancel()
	p, err := r.stepper.Until(ctx, want)
	if err != nil {
		r.t.Fatalf("ComfyUI did not get there: %v", err)
	}
	return p
}

// afterStep leads the worker to where the progress of step has been sent, and no more.
func (r *rig) afterStep(step int) simulator.Point {
	r.t.Helper()
	return r.at(func(p simulator.Point) bool { return p.Stage == simulator.StageStep && p.Step == step+1 })
}

// awaitStep waits until Easel tells that this step is done.
func (r *rig) awaitStep(id string, step int) harness.Generation {
	r.t.Helper()
	return r.Await(id, "at its step", func(g harness.Generation) bool { return g.Progress.CurrentStep == step })
}

// once holds Easel to its promises towards ComfyUI: each prompt posted once (P05) and run at most
// once, nothing stopped that was not named, nothing cleared (P16).
func (r *rig) once() {
	r.t.Helper()
	once(r.t, r.comfy.Ledger())
}

func once(t *testing.T, ledger *simulator.Ledger) {
	t.Helper()
	for id, n := range ledger.Posts() {
		if n != 1 {
			t.Errorf("prompt %s was posted %d times", id, n)
		}
	}
	for id, n := range ledger.Runs() {
		if n != 1 {
			t.Errorf("prompt %s ran %d times", id, n)
		}
	}
	for _, id := range ledger.Interrupts() {
		if id == "" {
			t.Error("a global interrupt was sent")
		}
	}
	if n := ledger.Clears(); n != 0 {
		t.Errorf("the queue or the history was cleared %d times", n)
	}
}

// neverBack checks the events of a whole run: no number ever goes back, and 100 comes only at the end.
func neverBack(t *testing.T, seen []harness.Progress) {
	t.Helper()
	var last harness.Progress
	for i, p := range seen {
		if p.Type != "progress" {
			continue
		}
		if p.Percentage < last.Percentage || p.Overall < last.Overall || p.CurrentStep < last.CurrentStep {
			t.Errorf("event %d went back from %+v to %+v", i, last, p)
		}
		if p.Overall == 100 {
			t.Errorf("event %d says 100 before the end: %+v", i, p)
		}
		last = p
	}
	if n := len(seen); n == 0 || seen[n-1].Type != "complete" {
		t.Errorf("the stream did not end with complete: %+v", seen)
	}
}
