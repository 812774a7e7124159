package studio

import (
	"cmp"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The range that is stated is as wide as the parts of the work vary, put together as if one knew how they hang
// together, and what nobody can know is not in it: who comes later, and is served before. Whether it holds four of five
// ends is seen when they have come: by how many spreads they were off. So much narrower or wider are later ranges made,
// each side by itself, for what goes wrong makes things late.

// moment is when a range was stated: the parts of a run under which it is learned by how much it was off.
type moment struct{ early, late part }

// The moments: in the queue, and first from each quarter of the run on.
var (
	momentQueued = moment{"missEarlyQueued", "missLateQueued"}
	momentsOfRun = [100 / quarter]moment{
		{"missEarly0", "missLate0"}, {"missEarly25", "missLate25"}, {"missEarly50", "missLate50"}, {"missEarly75", "missLate75"},
	}
)

// isMiss: what is learned is the square of a number of spreads, not the logarithm of a time.
func (p part) isMiss() bool { return strings.HasPrefix(string(p), "miss") }

const (
	mostMiss = 8.0 // in spreads: what is farther off counts as this

	earlyMisses = 4  // runs of the installation that weigh as much as the assumption that ranges are right
	widerMisses = 20 // runs that weigh as much as what the next wider scope says
)

// aim is how many times as wide as it would be a range is made, towards the early and towards the late; 0: as it is.
type aim struct {
	Early float64 `json:"early,omitzero"`
	Late  float64 `json:"late,omitzero"`
}

const (
	leastAim = 0.25
	mostAim  = 6.0
)

func (m aim) held() aim {
	return aim{min(max(cmp.Or(m.Early, 1), leastAim), mostAim), min(max(cmp.Or(m.Late, 1), leastAim), mostAim)}
}

// miss is by how many spreads, as they were before aim, an end was off the middle; below 0: it came early. low and high
// are the range that was stated, all in seconds from then on; false if it cannot be told.
func (m aim) miss(low, high, took float64) (spreads float64, ok bool) {
	if low < shortestPart || high <= low {
		return 0, false
	}
	m = m.held()
	spread := math.Log(high/low) / (inRange * (m.Early + m.Late))
	middle := math.Log(low) + inRange*m.Early*spread
	return min(max((math.Log(max(took, shortestPart))-middle)/spread, -mostMiss), mostMiss), true
}

// judge learns from what was said of a run of a kind.
func (l *lore) judge(k kind, c *Calibration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.about(k)
	for said := range c.said() {
		at := momentsOfRun[within(said.From/quarter, len(momentsOfRun)-1)]
		a.judge(at, 1, said.Low-said.At, said.High-said.At, c.Seconds-said.At)
	}
}

// judgeQueued learns from what was said of a generation when it came into the queue. Many servers had their share in
// that: it is learned of all alike.
func (l *lore) judgeQueued(low, high, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.about(kind{})
	a.judge(momentQueued, levels-1, low.Seconds(), high.Seconds(), took.Seconds())
}

// judge takes in what came of a range, in the scopes from a level on; the lore's mu is held.
func (l *about) judge(at moment, from int, low, high, took float64) {
	spreads, ok := l.aim(at).miss(low, high, took)
	if !ok {
		return
	}
	l.ready()
	p := at.late
	if spreads < 0 {
		p = at.early
	}
	for level := from; level < levels; level++ {
		l.take(subject{scope: l.scopes[level], part: p}, spreads*spreads)
	}
}

// aim is how ranges that are stated at a moment have to be made.
func (l *about) aim(at moment) aim { return aim{l.side(at.early), l.side(at.late)}.held() }

// side is one side of it: the distance of the ends on it from the middle, in spreads.
func (l *about) side(p part) float64 {
	square, weight := 1.0, float64(earlyMisses)
	for level := levels - 1; level > 0; level-- {
		t := l.known[subject{scope: l.scopes[level], part: p}]
		n := float64(t.count)
		square = (weight*square + n*t.mean) / (weight + n)
		weight = widerMisses
	}
	return math.Sqrt(square)
}

// aimAt is how the range of a run has to be made of which so much is over, 0 to 1.
func (l *about) aimAt(fraction float64) aim {
	at := min(max(fraction, 0)*float64(len(momentsOfRun)), float64(len(momentsOfRun)-1))
	before := int(at)
	a, b := l.aim(momentsOfRun[before]), l.aim(momentsOfRun[min(before+1, len(momentsOfRun)-1)])
	share := at - float64(before)
	return aim{(1-share)*a.Early + share*b.Early, (1-share)*a.Late + share*b.Late}
}

// queueAim is how the ranges of what waits have to be made.
func (l *lore) queueAim() aim {
	l.mu.RLock()
	defer l.mu.RUnlock()
	a := l.about(kind{})
	return a.aim(momentQueued)
}

// promise is the end that was foretold of a generation when it came into the queue.
type promise struct {
	at        time.Time // zero: none was
	low, high time.Duration
	void      bool // somebody stopped the queue, or took it out: what came has nothing to do with what was said
}

// promise notes what is said of a record that waits; mu is held.
func (r *record) promise(at place, now time.Time) {
	switch {
	case at.held || at.paused || at.missing != "":
		r.promised.void = true
	case r.promised.at.IsZero() && at.more.mean > 0:
		r.promised.at = now
		r.promised.low, r.promised.high = at.more.between(at.aim)
	}
}

// kept learns from a generation all of whose images are there now: when that was expected.
func (s *Studio) kept(id uuid.UUID, now time.Time) {
	said, ok := s.hub.promised(id)
	if ok && !said.void && !said.at.IsZero() {
		s.lore.judgeQueued(said.low, said.high, now.Sub(said.at))
		ring(s.study)
	}
}

// promised is what was said of a generation in memory when it came into the queue.
func (h *hub) promised(id uuid.UUID) (promise, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.records[id]
	if !ok {
		return promise{}, false
	}
	return r.promised, true
}

// togetherness adds up parts of one run: part of what makes one of them late makes all of them late, such as another program
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
