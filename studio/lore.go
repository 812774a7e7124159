package studio

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
)

// lore is what was learned of how long things take, on all instances: what every estimate is made from. Its zero
// value knows nothing. Methods may be called from any goroutine.
type lore struct {
	mu      sync.RWMutex // guards all below
	known   map[subject]learned
	pending map[subject]lesson // not stored yet
}

// kind is what makes two images alike, as far as their times go.
type kind struct {
	server          uuid.UUID
	workflow, model string
	width, height   int // 0: the workflow has no such field
	steps           int // as the form has them; 0: it has no such field
}

// subject is what one time was learned of.
type subject struct {
	scope string // which runs: of one kind, of one workflow and model on a server, of a server, or of all
	node  string // id in the graph, in the two wider scopes the class; empty: the whole run
	part  part
	cold  bool // a model was read in the same run
}

// part is a stretch of a node's work, or of a run's.
type part string

// The parts.
const (
	partWhole part = ""      // of a node that counts no steps
	partFirst part = "first" // of a sampler, until its first step was seen
	partStep  part = "step"  // of a sampler, one step
	partLast  part = "last"  // of a sampler, from its last step on: some say that it is the last, and go on
	partStore part = "store" // of a run: from ComfyUI's end to the stored files
	partSteps part = "steps" // of a run: all sampling, for each step that the form asks for
	partRest  part = "rest"  // of a run: all else, up to ComfyUI's end
)

// learned is a logarithmic normal distribution of seconds that follows what comes: at first the mean of all, then
// mostly of the last few.
type learned struct {
	mean, variance float64 // of the logarithm of seconds; where pictures count, of seconds for each megapixel
	count          int
}

// lesson is what runs have shown of one subject since it was stored last.
type lesson struct {
	sum, squares float64
	count        int
}

// levels are the scopes of a kind, from the most to the least specific.
const levels = 4

// scopes are the names of the scopes. A model's name may be of any length and have any character.
func (k kind) scopes() [levels]string {
	of := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:12])
	}
	like := fmt.Sprintf("%s\n%s\n%s", k.server, k.workflow, k.model)
	return [levels]string{of(fmt.Sprintf("%s\n%dx%d", like, k.width, k.height)), of(like), k.server.String(), "all"}
}

// inexact is what is added to the variance of what was learned in each of the scopes, for it is of something else.
var inexact = [levels]float64{0, 0.02, 0.1, 0.4}

const (
	otherStart = 0.15 // the same for what was learned of runs that read a model, of one that does not, or the other way round
	fewSpread  = 0.2  // what one run alone leaves open, divided by how many there were
)

// at is the subject of a part of w in the scope of a level. scale is what its seconds are divided by.
func (k kind) at(level int, scopes *[levels]string, w *comfy.Work, p part, cold bool) (s subject, scale float64) {
	s = subject{scope: scopes[level], node: w.Node, part: p, cold: cold}
	if level >= 2 {
		s.node = w.Class
	}
	scale = 1
	if level > 0 && w.Pictures && p != partFirst {
		scale = k.megapixels()
	}
	return s, scale
}

// leastMegapixels is the size below which a picture takes no less time: what does not depend on its size is most of it.
const leastMegapixels = 0.25

func (k kind) megapixels() float64 {
	if k.width <= 0 || k.height <= 0 {
		return 1
	}
	return max(float64(k.width)*float64(k.height)/1e6, leastMegapixels)
}

// about is what was learned that says something of one kind. The lore's mu is held while it is used.
type about struct {
	*lore
	kind
	scopes [levels]string
}

func (l *lore) about(k kind) about { return about{l, k, k.scopes()} }

// find is what is believed of a part of a node, from the most specific scope that anything is known in.
func (l *about) find(w *comfy.Work, p part, cold bool) (guess, bool) {
	for level := range levels {
		for _, start := range [2]bool{cold, !cold} {
			s, scale := l.at(level, &l.scopes, w, p, start)
			t, ok := l.known[s]
			if !ok || t.count < 1 {
				continue
			}
			doubt := inexact[level] + fewSpread*fewSpread/float64(t.count)
			if start != cold {
				doubt += otherStart
			}
			return guess{t.mean + math.Log(scale), t.variance}.doubted(doubt), true
		}
	}
	return guess{}, false
}

// teach takes in what a run of a kind has shown of one part.
func (l *lore) teach(k kind, w *comfy.Work, p part, cold bool, took time.Duration) {
	if took < 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ready()
	scopes := k.scopes()
	for level := range levels {
		s, scale := k.at(level, &scopes, w, p, cold)
		if s.node != storableText(s.node) {
			return // nothing that could be stored under its name
		}
		l.take(s, math.Log(max(took.Seconds(), shortestPart)/scale))
	}
}

// take takes in what a run has shown of a subject; mu is held.
func (l *lore) take(s subject, x float64) {
	if t, ok := l.known[s]; ok || len(l.known) < mostLore {
		l.known[s] = t.after(lesson{x, x * x, 1}, s.part)
	}
	if t, ok := l.pending[s]; ok || len(l.pending) < mostLessons {
		l.pending[s] = lesson{t.sum + x, t.squares + x*x, t.count + 1}
	}
}

// ready makes the maps; mu is held.
func (l *lore) ready() {
	if l.known == nil {
		l.known, l.pending = make(map[subject]learned), make(map[subject]lesson)
	}
}

const (
	mostLore    = 20_000 // subjects in memory
	mostLessons = 5_000  // subjects that wait to be stored
)

// What the statement TimingsLearn does as well.
const (
	latestWeight = 0.2  // of each new time, once there were a few
	mostNews     = 1.5  // what is off by a larger factor than e to this counts as if it were off by that
	missWeight   = 0.03 // latestWeight of misses: the mean of a few says little of how far they scatter
)

// after is what is believed of a part once a lesson is taken in.
func (t learned) after(n lesson, of part) learned {
	latest, most := latestWeight, mostNews
	if of.isMiss() {
		latest, most = missWeight, mostMiss*mostMiss
	}
	mean := n.sum / float64(n.count)
	own := max(n.squares/float64(n.count)-mean*mean, 0)
	if t.count == 0 {
		return learned{mean, own, n.count}
	}
	weight := max(float64(n.count)/float64(t.count+n.count), 1-math.Pow(1-latest, float64(n.count)))
	news := min(max(mean-t.mean, -most), most)
	return learned{
		mean:     t.mean + weight*news,
		variance: (1-weight)*(t.variance+weight*news*news) + weight*own,
		count:    t.count + n.count,
	}
}

// study learns from a prompt that has succeeded, if all of it was heard.
func (l *lore) study(k kind, s *comfy.Progress) {
	if !s.Whole() || s.Phase != comfy.PhaseComplete {
		return
	}
	works := s.Work()
	cold := isCold(works)
	var sampling time.Duration
	for i := range works {
		w := &works[i]
		switch {
		case !w.Over || w.End == 0:
		case !w.Sampler:
			l.teach(k, w, partWhole, cold, w.End-w.Start)
		case len(w.Passes) > 0:
			step := paceOf(w.Passes)
			if step > 0 {
				l.teach(k, w, partStep, cold, step)
				sampling += step * time.Duration(w.Done)
			}
			l.teach(k, w, partFirst, cold, w.Passes[0].Start-w.Start)
			l.teach(k, w, partLast, cold, w.End-w.Passes[len(w.Passes)-1].End)
		}
	}
	if s.Reused {
		return // nobody asks for the same picture again to wait for it
	}
	all := s.UpdatedAt.Sub(s.StartedAt)
	run := &comfy.Work{Pictures: true}
	if k.steps > 0 && sampling > 0 {
		l.teach(k, run, partSteps, false, sampling/time.Duration(k.steps))
		all -= sampling
	}
	l.teach(k, &comfy.Work{}, partRest, cold, all)
}

// paceOf is the time of one step, by those that came after the first, what is between two passes included; 0: there
// were none.
func paceOf(passes []comfy.PassTime) time.Duration {
	steps := -passes[0].First
	for _, p := range passes {
		steps += p.Steps
	}
	if steps <= 0 {
		return 0
	}
	return (passes[len(passes)-1].End - passes[0].Start) / time.Duration(steps)
}

// outlookOf is foretell, from a goroutine that holds nothing.
func (l *lore) outlookOf(k kind, s *comfy.Progress, spent, stored time.Duration, now time.Time) outlook {
	l.mu.RLock()
	defer l.mu.RUnlock()
	a := l.about(k)
	return a.foretell(s, spent, stored, now)
}

// typical is how long an image of a kind takes from ComfyUI's start to its stored files, before anything is known of
// it but what the form says, and, by cold, that its models are not loaded.
func (l *lore) typical(k kind, cold bool) (amount, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	a := l.about(k)
	rest, ok := a.find(&comfy.Work{}, partRest, cold)
	if !ok {
		return amount{}, false
	}
	var all togetherness
	all.add(rest.amount())
	if steps, ok := a.find(&comfy.Work{Pictures: true}, partSteps, false); ok && k.steps > 0 {
		all.add(steps.amount().times(float64(k.steps)))
	}
	if store, ok := a.find(&comfy.Work{}, partStore, false); ok {
		all.add(store.amount())
	}
	return all.amount(), true
}
