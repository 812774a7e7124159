package comfy

import (
	"cmp"
	"slices"
	"time"
)

// NodeTime is when a node of the sent graph ran, as its messages told.
type NodeTime struct {
	Node, Class, Title string

	Cached     bool          // its result was there before: it has no times
	Start, End time.Duration // since Progress.StartedAt; End is 0 while it runs
	Passes     []PassTime    // of a node that counts steps
}

// PassTime is one pass of a sampler. What its node took before Start went into loading and the first steps.
type PassTime struct {
	Start time.Duration // when its first step was seen, since Progress.StartedAt
	First int           // how many steps were done by then, mostly 1
	End   time.Duration // when its last step was seen
	Steps int           // how many were done by then
}

// Timeline lists the nodes that have begun, in the order in which they did, and after them those whose
// results were cached. Nodes of which nothing was heard are left out.
func (p *Progress) Timeline() []NodeTime {
	if p.run == nil || p.run.plan == nil {
		return nil
	}
	var ran, reused []NodeTime
	for i, s := range p.run.status {
		switch node := p.nodeTime(i); {
		case s == cached:
			node.Cached = true
			reused = append(reused, node)
		case p.run.times[i].start.known():
			ran = append(ran, node)
		}
	}
	slices.SortStableFunc(ran, func(a, b NodeTime) int { return cmp.Compare(a.Start, b.Start) })
	return append(ran, reused...)
}

// Whole reports whether all messages were heard since the prompt began, so that its times are true.
func (p *Progress) Whole() bool { return p.run != nil && !p.run.gap && !p.StartedAt.IsZero() }

// passes are those of node i of the plan.
func (p *Progress) passes(i int) []PassTime {
	var list []PassTime
	add := func(b bar) {
		if b.node == i && b.first.known() {
			list = append(list, PassTime{Start: b.first.since(), First: b.from, End: b.last.since(), Steps: b.value})
		}
	}
	for _, b := range p.run.past {
		add(b)
	}
	for _, b := range p.run.bars {
		if b.id == p.bar.id {
			b = p.bar
		}
		add(b)
	}
	slices.SortStableFunc(list, func(a, b PassTime) int { return cmp.Compare(a.Start, b.Start) })
	return list
}

// moment is a time since the prompt began, one nanosecond late: 0 is a time not known.
type moment time.Duration

func (m moment) known() bool          { return m > 0 }
func (m moment) since() time.Duration { return max(time.Duration(m)-1, 0) }

// momentOf is at as a moment of q.
func (p *Progress) momentOf(at time.Time) moment {
	return moment(max(at.Sub(p.StartedAt), 0) + 1)
}

// span is when a node was first seen at work and when it was last seen to have ended.
type span struct{ start, end moment }

// stamp notes when nodes began and ended, by what has changed since before. What a verdict says of a node that
// was never heard of is no time of it.
func (r *run) stamp(before *run, now moment, verdict bool) {
	for i, s := range r.status {
		if before != nil && s == before.status[i] || s != running && s != over || verdict && !r.times[i].start.known() {
			continue
		}
		if !r.times[i].start.known() {
			r.times[i].start = now
		}
		if s == over {
			r.times[i].end = now
		}
	}
}

// maxPasses bounds how many passes of one prompt are remembered one by one.
const maxPasses = 200

// clock keeps the times of the bar's present pass, after it moved from before.
func (p *Progress) clock(before bar, at time.Time) {
	b := &p.bar
	if b.passes != before.passes {
		if before.first.known() && len(p.run.past) < maxPasses {
			r := p.run.clone()
			r.past = append(r.past, before)
			p.run = r
		}
		b.first, b.last, b.from = 0, 0, 0
	} else if b.value == before.value {
		return
	}
	if b.value == 0 {
		return
	}
	b.last = p.momentOf(at)
	if !b.first.known() {
		b.first, b.from = b.last, b.value
	}
}
