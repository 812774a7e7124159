package studio

import (
	"encoding/json"
	"iter"
	"math"
	"time"

	"easel/comfy"
)

// Calibration is what was said of an attempt while it ran, held against what came: the attempt took Seconds from
// ComfyUI's start until its files were stored, so at each moment the true number is the share of them that had
// passed. It is the form of the column attempts.calibration.
type Calibration struct {
	Seconds float64                     `json:"seconds,omitempty"` // 0: it has not ended yet
	Over    float64                     `json:"over"`              // when ComfyUI was done, in seconds since its start
	Noted   float64                     `json:"noted"`             // when that was found in its history
	Errors  PointErrors                 `json:"errors,omitzero"`   // over the whole run
	Phases  map[comfy.Phase]PointErrors `json:"phases,omitempty"`  // of setup, inference and finishing, those that there were
	First   *ETASaid                    `json:"first,omitempty"`   // the first end that was foretold; nil: none ever was
	Later   []ETASaid                   `json:"later,omitempty"`   // the first of those from each quarter of the run on
	Samples []Sample                    `json:"samples,omitempty"` // in the order of time, at most mostSamples
}

// PointErrors are mean absolute errors in points (of 100) of Easel's number and of the two bars that others show.
type PointErrors struct {
	Overall float64 `json:"overall"`
	Nodes   float64 `json:"nodes"`   // nodes that are over, of all
	Steps   float64 `json:"steps"`   // sampler steps alone
	Seconds float64 `json:"seconds"` // how long this is the mean of
}

// ETASaid is an end that was foretold, in seconds since ComfyUI's start.
type ETASaid struct {
	At     float64 `json:"at"`             // when it was said
	From   int     `json:"from,omitempty"` // 25, 50 or 75: the percent of the run that had to be over; 0: the first of all
	Low    float64 `json:"low"`
	Mean   float64 `json:"mean"`
	High   float64 `json:"high"`
	Inside bool    `json:"inside"` // whether the attempt ended between Low and High; of one that has ended
}

// Sample is what three bars showed at one moment of a run, 0 to 100, At seconds after ComfyUI's start.
type Sample struct {
	At      float64     `json:"at"`
	Phase   comfy.Phase `json:"phase"`
	Overall int         `json:"overall"`
	Nodes   int         `json:"nodes"`
	Steps   int         `json:"steps"`
}

// readCalibration is that of an attempt that has ended; nil: there is none.
func readCalibration(raw []byte) *Calibration {
	c := parseCalibration(raw)
	if c == nil || c.Seconds <= 0 {
		return nil
	}
	return c
}

func parseCalibration(raw []byte) *Calibration {
	var c Calibration
	if len(raw) == 0 || json.Unmarshal(raw, &c) != nil {
		return nil
	}
	return &c
}

// store is the form of the column; nil: it cannot be written.
func (c *Calibration) store() []byte {
	raw, err := json.Marshal(c)
	if c == nil || err != nil {
		return nil
	}
	return raw
}

// conclude holds what was said against a run that took seconds. What was shown last is taken to have stood until
// the end.
func (c *Calibration) conclude(seconds float64) {
	c.Seconds = max(seconds, c.Noted, shortestPart)
	for said := range c.said() {
		said.Inside = said.Low <= c.Seconds && c.Seconds <= said.High
	}
	const moments = 400
	var all errorSum
	phases := make(map[comfy.Phase]*errorSum)
	at, shown := 0, Sample{Phase: comfy.PhaseSetup}
	for i := range moments {
		truth := 100 * (float64(i) + 0.5) / moments
		now := c.Seconds * truth / 100
		for ; at < len(c.Samples) && c.Samples[at].At <= now; at++ {
			shown = c.Samples[at]
		}
		if now >= c.Over {
			shown.Phase = comfy.PhaseFinishing
		}
		off := shown.off(truth)
		all.add(off)
		if phases[shown.Phase] == nil {
			phases[shown.Phase] = new(errorSum)
		}
		phases[shown.Phase].add(off)
	}
	c.Errors = all.mean()
	c.Errors.Seconds = c.Seconds
	c.Phases = make(map[comfy.Phase]PointErrors, len(phases))
	for phase, sum := range phases {
		errors := sum.mean()
		errors.Seconds = c.Seconds * float64(sum.n) / moments
		c.Phases[phase] = errors
	}
}

// said are the ends that were foretold.
func (c *Calibration) said() iter.Seq[*ETASaid] {
	return func(yield func(*ETASaid) bool) {
		if c.First != nil && !yield(c.First) {
			return
		}
		for i := range c.Later {
			if !yield(&c.Later[i]) {
				return
			}
		}
	}
}

// off is how far the bars are from the truth, in points.
func (s Sample) off(truth float64) PointErrors {
	return PointErrors{
		Overall: math.Abs(float64(s.Overall) - truth), Nodes: math.Abs(float64(s.Nodes) - truth), Steps: math.Abs(float64(s.Steps) - truth),
	}
}

// errorSum adds errors up, for their mean.
type errorSum struct {
	sum PointErrors
	n   int
}

func (s *errorSum) add(e PointErrors) {
	s.sum.Overall += e.Overall
	s.sum.Nodes += e.Nodes
	s.sum.Steps += e.Steps
	s.sum.Seconds += e.Seconds
	s.n++
}

// mean is 0 of nothing.
func (s *errorSum) mean() PointErrors {
	n := float64(max(s.n, 1))
	return PointErrors{s.sum.Overall / n, s.sum.Nodes / n, s.sum.Steps / n, s.sum.Seconds / n}
}

// notes are what is kept of what is said of an attempt while it is followed. The hub's mu guards them.
type notes struct {
	samples []Sample
	said    Calibration // no more than the ends that were foretold
	every   float64     // least seconds between two samples: doubled when there are too many
	last    outlook     // what was foretold with the last message, and when
	lastAt  float64
}

const (
	mostSamples = 100
	firstEvery  = 0.02
)

// add takes in what is shown of a prompt that is at work.
func (n *notes) add(p *Progress, s *comfy.Progress, now time.Time) {
	if !working(p.Phase) || s.StartedAt.IsZero() {
		return
	}
	at := s.Elapsed(now).Seconds()
	n.fill(at)
	n.last, n.lastAt = p.outlook(at), at
	if p.ETAKnown {
		n.said.say(ETASaid{At: at, Low: at + p.ETALow.Seconds(), Mean: at + p.ETA.Seconds(), High: at + p.ETAHigh.Seconds()}, p.Overall)
	}
	n.sample(Sample{At: at, Phase: p.Phase, Overall: p.Overall, Nodes: nodesDone(s), Steps: percent(s.StepsDone, s.StepsPlanned)})
}

// say takes in an end that was foretold when so many percent of the run were over, if it is one of those that are kept.
func (c *Calibration) say(said ETASaid, overall int) {
	if c.First == nil {
		first := said
		c.First = &first
	}
	if said.From = overall / quarter * quarter; said.From == 0 || len(c.Later) > 0 && c.Later[len(c.Later)-1].From >= said.From {
		return
	}
	c.Later = append(c.Later, said)
}

// quarter of a run, in percent.
const quarter = 25

// outlook is what p says, at seconds after ComfyUI's start.
func (p *Progress) outlook(at float64) outlook {
	if !p.ETAKnown || p.ETALow <= 0 {
		return outlook{}
	}
	spread := math.Log(p.ETAHigh.Seconds()/p.ETALow.Seconds()) / (2 * inRange)
	left := p.ETA.Seconds()
	return outlook{Fraction: float64(p.Overall) / 100, Spent: at, Left: left, Variance: left * left * math.Expm1(spread*spread), Known: true, Grace: p.grace}
}

// fill adds what a watcher has seen since the last message, for the number moves without one; so it is noted whether
// anybody watched or not.
func (n *notes) fill(at float64) {
	const most = 20
	if len(n.samples) == 0 || !n.last.Known {
		return
	}
	pause := max((at-n.lastAt)/(most+1), moveAfter(100/(n.last.Spent+n.last.Left)).Seconds())
	for t := n.lastAt + pause; t < at; t += pause {
		shown := n.samples[len(n.samples)-1]
		shown.At = t
		shown.Overall = max(shown.Overall, min(int(100*n.last.after(time.Duration((t-n.lastAt)*float64(time.Second))).Fraction), 99))
		n.sample(shown)
	}
}

// conclude is the record of what was said, when ComfyUI was done at over and that was found at noted, seconds after its
// start. What is shown until the end follows from what was foretold last.
func (n *notes) conclude(over, noted float64) *Calibration {
	n.fill(max(noted, n.lastAt+3*n.last.Left))
	return &Calibration{Over: over, Noted: noted, First: n.said.First, Later: n.said.Later, Samples: n.samples}
}

func (n *notes) sample(s Sample) {
	n.every = max(n.every, firstEvery)
	if k := len(n.samples); k > 0 {
		before := &n.samples[k-1]
		s.Overall = max(s.Overall, before.Overall) // as it is shown: never back
		if s.At-before.At < n.every && s.Phase == before.Phase {
			return
		}
	}
	n.samples = append(n.samples, s)
	if len(n.samples) < mostSamples {
		return
	}
	n.every *= 2
	kept := n.samples[:0]
	for i, s := range n.samples {
		if i%2 == 0 {
			kept = append(kept, s)
		}
	}
	n.samples = kept
}

// nodesDone is a bar that takes every node for as long as any other.
func nodesDone(s *comfy.Progress) int {
	over, all := s.Nodes()
	return percent(over, all)
}
