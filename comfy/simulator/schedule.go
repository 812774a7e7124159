package simulator

import "slices"

// schedule decides which node of a graph runs next, in ComfyUI's order: nodes whose inputs are there, in the order in
// which the outputs' dependencies were found, but outputs, and what leads to an output in one or two steps, first.
// Source: ComfyUI comfy_execution/graph.py, TopologicalSort and ExecutionList.
type schedule struct {
	node   func(id string) *object // by id, nodes of expansions included
	class  func(name string) *class
	cached func(id string) bool

	pending  []string            // in the order in which they were added
	waitsFor map[string]int      // how many nodes each pending node waits for
	blocks   map[string][]string // which nodes wait for this one, in the order of the links
}

func newSchedule(node func(string) *object, class func(string) *class, cached func(string) bool) *schedule {
	return &schedule{
		node: node, class: class, cached: cached,
		waitsFor: map[string]int{}, blocks: map[string][]string{},
	}
}

// link reads an input value as [node id, output slot].
func link(v any) (from string, slot int, ok bool) {
	list, isList := v.([]any)
	if !isList || len(list) != 2 {
		return "", 0, false
	}
	from, isText := list[0].(string)
	n, isInt := asInt(list[1])
	return from, int(n), isText && isInt
}

// add puts a node and all it depends on into the schedule; lazy inputs wait until the node asks for them.
func (s *schedule) add(id string) {
	type edge struct{ from, to string }
	var edges []edge
	stack := []string{id}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if slices.Contains(s.pending, at) {
			continue
		}
		s.pending = append(s.pending, at)
		s.waitsFor[at] = 0
		s.blocks[at] = nil
		node := s.node(at)
		inputs := node.member("inputs")
		if inputs == nil {
			continue
		}
		for _, name := range inputs.keys {
			from, _, ok := link(inputs.values[name])
			if !ok || s.class(node.text("class_type")).input(name).lazy {
				continue
			}
			if !s.cached(from) {
				stack = append(stack, from)
			}
			edges = append(edges, edge{from, at})
		}
	}
	for _, e := range edges {
		s.need(e.from, e.to)
	}
}

// need makes a pending node wait for another, unless that one's result is there already.
func (s *schedule) need(from, to string) {
	if s.cached(from) {
		return
	}
	s.add(from)
	if !slices.Contains(s.blocks[from], to) {
		s.blocks[from] = append(s.blocks[from], to)
		s.waitsFor[to]++
	}
}

// next picks the node to run; ok is false when nothing is left.
func (s *schedule) next() (id string, ok bool) {
	var ready []string
	for _, id := range s.pending {
		if s.waitsFor[id] == 0 {
			ready = append(ready, id)
		}
	}
	if len(ready) == 0 {
		return "", false
	}
	isOutput := func(id string) bool { return s.class(s.node(id).text("class_type")).output }
	leadsTo := func(id string, far int) bool {
		next := []string{id}
		for range far {
			var beyond []string
			for _, n := range next {
				beyond = append(beyond, s.blocks[n]...)
			}
			next = beyond
		}
		return slices.ContainsFunc(next, isOutput)
	}
	for far := range 3 {
		for _, id := range ready {
			if leadsTo(id, far) {
				return id, true
			}
		}
	}
	return ready[0], true
}

// done takes a node that has run out of the schedule.
func (s *schedule) done(id string) {
	s.pending = slices.DeleteFunc(s.pending, func(p string) bool { return p == id })
	for _, waiting := range s.blocks[id] {
		s.waitsFor[waiting]--
	}
	delete(s.blocks, id)
}
