package workflow

import (
	"cmp"
	"encoding/json"
	"slices"
)

// box is where a node lies on its canvas, in the editor's pixels.
type box struct{ x, y, width, height float64 }

func (b box) area() float64 { return b.width * b.height }

func (b box) holds(x, y float64) bool {
	return x >= b.x && x < b.x+b.width && y >= b.y && y < b.y+b.height
}

// box reads both forms in which editors save a place: [x, y] and {"0": x, "1": y}.
func (s *savedNode) box() box {
	x, y := pair(s.Pos)
	width, height := pair(s.Size)
	return box{x, y, width, height}
}

func pair(raw json.RawMessage) (a, b float64) {
	var list []json.RawMessage
	if isArray(raw) && json.Unmarshal(raw, &list) == nil && len(list) >= 2 {
		return orZero(number(list[0])), orZero(number(list[1]))
	}
	var object struct {
		A json.RawMessage `json:"0"`
		B json.RawMessage `json:"1"`
	}
	if firstByte(raw) == '{' && json.Unmarshal(raw, &object) == nil {
		return orZero(number(object.A)), orZero(number(object.B))
	}
	return 0, 0
}

func orZero(f *float64) float64 {
	if f == nil {
		return 0
	}
	return *f
}

// place says of every node that is sent which group it lies in and when people come to it.
func (c *converter) place(top *scope) {
	next := 0
	var visit func(s *scope, group string)
	visit = func(s *scope, group string) {
		for _, n := range s.canvas.reading() {
			in := s.canvas.group(n)
			if in == "" {
				in = group
			}
			if n.kind == kindSubgraph {
				visit(s.child(n), in)
				continue
			}
			id := s.prefix + n.id
			if _, sent := c.out.Graph[id]; !sent {
				continue
			}
			c.out.Order[id] = next
			next++
			if in != "" {
				c.out.Groups[id] = in
			}
		}
	}
	visit(top, "")
}

// group is the title of the smallest group that a node's middle lies in.
func (c *canvas) group(n *uiNode) string {
	const mostGroups = 1_000
	x, y := n.box.x+n.box.width/2, n.box.y+n.box.height/2
	title, smallest := "", 0.0
	for _, g := range c.saved.Groups[:min(mostGroups, len(c.saved.Groups))] {
		if len(g.Bounding) != 4 {
			continue
		}
		around := box{g.Bounding[0], g.Bounding[1], g.Bounding[2], g.Bounding[3]}
		if around.holds(x, y) && (title == "" || around.area() < smallest) {
			title, smallest = g.Title, around.area()
		}
	}
	return title
}

// reading orders the nodes as people read a graph: columns from left to right, each downwards. A
// column is as wide as half of its first node, so that what stands roughly above each other is one.
func (c *canvas) reading() []*uiNode {
	nodes := slices.Clone(c.nodes)
	slices.SortStableFunc(nodes, func(a, b *uiNode) int { return cmp.Compare(a.box.x, b.box.x) })
	for start := 0; start < len(nodes); {
		first := nodes[start].box
		end := start + 1
		for end < len(nodes) && nodes[end].box.x <= first.x+first.width/2 {
			end++
		}
		slices.SortStableFunc(nodes[start:end], func(a, b *uiNode) int { return cmp.Compare(a.box.y, b.box.y) })
		start = end
	}
	return nodes
}
