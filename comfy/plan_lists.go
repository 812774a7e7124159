package comfy

import "easel/comfy/workflow"

// markLists marks the nodes that run once for each element of a list: those that link to an output
// that is one, and all behind them. How many elements it has is not known before the node is over.
func (plan *Plan) markLists(g workflow.Graph, info *workflow.ObjectInfo) {
	for i := range plan.nodes { // each after those that it links to
		n := &plan.nodes[i]
		for input := range g[n.id].Inputs {
			from, slot, ok := g[n.id].Link(input)
			j, known := plan.index[from]
			if !ok || !known {
				continue
			}
			class, _ := info.Class(plan.nodes[j].class)
			n.listFed = n.listFed || plan.nodes[j].listFed ||
				class != nil && slot >= 0 && slot < len(class.Outputs) && class.Outputs[slot].List
		}
	}
}

// further is how many steps are planned beyond those announced. A sampler that is fed with a list
// is at its last step at the end of every pass: until it is over there may be another pass, and a bar
// that has come to its end would have to stand there for all of them.
func (plan *Plan) further(r *run, now bar) (steps int) {
	for _, i := range plan.samplers {
		n := &plan.nodes[i]
		switch {
		case !n.listFed || r.status[i].settled():
		case now.id == n.id:
			steps += now.max // as announced
		default:
			steps += n.steps
		}
	}
	return steps
}
