package workflow

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Save writes a graph as ComfyUI's editor saves it, for people who want to go on there: what Convert
// makes of it is the graph again. The values of nodes that info does not know have no place there and
// are left out, as are inputs that their class does not have.
//
// The nodes stand in columns, each to the right of all that it is linked to.
func (g Graph) Save(info *ObjectInfo) ([]byte, error) {
	s := saver{graph: g, info: info, outputs: map[string]map[int][]int{}}
	ids := sortedKeys(g)
	nodes := make([]*editorNode, 0, len(ids))
	for _, id := range ids {
		nodes = append(nodes, s.node(id)) // first all of them: links are numbered on the way
	}
	columns := s.columns(ids)
	heights := map[int]float64{}
	for i, id := range ids {
		n := nodes[i]
		n.Outputs = s.outputsOf(id)
		const width, gap, line = 320, 80, 26
		height := float64(line * (3 + len(n.Inputs) + len(n.Outputs) + len(n.Values)))
		n.Pos = [2]float64{float64(columns[id] * (width + gap)), heights[columns[id]]}
		n.Size = [2]float64{width, height}
		n.Order = columns[id]
		heights[columns[id]] += height + gap
	}
	file := map[string]any{
		"version": 0.4, "last_node_id": s.lastID(), "last_link_id": len(s.links),
		"nodes": nodes, "links": s.links, "groups": []any{}, "config": struct{}{}, "extra": struct{}{},
	}
	if len(s.links) == 0 {
		file["links"] = []any{}
	}
	raw, err := marshalPlain(file)
	if err != nil {
		return nil, fmt.Errorf("save graph: %w", err)
	}
	return raw, nil
}

type saver struct {
	graph   Graph
	info    *ObjectInfo
	links   [][6]any                 // id, node, output, node, input, type
	outputs map[string]map[int][]int // ids of links by node and output
}

// editorNode is a node on its way into the editor's file.
type editorNode struct {
	ID         json.RawMessage   `json:"id"`
	Type       string            `json:"type"`
	Title      string            `json:"title,omitempty"`
	Pos        [2]float64        `json:"pos"`
	Size       [2]float64        `json:"size"`
	Flags      struct{}          `json:"flags"`
	Order      int               `json:"order"`
	Mode       int               `json:"mode"`
	Inputs     []editorSlot      `json:"inputs"`
	Outputs    []editorSlot      `json:"outputs"`
	Properties map[string]string `json:"properties"`
	Values     []json.RawMessage `json:"widgets_values"`
}

type editorSlot struct {
	Name   string        `json:"name"`
	Type   string        `json:"type"`
	Link   *int          `json:"link,omitempty"`
	Links  []int         `json:"links,omitempty"`
	Widget *editorWidget `json:"widget,omitempty"`
}

type editorWidget struct {
	Name string `json:"name"`
}

func (s *saver) node(id string) *editorNode {
	n := s.graph[id]
	out := &editorNode{
		ID: editorID(id), Type: n.ClassType, Title: n.Title(), Inputs: []editorSlot{}, Outputs: []editorSlot{},
		Properties: map[string]string{"Node name for S&R": n.ClassType}, Values: []json.RawMessage{},
	}
	class, known := s.info.Class(n.ClassType)
	declared := map[string]bool{}
	if known {
		for i := range class.Inputs {
			in := &class.Inputs[i]
			if in.Section == Hidden {
				continue
			}
			declared[in.Name] = true
			if in.Widget() {
				out.Values = append(out.Values, editorValue(n.Inputs[in.Name], in))
				if in.controlled() {
					out.Values = append(out.Values, json.RawMessage(`"fixed"`))
				}
			}
			if slot, linked := s.slot(n, id, in.Name, in.Type, len(out.Inputs)); linked || !in.Widget() {
				if in.Widget() {
					slot.Widget = &editorWidget{in.Name}
				}
				out.Inputs = append(out.Inputs, slot)
			}
		}
	}
	for _, name := range sortedKeys(n.Inputs) {
		if declared[name] {
			continue
		}
		if slot, linked := s.slot(n, id, name, anyType, len(out.Inputs)); linked {
			out.Inputs = append(out.Inputs, slot)
		}
	}
	return out
}

// slot is an input with its link, if it has one.
func (s *saver) slot(n Node, id, name, kind string, place int) (editorSlot, bool) {
	slot := editorSlot{Name: name, Type: kind}
	from, output, linked := n.Link(name)
	source, exists := s.graph[from]
	if !linked || !exists {
		return slot, false
	}
	if class, ok := s.info.Class(source.ClassType); ok && output < len(class.Outputs) {
		kind = class.Outputs[output].Type
	}
	link := len(s.links) + 1
	s.links = append(s.links, [6]any{link, editorID(from), output, editorID(id), place, kind})
	if s.outputs[from] == nil {
		s.outputs[from] = map[int][]int{}
	}
	s.outputs[from][output] = append(s.outputs[from][output], link)
	slot.Link = &link
	return slot, true
}

// outputsOf are those of the class, or as many as are linked.
func (s *saver) outputsOf(id string) []editorSlot {
	slots := []editorSlot{}
	if class, ok := s.info.Class(s.graph[id].ClassType); ok {
		for _, out := range class.Outputs {
			slots = append(slots, editorSlot{Name: out.Name, Type: out.Type})
		}
	}
	for output, links := range s.outputs[id] {
		const most = 1_000 // an output of that number is a mistake, and no reason to write so many
		for len(slots) <= min(output, most) {
			slots = append(slots, editorSlot{Name: anyType, Type: anyType})
		}
		if output <= most {
			slots[output].Links = links
		}
	}
	return slots
}

// columns are how many steps each node is behind the first ones; nodes in a circle stand in the first.
func (s *saver) columns(ids []string) map[string]int {
	columns := make(map[string]int, len(ids))
	order, err := s.graph.Order()
	if err != nil {
		return columns
	}
	for _, id := range order {
		for _, from := range s.graph.Sources(id) {
			if _, exists := s.graph[from]; exists {
				columns[id] = max(columns[id], columns[from]+1)
			}
		}
	}
	return columns
}

// lastID is the largest number among the ids, from where the editor counts on.
func (s *saver) lastID() int {
	last := 0
	for id := range s.graph {
		if n, err := strconv.Atoi(id); err == nil && n < math.MaxInt32 {
			last = max(last, n)
		}
	}
	return last
}

// editorID is a number where the id is one, as the editor itself gives them.
func editorID(id string) json.RawMessage {
	if n, err := strconv.Atoi(id); err == nil && n >= 0 && strconv.Itoa(n) == id {
		return json.RawMessage(id)
	}
	return textJSON(id)
}

// editorValue is a value by its place: that of a linked input, or one that is not there, is the default.
func editorValue(value json.RawMessage, in *Input) json.RawMessage {
	switch {
	case len(value) == 0 || isArray(value):
		if value = in.fallback(); value == nil {
			return json.RawMessage("null")
		}
		return value
	case firstByte(value) == '{':
		var list struct {
			Value json.RawMessage `json:"__value__"`
		}
		if json.Unmarshal(value, &list) == nil && isArray(list.Value) {
			return list.Value
		}
	}
	return value
}
