package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Converted is a graph of ComfyUI's editor as a server runs it, and what its file tells besides.
type Converted struct {
	Graph    Graph
	Title    string            // what the author called it; empty when the file does not say
	Groups   map[string]string // by node id: the title of the group that the node lies in
	Order    map[string]int    // by node id: its place, from 0, as people read: column by column, downwards
	Problems []Problem
}

// The modes of a node that matter here.
const (
	modeMuted    = 2
	modeBypassed = 4
)

// maxLinkSteps bounds the way from an input to the node that feeds it, and maxSteps all of them
// together: reroutes and bypassed nodes can be chained, and a hostile file chains thousands.
const (
	maxLinkSteps = 4 * MaxNodes
	maxSteps     = 1_000_000
)

// errCircle ends the search for what feeds an input.
var errCircle = errors.New("its links run in a circle")

// Convert makes a graph in API format of one in the format that ComfyUI's editor saves, by the rules
// of the editor itself (measured on its version 1.27), against what a server says about its nodes:
// the file holds the values of a node by their place only.
//
// A node of a class that info does not know becomes a Problem, and stays in the graph with its links
// and without values. Two things differ from the editor, both to lose nothing: seeds keep all their
// digits, and alternatives such as {a|b} stay in a text, for the form to pick from, where the editor
// picks while it converts.
//
// Errors are a *JSONError or a *GraphError: the file is no such graph, or too large, or runs in a circle.
func Convert(ui []byte, info *ObjectInfo) (*Converted, error) {
	if info == nil {
		return nil, &GraphError{Problem: "a graph of the editor can be converted only once a server has told its nodes"}
	}
	if holdsNUL(ui) {
		return nil, &GraphError{Problem: errNUL.Error()}
	}
	saved, err := readSaved(ui)
	if err != nil {
		return nil, err
	}
	root, err := load(saved, info)
	if err != nil {
		return nil, err
	}
	top := &scope{canvas: root, children: map[*uiNode]*scope{}}
	c := &converter{top: top, out: &Converted{Graph: Graph{}, Title: saved.title(), Groups: map[string]string{}, Order: map[string]int{}}}
	if err := c.emit(top, 0); err != nil {
		return nil, err
	}
	c.dropLinksToNowhere()
	if len(c.out.Graph) == 0 {
		return nil, &GraphError{Problem: "the graph has no nodes that a server could run"}
	}
	c.place(top)
	return c.out, nil
}

// converter holds one conversion.
type converter struct {
	top       *scope
	out       *Converted
	links     []sentLink
	steps     int // along links
	instances int // of subgraphs
	bytes     int // of all that was written
}

// sentLink is an input that was written as a link.
type sentLink struct {
	inputs map[string]json.RawMessage
	name   string
	from   string // id of the node
}

// scope is a canvas in its place: the graph itself, or one instance of a subgraph. A definition
// that is used twice has two scopes.
type scope struct {
	canvas   *canvas
	prefix   string // of the ids of its nodes: "10:9:"
	parent   *scope
	instance *uiNode // the node of parent that stands for this scope
	children map[*uiNode]*scope
}

// child is the scope inside of an instance.
func (s *scope) child(instance *uiNode) *scope {
	if s.children[instance] == nil {
		s.children[instance] = &scope{
			canvas: instance.inner, prefix: s.prefix + instance.id + ":",
			parent: s, instance: instance, children: map[*uiNode]*scope{},
		}
	}
	return s.children[instance]
}

// maxSubgraphs bounds how many instances are opened, since each may hold others.
const maxSubgraphs = MaxNodes

// emit writes the nodes of a scope, and of those inside it. The mode of an instance does not matter
// for what is in it: the editor sends inner nodes by their own.
func (c *converter) emit(s *scope, depth int) error {
	if depth > MaxGraphDepth {
		return &GraphError{Problem: fmt.Sprintf("its subgraphs are nested more than %d levels deep", MaxGraphDepth)}
	}
	for _, n := range s.canvas.nodes {
		if n.kind == kindSubgraph {
			if c.instances++; c.instances > maxSubgraphs {
				return &GraphError{Problem: fmt.Sprintf("it holds more than %d subgraphs", maxSubgraphs)}
			}
			if err := c.emit(s.child(n), depth+1); err != nil {
				return err
			}
			continue
		}
		if n.virtual() || n.mode == modeMuted || n.mode == modeBypassed {
			continue
		}
		id := s.prefix + n.id
		if _, twice := c.out.Graph[id]; twice {
			return &GraphError{Node: id, Problem: "two nodes have this id"}
		}
		if n.class == "" {
			return &GraphError{Node: id, Problem: "it has no type"}
		}
		if len(c.out.Graph) == MaxNodes {
			return &GraphError{Problem: fmt.Sprintf("the graph has more than %d nodes", MaxNodes)}
		}
		node, err := c.node(s, n)
		if err != nil {
			return err
		}
		c.out.Graph[id] = node
		if n.kind == kindUnknown {
			c.out.Problems = append(c.out.Problems, unknownNode(id, n))
		}
	}
	return nil
}

// node writes one node: its own values first, then what its inputs are linked to, or have from the
// outside of a subgraph.
func (c *converter) node(s *scope, n *uiNode) (Node, error) {
	if err := c.write(len(s.prefix) + len(n.id) + len(n.class) + len(n.title)); err != nil {
		return Node{}, err
	}
	out := Node{ClassType: n.class, Inputs: make(map[string]json.RawMessage, len(n.inputs)), Meta: metaOf(n.title)}
	for i := range n.widgets {
		w := &n.widgets[i]
		if w.value == nil {
			continue // a choice without entries: the editor has nothing to send
		}
		if err := c.write(len(w.name) + len(w.value)); err != nil {
			return Node{}, err
		}
		out.Inputs[w.name] = wrapped(c.text(n, w))
	}
	for i := range n.inputs {
		if n.inputs[i].link == "" {
			continue
		}
		from, err := c.source(s, n, i)
		if errors.Is(err, errCircle) {
			return Node{}, &GraphError{Node: s.prefix + n.id, Input: n.inputs[i].name, Problem: err.Error()}
		} else if err != nil {
			return Node{}, err
		}
		if err := c.write(len(n.inputs[i].name) + len(from.node) + len(from.value)); err != nil {
			return Node{}, err
		}
		switch {
		case from.value != nil:
			out.Inputs[n.inputs[i].name] = wrapped(from.value)
		case from.node != "":
			out.Inputs[n.inputs[i].name] = linkJSON(from.node, from.slot)
			c.links = append(c.links, sentLink{out.Inputs, n.inputs[i].name, from.node})
		}
	}
	return out, nil
}

// write counts what goes into the graph: a short file can hold one long text in a subgraph that it uses
// thousands of times.
func (c *converter) write(n int) error {
	if c.bytes += n; c.bytes > MaxFileTextBytes {
		return &GraphError{Problem: fmt.Sprintf("the graph would have more than %d MiB of text", MaxFileTextBytes>>20)}
	}
	return nil
}

// dropLinksToNowhere takes the inputs away that are linked to a node which is not sent, a muted one.
func (c *converter) dropLinksToNowhere() {
	for _, l := range c.links {
		if _, sent := c.out.Graph[l.from]; !sent {
			delete(l.inputs, l.name)
		}
	}
}

// wrapped keeps a list from being taken for a link; the server unwraps it.
func wrapped(value json.RawMessage) json.RawMessage {
	if !isArray(value) {
		return value
	}
	out := make(json.RawMessage, 0, len(value)+14)
	out = append(out, `{"__value__":`...)
	out = append(out, value...)
	return append(out, '}')
}

func linkJSON(node string, slot int) json.RawMessage {
	raw := append(json.RawMessage{'['}, textJSON(node)...)
	raw = append(raw, ',')
	raw = strconv.AppendInt(raw, int64(slot), 10)
	return append(raw, ']')
}

func metaOf(title string) json.RawMessage {
	raw := append(json.RawMessage(`{"title":`), textJSON(title)...)
	return append(raw, '}')
}

// unknownNode says which node is meant and, where the file tells, which pack of nodes has it.
func unknownNode(id string, n *uiNode) Problem {
	p := Problem{Node: id, Title: n.title, Class: n.class, Code: CodeUnknownNode}
	p.Message = fmt.Sprintf("The server has no node %s.", show(n.class))
	switch pack := n.saved.Properties.pack(); {
	case isGroupNode(n.class):
		p.Message = fmt.Sprintf("%s is a group node of older editors; turn it into a subgraph in ComfyUI, and save again.", show(n.class))
	case pack != "":
		p.Message += fmt.Sprintf(" It comes from %s.", show(pack))
	}
	return p
}
