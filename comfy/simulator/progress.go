package simulator

// progress is what progress_state tells: every node that the prompt has touched so far, each time anew.
type progress struct {
	nodes  *object // node id -> state, in the order of first touch
	prompt string
	origin func(id string) origin
	send   func(kind string, data *object)
}

// origin says where a node comes from: of a node in the graph that was sent, real and display are its own id.
type origin struct {
	real, display string
	parent        string // empty: none
}

func (p *progress) touch(id string) *object {
	if state := p.nodes.member(id); state != nil {
		return state
	}
	from := p.origin(id)
	var parent any
	if from.parent != "" {
		parent = from.parent
	}
	state := pairs("value", 0, "max", 1, "state", "pending", "node_id", id, "prompt_id", p.prompt,
		"display_node_id", from.display, "parent_node_id", parent, "real_node_id", from.real)
	p.nodes.set(id, state)
	return state
}

// start says that a node runs; ComfyUI gives floats here, whole numbers once the node reports.
func (p *progress) start(id string) {
	state := p.touch(id)
	state.set("state", "running")
	state.set("value", 0.0)
	state.set("max", 1.0)
	p.publish()
}

func (p *progress) update(id string, value, limit any) {
	state := p.touch(id)
	state.set("state", "running")
	state.set("value", value)
	state.set("max", limit)
	p.publish()
}

func (p *progress) finish(id string) {
	state := p.touch(id)
	state.set("state", "finished")
	limit, _ := state.get("max")
	state.set("value", limit)
	p.publish()
}

func (p *progress) publish() {
	p.send("progress_state", pairs("prompt_id", p.prompt, "nodes", p.nodes))
}
