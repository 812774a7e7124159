package workflow

import (
	"encoding/json"
	"fmt"
)

// canvas is a graph with its links, as it was drawn: the root, or the definition of a subgraph.
// The values of its nodes are settled; what comes from the outside of a subgraph is not.
type canvas struct {
	saved   *savedGraph
	nodes   []*uiNode
	byID    map[string]*uiNode
	links   map[string]uiLink
	outputs []uiLink // of a definition, by slot: what leads to it; from is empty where nothing does

	bySearchName, byTitle map[string]*uiNode // made when the first is looked for
}

type nodeKind int

const (
	kindClass     nodeKind = iota // a class that the server knows
	kindUnknown                   // any other
	kindReroute                   // passes its input on
	kindPrimitive                 // a value for the inputs that are linked to it
	kindNote                      // for people only
	kindSubgraph                  // an instance of a definition
)

// uiNode is a node of a canvas with its inputs in the order in which the editor has them.
type uiNode struct {
	saved   *savedNode
	id      string
	class   string
	title   string
	kind    nodeKind
	mode    int
	box     box
	inner   *canvas // of an instance
	inputs  []uiSlot
	outputs []string // types
	widgets []widget // of an instance: those of its inner nodes that it shows as its own
}

// virtual nodes are the editor's own; no server sees them, whatever their mode.
func (n *uiNode) virtual() bool {
	return n.kind == kindReroute || n.kind == kindPrimitive || n.kind == kindNote
}

type uiSlot struct {
	name   string
	kind   string // its type
	link   string // id of the link that leads to it, or ""
	widget int    // place of its widget, or -1
}

// widget is a value that a node has of its own.
type widget struct {
	name  string
	input *Input
	value json.RawMessage // nil: there is nothing to send
}

// loader reads canvases, the definitions of subgraphs when the first instance needs them.
type loader struct {
	info        *ObjectInfo
	definitions map[string]*savedGraph
	canvases    map[string]*canvas
	opened      map[string]bool // definitions that are being read: one that is met again holds itself
}

// load reads the root and all that it uses.
func load(saved *savedGraph, info *ObjectInfo) (*canvas, error) {
	l := &loader{info: info, definitions: map[string]*savedGraph{}, canvases: map[string]*canvas{}, opened: map[string]bool{}}
	l.collect(saved.Definitions.Subgraphs)
	nodes := len(saved.Nodes)
	for _, d := range l.definitions {
		nodes += len(d.Nodes)
	}
	if nodes > MaxNodes {
		return nil, &GraphError{Problem: fmt.Sprintf("the graph has %d nodes; %d are allowed", nodes, MaxNodes)}
	}
	return l.canvas(saved)
}

// collect finds the definitions; a file may nest them, though the editor does not.
func (l *loader) collect(list []*savedGraph) {
	for _, d := range list {
		if d != nil && d.ID != "" && l.definitions[d.ID] == nil {
			l.definitions[d.ID] = d
			l.collect(d.Definitions.Subgraphs)
		}
	}
}

func (l *loader) canvas(saved *savedGraph) (*canvas, error) {
	c := &canvas{saved: saved, links: saved.links(), byID: make(map[string]*uiNode, len(saved.Nodes))}
	for _, s := range saved.Nodes {
		if s == nil {
			continue
		}
		n, err := l.node(s)
		if err != nil {
			return nil, err
		}
		if c.byID[n.id] != nil {
			return nil, &GraphError{Node: n.id, Problem: "two nodes have this id"}
		}
		c.byID[n.id] = n
		c.nodes = append(c.nodes, n)
	}
	c.applyPrimitives()
	return c, nil
}

func (l *loader) definition(id string) (*canvas, error) {
	if c := l.canvases[id]; c != nil {
		return c, nil
	}
	saved := l.definitions[id]
	if l.opened[id] {
		return nil, &GraphError{Problem: fmt.Sprintf("the subgraph %s holds itself", show(saved.Name))}
	}
	l.opened[id] = true
	c, err := l.canvas(saved)
	if err != nil {
		return nil, err
	}
	c.outputs = make([]uiLink, len(saved.Outputs))
	for _, link := range c.links {
		if link.to == outputsNode && link.toSlot >= 0 && link.toSlot < len(c.outputs) {
			c.outputs[link.toSlot] = link
		}
	}
	for i, port := range saved.Outputs {
		if len(port.LinkIDs) > 0 {
			c.outputs[i] = c.links[idText(port.LinkIDs[0])]
		}
	}
	l.canvases[id] = c
	return c, nil
}

// maxIDBytes keeps ids short, which are chained for what is inside of subgraphs.
const maxIDBytes = 100

func (l *loader) node(s *savedNode) (*uiNode, error) {
	n := &uiNode{saved: s, id: idText(s.ID), class: s.Type, title: s.Title, mode: int(s.Mode), box: s.box()}
	if n.id == "" {
		return nil, &GraphError{Problem: fmt.Sprintf("a node %s has no id", show(s.Type))}
	}
	if len(n.id) > maxIDBytes {
		return nil, &GraphError{Node: n.id, Problem: "its id is too long"}
	}
	if now, ok := renamed[n.class]; ok {
		n.class = now
	}
	switch n.class {
	case "Reroute":
		n.kind = kindReroute
	case "PrimitiveNode":
		n.kind = kindPrimitive
	case "Note", "MarkdownNote":
		n.kind = kindNote
	default:
		if d := l.definitions[n.class]; d != nil {
			return n, l.instance(n, d)
		}
		class, known := l.info.Class(n.class)
		if known {
			n.ofClass(class)
			return n, nil
		}
		n.kind = kindUnknown
	}
	if n.title == "" {
		n.title = n.class
	}
	n.ownSlots()
	return n, nil
}

// ownSlots takes inputs and outputs as the file has them: there is no class to say better.
func (n *uiNode) ownSlots() {
	for _, in := range n.saved.Inputs {
		n.inputs = append(n.inputs, uiSlot{name: in.Name, kind: slotType(in.Type), link: idText(in.Link), widget: -1})
	}
	for _, out := range n.saved.Outputs {
		n.outputs = append(n.outputs, slotType(out.Type))
	}
}

// ofClass orders the inputs as the editor does: sockets, widgets, then what only the file knows,
// such as the inputs that a node has grown. Links are found by the input's name.
func (n *uiNode) ofClass(class *Class) {
	if n.title == "" {
		n.title = class.DisplayName
	}
	saved := make(map[string]string, len(n.saved.Inputs))
	for _, in := range n.saved.Inputs {
		saved[in.Name] = idText(in.Link)
	}
	n.inputs = make([]uiSlot, 0, len(class.Inputs))
	for _, in := range class.Inputs {
		if in.Section != Hidden && !in.Widget() {
			n.inputs = append(n.inputs, uiSlot{name: in.Name, kind: in.Type, link: saved[in.Name], widget: -1})
		}
	}
	n.widgets = widgetsOf(class, n.saved.Values)
	for i, w := range n.widgets {
		n.inputs = append(n.inputs, uiSlot{name: w.name, kind: w.input.Type, link: saved[w.name], widget: i})
	}
	for _, in := range n.inputs {
		delete(saved, in.name)
	}
	for _, in := range n.saved.Inputs {
		if link, grown := saved[in.Name]; grown {
			n.inputs = append(n.inputs, uiSlot{name: in.Name, kind: slotType(in.Type), link: link, widget: -1})
			delete(saved, in.Name)
		}
	}
	for _, out := range class.Outputs {
		n.outputs = append(n.outputs, out.Type)
	}
	for _, out := range n.saved.Outputs[min(len(n.outputs), len(n.saved.Outputs)):] {
		n.outputs = append(n.outputs, slotType(out.Type))
	}
}

// instance gives a node the inputs of its definition, and a widget of its own for each of them that
// leads to a widget inside. The values are those of the instance by place, one for each such widget;
// where there are too few, the inner one.
func (l *loader) instance(n *uiNode, d *savedGraph) error {
	n.kind = kindSubgraph
	if n.title == "" {
		n.title = d.Name
	}
	inner, err := l.definition(d.ID)
	if err != nil {
		return err
	}
	n.inner = inner
	saved := make(map[string]string, len(n.saved.Inputs))
	for _, in := range n.saved.Inputs {
		saved[in.Name] = idText(in.Link)
	}
	first := inner.promoted(len(d.Inputs))
	values := valueList(n.saved.Values)
	for i, port := range d.Inputs {
		slot := uiSlot{name: port.Name, kind: slotType(port.Type), link: saved[port.Name], widget: -1}
		if w := first[i]; w != nil {
			slot.widget = len(n.widgets)
			own := widget{name: port.Name, input: w.input, value: w.value}
			if slot.widget < len(values) {
				own.value = stored(w.input, values[slot.widget])
			}
			n.widgets = append(n.widgets, own)
		}
		n.inputs = append(n.inputs, slot)
	}
	for _, port := range d.Outputs {
		n.outputs = append(n.outputs, slotType(port.Type))
	}
	return nil
}

// promoted finds the widget that each input of a definition leads to first: in the order of the
// input's own list of links, and of the nodes where it has none.
func (c *canvas) promoted(inputs int) []*widget {
	type end struct {
		place  int // in the port's list of links
		widget *widget
	}
	best := make([]end, inputs)
	place := map[string]int{}
	for _, port := range c.saved.Inputs {
		for i, id := range port.LinkIDs {
			place[idText(id)] = i + 1
		}
	}
	for _, n := range c.nodes {
		for _, slot := range n.inputs {
			link, ok := c.links[slot.link]
			if !ok || link.from != inputsNode || slot.widget < 0 || link.fromSlot < 0 || link.fromSlot >= inputs {
				continue
			}
			at := place[slot.link]
			if at == 0 {
				at = len(place) + 1
			}
			if b := &best[link.fromSlot]; b.widget == nil || at < b.place {
				*b = end{at, &n.widgets[slot.widget]}
			}
		}
	}
	out := make([]*widget, inputs)
	for i, b := range best {
		out[i] = b.widget
	}
	return out
}
