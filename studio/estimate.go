package studio

import (
	"cmp"
	"math"
	"time"

	"easel/comfy"
)

// guess is what is believed of the time of one part of the work: a logarithmic normal distribution, for times are
// never negative, and one that is late is mostly late by a factor.
type guess struct {
	mu       float64 // of the logarithm of seconds
	variance float64
}

// guessOf is a guess whose mean is seconds, wrong by a factor of about e^spread.
func guessOf(seconds, spread float64) guess {
	return guess{mu: math.Log(max(seconds, shortestPart))}.doubted(spread * spread)
}

// doubted is g with more variance, and the same mean.
func (g guess) doubted(variance float64) guess {
	return guess{g.mu - variance/2, g.variance + variance}
}

const (
	shortestPart = 1e-3 // seconds; what is shorter costs nothing, and its logarithm says too much
	leastSpread  = 0.05 // no time is known better than to a twentieth
	leastRange   = 0.01 // and no sum of times better than to a hundredth
	mostVariance = 2.0
)

func (g guess) held() guess {
	return guess{g.mu, min(max(g.variance, leastSpread*leastSpread), mostVariance)}
}

// amount is a time that is not known for sure, in seconds: a mean, and the square of how far off it may be.
type amount struct{ mean, variance float64 }

// amount is the whole time of a part that has not begun.
func (g guess) amount() amount {
	g = g.held()
	mean := math.Exp(g.mu + g.variance/2)
	return amount{mean, mean * mean * math.Expm1(g.variance)}
}

// rest is what is left of a part that has run for some seconds and is not over: the longer it is late, the longer it
// is believed to take yet.
func (g guess) rest(elapsed float64) amount {
	if elapsed <= 0 {
		return g.amount()
	}
	g = g.held()
	spread, at := math.Sqrt(g.variance), math.Log(elapsed)
	alive := normalBelow((g.mu - at) / spread) // how likely it is to last so long
	if alive < 1e-6 {
		// Far beyond anything seen: then the rest grows with the time that has passed.
		mean := elapsed * g.variance / max(at-g.mu, spread)
		return amount{mean, mean * mean}
	}
	first := math.Exp(g.mu+g.variance/2) * normalBelow((g.mu+g.variance-at)/spread) / alive
	second := math.Exp(2*g.mu+2*g.variance) * normalBelow((g.mu+2*g.variance-at)/spread) / alive
	mean := max(first-elapsed, 0)
	return amount{mean, max(second-first*first, mean*mean*g.variance)}
}

// normalBelow is how likely a normal number is to be below x.
func normalBelow(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

// plus adds what is independent of it.
func (a amount) plus(b amount) amount { return amount{a.mean + b.mean, a.variance + b.variance} }

// times is so often the same: if one is late, all are.
func (a amount) times(n float64) amount { return amount{a.mean * n, a.variance * n * n} }

// spread of the logarithm, and the median, of the logarithmic normal distribution with this mean and variance.
func (a amount) shape() (median, spread float64) {
	if a.mean <= 0 {
		return 0, 0
	}
	variance := math.Log1p(a.variance / (a.mean * a.mean))
	return a.mean / math.Exp(variance/2), math.Sqrt(variance)
}

// inRange is how many spreads the range that is stated reaches to each side: of a normal number 80 of 100 are within.
const inRange = 1.2816

// between is the range in which the end is expected in four of five cases.
func (a amount) between(m aim) (low, high time.Duration) {
	median, spread := a.shape()
	reach := inRange * max(spread, leastRange)
	m = m.held()
	return inSeconds(median / math.Exp(reach*m.Early)), inSeconds(median * math.Exp(reach*m.Late))
}

// inSeconds is a duration of so many seconds, within what is worth saying.
func inSeconds(s float64) time.Duration {
	const longest = 30 * 24 * time.Hour
	return time.Duration(min(max(s, 0), longest.Seconds()) * float64(time.Second))
}

// outlook is what is foretold of one image at one moment.
type outlook struct {
	Fraction float64 `json:"fraction"` // of its time that has passed, 0 to 1
	Spent    float64 `json:"spent"`    // seconds since ComfyUI began
	Left     float64 `json:"left"`     // seconds, the mean
	Variance float64 `json:"variance"` // of Left
	Known    bool    `json:"known"`    // otherwise Fraction is by the nodes' kinds, and there is no Left
	Aim      aim     `json:"aim,omitzero"`

	// Time alone is progress only while the part at work takes no longer than such parts do.
	Grace float64 `json:"grace"` // for so many seconds more it is
	Late  float64 `json:"late"`  // seconds of Spent that were not
}

func (o outlook) left() amount { return amount{o.Left, o.Variance} }

// after is what is foretold when so much time has passed since without a word.
func (o outlook) after(passed time.Duration) outlook {
	if !o.Known || passed <= 0 || o.Left <= 0 {
		return o
	}
	median, spread := o.left().shape()
	rest := guess{math.Log(max(median, shortestPart)), spread * spread}.rest(passed.Seconds())
	worked := min(passed.Seconds(), o.Grace) // what comes behind the part at work has not become less
	o.Spent += passed.Seconds()
	o.Left, o.Variance = max(rest.mean, o.Left-worked), rest.variance
	o.Late += passed.Seconds() - worked
	o.Grace -= worked
	o.Fraction = max(o.Fraction, o.passed())
	return o
}

// passed is how much of the time has passed, 0 to 1.
func (o *outlook) passed() float64 {
	spent := max(o.Spent-o.Late, 0)
	if all := spent + o.Left; all > 0 {
		return spent / all
	}
	return o.Fraction
}

// hold keeps what was told within what can be.
func (o *outlook) hold() {
	const most = 1e9
	o.Fraction = min(max(o.Fraction, 0), 1)
	o.Aim = o.Aim.held()
	o.Spent, o.Left, o.Variance = min(max(o.Spent, 0), most), min(max(o.Left, 0), most), min(max(o.Variance, 0), most*most)
	o.Grace, o.Late = min(max(o.Grace, 0), most), min(max(o.Late, 0), most)
}

// patience is for how many seconds time alone is still progress; negative: it has been none for so long. Of several
// parts at work the one that may take longest counts.
type patience struct {
	seconds float64
	set     bool
}

func (p *patience) have(seconds float64) {
	if !p.set || seconds > p.seconds {
		p.seconds, p.set = seconds, true
	}
}

// with is patience with a part that is believed to take g and has run for elapsed seconds.
func (p *patience) with(g guess, elapsed float64) { p.have(g.latest() - elapsed) }

// latest is what a part takes in nine of ten cases at most.
func (g guess) latest() float64 {
	g = g.held()
	return math.Exp(g.mu + inRange*math.Sqrt(g.variance))
}

// foretell says what is left of a prompt. spent is how long it has run; stored is how long it has been over for
// ComfyUI, and negative before. Without learned times of some part nothing is known: the kinds of the nodes then say
// how far it is.
func (l *about) foretell(s *comfy.Progress, spent, stored time.Duration, now time.Time) outlook {
	o := outlook{Fraction: s.Fraction, Spent: spent.Seconds()}
	var left togetherness
	var p patience
	if stored < 0 && !l.remaining(s, now, &left, &p) {
		return o
	}
	store, known := l.find(&comfy.Work{}, partStore, false)
	switch {
	case !known && stored >= 0:
		return o
	case !known: // decoding and saving were learned in this run, what follows was not
	case stored >= 0:
		left.add(store.rest(stored.Seconds()))
		p.with(store, stored.Seconds())
	default:
		left.add(store.amount())
	}
	sum := left.amount()
	o.Left, o.Variance, o.Known = sum.mean, sum.variance, true
	o.Grace, o.Late = max(p.seconds, 0), max(-p.seconds, 0)
	o.Fraction = o.passed()
	o.Aim = l.aimAt(o.Fraction)
	return o
}

// remaining adds up what is left of the nodes, with patience for the one at work; false if nothing is known of one of
// them.
func (l *about) remaining(s *comfy.Progress, now time.Time, left *togetherness, p *patience) (known bool) {
	works := s.Work()
	elapsed := s.Elapsed(now)
	cold := isCold(works)
	unit, haveUnit := l.unit(works, s.StepTime)
	var ended time.Duration // the last part that is over
	next := 0.0             // seconds of the first that is not
	for i := range works {
		w := &works[i]
		if w.Over {
			ended = max(ended, w.End)
			continue
		}
		if w.Sampler {
			a, ok := l.sampling(w, s.StepTime, elapsed, cold, p)
			if !ok {
				return false
			}
			left.add(a)
			next = cmp.Or(next, left.all.mean)
			continue
		}
		g, learned := l.find(w, partWhole, cold)
		if !learned {
			if !haveUnit {
				return false
			}
			g = guessOf(w.Weight*unit, priorSpread)
		}
		if w.Running {
			ran := (elapsed - w.Start).Seconds()
			left.add(g.restOf(w, ran, learned))
			if w.Part >= leastPart {
				p.have(ran * (1 - w.Part) / w.Part) // its own bar tells
			} else {
				p.with(g, ran)
			}
		} else {
			left.add(g.amount())
		}
		next = cmp.Or(next, left.all.mean)
	}
	if !p.set { // between two parts, or its beginning went unheard
		p.have(2*next - (elapsed - ended).Seconds())
	}
	return len(works) > 0
}

// restOf is what is left of a node that runs. What its own bar promises counts the more, the further it is: the first
// tile of a decoder may wait for a model.
func (g guess) restOf(w *comfy.Work, elapsed float64, learned bool) amount {
	rest := g.rest(elapsed)
	if w.Part < leastPart {
		return rest
	}
	promised := elapsed * (1 - w.Part) / w.Part
	trust := 1.0
	if learned {
		trust = w.Part
	}
	return amount{
		mean:     trust*promised + (1-trust)*rest.mean,
		variance: trust*math.Pow(barSpread*promised, 2) + (1-trust)*rest.variance,
	}
}

const (
	priorSpread = 1.0 // of a guess from a node's class alone
	stepSpread  = 0.1 // of the next steps, when some of this run were seen
	barSpread   = 0.3 // of what a decoder's tiles promise
	leastPart   = 0.02
	earlierRuns = 4 // count as much as so many steps of this run
)

// isCold reports whether a model is read in this run: then the first step and the encoders take longer, for what was
// read has to get to the card.
func isCold(works []comfy.Work) bool {
	for i := range works {
		if works[i].Loads {
			return true
		}
	}
	return false
}

// unit is the time of a sampler's step, to price what was never seen by.
func (l *about) unit(works []comfy.Work, seen time.Duration) (seconds float64, ok bool) {
	if seen > 0 {
		return seen.Seconds(), true
	}
	for i := range works {
		if works[i].Sampler {
			if g, ok := l.find(&works[i], partStep, false); ok {
				return g.amount().mean, true
			}
		}
	}
	return 0, false
}

// sampling is what is left of a sampler. seen is the pace of its last steps; 0: none was seen.
func (l *about) sampling(w *comfy.Work, seen, elapsed time.Duration, cold bool, p *patience) (amount, bool) {
	step, learned := l.find(w, partStep, cold)
	if n := len(w.Passes); seen > 0 && w.Running && n > 0 {
		// The more steps of this run were seen, the less does it matter what earlier ones took.
		own := guessOf(seen.Seconds(), stepSpread)
		if learned {
			trust := float64(w.Done) / float64(w.Done+earlierRuns)
			step = guess{trust*own.mu + (1-trust)*step.mu, trust*own.variance + (1-trust)*step.variance}
		} else {
			step, learned = own, true
		}
	}
	if !learned {
		if seen <= 0 {
			return amount{}, false
		}
		step = guessOf(seen.Seconds(), priorSpread) // of another sampler of this graph
	}
	left := w.Steps - w.Done
	last, haveLast := l.find(w, partLast, cold)
	if w.Running && w.Done > 0 {
		var moved time.Duration // when it moved last
		if n := len(w.Passes); n > 0 {
			moved = w.Passes[n-1].End
		}
		waited := (elapsed - moved).Seconds()
		if left <= 0 {
			if !haveLast {
				p.with(step, waited)
				return amount{}, true
			}
			p.with(last, waited)
			return last.rest(waited), true
		}
		p.with(step, waited)
		// The steps to come, and what is left of the present one, which may be stuck.
		rest := step.amount().times(float64(left - 1)).plus(step.rest(waited))
		if haveLast {
			rest = rest.plus(last.amount())
		}
		return rest, true
	}
	first, ok := l.find(w, partFirst, cold)
	if !ok {
		first = guess{step.mu + math.Ln2, step.variance + priorSpread*priorSpread/4}
	}
	begin := first.amount()
	if w.Running {
		begin = first.rest((elapsed - w.Start).Seconds())
		p.with(first, (elapsed - w.Start).Seconds())
	}
	if haveLast {
		begin = begin.plus(last.amount())
	}
	return begin.plus(step.amount().times(float64(max(left-1, 0)))), true
}
