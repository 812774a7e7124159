package studio

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"easel/db"
)

// relay is an instance's voice and ear: it tells the others what changes here and how the prompts are
// that it follows, as far as somebody there looks, and takes in what they tell. One goroutine
// speaks, the bus's own hears, one carries previews; none is waited for by those that follow prompts.
type relay struct {
	bus      Bus
	instance uuid.UUID
	rings    bool // the database rings the bells, in the transaction that makes the change
	hub      *hub
	queries  *db.Queries
	counters *Counters
	timing   Timing
	logger   *slog.Logger
	noticed  func(notice)

	resend atomic.Bool   // for carryPreviews: somebody has come who has none
	wake   chan struct{} // for speak
	look   chan struct{} // for carryPreviews
	behind chan struct{} // for catchUp: something may have been said that was not heard
	again  atomic.Bool   // for speak: say anew what is watched here
	deaf   atomic.Bool   // what is said does not come back: the database is asked often

	mute   bool     // of speak: the last message could not be sent
	spoken presence // of speak: what the others were told last

	mu     sync.Mutex // guards all below
	bells  map[bell]notice
	peers  map[uuid.UUID]peer
	news   map[string]struct{}     // prompts of ours with something new
	said   map[string]time.Time    // when they were told of last; the zero time: tell at once
	wanted map[uuid.UUID]time.Time // generations whose preview somebody has asked for, until then
	probe  probe

	fetch map[uuid.UUID]uuid.UUID // prompts whose previews are in the table, and their generations

	shown map[string]*shown // previews that were sent, by prompt; of carryPreviews alone
}

// bell is what one notice is about; a later one replaces an earlier.
type bell struct {
	kind    string
	subject uuid.UUID
}

// peer is another instance.
type peer struct {
	until   time.Time // believed gone if nothing was heard by then
	all     bool
	watched map[uuid.UUID]struct{}
}

// probe is the test of the bus: what we say of ourselves must come back.
type probe struct {
	nonce    uint64
	sent     time.Time // of the first that has not come back; zero: all have
	failures int       // in a row
}

const (
	relayEvery   = 250 * time.Millisecond // between two messages about a prompt that is looked at elsewhere
	relayFloor   = 2 * time.Second        // the same while nobody looks: so that its numbers go on from there after a take-over
	relayQuiet   = 3 * time.Second        // the same while it does not move: what is left of it does
	hereAgain    = 100 * time.Millisecond // between two messages about what is watched here
	peerLife     = 3                      // presences that may be missed
	publishWait  = 2 * time.Second
	mostWatched  = 100    // generations named in a presence; with more, all is asked for
	mostBells    = 500    // in one message
	mostPending  = 20_000 // bells that wait to be sent; what is dropped is found in the database
	mostPeers    = 1000
	batchBytes   = 6000 // of progress in one message: it must fit a NOTIFY with what is around it
	mostTitle    = 120  // characters of a node's title
	mostSteps    = 1_000_000
	mostStepTime = time.Hour
	mostUnsure   = 8 // prompts told of beyond two for each image of a generation
	mostLinger   = 500
	previewWant  = 20 * time.Second // a preview that was asked for once is asked for again soon
	deafFailures = 2
)

func newRelay(s *Studio) *relay {
	return &relay{
		bus: s.config.Bus, instance: s.config.Instance, rings: s.rings,
		hub: s.hub, queries: s.queries.Queries, counters: &s.counters, timing: s.timing, logger: s.logger, noticed: s.noticed,
		wake: make(chan struct{}, 1), look: make(chan struct{}, 1), behind: make(chan struct{}, 1),
		bells: make(map[bell]notice), peers: make(map[uuid.UUID]peer), news: make(map[string]struct{}),
		said: make(map[string]time.Time), wanted: make(map[uuid.UUID]time.Time),
		fetch: make(map[uuid.UUID]uuid.UUID), shown: make(map[string]*shown),
	}
}

// announce tells the others of a committed change, where the database does not. It never waits.
func (r *relay) announce(kind string, subject uuid.UUID, rev int64) {
	if r.rings {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	about := bell{kind, subject}
	if len(r.bells) >= mostPending {
		return
	}
	if rev >= r.bells[about].Rev {
		r.bells[about] = notice{Kind: kind, Generation: subject, Rev: rev, Origin: r.instance}
	}
	ring(r.wake)
}

// progressed notes that a prompt of ours has moved; the hub's mu is held.
func (r *relay) progressed(promptID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.peers) == 0 {
		return
	}
	r.news[promptID] = struct{}{}
	ring(r.wake)
	ring(r.look)
}

// want asks the others for the previews of a generation for a while.
func (r *relay) want(generation uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.wanted[generation]; ok || len(r.wanted) < mostLinger {
		r.wanted[generation] = time.Now().Add(previewWant)
		ring(r.wake)
	}
}

// speak sends what there is to say until ctx ends.
func (r *relay) speak(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var here time.Time // when we last said that we are there
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-timer.C:
		}
		r.sendBells(ctx)
		next := r.listenBack(time.Now())
		next = min(next, r.sendPresence(ctx, time.Now(), &here))
		next = min(next, r.sendProgress(ctx, time.Now()))
		timer.Reset(max(next, time.Millisecond))
	}
}

// publish sends messages, and says once when that fails and when it works again.
func (r *relay) publish(ctx context.Context, messages ...message) {
	err := r.send(ctx, messages...)
	switch {
	case err == nil && r.mute:
		r.mute = false
		r.logger.InfoContext(ctx, "other instances are told again")
	case err != nil && !r.mute && ctx.Err() == nil:
		r.mute = true
		r.logger.WarnContext(ctx, "could not tell other instances", "err", err)
	}
}

func (r *relay) send(ctx context.Context, messages ...message) error {
	encoded := make([][]byte, 0, len(messages))
	for i := range messages {
		messages[i].From = r.instance
		raw, err := messages[i].encode()
		if err != nil || len(raw) > r.bus.MaxBytes() {
			r.logger.ErrorContext(ctx, "message to other instances cannot be sent", "kind", messages[i].Kind, "bytes", len(raw), "err", err)
			continue
		}
		encoded = append(encoded, raw)
	}
	if len(encoded) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	return r.bus.Publish(ctx, encoded...)
}

// sendBells rings for the changes that were committed here. One that cannot be sent is found in the
// database by those who did not hear it.
func (r *relay) sendBells(ctx context.Context) {
	r.mu.Lock()
	bells := slices.Collect(maps.Values(r.bells))
	clear(r.bells)
	r.mu.Unlock()
	var messages []message
	for portion := range slices.Chunk(bells, mostBells) {
		messages = append(messages, message{notice: notice{Kind: kindBells}, Bells: portion})
	}
	if len(messages) > 0 {
		r.publish(ctx, messages...)
	}
}

// sendPresence says that we are here and what is watched, now and then, and at once when more is
// watched than before. next is when to do so again.
func (r *relay) sendPresence(ctx context.Context, now time.Time, here *time.Time) (next time.Duration) {
	due := r.timing.Probe - now.Sub(*here)
	present := r.presence(now)
	if due > 0 && !grown(r.spoken, present) && !r.again.Load() {
		return due
	}
	if wait := hereAgain - now.Sub(*here); wait > 0 {
		return wait
	}
	*here = now
	r.again.Store(false)
	r.mu.Lock()
	r.probe.nonce++
	present.Nonce = r.probe.nonce
	if r.probe.sent.IsZero() {
		r.probe.sent = now
	}
	for id, p := range r.peers {
		if now.After(p.until) {
			delete(r.peers, id)
		}
	}
	r.mu.Unlock()
	r.spoken = present
	r.publish(ctx, message{notice: notice{Kind: kindHere}, Here: &present})
	return min(r.timing.Probe, r.timing.Answer)
}

// presence is what is watched here.
func (r *relay) presence(now time.Time) presence {
	all, watched := r.hub.interest(mostWatched)
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, until := range r.wanted {
		switch {
		case now.After(until):
			delete(r.wanted, id)
		case len(watched) < mostWatched && !slices.Contains(watched, id):
			watched = append(watched, id)
		}
	}
	return presence{All: all, Watched: watched}
}

// grown: more is watched than before, as far as that was told.
func grown(before, now presence) bool {
	return now.All && !before.All ||
		slices.ContainsFunc(now.Watched, func(id uuid.UUID) bool { return !slices.Contains(before.Watched, id) })
}

// listenBack looks whether what we said of ourselves has come back. If not, the connection is given up; a second
// time, and for as long as it goes on, the database is asked instead.
func (r *relay) listenBack(now time.Time) (next time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.probe.sent.IsZero() {
		return r.timing.Probe
	}
	if wait := r.timing.Answer - now.Sub(r.probe.sent); wait > 0 {
		return wait
	}
	r.probe.sent = time.Time{}
	r.probe.failures++
	if r.probe.failures == deafFailures {
		r.deaf.Store(true)
		r.logger.Warn("bells are not heard: the database is asked for changes instead, every second",
			"bus", cmp.Or(errorText(r.bus.Healthy()), "connected"))
	}
	r.bus.Redial()
	ring(r.behind)
	return r.timing.Probe
}

// heardBack notes that the bus works both ways.
func (r *relay) heardBack(nonce uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if nonce > r.probe.nonce || r.probe.sent.IsZero() {
		return
	}
	r.counters.BusProbeSeconds.Observe(time.Since(r.probe.sent))
	r.probe.sent, r.probe.failures = time.Time{}, 0
	if r.deaf.Swap(false) {
		r.logger.Info("bells are heard again")
	}
}

// missed is called by the bus: what was said until now may not have been heard. What is watched here is said
// anew, for others may not have heard that either, and the bus is tested at once.
func (r *relay) missed() {
	r.mu.Lock()
	r.probe.sent = time.Time{}
	r.mu.Unlock()
	r.again.Store(true)
	ring(r.behind)
	ring(r.wake)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
