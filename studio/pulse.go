package studio

import (
	"sync"
	"time"

	"easel/comfy"
)

// pulse judges whether the events of a server arrive. An open socket proves nothing: ComfyUI may
// have dropped us from its table, or be stuck on another client that does not read. So it is
// missed events that count, and only those that must come: a status after each accepted POST, and
// anything at all while a prompt of ours runs.
type pulse struct {
	timing Timing

	mu        sync.Mutex // guards all below
	connected bool
	heard     time.Time // the last event, or the moment of the connect
	expected  time.Time // a status must come by then; zero: none is awaited
	redials   int       // since the last event
	retryAt   time.Time // when a stalled socket is tried again
	redialled bool      // the connection is being given up by us
	restarted bool      // it was ended by the other side, or could not be made: another process may answer next
}

// redialsUntilStalled is how many fresh connections without an event make a server stalled.
const redialsUntilStalled = 3

// connect notes that the socket has connected, or that it is gone.
func (p *pulse) connect(connected bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !connected {
		p.restarted = !p.redialled
		p.redialled = false
	}
	p.connected = connected
	p.heard, p.expected = now, time.Time{}
}

// unanswered notes that a fresh connection was given up because not even the hand-shake had an
// answer. While events are missing that is one more connection without any; a server that has merely
// never heard of feature flags misses none.
func (p *pulse) unanswered(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.restarted = false
	if p.redials > 0 {
		p.redials++
		p.retryAt = now.Add(p.timing.StalledRetry)
	}
}

// hear notes a message. What greets every new connection shows nothing about later ones, but for an
// answer to the hand-shake after ComfyUI itself was gone: it has restarted, which cures it. mended is
// true when events arrive that did not before.
func (p *pulse) hear(m comfy.Message, now time.Time) (mended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if isGreeting(m) && (m.Type != comfy.TypeFeatureFlags || !p.restarted) {
		return false
	}
	mended = p.redials >= redialsUntilStalled
	p.heard, p.expected, p.redials, p.restarted = now, time.Time{}, 0, false
	return mended
}

// isGreeting: ComfyUI sends these on each connect, even when no event will ever follow.
func isGreeting(m comfy.Message) bool {
	switch m.Type {
	case comfy.TypeFeatureFlags:
		return true
	case comfy.TypeStatus:
		return m.SID != ""
	case comfy.TypeExecuting:
		return m.PromptID == ""
	}
	return false
}

// posted notes that ComfyUI has accepted a prompt that was sent at a time: every socket must hear
// of its queue, often before the answer to the POST.
func (p *pulse) posted(sent, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.connected && p.expected.IsZero() && p.heard.Before(sent) {
		p.expected = now.Add(p.timing.StatusWithin)
	}
}

// check is asked now and then; running says whether a prompt of ours runs in there. redial is true
// when the connection should be given up for another.
func (p *pulse) check(now time.Time, running bool) (redial bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.connected || !p.overdue(now, running) {
		return false
	}
	if p.redials >= redialsUntilStalled {
		if now.Before(p.retryAt) {
			return false
		}
	} else {
		p.redials++
	}
	p.retryAt = now.Add(p.timing.StalledRetry)
	p.heard, p.expected = now, time.Time{}
	p.redialled = true
	return true
}

// overdue: an event is missing; mu is held. After the silence began, three polls pass before it is
// acted upon.
func (p *pulse) overdue(now time.Time, running bool) bool {
	if !p.expected.IsZero() && now.After(p.expected) {
		return true
	}
	return running && now.Sub(p.heard) > p.timing.Silence+3*p.timing.FastPoll
}

// silent reports whether polling has to do the socket's work.
func (p *pulse) silent(now time.Time, running bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.connected || p.redials > 0 || running && now.Sub(p.heard) > p.timing.Silence
}

// stalled reports whether fresh connections did not help.
func (p *pulse) stalled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.redials >= redialsUntilStalled
}

func (p *pulse) isConnected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connected
}
