package comfy

import (
	"maps"
	"slices"
	"strings"
)

// status is what is known of one node of the plan.
type status uint8

const (
	untouched status = iota
	running
	over    // it ran, and has ended
	cached  // its result was there before
	skipped // nobody needs it any more: what links to it is over or cached
)

// settled reports whether the node has nothing left to do.
func (s status) settled() bool { return s >= over }

// run is the part of a prompt's state that changes with nodes, not with steps.
type run struct {
	plan   *Plan
	status []status // by node of the plan
	times  []span   // by node of the plan
	bars   []bar    // that count; the one at work is older here than in Progress.bar
	past   []bar    // as they were at the end of each pass but their last

	expanded map[string]int // ids that are not in the sent graph, to the node that stands for them

	spent, all float64 // costs of the nodes that count no steps: of those over, of all that run

	order order // of the nodes in progress_state when the statuses changed last

	states bool // progress_state was heard: it alone says which node is over
	gap    bool // some messages were missed, so silence proves nothing
}

// order is where in the plan the nodes of a message are; -1: not in the sent graph. One message
// names them in the order of the one before, so that this is a good guess, and cheaper than to look
// hundreds of ids up at every step.
type order []int32

func (plan *Plan) orderOf(nodes []NodeState) order {
	o := make(order, len(nodes))
	for k := range nodes {
		o[k] = -1
		if i, ok := plan.index[nodes[k].Node]; ok {
			o[k] = int32(i) //nolint:gosec // of a graph's nodes
		}
	}
	return o
}

// find finds the k-th node of a message in the plan.
func (o order) find(plan *Plan, k int, id string) (int, bool) {
	if k < len(o) && o[k] >= 0 && plan.nodes[o[k]].id == id {
		return int(o[k]), true
	}
	i, ok := plan.index[id]
	return i, ok
}

// sideBar is the progress of a node that counts no steps, such as the tiles of a decoder.
type sideBar struct {
	node int     // in the plan
	part float64 // 0 to 1
}

// bar is the progress of one node on the wire that counts steps: a sampler, one of the nodes that
// a sampler expanded into, or, in a graph without samplers, any node with progress.
type bar struct {
	id         string // on the wire; empty: none
	node       int    // in the plan
	base       int    // steps of the passes before
	value, max int    // of the present pass
	passes     int    // begun

	first, last moment // when the present pass was first seen to have moved, and last
	from        int    // value at first
}

// maxBars bounds what one prompt can make us remember. The steps of a loop with more rounds are no
// longer shown; its end is.
const maxBars = 1000

func (b bar) done() int    { return b.base + b.value }
func (b bar) planned() int { return b.base + max(b.value, b.max) }

// move takes the next value of the bar. A smaller one begins the next pass: the same node runs again
// for the next element of a list.
func (b bar) move(value, limit int) bar {
	if value < b.value || b.passes == 0 {
		b.base = b.planned()
		b.passes++
	}
	b.value, b.max = value, limit
	return b
}

// clone is a copy to write into. The map is still shared; remember replaces it.
func (r *run) clone() *run {
	c := *r
	c.status = slices.Clone(r.status)
	c.times = slices.Clone(r.times)
	c.bars = slices.Clone(r.bars)
	c.past = slices.Clip(r.past) // only appended to
	return &c
}

// remember notes that id on the wire means node i.
func (r *run) remember(id string, i int) {
	if _, ok := r.expanded[id]; ok || len(r.expanded) >= maxBars {
		return
	}
	r.expanded = maps.Clone(r.expanded) // states made before keep theirs
	if r.expanded == nil {
		r.expanded = make(map[string]int)
	}
	r.expanded[strings.Clone(id)] = i
}

// lookup finds the node of the plan that a message means.
func (plan *Plan) lookup(r *run, id, display string) (int, bool) {
	if i, ok := plan.index[id]; ok {
		return i, true
	}
	if i, ok := r.expanded[id]; ok {
		return i, true
	}
	return plan.find(id, display)
}

// counts reports whether the progress of node i counts as steps.
func (plan *Plan) counts(i int) bool {
	return plan.nodes[i].sampler || len(plan.samplers) == 0
}

// settle marks what will not run: a node all of whose users are over or cached. So the
// nodes before a cached one are out of the sum, and a branch that a lazy node did not ask for.
//
// After a gap execution_cached may be among what was missed. Then a node that was not touched, but
// whose user was, is taken as cached; not so a sampler, of which a lazy user may yet ask.
func (plan *Plan) settle(s []status, gap bool) {
	for i := len(plan.nodes) - 1; i >= 0; i-- {
		n := &plan.nodes[i]
		if s[i] != untouched || len(n.users) == 0 {
			continue
		}
		settled, touched := true, false
		for _, user := range n.users {
			settled = settled && s[user].settled()
			touched = touched || s[user] != untouched
		}
		if settled || gap && touched && !n.sampler {
			s[i] = skipped
		}
	}
}

// tally is the sum over all samplers, or over all bars of a graph without samplers.
type tally struct {
	done, planned int // steps
	begun, passes int
	heard         bool // some sampler has reported a step or has run
	open          bool // some sampler has still to run or to end
}

// tally sums up, with now in the place of its older self in r.
func (plan *Plan) tally(r *run, now bar) tally {
	var t tally
	for _, i := range plan.samplers {
		plan.addSampler(&t, r, now, i)
	}
	if len(plan.samplers) > 0 {
		t.planned += plan.further(r, now)
		return t
	}
	t.open = true // which bars are still to come is not known
	for _, b := range r.bars {
		if b.id == now.id {
			b = now
		}
		t.done += b.done()
		if r.status[b.node] == over {
			t.done += b.planned() - b.done()
		}
		t.planned += b.planned()
		t.begun += b.passes
		t.passes += b.passes
		t.heard = true
	}
	return t
}

// addSampler adds node i.
func (plan *Plan) addSampler(t *tally, r *run, now bar, i int) {
	s := r.status[i]
	if s == cached || s == skipped {
		return
	}
	g := plan.ofSampler(r, now, i)
	t.done += g.done
	t.planned += g.planned
	t.begun += g.begun
	t.passes += g.passes
	t.heard = t.heard || g.begun > 0 || s == over
	t.open = t.open || s != over
}

// ofSampler is the sum of node i, a sampler that is not cached, with the bars of all that it expanded into.
func (plan *Plan) ofSampler(r *run, now bar, i int) tally {
	n, s := &plan.nodes[i], r.status[i]
	var g tally
	own := false // the node itself has announced its steps, rather than what it expanded into
	for _, b := range r.bars {
		if b.node != i {
			continue
		}
		if b.id == now.id {
			b = now
		}
		own = own || b.id == n.id
		g.done += b.done()
		g.planned += b.planned()
		g.begun += b.passes
	}
	g.passes = g.begun
	switch {
	case s == over && g.begun == 0 && r.gap: // its steps went by unheard
		g.planned, g.begun, g.passes = n.steps, 1, 1
	case s != over && !own && n.steps > g.planned:
		g.planned = n.steps
		g.passes = max(g.passes, 1)
	}
	if s == over { // also of a sampler that ended early: nothing of it is left
		g.done = g.planned
	}
	return g
}

// seal brings what is derived in r in line with its statuses; nothing is written into r afterwards.
func (plan *Plan) seal(r *run) *run {
	plan.settle(r.status, r.gap)
	r.spent, r.all = 0, 0
	for i, s := range r.status {
		n := &plan.nodes[i]
		if !n.wanted || n.sampler || s == cached || s == skipped {
			continue
		}
		r.all += n.cost
		if s == over {
			r.spent += n.cost
		}
	}
	return r
}

// fraction weighs what is done against all, with t as the samplers' part: a step costs one.
func (plan *Plan) fraction(q *Progress, t tally) float64 {
	spent, all := q.run.spent, q.run.all
	part := func(node int, part float64) {
		if node < len(plan.nodes) && q.run.status[node] == running {
			spent += plan.nodes[node].cost * min(part, 1)
		}
	}
	part(q.side.node, q.side.part)
	if len(plan.samplers) > 0 {
		spent, all = spent+float64(t.done), all+float64(t.planned)
	} else {
		for _, b := range q.run.bars {
			if b.id == q.bar.id {
				b = q.bar
			}
			part(b.node, float64(b.done())/float64(max(1, b.planned())))
		}
	}
	if all <= 0 {
		return 0
	}
	return spent / all
}
