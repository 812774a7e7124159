package workflow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Sources are the nodes that a node is linked to, by input, without repetition, sorted. They
// need not exist in the graph.
func (g Graph) Sources(id string) []string {
	var from []string
	n := g[id]
	for input := range n.Inputs {
		if source, _, ok := n.Link(input); ok {
			from = append(from, source)
		}
	}
	slices.Sort(from)
	return slices.Compact(from)
}

// Upstream are all nodes that id depends on, directly or not, sorted; id itself only when the
// graph runs in a circle.
func (g Graph) Upstream(id string) []string {
	seen := map[string]bool{}
	open := g.Sources(id)
	for len(open) > 0 {
		next := open[len(open)-1]
		open = open[:len(open)-1]
		if _, exists := g[next]; !exists || seen[next] {
			continue
		}
		seen[next] = true
		open = append(open, g.Sources(next)...)
	}
	return sortedKeys(seen)
}

// OutputNodes are the nodes whose results are the aim of the graph, sorted: those of an output
// class, or, for classes that info does not know (nil knows none), those that nothing is linked to.
func (g Graph) OutputNodes(info *ObjectInfo) []string {
	used := map[string]bool{}
	for id := range g {
		for _, from := range g.Sources(id) {
			used[from] = true
		}
	}
	var out []string
	for id, n := range g {
		if class, ok := info.Class(n.ClassType); ok && class.OutputNode || !ok && !used[id] {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// Order lists the nodes so that each comes after all it depends on; among equals the smaller id
// comes first. A graph that runs in a circle gives a *GraphError that names the way round.
func (g Graph) Order() ([]string, error) {
	const (
		entered = 1
		left    = 2
	)
	type step struct {
		id      string
		sources []string
	}
	state := make(map[string]int, len(g))
	order := make([]string, 0, len(g))
	for _, start := range sortedKeys(g) {
		if state[start] != 0 {
			continue
		}
		state[start] = entered
		way := []step{{start, g.Sources(start)}} // a stack of our own: graphs may be deep
		for len(way) > 0 {
			top := &way[len(way)-1]
			if len(top.sources) == 0 {
				state[top.id] = left
				order = append(order, top.id)
				way = way[:len(way)-1]
				continue
			}
			next := top.sources[0]
			top.sources = top.sources[1:]
			if _, exists := g[next]; !exists {
				continue
			}
			switch state[next] {
			case 0:
				state[next] = entered
				way = append(way, step{next, g.Sources(next)})
			case entered:
				at := slices.IndexFunc(way, func(s step) bool { return s.id == next })
				var circle []string
				for _, s := range way[at:] {
					circle = append(circle, quote(s.id))
				}
				return nil, &GraphError{Node: next, Problem: "its links run in a circle: " + strings.Join(append(circle, quote(next)), " from ")}
			}
		}
	}
	return order, nil
}

// Check looks at the graph as a server with this object_info would before it runs it: every link
// leads to a node that exists, no circle, every class is known, nothing required is missing, and
// there is something to put out. A nil info leaves the classes out. The problems come sorted by
// node.
func (g Graph) Check(info *ObjectInfo) []*GraphError {
	var problems []*GraphError
	for _, id := range sortedKeys(g) {
		n := g[id]
		for _, input := range sortedKeys(n.Inputs) {
			if from, _, ok := n.Link(input); ok {
				if _, exists := g[from]; !exists {
					problems = append(problems, &GraphError{Node: id, Input: input, Problem: fmt.Sprintf("it is linked to node %s, which does not exist", quote(from))})
				}
			}
		}
		if info == nil {
			continue
		}
		class, ok := info.Class(n.ClassType)
		if !ok {
			problems = append(problems, &GraphError{Node: id, Problem: fmt.Sprintf("the server has no node of class %s", quote(n.ClassType))})
			continue
		}
		for _, in := range class.Inputs {
			if _, given := n.Inputs[in.Name]; in.Section == Required && !given {
				problems = append(problems, &GraphError{Node: id, Input: in.Name, Problem: "it is required and missing"})
			}
		}
	}
	if len(g.OutputNodes(info)) == 0 {
		problems = append(problems, &GraphError{Problem: "the graph has no output node: nothing would be saved"})
	}
	if _, err := g.Order(); err != nil {
		if circle, ok := errors.AsType[*GraphError](err); ok {
			problems = append(problems, circle)
		}
	}
	return problems
}
