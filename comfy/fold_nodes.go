package comfy

import (
	"slices"
	"strings"
	"time"
)

// enter notes the node that executing names. Servers without progress_state say only so that the
// one before is over; beside progress_state it proves nothing, for an async node goes on.
func (plan *Plan) enter(q *Progress, m Message) {
	i, ok := plan.lookup(q.run, m.Node, m.DisplayNode)
	if !ok {
		q.setNode(plan, -1)
		q.Node = strings.Clone(m.Node[:min(len(m.Node), maxForeignID)])
		return
	}
	before := q.active - 1
	left := !q.run.states && before >= 0 && before != i && q.run.status[before] == running
	start := q.run.status[i] == untouched || !q.run.states && q.run.status[i] != running
	_, sent := plan.index[m.Node]
	if left || start || !sent {
		r := q.run.clone()
		if !sent {
			r.remember(m.Node, i)
		}
		if left {
			r.status[before] = over
		}
		if start {
			r.status[i] = running
		}
		q.run = plan.seal(r)
	}
	q.setNode(plan, i)
}

// maxForeignID bounds an id that is shown although the plan does not have it, in bytes.
const maxForeignID = 200

// leave notes a node that has put out what it shows: for servers without progress_state the only
// word on the last node's end.
func (plan *Plan) leave(q *Progress, m Message) {
	i, ok := plan.lookup(q.run, m.Node, m.DisplayNode)
	if !ok || q.run.states || q.run.status[i].settled() {
		return
	}
	r := q.run.clone()
	r.status[i] = over
	q.run = plan.seal(r)
}

// step takes a progress message.
func (plan *Plan) step(q *Progress, m Message, at time.Time) {
	if m.Node != q.bar.id || m.Node == "" {
		i, ok := plan.lookup(q.run, m.Node, m.DisplayNode)
		switch {
		case !ok:
			return
		case !plan.counts(i):
			plan.sideStep(q, i, m)
			return
		case !q.turnTo(plan, m.Node, i):
			return
		}
	}
	before, i := q.bar, q.bar.node
	q.bar = before.move(stepCount(m.Value), stepCount(m.Max))
	q.Step, q.Steps = q.bar.value, max(q.bar.value, q.bar.max)
	if q.run.status[i] != running {
		r := q.run.clone()
		r.status[i] = running
		q.run = plan.seal(r)
	}
	q.setNode(plan, i)
	q.clock(before, at)

	switch steps := q.bar.value - before.value; {
	case q.bar.passes != before.passes: // the time before a first step is set-up
		q.stepAt = at
	case steps > 0:
		q.StepTime = smoothed(q.StepTime, at.Sub(q.stepAt)/time.Duration(steps))
		q.stepAt = at
	}
}

// smoothed moves a third of the way to the newest time: slow enough for one hiccup, quick enough
// for a server that slows down.
func smoothed(old, latest time.Duration) time.Duration {
	if old == 0 || latest < 0 {
		return max(old, latest)
	}
	return old + (latest-old)/3
}

// sideStep takes the progress of a node that counts no steps. It is shown, unless a sampler is at work.
func (plan *Plan) sideStep(q *Progress, i int, m Message) {
	if m.Max > 0 && m.Value >= 0 {
		q.side = sideBar{node: i, part: min(m.Value/m.Max, 1)}
	}
	if a := q.active - 1; a < 0 || !plan.counts(a) || q.run.status[a] != running {
		q.setNode(plan, i)
	}
}

// turnTo makes the bar called id, of node i, the one at work, and puts the one before away. False: there
// are too many.
func (q *Progress) turnTo(plan *Plan, id string, i int) bool {
	r := q.run.clone()
	put := func(b bar) int {
		at := slices.IndexFunc(r.bars, func(other bar) bool { return other.id == b.id })
		if at < 0 {
			r.bars = append(r.bars, b)
			return len(r.bars) - 1
		}
		if b.passes > 0 {
			r.bars[at] = b
		}
		return at
	}
	if len(r.bars) >= maxBars {
		return false
	}
	if q.bar.id != "" {
		put(q.bar)
	}
	if plan.nodes[i].id == id {
		id = plan.nodes[i].id // the message's text need not live on
	} else {
		id = strings.Clone(id)
		r.remember(id, i)
	}
	q.bar = r.bars[put(bar{id: id, node: i})]
	q.run = r
	return true
}

// takeStates takes a progress_state message. It repeats every node touched so far, so one is
// enough to catch up. It moves no step: those are the samplers' own to tell.
func (plan *Plan) takeStates(q *Progress, nodes []NodeState) {
	r := q.run
	var few, fewer [256]status // most graphs fit, and most messages change nothing
	heard := few[:]
	if len(r.status) > len(few) {
		heard = make([]status, len(r.status))
	}
	foreign := false
	last := -1 // the last node at work
	q.fallback = 0
	for k := range nodes {
		s := &nodes[k]
		if s.Max > 1 { // 0 of 1 and 1 of 1 only fill in for nodes without a bar
			q.fallback += stepCount(s.Max)
		}
		i, ok := r.order.find(plan, k, s.Node)
		if !ok {
			if i, ok = plan.place(r, s); !ok {
				continue
			}
			foreign = foreign || !r.knows(s.Node)
		}
		switch s.State {
		case "running": // one of several that a node stands for is enough
			heard[i], last = running, i
			if s.Max > 1 && !plan.counts(i) {
				q.side = sideBar{node: i, part: min(max(s.Value/s.Max, 0), 1)}
			}
		case "finished":
			if heard[i] != running {
				heard[i] = over
			}
		}
	}
	next := append(fewer[:0], r.status...)
	for i, s := range heard[:len(next)] {
		if s == running || s == over && next[i] != cached {
			next[i] = s
		}
	}
	plan.settle(next, r.gap)
	if foreign || !r.states || !slices.Equal(next, r.status) {
		r = r.clone()
		r.states = true
		copy(r.status, next)
		r.order = plan.orderOf(nodes)
		for k := range nodes {
			s := &nodes[k]
			if _, known := plan.index[s.Node]; known || !foreign {
				continue
			}
			if i, ok := plan.place(r, s); ok {
				r.remember(s.Node, i)
			}
		}
		q.run = plan.seal(r)
	}
	if a := q.active - 1; last >= 0 && (a < 0 || q.run.status[a].settled()) {
		q.setNode(plan, last)
	}
}

// place finds the node of the plan for one that is not in the sent graph.
func (plan *Plan) place(r *run, s *NodeState) (int, bool) {
	if i, ok := plan.lookup(r, s.Node, s.DisplayNode); ok {
		return i, true
	}
	i, ok := plan.index[s.RealNode]
	return i, ok
}

// knows reports whether an id that is not in the sent graph has been placed.
func (r *run) knows(id string) bool {
	_, ok := r.expanded[id]
	return ok
}

// setNode makes node i of the plan the one that is shown; -1 is none.
func (q *Progress) setNode(plan *Plan, i int) {
	if q.active == i+1 && i >= 0 {
		return
	}
	q.active = i + 1
	if i < 0 {
		q.Node, q.NodeClass, q.NodeTitle = "", "", ""
		return
	}
	n := &plan.nodes[i]
	q.Node, q.NodeClass, q.NodeTitle = n.id, n.class, n.title
}
