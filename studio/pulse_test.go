package studio

import (
	"testing"
	"time"

	"easel/comfy"
)

func TestPulse(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	pass := func(d time.Duration) time.Time {
		now = now.Add(d)
		return now
	}
	event := comfy.Message{Type: comfy.TypeProgress, PromptID: "p"}
	greeting := comfy.Message{Type: comfy.TypeStatus, SID: "s"}

	p := &pulse{timing: protocol}
	p.connect(true, now)
	if p.check(pass(time.Hour), false) {
		t.Error("an idle server is silent, and that is right")
	}
	sent := now
	p.posted(sent, pass(time.Millisecond))
	if p.check(pass(4*time.Second), false) {
		t.Error("given up before a status was due")
	}
	if !p.check(pass(2*time.Second), false) {
		t.Error("no status 5 s after a POST, and nothing is done")
	}
	p.connect(true, now)
	p.hear(greeting, now)
	if !p.silent(now, true) {
		t.Error("a greeting proves nothing, but is taken for an event")
	}
	p.hear(event, pass(time.Second))
	if p.silent(now, true) || p.stalled() {
		t.Error("an event came, and still it counts as silent")
	}
	// A status that overtook the answer to the POST will not come again.
	sent = now
	p.hear(comfy.Message{Type: comfy.TypeStatus, QueueRemaining: 1}, pass(time.Millisecond))
	p.posted(sent, pass(time.Millisecond))
	if p.check(pass(20*time.Second), false) {
		t.Error("a status that came before the answer was waited for again")
	}
	p.unanswered(now)
	if p.stalled() || p.silent(now, true) {
		t.Error("a hand-shake without an answer is held against a server that misses no events")
	}
	for i := range redialsUntilStalled {
		if p.stalled() {
			t.Fatalf("stalled after %d connections", i)
		}
		if !p.check(pass(37*time.Second), true) {
			t.Fatalf("silence %d while something runs, and nothing is done", i)
		}
		p.connect(true, now)
		p.hear(greeting, now)
	}
	if !p.stalled() || !p.silent(now, false) {
		t.Error("three connections without an event, and not stalled")
	}
	if p.check(pass(time.Minute), true) {
		t.Error("a stalled socket is redialled each minute")
	}
	if !p.check(pass(5*time.Minute), true) {
		t.Error("a stalled socket is never tried again")
	}
	p.hear(event, pass(time.Second))
	if p.stalled() {
		t.Error("an event came, and still it counts as stalled")
	}
}

// With the loop that sends events stalled not even the hand-shake has an answer: the connections that
// are given up for that count, once events are missing.
func TestPulseUnanswered(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	p := &pulse{timing: protocol}
	p.connect(true, now)
	now = now.Add(time.Second)
	p.posted(now, now)
	now = now.Add(6 * time.Second)
	if !p.check(now, false) {
		t.Fatal("no status 5 s after a POST, and nothing is done")
	}
	for i := range redialsUntilStalled - 1 {
		if p.stalled() {
			t.Fatalf("stalled after %d connections", 1+i)
		}
		p.connect(true, now)
		p.unanswered(now)
	}
	if !p.stalled() {
		t.Error("three connections without an event, and not stalled")
	}
	p.hear(comfy.Message{Type: comfy.TypeStatus}, now)
	if p.stalled() {
		t.Error("an event came, and still it counts as stalled")
	}
}
