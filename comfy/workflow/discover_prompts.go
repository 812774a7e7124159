package workflow

import (
	"slices"
	"strings"
)

// zeroOut is the class that keeps nothing of a text but its shape: behind it no prompt is found.
const zeroOut = "ConditioningZeroOut"

// step is one on the way from a sampler up to the texts: an output of a node, asked for one of
// the two roles.
type step struct {
	source
	role *role
}

// conditions walks from the inputs of a sampler or guider to the texts. Names say which side
// they are of; whatever is not called negative is the prompt.
func (d *discovery) conditions(id string) {
	inputs := d.linked(id, "CONDITIONING")
	for _, r := range []*role{rolePrompt, roleNegative} {
		for _, name := range inputs {
			if strings.HasPrefix(name, "empty") || negative(name) != (r == roleNegative) {
				continue
			}
			d.texts(step{d.links[id][name], r})
		}
	}
}

func negative(name string) bool {
	return strings.Contains(name, "negative") || strings.HasPrefix(name, "uncond")
}

// texts walks up from one output. A stack of its own, since graphs may be deep; what was pushed
// last is looked at first, so that texts come in the order of the inputs.
func (d *discovery) texts(start step) {
	open := []step{start}
	for len(open) > 0 {
		at := open[len(open)-1]
		open = open[:len(open)-1]
		if d.walked[at] || d.graph[at.node].ClassType == zeroOut {
			continue
		}
		d.walked[at] = true
		d.encoded(at)
		inputs := d.sided(at, d.linked(at.node, "CONDITIONING"))
		for _, name := range slices.Backward(inputs) {
			open = append(open, step{d.links[at.node][name], at.role})
		}
	}
}

// sided picks the inputs that belong to what was asked for. A node that carries both sides, such
// as ControlNetApplyAdvanced, says in its output's name which one that is.
func (d *discovery) sided(at step, inputs []string) []string {
	wantNegative := at.role == roleNegative
	if class := d.class(at.node); class != nil && at.slot < len(class.Outputs) {
		switch name := class.Outputs[at.slot].Name; {
		case negative(name):
			wantNegative = true
		case strings.Contains(name, "positive"):
			wantNegative = false
		}
	}
	sides := slices.ContainsFunc(inputs, negative) && slices.ContainsFunc(inputs, func(name string) bool { return !negative(name) })
	if !sides {
		return inputs
	}
	var picked []string
	for _, name := range inputs {
		if negative(name) == wantNegative {
			picked = append(picked, name)
		}
	}
	return picked
}

// encoded adds the texts of a node that makes conditioning of them, and its guidance.
func (d *discovery) encoded(at step) {
	class := d.class(at.node)
	if in := d.input(at.node, "guidance"); in != nil && in.Type == TypeFloat && at.role == rolePrompt {
		d.add(roleFluxGuidance, at.node, "guidance", 0)
	}
	if class != nil && !d.takes(at.node, "CLIP") {
		return // it may have texts, but encodes none
	}
	before := len(d.finds)
	for _, name := range d.sided(at, d.textInputs(at.node)) {
		d.text(at.role, at.node, name)
	}
	if len(d.finds) > before+1 {
		for _, f := range d.finds[before:] {
			f.several = true
		}
	}
}

// textInputs are the inputs of a node in which people write.
func (d *discovery) textInputs(id string) []string {
	var names []string
	for _, name := range d.inputs(id) {
		in := d.input(id, name)
		switch {
		case in == nil:
			_, isText := d.graph[id].Text(name)
			kind := d.linkType(id, name)
			usual := strings.Contains(name, "text") || strings.Contains(name, "prompt") ||
				slices.Contains([]string{"positive", "negative", "clip_l", "clip_g", "t5xxl"}, name)
			if usual && (isText || kind == TypeString) {
				names = append(names, name)
			}
		case in.Type == TypeString && (in.Multiline || in.DynamicPrompts || name == "text" || name == "prompt"):
			names = append(names, name)
		}
	}
	return names
}

// text adds a text, or where it is linked those that it is made of.
func (d *discovery) text(r *role, id, name string) {
	type place struct{ node, input string }
	open := []place{{id, name}}
	for len(open) > 0 {
		at := open[len(open)-1]
		open = open[:len(open)-1]
		from, linked := d.links[at.node][at.input]
		if !linked {
			d.add(r, at.node, at.input, 0)
			continue
		}
		visit := step{from, r}
		if d.walked[visit] {
			continue
		}
		d.walked[visit] = true
		if _, direct := d.passes(from, at.input); direct {
			d.add(r, at.node, at.input, 0)
			continue
		}
		if d.outputType(from) != TypeString {
			continue
		}
		for _, part := range slices.Backward(d.textInputs(from.node)) {
			if !strings.Contains(part, "regex") && part != "replace" {
				open = append(open, place{from.node, part})
			}
		}
	}
}

// looseTexts are the texts of graphs without a sampler: those of nodes that ask a service.
func (d *discovery) looseTexts() {
	for _, id := range d.ids {
		for _, name := range d.textInputs(id) {
			r := rolePrompt
			if negative(name) {
				r = roleNegative
			}
			d.text(r, id, name)
		}
	}
}
