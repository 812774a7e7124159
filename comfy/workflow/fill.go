package workflow

import (
	"fmt"
	"slices"
)

// Apply is a copy of the workflow's graph with the values in place. What is absent takes the
// field's default; where there is none (a model) the graph's own value stays, for FillChoices to
// settle on the server that was picked. A seed must be resolved before: an absent one stays what
// the graph says. A value of a wrong Go type, or one without a field, is an error.
func (w *Workflow) Apply(v Values) (Graph, error) {
	for name := range v {
		if !slices.ContainsFunc(w.Fields, func(f Field) bool { return f.Name == name }) {
			return nil, fmt.Errorf("apply values: workflow %s has no field %s", w.ID, quote(name))
		}
	}
	g := w.Graph.Clone()
	for _, f := range w.Fields {
		value, ok := v[f.Name]
		if !ok {
			value = f.value
		}
		if value == nil {
			continue
		}
		raw, err := valueJSON(f.Kind, value)
		if err != nil {
			return nil, fmt.Errorf("apply field %s: %w", quote(f.Name), err)
		}
		for _, t := range f.Targets {
			if err := g.Set(t.Node, t.Input, raw); err != nil {
				return nil, fmt.Errorf("apply field %s: %w", quote(f.Name), err)
			}
		}
	}
	return g, nil
}

// FillChoices settles what only a server can: an empty choice becomes the first of its list, and
// a choice that is no text there (256, true) gets its type back. Everything else is left to
// ComfyUI's own check. It changes g.
func (g Graph) FillChoices(info *ObjectInfo) {
	for _, n := range g {
		class, ok := info.Class(n.ClassType)
		if !ok {
			continue
		}
		for i := range class.Inputs {
			in := &class.Inputs[i]
			text, given := n.Text(in.Name)
			if in.Type != TypeCombo || !given || len(in.Choices) == 0 {
				continue
			}
			if text == "" && !slices.Contains(in.Choices, "") {
				text = in.Choices[0]
			}
			n.Inputs[in.Name] = in.choice(text)
		}
	}
}

// filenamePrefix is how ComfyUI's own save nodes, and nearly all others, name the input that
// decides where in the output folder a file goes.
const filenamePrefix = "filename_prefix"

// PrefixOutputs gives every node that saves files the same prefix, such as
// "easel/0192f3a1/1": links and values like ../../x are overwritten as well. Nodes count by
// having the input, and output nodes by being able to have it; without info, or for a class that
// it does not know, the graph alone decides. It changes g.
func (g Graph) PrefixOutputs(prefix string, info *ObjectInfo) {
	raw := textJSON(prefix)
	for _, n := range g {
		_, has := n.Inputs[filenamePrefix]
		if class, ok := info.Class(n.ClassType); ok && class.OutputNode {
			_, could := class.Input(filenamePrefix)
			has = has || could
		}
		if has && n.Inputs != nil {
			n.Inputs[filenamePrefix] = raw
		}
	}
}
