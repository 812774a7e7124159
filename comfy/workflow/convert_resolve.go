package workflow

import (
	"encoding/json"
	"strings"
)

// origin is what feeds an input: an output of a node, a value from outside a subgraph, or nothing.
type origin struct {
	node  string
	slot  int
	value json.RawMessage
}

// anyType fits every other.
const anyType = "*"

// source follows the link of an input to what feeds it.
func (c *converter) source(s *scope, n *uiNode, input int) (origin, error) {
	return c.throughInput(s, n, input, "", 0)
}

// throughInput follows the link of an input. asked is the type that is looked for, which a bypassed
// node on the way picks by; empty is that of the input itself.
func (c *converter) throughInput(s *scope, n *uiNode, input int, asked string, depth int) (origin, error) {
	if depth > maxLinkSteps {
		return origin{}, errCircle
	}
	if c.steps++; c.steps > maxSteps {
		return origin{}, &GraphError{Problem: "its links are too tangled to be followed"}
	}
	if input < 0 || input >= len(n.inputs) {
		return origin{}, nil
	}
	slot := n.inputs[input]
	link, ok := s.canvas.links[slot.link]
	if !ok {
		return origin{}, nil
	}
	if link.from == inputsNode && s.parent != nil {
		return c.fromOutside(s, link.fromSlot, depth)
	}
	from, ok := s.canvas.byID[link.from]
	if !ok {
		return origin{}, nil
	}
	if asked == "" {
		asked = slot.kind
	}
	return c.throughOutput(s, from, link.fromSlot, asked, depth+1)
}

// fromOutside goes on at the instance of a subgraph: what its input is linked to, else its own value.
func (c *converter) fromOutside(s *scope, input, depth int) (origin, error) {
	from, err := c.throughInput(s.parent, s.instance, input, "", depth+1)
	if err != nil || from.node != "" || from.value != nil {
		return from, err
	}
	if input >= 0 && input < len(s.instance.inputs) {
		if w := s.instance.inputs[input].widget; w >= 0 {
			from.value = s.instance.widgets[w].value
		}
	}
	return from, nil
}

// throughOutput goes on behind an output: the node itself, or what stands behind a node that is not sent.
func (c *converter) throughOutput(s *scope, n *uiNode, slot int, asked string, depth int) (origin, error) {
	switch {
	case n.kind == kindReroute:
		return c.throughInput(s, n, slot, asked, depth+1)
	case n.virtual():
		return origin{}, nil
	case n.mode == modeBypassed:
		return c.throughInput(s, n, n.bypass(slot, asked), "", depth+1)
	case n.kind == kindSubgraph:
		if slot < 0 || slot >= len(n.inner.outputs) {
			return origin{}, nil
		}
		inside, link := s.child(n), n.inner.outputs[slot]
		if link.from == inputsNode {
			return c.fromOutside(inside, link.fromSlot, depth+1)
		}
		if from, ok := n.inner.byID[link.from]; ok {
			return c.throughOutput(inside, from, link.fromSlot, asked, depth+1)
		}
		return origin{}, nil
	case slot < 0:
		return origin{}, nil
	}
	return origin{node: s.prefix + n.id, slot: slot}, nil
}

// bypass picks the input that stands in for an output of a bypassed node; -1 when none does. There is
// no second try when the one that is picked leads nowhere.
func (n *uiNode) bypass(slot int, asked string) int {
	if asked == anyType || asked == "" {
		if slot < len(n.inputs) {
			return slot
		}
		return 0
	}
	gives := anyType
	if slot >= 0 && slot < len(n.outputs) {
		gives = n.outputs[slot]
	}
	fits := func(in uiSlot) bool { return fit(in.kind, gives) && fit(in.kind, asked) }
	if slot >= 0 && slot < len(n.inputs) && fits(n.inputs[slot]) {
		return slot
	}
	for i, in := range n.inputs {
		if in.kind == asked {
			return i
		}
	}
	for i, in := range n.inputs {
		if fits(in) {
			return i
		}
	}
	return -1
}

// fit reports whether two types may be linked. A type can be several, with commas between them.
func fit(a, b string) bool {
	if a == "" || a == anyType || b == "" || b == anyType || strings.EqualFold(a, b) {
		return true
	}
	if !strings.Contains(a, ",") && !strings.Contains(b, ",") {
		return false
	}
	for x := range strings.SplitSeq(a, ",") {
		for y := range strings.SplitSeq(b, ",") {
			if x == "" || y == "" || x == anyType || y == anyType || strings.EqualFold(x, y) {
				return true
			}
		}
	}
	return false
}
