package simulator

import (
	"fmt"

	"easel/comfy/simulator/paint"
)

// call is one execution of a node: its inputs are resolved to the values of the nodes above.
type call struct {
	*run
	id    string
	class string
	index int            // of several executions, when the node is fed with a list
	in    map[string]any // by input name
}

// reply is what a node returns.
type reply struct {
	outputs []any      // one for each output slot
	ui      *object    // what history and executed show; nil: nothing
	expand  *expansion // the node becomes a graph
}

// nodeFunc executes a node. Its error is errInterrupted, errKilled or a *nodeError.
type nodeFunc func(c *call) (reply, error)

// expansion is the graph that a node turned into.
type expansion struct {
	nodes  *object
	result []any // the link whose value becomes the node's first output
}

// blocked is a value that keeps whatever depends on it from running (ComfyUI's ExecutionBlocker).
type blocked struct{ message string }

// node executes one node of the schedule; finished is false when it waits for others first.
func (r *run) node(id string) (finished bool, err error) {
	if got := r.result(id); got != nil {
		var ui any
		if got.ui != nil {
			ui = got.ui
		}
		r.toOwner("executed", pairs("node", id, "display_node", r.origins[id].display, "output", ui,
			"prompt_id", r.item.id))
		r.progress.finish(id)
		return true, nil
	}
	node := r.nodes[id]
	c := r.schedule.class(node.text("class_type"))
	var outputs [][]any
	var ui *object
	if grown := r.pending[id]; grown != nil {
		from, slot, _ := link(grown.result)
		outputs = [][]any{r.result(from).outputs[slot]}
		delete(r.pending, id)
	} else {
		r.progress.start(id)
		r.p.enterNode(r.origins[id].display)
		r.toOwner("executing", pairs("node", id, "display_node", r.origins[id].display, "prompt_id", r.item.id))
		if asked := r.lazy(id, c); asked {
			return false, nil
		}
		if c.run == nil {
			return false, &nodeError{"NotImplementedError", fmt.Sprintf("The simulator cannot execute %s", c.name)}
		}
		var grown *expansion
		outputs, ui, grown, err = r.calls(id, c)
		if err != nil {
			return false, err
		}
		if ui != nil {
			r.toOwner("executed", pairs("node", id, "display_node", r.origins[id].display, "output", ui,
				"prompt_id", r.item.id))
		}
		if grown != nil {
			r.grow(id, grown)
			return false, nil
		}
	}
	got := &result{outputs: outputs, ui: ui}
	if ui != nil {
		var parent any
		if p := r.origins[id].parent; p != "" {
			parent = p
		}
		got.meta = pairs("node_id", id, "display_node", r.origins[id].display, "parent_node", parent,
			"real_node_id", r.origins[id].real)
	}
	r.keep(id, got)
	r.progress.finish(id)
	r.executed = append(r.executed, id)
	return true, nil
}

// lazy makes a node wait for the lazy inputs that it wants, and reports whether there are any.
func (r *run) lazy(id string, c *class) (asked bool) {
	if c.name != "BenchLazySwitch" {
		return false
	}
	inputs := r.nodes[id].member("inputs")
	first, _ := inputs.get("first")
	wanted := "b"
	if pythonBool(first) {
		wanted = "a"
	}
	value, _ := inputs.get(wanted)
	from, _, ok := link(value)
	if !ok || r.result(from) != nil {
		return false
	}
	r.schedule.need(from, id)
	return true
}

// calls executes a node once for each item of the longest list it is fed with.
func (r *run) calls(id string, c *class) (outputs [][]any, ui *object, grown *expansion, err error) {
	lists, times := r.inputs(id, c)
	outputs = make([][]any, len(c.returns))
	for i := range times {
		in := map[string]any{}
		for name, list := range lists {
			if len(list) > 0 {
				in[name] = list[min(i, len(list)-1)]
			}
		}
		if block := r.blocker(in); block != nil {
			if block.message != "" {
				r.toOwner("execution_error", pairs("prompt_id", r.item.id, "node_id", id, "node_type", c.name,
					"executed", anyList(r.executed), "exception_message", "Execution Blocked: "+block.message,
					"exception_type", "ExecutionBlocked", "traceback", []any{}, "current_inputs", []any{},
					"current_outputs", []any{}))
			}
			for slot := range outputs {
				outputs[slot] = append(outputs[slot], &blocked{})
			}
			continue
		}
		if r.p.interrupted.Load() {
			return nil, nil, nil, errInterrupted
		}
		if i == 0 {
			r.pause(Point{Stage: StageNode, Node: id, Class: c.name})
		}
		answer, err := c.run(&call{run: r, id: id, class: c.name, index: i, in: in})
		if err != nil {
			return nil, nil, nil, err
		}
		for slot := range outputs {
			if slot >= len(answer.outputs) {
				break
			}
			if list, ok := answer.outputs[slot].([]any); ok && c.makesList[slot] {
				outputs[slot] = append(outputs[slot], list...)
			} else {
				outputs[slot] = append(outputs[slot], answer.outputs[slot])
			}
		}
		ui = merged(ui, answer.ui)
		grown = answer.expand
	}
	return outputs, ui, grown, nil
}

// inputs resolves each input to a list of values and tells how often the node has to run.
func (r *run) inputs(id string, c *class) (lists map[string][]any, times int) {
	lists, times = map[string][]any{}, 1
	inputs := r.nodes[id].member("inputs")
	for _, name := range inputs.keys {
		value := inputs.values[name]
		from, slot, ok := link(value)
		if !ok {
			lists[name] = []any{value}
			continue
		}
		if got := r.result(from); got != nil && slot < len(got.outputs) && c.input(name).name != "" {
			lists[name] = got.outputs[slot]
			times = max(times, len(lists[name]))
		}
	}
	return lists, times
}

func (r *run) blocker(in map[string]any) *blocked {
	for _, value := range in {
		if b, ok := value.(*blocked); ok {
			return b
		}
	}
	return nil
}

// merged joins the ui of several executions: lists under one key are put together.
func merged(a, b *object) *object {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	for _, key := range b.keys {
		first, _ := a.get(key)
		a.set(key, append(asList(first), asList(b.values[key])...))
	}
	return a
}

// grow puts the nodes that a node turned into before it.
func (r *run) grow(id string, g *expansion) {
	for _, child := range g.nodes.keys {
		r.nodes[child] = g.nodes.member(child)
		r.origins[child] = origin{real: r.origins[id].real, display: r.origins[id].display, parent: id}
	}
	r.pending[id] = g
	from, _, _ := link(g.result)
	r.schedule.need(from, id)
}

// step reports a node's progress; preview, when not nil, paints the picture to send along. It looks at the interrupt
// flag first, as ComfyUI does.
func (c *call) step(value, limit int, preview func() paint.Encoded) error {
	if c.p.ctx.Err() != nil {
		return errKilled
	}
	if c.p.interrupted.Load() {
		return errInterrupted
	}
	c.progress.update(c.id, value, limit)
	var picture paint.Encoded
	if preview != nil {
		picture = preview()
	}
	withMetadata := c.p.hub.wantsMetadata(c.client)
	if preview != nil && withMetadata {
		c.sendMetadataPreview(picture)
	}
	c.p.hub.send("progress", pairs("value", value, "max", limit, "prompt_id", c.item.id, "node", c.id), c.client)
	if preview != nil && !withMetadata {
		c.sendPicture(picture)
	}
	return nil
}
