package studio

import (
	"context"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"easel/comfy"
)

// source is what knows the progress of prompts: the tracker of a server that is supervised here, or what the
// instance that supervises it has told.
type source interface {
	Snapshot(promptID string) (comfy.Progress, bool)
	Forget(promptID string)
}

// told is the source of one prompt that is followed elsewhere: its last state. The hub's mu guards it.
type told struct {
	progress comfy.Progress
	outlook  outlook
	at       time.Time // when both were told
}

// Snapshot is part of source.
func (t *told) Snapshot(string) (comfy.Progress, bool) { return t.progress, true }

// Forget is part of source.
func (*told) Forget(string) {}

// sendProgress tells of the prompts that have moved and are due. next is when another will be.
func (r *relay) sendProgress(ctx context.Context, now time.Time) (next time.Duration) {
	due, next := r.due(now)
	if len(due) == 0 {
		return next
	}
	var messages []message
	batch, size := []relayed(nil), 0
	ours := r.hub.ours(due)
	r.ended(due, ours)
	for _, p := range ours {
		p.Progress.Preview = nil
		p.shorten()
		raw, err := json.Marshal(p)
		if err != nil {
			continue // a fraction that is no number: nothing to tell
		}
		if size > 0 && size+len(raw) > batchBytes {
			messages = append(messages, message{notice: notice{Kind: kindProgress}, Progress: batch})
			batch, size = nil, 0
		}
		batch, size = append(batch, p), size+len(raw)
	}
	if len(batch) > 0 {
		messages = append(messages, message{notice: notice{Kind: kindProgress}, Progress: batch})
	}
	r.publish(ctx, messages...)
	return next
}

// due takes the prompts whose turn it is off the list of news.
func (r *relay) due(now time.Time) (prompts []string, next time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next = r.timing.Probe
	every := relayFloor
	for _, p := range r.peers {
		if p.all || len(p.watched) > 0 {
			every = relayEvery
		}
	}
	for promptID := range r.news {
		if wait := every - now.Sub(r.said[promptID]); wait > 0 {
			next = min(next, wait)
			continue
		}
		prompts = append(prompts, promptID)
		delete(r.news, promptID)
		r.said[promptID] = now
	}
	quiet := time.Minute // then it has ended, or nobody cares
	if every == relayEvery {
		quiet = relayQuiet
	}
	for promptID, at := range r.said {
		wait := quiet - now.Sub(at)
		if _, moved := r.news[promptID]; moved || wait > 0 {
			next = min(next, max(wait, every))
			continue
		}
		if every == relayFloor {
			delete(r.said, promptID)
			continue
		}
		// A loader says nothing for half a minute, and the later it is, the longer it is believed to take.
		prompts = append(prompts, promptID)
		r.said[promptID] = now
	}
	return prompts, next
}

// ended forgets when those of the due prompts were told of last that are not ours any more.
func (r *relay) ended(due []string, ours []relayed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	still := make(map[string]bool, len(ours))
	for i := range ours {
		still[ours[i].Progress.PromptID] = true
	}
	for _, promptID := range due {
		if !still[promptID] {
			delete(r.said, promptID)
		}
	}
}

// hold makes of what was told something that a tracker could have said: words of a bearable length, steps
// within their number, and no 100 % while a sampler is at work. False if it makes no sense at all.
func (p *relayed) hold() bool {
	q := &p.Progress
	if !known(q.Phase) {
		return false
	}
	p.shorten()
	q.Steps, q.Passes, q.StepsPlanned = within(q.Steps, mostSteps), within(q.Passes, mostSteps), within(q.StepsPlanned, mostSteps)
	q.Step, q.Pass, q.StepsDone = within(q.Step, q.Steps), within(q.Pass, q.Passes), within(q.StepsDone, q.StepsPlanned)
	most := 99
	if q.Phase == comfy.PhaseFinishing || q.Phase.Ended() {
		most = 100
	}
	q.Percent = within(q.Percent, most)
	q.Fraction = min(max(q.Fraction, 0), 1)
	q.StepTime = min(max(q.StepTime, 0), mostStepTime)
	p.Outlook.hold()
	return true
}

func known(phase comfy.Phase) bool {
	return phase == comfy.PhaseQueued || working(phase) || phase.Ended()
}

func within(n, most int) int { return min(max(n, 0), most) }

func (p *relayed) shorten() {
	q := &p.Progress
	q.Node, q.NodeClass, q.NodeTitle = shorten(q.Node, mostTitle), shorten(q.NodeClass, mostTitle), shorten(q.NodeTitle, mostTitle)
}

// shorten cuts text to at most n characters.
func shorten(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}

// hear takes in a message of the bus; it does not wait. Whoever can reach the bus can say anything there, so
// no message is believed: bells have the database asked, and numbers are held to what can be.
func (r *relay) hear(raw []byte) {
	if len(raw) > r.bus.MaxBytes() {
		r.logger.Debug("message that is none of ours", "bytes", len(raw))
		return
	}
	m, err := decodeMessage(raw)
	if err != nil {
		r.logger.Debug("message that is none of ours", "err", err)
		return
	}
	switch m.Kind {
	case bellChanged, bellDeleted, bellServer, bellSettings:
		r.noticed(m.notice)
		return
	case kindHere:
		r.heardOf(&m)
		return
	}
	if m.From == r.instance {
		return
	}
	switch m.Kind {
	case kindBells:
		for _, n := range m.Bells[:min(len(m.Bells), mostBells)] {
			r.noticed(n)
		}
	case kindProgress:
		r.hub.relayed(m.Progress, time.Now())
	case kindPreview:
		r.previewed(&m)
	}
}

// heardOf takes in what an instance says of itself. One that has begun to look at something is told at once
// how it is.
func (r *relay) heardOf(m *message) {
	switch {
	case m.Here == nil:
		return
	case m.From == r.instance:
		r.heardBack(m.Here.Nonce)
		return
	}
	now := peer{
		until: time.Now().Add(peerLife * r.timing.Probe), all: m.Here.All,
		watched: make(map[uuid.UUID]struct{}, len(m.Here.Watched)),
	}
	for _, id := range m.Here.Watched[:min(len(m.Here.Watched), mostWatched)] {
		now.watched[id] = struct{}{}
	}
	more := r.meet(m.From, now)
	if !more {
		return
	}
	r.resend.Store(true)
	prompts := r.hub.prompts()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, promptID := range prompts {
		r.news[promptID] = struct{}{}
		delete(r.said, promptID)
	}
	ring(r.wake)
	ring(r.look)
}

// meet notes how another instance is; more: it looks at something that it did not look at before.
func (r *relay) meet(id uuid.UUID, now peer) (more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, known := r.peers[id]
	if !known {
		if len(r.peers) >= mostPeers {
			return false
		}
		r.again.Store(true) // it does not know us either
		ring(r.wake)
	}
	r.peers[id] = now
	more = !known || now.all && !before.all
	for id := range now.watched {
		if _, ok := before.watched[id]; !ok {
			more = true
		}
	}
	return more
}
