package studio

import (
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The range that is stated is as wide as the parts of the work vary, put together as if one knew how they hang
// together. Whether it holds four of five ends is seen when a run has ended: by how many spreads it was missed. The
// ranges of later runs are made wider or narrower by the mean of that.

// The parts of a run under which misses are learned: of the end that was foretold when it was in the queue, and of those
// that were said first from each quarter of the run on.
const partMissQueued part = "missQueued"

var partMiss = [100 / quarter]part{"miss0", "miss25", "miss50", "miss75"}

// isMiss: what is learned is a number of spreads, not the logarithm of a time.
func (p part) isMiss() bool { return strings.HasPrefix(string(p), "miss") }

const (
	usualMiss = 0.7979 // in spreads, the mean of a normal number; where ends scatter more wildly, its share within the range is nearly the same
	mostMiss  = 4      // what is farther off counts as this

	leastWidening = 0.25
	mostWidening  = 4.0

	earlyMisses = 5  // runs of the installation that weigh as much as the assumption that ranges are right
	widerMisses = 20 // runs that weigh as much as what the next wider scope says
)

// miss is by how many spreads of the range between low and high an end was off its middle, all in seconds from when that
// was said; false if that cannot be told.
func miss(low, high, took float64) (spreads float64, ok bool) {
	if low < shortestPart || high <= low {
		return 0, false
	}
	spread := math.Log(high/low) / (2 * inRange)
	off := math.Log(max(took, shortestPart)) - math.Log(low*high)/2
	return min(math.Abs(off)/spread, mostMiss), true
}

// judge learns from what was said of a run of a kind.
func (l *lore) judge(k kind, c *Calibration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.about(k)
	for said := range c.said() {
		p := partMiss[within(said.From/quarter, len(partMiss)-1)]
		if spreads, ok := miss(said.Low-said.At, said.High-said.At, c.Seconds-said.At); ok {
			a.missed(p, spreads*a.widening(p), 1)
		}
	}
}

// judgeQueued learns from what was said of a generation of a kind when it came into the queue.
func (l *lore) judgeQueued(k kind, said amount, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.about(k)
	low, high := said.between()
	if spreads, ok := miss(low.Seconds(), high.Seconds(), took.Seconds()); ok {
		a.missed(partMissQueued, spreads*a.widening(partMissQueued), levels-1) // many servers had their share in it
	}
}

// missed takes in by how many spreads an end was missed, in the scopes from a level on; the lore's mu is held.
func (l *about) missed(p part, spreads float64, from int) {
	l.ready()
	for level := from; level < levels; level++ {
		l.take(subject{scope: l.scopes[level], part: p}, spreads)
	}
}

// widening is how many times as wide as it would be a range has to be.
func (l *about) widening(p part) float64 {
	expected, weight := usualMiss, float64(earlyMisses)
	for level := levels - 1; level > 0; level-- {
		t := l.known[subject{scope: l.scopes[level], part: p}]
		n := min(float64(t.count), 1/missWeight)
		expected = (weight*expected + n*t.mean) / (weight + n)
		weight = widerMisses
	}
	return min(max(expected/usualMiss, leastWidening), mostWidening)
}

// wideningAt is that of a run of which so much is over, 0 to 1.
func (l *about) wideningAt(fraction float64) float64 {
	at := min(max(fraction, 0)*float64(len(partMiss)), float64(len(partMiss)-1))
	before := int(at)
	after := min(before+1, len(partMiss)-1)
	share := at - float64(before)
	return (1-share)*l.widening(partMiss[before]) + share*l.widening(partMiss[after])
}

// widened is a in a range that is so many times as wide.
func (a amount) widened(by float64) amount {
	_, spread := a.shape()
	return amount{a.mean, a.mean * a.mean * math.Expm1(math.Pow(spread*by, 2))}
}

// queueWidening is widening for what waits.
func (l *lore) queueWidening() float64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	a := l.about(kind{})
	return a.widening(partMissQueued)
}

// promise is the end that was foretold of a generation when it came into the queue.
type promise struct {
	at   time.Time // zero: none was
	left amount
	void bool // somebody stopped the queue, or took it out: what came has nothing to do with what was said
}

// promise notes what is said of a record that waits; mu is held.
func (r *record) promise(at place, now time.Time) {
	switch {
	case at.held || at.paused || at.missing != "":
		r.promised.void = true
	case r.promised.at.IsZero() && at.more.mean > 0:
		r.promised.at, r.promised.left = now, at.more
	}
}

// kept learns from a generation all of whose images are there now: when that was expected.
func (s *Studio) kept(id uuid.UUID, now time.Time) {
	said, k, ok := s.hub.promised(id)
	if ok && !said.void && !said.at.IsZero() {
		s.lore.judgeQueued(k, said.left, now.Sub(said.at))
		ring(s.study)
	}
}

// promised is what was said of a generation in memory when it came into the queue.
func (h *hub) promised(id uuid.UUID) (promise, kind, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.records[id]
	if !ok {
		return promise{}, kind{}, false
	}
	return r.promised, r.kind, true
}

// together adds up parts of one run: part of what makes one of them late makes all of them late, such as another program
// that uses the card.
type togetherness struct {
	all     amount  // as if they were independent
	spreads float64 // sum of how far off each may be
}

// sharedPart is how much of the variance of a part it shares with the others of its run.
const sharedPart = 0.5

func (t *togetherness) add(a amount) {
	t.all = t.all.plus(a)
	t.spreads += math.Sqrt(a.variance)
}

func (t *togetherness) amount() amount {
	return amount{t.all.mean, (1-sharedPart)*t.all.variance + sharedPart*t.spreads*t.spreads}
}
