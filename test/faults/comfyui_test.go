package faults

import (
	"fmt"
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// A ComfyUI is killed while it runs one of ours, and stays away: the image is made by another, and ran at
// most twice (P15).
func TestFault19_ComfyUIKilledWhileRunning(t *testing.T) {
	t.Parallel()
	in, stepper := gated(t, 1, 2)
	e := in.Easels[0]
	id := e.Generate(harness.Ask{Prompt: "outlives its ComfyUI"})
	afterStep(t, stepper, 5)
	awaitStep(e, id, 5)
	dead := 0
	if len(in.ComfyUIs[1].Ledger().Runs()) > 0 {
		dead = 1
	}
	in.ComfyUIs[dead].Kill()
	stepper.Open()
	// It comes back empty once it has been missed: only its answer can say that the prompt is gone.
	harness.Eventually(t, "is it missed", func() bool {
		return in.Count("SELECT count(*) FROM servers WHERE name = $1 AND state = 'down'", fmt.Sprint("gpu", dead+1)) == 1
	})
	if err := in.ComfyUIs[dead].Restart(); err != nil {
		t.Fatal(err)
	}
	e.AwaitStatus(id, "complete")
	if n := in.Count("SELECT count(*) FROM attempts WHERE state = 'lost'"); n != 1 {
		t.Errorf("%d attempts are lost, want 1", n)
	}
	checkOnce(t, in, 2)
}

// The way to ComfyUI is as slow as a bad line: 50 KB/s, and two seconds until anything is looked at.
// Everything takes longer and nothing more happens.
func TestFault31_SlowLine(t *testing.T) {
	t.Parallel()
	in := harness.StartInstallation(t, harness.Scale{Instances: 1, Servers: 1, ComfyUI: simulator.Config{PreviewSize: 64}})
	e := in.Easels[0]
	e.AwaitStatus(e.Generate(harness.Ask{Prompt: "while it was quick", Steps: 4}), "complete")
	faults := in.ComfyUIs[0].Faults()
	faults.Throttle(50 << 10)
	faults.Delay(2 * time.Second)
	var ids []string
	for n := range 4 {
		ids = append(ids, e.Generate(harness.Ask{Prompt: fmt.Sprint("slow ", n), Steps: 4}))
	}
	for _, id := range ids {
		e.AwaitStatus(id, "complete")
	}
	if n := in.Count("SELECT count(*) FROM attempts WHERE state <> 'succeeded'"); n != 0 {
		t.Errorf("%d attempts did not succeed", n)
	}
	// A request that is answered counts until its handler has returned, which may be after the next one has come.
	if n := in.ComfyUIs[0].Ledger().PeakRequests(); n > 2*4 {
		t.Errorf("%d requests were under way at once, want at most 4, and as many that are answered", n)
	}
	checkOnce(t, in, len(ids)+1)
}
