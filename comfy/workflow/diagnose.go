package workflow

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Named is what a server says of the nodes that it has.
type Named struct {
	Name string
	Info *ObjectInfo // nil: it has not told yet
}

// Diagnosis is what keeps a graph from running, and where it could run.
type Diagnosis struct {
	Problems []Problem // wherever it would run: of the graph itself, and what all servers lack
	Servers  []ServerDiagnosis
}

// ServerDiagnosis is what keeps a graph from running on one server, beside what keeps it from
// running anywhere.
type ServerDiagnosis struct {
	Name     string
	Known    bool // the server has told what it has
	Runs     bool // nothing speaks against it
	Problems []Problem
}

// Runs reports whether some server can run the graph.
func (d Diagnosis) Runs() bool {
	return slices.ContainsFunc(d.Servers, func(s ServerDiagnosis) bool { return s.Runs })
}

// What a diagnosis tells at most: more does nobody read, and the suggestions cost time.
const (
	mostProblems    = 100 // of the graph, and of each server
	mostNamed       = 8   // servers or nodes in a sentence
	mostSuggestions = 20  // problems that come with near names
)

// Diagnose looks at a graph as each of the servers would before it runs it. What none of those
// that are known can do is said once, of the graph; what some can is said of the others, with the
// names of those that can. Nodes for which nothing is put out may lack what they like, but their
// class. Which files a node could load that people upload is not looked at: they are sent along.
func Diagnose(g Graph, servers []Named) Diagnosis {
	var infos []*ObjectInfo
	d := Diagnosis{Servers: make([]ServerDiagnosis, len(servers))}
	for i, server := range servers {
		d.Servers[i] = ServerDiagnosis{Name: server.Name, Known: server.Info != nil}
		if server.Info != nil {
			infos = append(infos, server.Info)
		}
	}
	switch {
	case len(g) == 0:
		d.Problems = []Problem{{Code: CodeNoOutput, Message: "The graph has no nodes."}}
		return d
	case len(g) > MaxNodes:
		d.Problems = []Problem{{Code: CodeTooLarge, Message: fmt.Sprintf("The graph has %s nodes; at most %s are taken.", thousands(len(g)), thousands(MaxNodes))}}
		return d
	}
	d.Problems = newSurvey(g, infos).structure()
	sound := len(d.Problems) == 0

	found := make([]findings, len(servers))
	everywhere := findings{}
	lacking := map[Problem]int{} // how many of the known servers
	for i, server := range servers {
		if server.Info == nil {
			continue
		}
		found[i] = newSurvey(g, []*ObjectInfo{server.Info}).examine()
		for at, f := range found[i] {
			if lacking[at]++; lacking[at] == len(infos) {
				everywhere[at] = f
			}
		}
	}
	w := wording{servers: servers, suggestions: mostSuggestions, said: map[string]string{}}
	d.Problems = append(d.Problems, w.all(everywhere, w.nowhere)...)
	sortProblems(d.Problems)
	for i := range d.Servers {
		d.Servers[i].Runs = d.Servers[i].Known && sound && len(found[i]) == 0
		for at := range everywhere {
			delete(found[i], at)
		}
		d.Servers[i].Problems = w.all(found[i], w.here)
	}
	return d
}

// sortProblems puts them in the order of the graph's nodes, what is about all of it first.
func sortProblems(problems []Problem) {
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(compareIDs(a.Node, b.Node), cmp.Compare(a.Input, b.Input), cmp.Compare(a.Code, b.Code))
	})
}

// at is a problem of a node, or of one of its inputs, still without words.
func (s *survey) at(id, input, code string) Problem {
	n := s.graph[id]
	return Problem{Node: id, Title: cut(oneLine(n.Title()), maxLabelRunes), Class: n.ClassType, Input: input, Code: code}
}

// structure is what is wrong with the graph itself: links that lead nowhere, or round.
func (s *survey) structure() []Problem {
	var problems []Problem
	for _, id := range s.ids {
		for input, from := range s.links[id] {
			if _, exists := s.graph[from.node]; !exists && len(problems) < mostProblems {
				p := s.at(id, input, CodeBrokenLink)
				p.Message = fmt.Sprintf("%s is linked to node %s, which the graph does not have.", show(input), show(from.node))
				problems = append(problems, p)
			}
		}
	}
	if circle := s.circle(); len(circle) > 0 {
		names := make([]string, 0, mostNamed)
		for _, id := range circle[:min(len(circle), mostNamed)] {
			names = append(names, show(id))
		}
		back := " and back"
		if len(circle) > mostNamed {
			back = " and on, and back"
		}
		p := s.at(circle[0], "", CodeCycle)
		p.Message = "The links run in a circle: from node " + strings.Join(names, " to ") + back + "."
		problems = append(problems, p)
	}
	return problems
}

// circle is a way along the links that comes back to its beginning; nil when there is none.
func (s *survey) circle() []string {
	// Nodes that wait for nobody are taken away, again and again. What is left waits for itself.
	waits := map[string]int{}
	feeds := map[string][]string{}
	var free []string
	for _, id := range s.ids {
		for _, from := range s.links[id] {
			if s.live[from.node] {
				waits[id]++
				feeds[from.node] = append(feeds[from.node], id)
			}
		}
		if waits[id] == 0 {
			free = append(free, id)
		}
	}
	for len(free) > 0 {
		id := free[len(free)-1]
		free = free[:len(free)-1]
		for _, next := range feeds[id] {
			if waits[next]--; waits[next] == 0 {
				free = append(free, next)
				delete(waits, next)
			}
		}
	}
	if len(waits) == 0 {
		return nil
	}
	var way []string
	place := map[string]int{}
	at := slices.MinFunc(sortedKeys(waits), compareIDs)
	for {
		if begin, again := place[at]; again {
			circle := way[begin:]
			slices.Reverse(circle) // it was walked against the links
			return circle
		}
		place[at] = len(way)
		way = append(way, at)
		sources := slices.DeleteFunc(s.graph.Sources(at), func(id string) bool { return waits[id] == 0 })
		at = slices.MinFunc(sources, compareIDs)
	}
}
