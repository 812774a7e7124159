package comfy

import "time"

// Work is what a node of the sent graph has cost, or may yet: whoever has seen such runs before can tell from it
// how long the rest takes.
type Work struct {
	NodeTime // without times before it has begun, or where that went unheard

	Running, Over bool // neither: to come

	Sampler     bool    // it counts steps
	Done, Steps int     // of a sampler: steps done and planned, over all its passes
	Part        float64 // of a running node with another bar: how much of it is done, 0 to 1; 0: not known
	Weight      float64 // of any other: a guess at its cost in sampler steps, made from its class alone

	Pictures bool // it works on latents or images: the larger they are, the longer it takes
	Loads    bool // it reads a model
}

// Work lists the nodes that have run, that run and that are still to, in an order in which they can. What is cached,
// and what nobody needs, is left out.
func (p *Progress) Work() []Work {
	if p.run == nil || p.run.plan == nil {
		return nil
	}
	plan := p.run.plan
	list := make([]Work, 0, len(plan.nodes))
	for i, s := range p.run.status {
		n := &plan.nodes[i]
		if s == cached || s == skipped || !n.wanted && s == untouched {
			continue
		}
		w := Work{
			NodeTime: p.nodeTime(i), Running: s == running, Over: s == over,
			Sampler: n.sampler, Weight: n.cost, Pictures: n.pictures, Loads: n.loads,
		}
		switch {
		case n.sampler:
			t := plan.ofSampler(p.run, p.bar, i)
			w.Done, w.Steps = t.done, t.planned
		case s == running:
			w.Part = p.part(i)
		}
		list = append(list, w)
	}
	return list
}

// nodeTime is when node i of the plan ran.
func (p *Progress) nodeTime(i int) NodeTime {
	n, t := &p.run.plan.nodes[i], p.run.times[i]
	node := NodeTime{Node: n.id, Class: n.class, Title: n.title}
	if !t.start.known() {
		return node
	}
	node.Start, node.End, node.Passes = t.start.since(), t.end.since(), p.passes(i)
	if p.run.status[i] == running {
		node.End = 0 // it may have run before
		if p.Phase.Ended() {
			node.End = max(p.UpdatedAt.Sub(p.StartedAt), node.Start)
		}
	}
	return node
}

// part is how much node i has done, by a bar that is no sampler's.
func (p *Progress) part(i int) float64 {
	if p.side.node == i && p.side.part > 0 {
		return p.side.part
	}
	done, planned := 0, 0
	for _, b := range p.run.bars {
		if b.id == p.bar.id {
			b = p.bar
		}
		if b.node == i {
			done, planned = done+b.done(), planned+b.planned()
		}
	}
	return float64(done) / float64(max(planned, 1))
}

// Nodes counts the nodes that are over, and all that are not cached: what a bar shows that knows nothing of time.
func (p *Progress) Nodes() (over, all int) {
	if p.run == nil || p.run.plan == nil {
		return 0, 0
	}
	for i, s := range p.run.status {
		switch {
		case s == cached || s == skipped || !p.run.plan.nodes[i].wanted && s == untouched:
			continue
		case s.settled():
			over++
		}
		all++
	}
	return over, all
}

// Elapsed is how long the prompt has run by now; 0 before it began.
func (p *Progress) Elapsed(now time.Time) time.Duration {
	if p.StartedAt.IsZero() {
		return 0
	}
	return max(now.Sub(p.StartedAt), 0)
}
