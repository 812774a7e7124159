package faults

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// bells is how Postgres tells of a notice on our channel.
var bells = []byte("easel\x00{")

// The connection on which an instance listens says nothing any more, and stays open (P19): the probe finds out,
// and what happens elsewhere is shown.
func TestFault14_ListenConnectionSilent(t *testing.T) {
	t.Parallel()
	in := harness.StartInstallation(t, harness.Scale{Instances: 2, Servers: 1, ComfyUI: simulator.Config{PreviewSize: 64}})
	owner, _ := in.AwaitOwner("gpu1", func(int) bool { return true })
	other := in.Easels[1-owner]
	other.AwaitStatus(in.Easels[owner].Generate(harness.Ask{Prompt: "heard", Steps: 4}), "complete")
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	// Every connection that brings a bell is stuck with it.
	in.Roads[1-owner].OnPiece(func(toServer bool, piece []byte) {
		if !toServer && bytes.Contains(piece, bells) {
			<-held
		}
	})
	silent := time.Now()
	id := in.Easels[owner].Generate(harness.Ask{Prompt: "not heard", Steps: 4})
	other.AwaitStatus(id, "complete")
	harness.Within(t, "showing what was not heard (P19)", silent, 12*time.Second)
	in.Roads[1-owner].OnPiece(nil)
	release()
	other.AwaitStatus(in.Easels[owner].Generate(harness.Ask{Prompt: "heard again", Steps: 4}), "complete")
	checkOnce(t, in, 3)
}

// LISTEN is taken and never heard, as through PgBouncer in its transaction mode (P19): the instances ask the
// database instead, and say so once in their log.
func TestFault15_ListenSwallowedByPgBouncer(t *testing.T) {
	t.Parallel()
	in := harness.StartInstallation(t, harness.Scale{Instances: 2, Servers: 1, ComfyUI: simulator.Config{PreviewSize: 64}})
	for i, e := range in.Easels {
		// What PgBouncer does: the statement is run on a connection that is another's a moment later.
		in.Roads[i].OnPiece(func(toServer bool, piece []byte) {
			if at := bytes.Index(piece, []byte("LISTEN ")); toServer && at >= 0 {
				copy(piece[at:], "SELECT ")
				for j := at + len("SELECT "); j < len(piece) && piece[j] != 0; j++ {
					piece[j] = '1'
				}
			}
		})
		e.Stop()
		e.Restart()
	}
	owner, _ := in.AwaitOwner("gpu1", func(int) bool { return true })
	other := in.Easels[1-owner]
	const deaf = "bells are not heard: the database is asked for changes instead, every second"
	harness.Eventually(t, "is it found out", func() bool { return !said(other, deaf).IsZero() })
	asked := time.Now()
	id := in.Easels[owner].Generate(harness.Ask{Prompt: "by asking", Steps: 4})
	other.AwaitStatus(id, "complete")
	harness.Within(t, "showing what nobody rang for", asked, 10*time.Second)
	if n := strings.Count(other.Log(), deaf); n != 1 {
		t.Errorf("the log says so %d times, want once", n)
	}
	checkOnce(t, in, 1)
}
