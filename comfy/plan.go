package comfy

import (
	"slices"
	"strings"

	"easel/comfy/workflow"
)

// Plan is what is known of a graph before it is sent: its nodes in the order in which they can run,
// which of them are samplers and with how many steps, and what each will cost. A Plan does not
// change after NewPlan and may be shared. The zero value is the plan of a graph not known.
type Plan struct {
	nodes    []planNode     // every node after those that it depends on
	index    map[string]int // by id, into nodes
	samplers []int          // those wanted, into nodes
}

type planNode struct {
	id, class, title string

	wanted  bool    // an output depends on it, so it runs unless its result is cached or not asked for
	output  bool    // it is an output itself
	sampler bool    // its progress counts as steps
	steps   int     // of one pass of a sampler, as the graph has it
	cost    float64 // of any other node, in sampler steps
	listFed bool    // it runs once for each element of a list
	users   []int   // the wanted nodes that link to it, into nodes

	pictures bool // latents or images go in or come out
	loads    bool // it reads a model
}

// NewPlan reads g, as it will be sent. With info nil, or for classes that it lacks, samplers
// are told by their inputs, and the ends of the graph are taken as outputs.
func NewPlan(g workflow.Graph, info *workflow.ObjectInfo) Plan {
	p := Plan{index: make(map[string]int, len(g)), nodes: make([]planNode, 0, len(g))}
	links := linksOf(g)
	for _, id := range runOrder(g, links) {
		p.index[id] = len(p.nodes)
		p.nodes = append(p.nodes, newPlanNode(g, id, info))
	}
	p.markOutputs(links, info)
	p.markWanted(links)
	p.markLists(g, info)
	for i, n := range p.nodes {
		if !n.wanted {
			continue
		}
		if n.sampler {
			p.samplers = append(p.samplers, i)
		}
		for _, from := range links[n.id] {
			if j := p.index[from]; !slices.Contains(p.nodes[j].users, i) {
				p.nodes[j].users = append(p.nodes[j].users, i)
			}
		}
	}
	return p
}

// Steps is the number of sampler steps that the graph will take if nothing of it is cached; 0
// if it has no samplers. A server may announce another number when it comes to a sampler.
func (plan *Plan) Steps() int {
	steps := 0
	for _, i := range plan.samplers {
		steps += plan.nodes[i].steps
	}
	return steps
}

// Start is the state of a prompt of this plan that was accepted and has not been heard of.
func (plan *Plan) Start(promptID string) Progress {
	q := Progress{PromptID: promptID, Phase: PhaseQueued, run: &run{
		plan: plan, status: make([]status, len(plan.nodes)), times: make([]span, len(plan.nodes)),
	}}
	plan.recount(&q)
	return q
}

func newPlanNode(g workflow.Graph, id string, info *workflow.ObjectInfo) planNode {
	node := g[id]
	class, _ := info.Class(node.ClassType) // nil if not known
	n := planNode{id: id, class: node.ClassType, title: node.Title(), sampler: isSampler(node, class)}
	n.pictures, n.loads = n.sampler || class != nil && onPictures(class), class != nil && isLoader(class)
	if n.title == "" && class != nil {
		n.title = class.DisplayName
	}
	if n.title == "" {
		n.title = node.ClassType
	}
	if n.sampler {
		n.steps = plannedSteps(g, id)
	} else {
		n.cost = priorCost(class)
	}
	return n
}

// isSampler reports whether the node's bar counts steps. A class that is not known is judged by what
// is linked to the node.
func isSampler(n workflow.Node, class *workflow.Class) bool {
	if class == nil {
		_, _, model := n.Link("model")
		_, _, guider := n.Link("guider")
		_, _, latent := n.Link("latent_image")
		return latent && (model || guider)
	}
	return class.IsSampler()
}

// priorCost guesses what a node takes, in steps of a sampler, from the types of its class, so that
// the whole bar moves at an even pace. In the recorded runs (a CPU, small and large models) a
// loader took 4 to 11 steps, an encoder 0 to 3, a decoder 0 to 9, saving 0 to 5.
func priorCost(class *workflow.Class) float64 {
	switch {
	case class == nil:
		return 1
	case isLoader(class):
		return 6
	case takes(class, "UPSCALE_MODEL"):
		return 6
	case takes(class, "VAE"):
		return 3
	case takes(class, "CLIP"), class.OutputNode:
		return 1
	}
	return 0.1
}

func isLoader(class *workflow.Class) bool {
	return gives(class, "MODEL") && !takes(class, "MODEL") || gives(class, "CLIP") && !takes(class, "CLIP")
}

// onPictures reports whether the size of a picture says something of a node's time.
func onPictures(class *workflow.Class) bool {
	return takes(class, "LATENT") || takes(class, "IMAGE") || gives(class, "LATENT") || gives(class, "IMAGE")
}

func takes(class *workflow.Class, kind string) bool {
	return slices.ContainsFunc(class.Inputs, func(in workflow.Input) bool { return in.Type == kind })
}

func gives(class *workflow.Class, kind string) bool {
	return slices.ContainsFunc(class.Outputs, func(out workflow.Output) bool { return out.Type == kind })
}

// linksOf lists, for each node, the nodes of the graph that it links to.
func linksOf(g workflow.Graph) map[string][]string {
	links := make(map[string][]string, len(g))
	for id, n := range g {
		for input := range n.Inputs {
			if from, _, ok := n.Link(input); ok && g[from].ClassType != "" {
				links[id] = append(links[id], from)
			}
		}
		slices.Sort(links[id])
	}
	return links
}

// runOrder lists the ids so that each comes after those that it links to; otherwise by id. A
// graph with a cycle, which a server refuses, comes out in some order.
func runOrder(g workflow.Graph, links map[string][]string) []string {
	ids := make([]string, 0, len(g))
	for id := range g {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	order := make([]string, 0, len(g))
	seen := make(map[string]bool, len(g))
	var visit func(id string)
	visit = func(id string) {
		if seen[id] {
			return
		}
		seen[id] = true
		for _, from := range links[id] {
			visit(from)
		}
		order = append(order, id)
	}
	for _, id := range ids {
		visit(id)
	}
	return order
}

// markOutputs finds the nodes that the graph is run for: those of an output class, or, when no
// class is known to be one, those that nothing links to.
func (plan *Plan) markOutputs(links map[string][]string, info *workflow.ObjectInfo) {
	found := false
	for i := range plan.nodes {
		if class, ok := info.Class(plan.nodes[i].class); ok && class.OutputNode {
			plan.nodes[i].output, found = true, true
		}
	}
	if found {
		return
	}
	linked := make(map[string]bool, len(plan.nodes))
	for _, froms := range links {
		for _, from := range froms {
			linked[from] = true
		}
	}
	for i := range plan.nodes {
		plan.nodes[i].output = !linked[plan.nodes[i].id]
	}
}

// markWanted marks the outputs and all that they depend on. Going backwards through the order
// meets every node before those that it links to.
func (plan *Plan) markWanted(links map[string][]string) {
	for i := len(plan.nodes) - 1; i >= 0; i-- {
		n := &plan.nodes[i]
		n.wanted = n.wanted || n.output
		if !n.wanted {
			continue
		}
		for _, from := range links[n.id] {
			plan.nodes[plan.index[from]].wanted = true
		}
	}
}

// find looks for the node of the sent graph that an id on the wire means: the id itself, else the
// node that the message says stands for it, else the beginning of an expanded id, which is made of the id of
// the node that expanded: 50.0.0.4 came from 50.
func (plan *Plan) find(id, display string) (int, bool) {
	if i, ok := plan.index[id]; ok {
		return i, true
	}
	if i, ok := plan.index[display]; ok {
		return i, true
	}
	for {
		dot := strings.LastIndexByte(id, '.')
		if dot < 0 {
			return 0, false
		}
		id = id[:dot]
		if i, ok := plan.index[id]; ok {
			return i, true
		}
	}
}
