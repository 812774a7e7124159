package comfy

import (
	"bytes"
	"fmt"
	"testing"
)

func TestTrackerKeepsWhatItExpects(t *testing.T) {
	tracker := expecting(t, promptA)
	tracker.Apply(start(promptA), at(0))
	tracker.Apply(step(promptA, "3", 5, 20), at(0))
	tracker.Expect(promptA, Plan{}) // once more, as after a lost answer to the POST
	wantWords(t, snapshot(t, tracker, promptA), "inference 5/20 pass 1/1, 5 of 20, 25 %")
}

// A watcher that does not read misses states, and never the last.
func TestTrackerWakesOnce(t *testing.T) {
	tracker := expecting(t, promptA)
	changed, stop := tracker.Watch(promptA)
	defer stop()
	<-changed
	for v := 1; v <= 20; v++ {
		tracker.Apply(step(promptA, "3", float64(v), 20), at(0))
	}
	<-changed
	if p := snapshot(t, tracker, promptA); p.Step != 20 {
		t.Errorf("Step = %d, want the last", p.Step)
	}
	tracker.Apply(step(promptA, "3", 20, 20), at(0)) // nothing new
	select {
	case <-changed:
		t.Error("awake for nothing")
	default:
	}
}

// Who watches before the prompt is expected is told when it is.
func TestTrackerWatchFirst(t *testing.T) {
	tracker := NewTracker()
	changed, stop := tracker.Watch(promptA)
	<-changed
	if _, ok := tracker.Snapshot(promptA); ok {
		t.Fatal("known before it is expected")
	}
	tracker.Expect(promptA, Plan{})
	<-changed
	stop()
	if len(tracker.watchers) != 0 {
		t.Errorf("%d watchers left", len(tracker.watchers))
	}
}

func TestTrackerPreviews(t *testing.T) {
	tracker := expecting(t, promptA)
	tracker.Apply(start(promptA), at(0))
	tracker.Apply(executing(promptA, "3"), at(0))

	frame := frameOf(1, 1, "first")
	m, err := DecodeBinary(frame)
	if err != nil {
		t.Fatal(err)
	}
	tracker.Apply(m, at(0))
	first := snapshot(t, tracker, promptA).Preview
	if first == nil || string(first.Bytes) != "first" || first.MIME != "image/jpeg" || first.Rev != 1 {
		t.Fatalf("preview = %+v", first)
	}
	clear(frame) // the buffer is used again
	if string(first.Bytes) != "first" {
		t.Error("the preview is part of the frame")
	}

	// The kind that names its prompt needs no executing, and may come for one that waits.
	tracker.Apply(Message{Type: TypePreviewWithMetadata, PromptID: promptA, Node: "3", Image: []byte("second"), MIME: "image/png"}, at(0))
	second := snapshot(t, tracker, promptA).Preview
	if string(second.Bytes) != "second" || second.Rev != 2 || string(first.Bytes) != "first" {
		t.Errorf("preview = %+v after %+v", second, first)
	}

	tracker.Apply(Message{Type: TypePreview, Image: make([]byte, maxPreviewBytes+1), MIME: "image/png"}, at(0))
	if got := snapshot(t, tracker, promptA).Preview; got != second {
		t.Errorf("a preview of %d bytes is kept", len(got.Bytes))
	}
	tracker.Apply(Message{Type: TypePreviewWithMetadata, PromptID: promptB, Image: []byte("other"), MIME: "image/png"}, at(0))
	if got := snapshot(t, tracker, promptA).Preview; got != second {
		t.Errorf("a stranger's preview is shown: %q", got.Bytes)
	}
}

// The running prompt may be told before or after the bare executing of a new connection.
func TestTrackerResumed(t *testing.T) {
	bare := Message{Type: TypeExecuting, Node: "8"}
	hello := Message{Type: TypeStatus, SID: "us", QueueRemaining: 1}
	image := Message{Type: TypePreview, Image: []byte("x"), MIME: "image/jpeg"}
	for name, reconnect := range map[string]func(*Tracker){
		"queue last":  func(tr *Tracker) { tr.Apply(hello, at(0)); tr.Apply(bare, at(0)); tr.Resumed(promptA) },
		"queue first": func(tr *Tracker) { tr.Apply(hello, at(0)); tr.Resumed(promptA); tr.Apply(bare, at(0)) },
	} {
		t.Run(name, func(t *testing.T) {
			tracker := expecting(t, promptA, promptB)
			tracker.Apply(start(promptA), at(0))
			reconnect(tracker)
			if p := snapshot(t, tracker, promptA); p.Node != "8" {
				t.Errorf("node = %q", p.Node)
			}
			if id, changed := tracker.Apply(image, at(0)); id != promptA || !changed {
				t.Errorf("a preview is taken for %q", id)
			}
			if p := snapshot(t, tracker, promptB); p.Phase != PhaseQueued {
				t.Errorf("the one that waits: %s", words(p))
			}
		})
	}
}

// A new process finds a prompt that runs: /queue says so, and one progress_state tells the rest.
func TestTrackerResumedInANewProcess(t *testing.T) {
	tracker := expecting(t, promptA)
	tracker.Resumed(promptA)
	p := snapshot(t, tracker, promptA)
	if p.Phase != PhaseSetup || p.StartedAt.IsZero() {
		t.Errorf("resumed: %s, started at %v", words(p), p.StartedAt)
	}
	tracker.Apply(states(promptA, nodeOver("3"), nodeRuns("8", 0, 1)), at(0))
	p = snapshot(t, tracker, promptA)
	wantWords(t, p, "finishing 0/0 pass 1/1, 20 of 20, 100 %")
	if p.Node != "8" || p.Fraction < 0.8 {
		t.Errorf("at node %q, Fraction %v: what ran before is not counted", p.Node, p.Fraction)
	}
}

func TestTrackerResumedOfOthers(t *testing.T) {
	tracker := expecting(t, promptA)
	tracker.Resumed(promptB)
	tracker.Apply(start(promptA), at(0))
	tracker.Apply(success(promptA), at(0))
	tracker.Apply(finished(promptA), at(0))
	before := snapshot(t, tracker, promptA)
	tracker.Resumed(promptA)
	if got := snapshot(t, tracker, promptA); got != before || tracker.executing != "" {
		t.Errorf("an ended prompt runs again: %s", words(got))
	}
}

// Loops and other inventions cannot make the tracker remember without bound.
func TestTrackerIsBounded(t *testing.T) {
	tracker := expecting(t, promptA)
	tracker.Apply(start(promptA), at(0))
	for i := range 3 * maxBars {
		node := fmt.Sprintf("3.0.0.%d", i)
		m := executing(promptA, node)
		m.DisplayNode = "3"
		if i%100 == 0 { // each makes a copy of what is known
			tracker.Apply(m, at(0))
		}
		tracker.Apply(step(promptA, node, 1, 2), at(0))
	}
	p := snapshot(t, tracker, promptA)
	if len(p.run.bars) > maxBars || len(p.run.expanded) > maxBars {
		t.Errorf("%d bars and %d ids are kept", len(p.run.bars), len(p.run.expanded))
	}
	long := executing(promptA, string(bytes.Repeat([]byte("x"), 1<<20)))
	tracker.Apply(long, at(0))
	if p := snapshot(t, tracker, promptA); len(p.Node) > maxForeignID {
		t.Errorf("an id of %d bytes is shown", len(p.Node))
	}
}
