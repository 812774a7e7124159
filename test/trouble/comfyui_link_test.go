package trouble

import (
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// The socket is reset in the middle of a run: another one is opened, and the run goes on.
func TestSocketToComfyUIReset(t *testing.T) {
	t.Parallel()
	r := open(t)
	id := r.Generate(harness.Ask{Prompt: "reset"})
	seen := r.Follow(id)
	r.afterStep(6)
	r.awaitStep(id, 6)
	sockets := r.comfy.Ledger().Sockets()
	r.comfy.Faults().CutSockets()
	harness.Eventually(t, "is there another socket", func() bool { return r.comfy.Ledger().Sockets() > sockets })
	r.afterStep(11)
	r.awaitStep(id, 11)
	r.stepper.Open()
	r.AwaitStatus(id, "complete")
	neverBack(t, <-seen)
	r.once()
}

// The whole way to ComfyUI is gone until after the end: nothing has failed, and the picture is there.
func TestWayToComfyUICutUntilAfterTheEnd(t *testing.T) {
	t.Parallel()
	r := open(t)
	id := r.Generate(harness.Ask{Prompt: "unseen end"})
	seen := r.Follow(id)
	r.afterStep(6)
	r.awaitStep(id, 6)
	r.link.Cut()
	r.awaitServer("down")
	r.stepper.Open()
	harness.Eventually(t, "has ComfyUI an end", func() bool { return inHistory(t, r.comfy) > 0 })
	r.link.Mend()
	r.AwaitStatus(id, "complete")
	neverBack(t, <-seen)
	r.once()
}

// ComfyUI has forgotten an open socket (row 23): it is noticed by the silence and opened again; and
// when the run ends before that, history tells (P11).
func TestFault23_ZombieSocket(t *testing.T) {
	t.Parallel()
	r := open(t)
	id := r.Generate(harness.Ask{Prompt: "zombie"})
	seen := r.Follow(id)
	r.afterStep(6)
	r.awaitStep(id, 6)
	sockets := r.comfy.Ledger().Sockets()
	r.comfy.Faults().Deafen()
	deaf := time.Now()
	harness.Eventually(t, "is there another socket", func() bool { return r.comfy.Ledger().Sockets() > sockets })
	harness.Within(t, "finding out the zombie (row 23)", deaf, 36*time.Second)
	r.afterStep(9)
	r.awaitStep(id, 9)
	r.comfy.Faults().Deafen()
	r.stepper.Open()
	harness.Eventually(t, "has ComfyUI an end", func() bool { return inHistory(t, r.comfy) > 0 })
	over := time.Now()
	r.AwaitStatus(id, "complete")
	harness.Within(t, "showing the end (P11)", over, 12*time.Second)
	neverBack(t, <-seen)
	r.once()
}

// ComfyUI's loop that sends events hangs (row 24): everything is found out by asking.
func TestFault24_PublishLoopStalled(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.comfy.Faults().StallEvents(true)
	r.stepper.Open()
	var ids []string
	for _, prompt := range []string{"silent one", "silent two", "silent three"} {
		ids = append(ids, r.Generate(harness.Ask{Prompt: prompt, Steps: 4}))
	}
	for _, id := range ids {
		r.AwaitStatus(id, "complete")
	}
	r.awaitServer("stalled")
	if _, page := r.Get("/servers"); !contains(page, "It answers, but its events do not arrive") {
		t.Errorf("/servers does not say that events do not arrive:\n%s", page)
	}
	r.comfy.Faults().StallEvents(false)
	r.AwaitStatus(r.Generate(harness.Ask{Prompt: "heard again", Steps: 4}), "complete")
	r.awaitServer("up")
	r.once()
}

// Events come twice, in another order, from strangers and broken (row 29): none of it shows.
func TestFault29_EventsThatLie(t *testing.T) {
	t.Parallel()
	r := open(t)
	faults := r.comfy.Faults()
	faults.Duplicate(true)
	faults.Reorder(true)
	id := r.Generate(harness.Ask{Prompt: "noise"})
	seen := r.Follow(id)
	for step := 2; step < 20; step += 3 {
		r.afterStep(step)
		faults.Strangers()
		faults.InjectText(`{"type":"progress","data":{"value":NaN,"max":`)
		faults.InjectText(`{"type":"a_message_of_tomorrow","data":[1,2]}`)
		faults.InjectBinary([]byte{0, 0, 0})
	}
	faults.Duplicate(false)
	faults.Reorder(false)
	r.at(func(p simulator.Point) bool { return p.Stage == simulator.StageFinish })
	r.stepper.Open()
	r.AwaitStatus(id, "complete")
	neverBack(t, <-seen)
	r.once()
}

// A preview of 40 MiB comes in the middle of a run (row 30): it is too large to be read, and the run goes
// on over another socket.
func TestFault30_HugePreview(t *testing.T) {
	t.Parallel()
	r := open(t)
	id := r.Generate(harness.Ask{Prompt: "a huge preview"})
	seen := r.Follow(id)
	r.afterStep(6)
	r.awaitStep(id, 6)
	sockets := r.comfy.Ledger().Sockets()
	r.comfy.Faults().HugeFrame(40 << 20)
	harness.Eventually(t, "is there another socket", func() bool { return r.comfy.Ledger().Sockets() > sockets })
	r.awaitServer("up")
	r.afterStep(12)
	r.awaitStep(id, 12)
	r.stepper.Open()
	r.AwaitStatus(id, "complete")
	neverBack(t, <-seen)
	r.once()
}
