package workflow

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
)

// survey is a graph beside what servers say of its nodes, with every link read once.
type survey struct {
	graph   Graph
	classes map[string]*Class            // by class_type; nil: no server knows it
	links   map[string]map[string]source // by node and input
	live    map[string]bool              // nodes that something is put out for; the others never run
	ids     []string                     // the live nodes: those nearer to the sources first, then by number
}

// source is the output that an input is linked to.
type source struct {
	node string
	slot int
}

func newSurvey(g Graph, infos []*ObjectInfo) *survey {
	s := &survey{
		graph: g, classes: map[string]*Class{},
		links: make(map[string]map[string]source, len(g)), live: make(map[string]bool, len(g)),
	}
	used := map[string]bool{}
	for id, n := range g {
		if _, known := s.classes[n.ClassType]; !known {
			s.classes[n.ClassType] = nil
			for _, info := range infos {
				if class, ok := info.Class(n.ClassType); ok {
					s.classes[n.ClassType] = class
					break
				}
			}
		}
		links := map[string]source{}
		for input := range n.Inputs {
			if from, slot, ok := n.Link(input); ok {
				links[input] = source{from, slot}
				used[from] = true
			}
		}
		s.links[id] = links
	}
	s.findLive(used)
	depths := s.depths()
	s.ids = sortedKeys(s.live)
	slices.SortStableFunc(s.ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(depths[a], depths[b]), compareIDs(a, b))
	})
	return s
}

// findLive walks up from the nodes that put something out; where there are none everything counts.
func (s *survey) findLive(used map[string]bool) {
	var open []string
	for id := range s.graph {
		if class := s.class(id); class != nil && class.OutputNode || class == nil && !used[id] {
			open = append(open, id)
		}
	}
	if len(open) == 0 {
		for id := range s.graph {
			s.live[id] = true
		}
		return
	}
	for len(open) > 0 {
		id := open[len(open)-1]
		open = open[:len(open)-1]
		if _, exists := s.graph[id]; !exists || s.live[id] {
			continue
		}
		s.live[id] = true
		for _, from := range s.links[id] {
			open = append(open, from.node)
		}
	}
}

// depths are the lengths of the longest ways from the sources; none in a graph that runs in a circle.
func (s *survey) depths() map[string]int {
	order, err := s.graph.Order()
	if err != nil {
		return nil
	}
	depths := make(map[string]int, len(order))
	for _, id := range order {
		for _, from := range s.links[id] {
			depths[id] = max(depths[id], depths[from.node]+1)
		}
	}
	return depths
}

// compareIDs orders ids as people count: 9 before 10, and 10:2 before 10:11.
func compareIDs(a, b string) int {
	as, bs := strings.Split(a, ":"), strings.Split(b, ":")
	return cmp.Or(slices.CompareFunc(as, bs, func(x, y string) int {
		if wholeNumber(x) && wholeNumber(y) {
			return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
		}
		return cmp.Compare(x, y)
	}), cmp.Compare(a, b))
}

// class is nil for a node of a class that no server knows.
func (s *survey) class(id string) *Class { return s.classes[s.graph[id].ClassType] }

// input is nil where nothing is known about it.
func (s *survey) input(id, name string) *Input {
	class := s.class(id)
	if class == nil {
		return nil
	}
	in, _ := class.Input(name)
	return in
}

// inputs are the names of a node's inputs that the graph gives, in the order of its class.
func (s *survey) inputs(id string) []string {
	given := s.graph[id].Inputs
	class := s.class(id)
	if class == nil {
		return sortedKeys(given)
	}
	names := make([]string, 0, len(given))
	for _, in := range class.Inputs {
		if _, ok := given[in.Name]; ok && in.Section != Hidden {
			names = append(names, in.Name)
		}
	}
	return names
}

// usualTypes are what inputs of these names hold, for classes that no server knows.
var usualTypes = map[string]string{
	"positive": "CONDITIONING", "negative": "CONDITIONING", "conditioning": "CONDITIONING",
	"model": "MODEL", "clip": "CLIP", "vae": "VAE", "image": "IMAGE", "control_net": "CONTROL_NET",
	"latent_image": "LATENT", "samples": "LATENT", "latent": "LATENT",
	"sampler": "SAMPLER", "sigmas": "SIGMAS", "noise": "NOISE", "guider": "GUIDER",
}

// linkType is the type of what goes into a linked input; empty when nobody knows.
func (s *survey) linkType(id, name string) string {
	from, linked := s.links[id][name]
	if !linked {
		return ""
	}
	if in := s.input(id, name); in != nil && in.Type != "*" {
		return in.Type
	}
	if kind := s.outputType(from); kind != "" && kind != "*" {
		return kind
	}
	return usualTypes[name]
}

func (s *survey) outputType(from source) string {
	if class := s.class(from.node); class != nil && from.slot < len(class.Outputs) {
		return class.Outputs[from.slot].Type
	}
	return ""
}

// linked are the inputs of a node into which something of one of these types is linked.
func (s *survey) linked(id string, kinds ...string) []string {
	var names []string
	for _, name := range s.inputs(id) {
		if kind := s.linkType(id, name); kind != "" && slices.Contains(kinds, kind) {
			names = append(names, name)
		}
	}
	return names
}

// gives reports whether nodes of this one's class have an output of a type.
func (s *survey) gives(id, kind string) bool {
	class := s.class(id)
	return class != nil && slices.ContainsFunc(class.Outputs, func(out Output) bool { return out.Type == kind })
}

// takes reports whether nodes of this one's class have an input of a type.
func (s *survey) takes(id, kind string) bool {
	class := s.class(id)
	return class != nil && slices.ContainsFunc(class.Inputs, func(in Input) bool { return in.Type == kind && in.Section != Hidden })
}

// isSampler goes by the class, or, where no server knows it, by what every sampler is told.
func (s *survey) isSampler(id string) bool {
	if class := s.class(id); class != nil {
		return class.IsSampler()
	}
	has := func(name string) bool { return len(s.graph[id].Inputs[name]) > 0 }
	return has("steps") && (has("seed") || has("noise_seed") || has("sampler_name"))
}

// mostHops bounds how far a value is followed: a real one comes over one or two nodes.
const mostHops = 16

// value finds where the value of an input stands: in the input itself, or in the one that a
// node such as PrimitiveInt has for it.
func (s *survey) value(id, name string) (Target, json.RawMessage, bool) {
	for range mostHops {
		raw, given := s.graph[id].Inputs[name]
		if !given {
			return Target{}, nil, false
		}
		from, linked := s.links[id][name]
		if !linked {
			scalar := isString(raw) || isNumber(raw) || string(raw) == "true" || string(raw) == "false"
			return Target{id, name}, raw, scalar
		}
		var ok bool
		if name, ok = s.passes(from, name); !ok {
			return Target{}, nil, false
		}
		id = from.node
	}
	return Target{}, nil, false
}

// passes names the input whose value a node hands on as it is: the only one of the output's type.
func (s *survey) passes(from source, name string) (string, bool) {
	inputs := s.graph[from.node].Inputs
	class := s.class(from.node)
	if class == nil {
		for _, usual := range []string{name, "value"} {
			if _, ok := inputs[usual]; ok {
				return usual, true
			}
		}
		return "", false
	}
	kind, only := s.outputType(from), ""
	for i := range class.Inputs {
		switch in := &class.Inputs[i]; {
		case in.Section == Hidden:
		case in.Type != kind || !in.Widget() || only != "":
			return "", false // it makes something new of several
		default:
			only = in.Name
		}
	}
	return only, only != ""
}

// literal is the value of an input in one writing, for a field of this kind: a number that was
// given as text is a number. ok is false for what no such field can hold.
func literal(kind Kind, raw json.RawMessage) (value json.RawMessage, ok bool) {
	node := Node{Inputs: map[string]json.RawMessage{"": raw}}
	switch kind {
	case Text, Image:
		return raw, isString(raw)
	case Choice:
		if isString(raw) {
			return raw, true
		}
		return textJSON(string(raw)), !isArray(raw)
	case Boolean:
		return raw, string(raw) == "true" || string(raw) == "false"
	case Integer:
		n, ok := node.Int("")
		return strconv.AppendInt(nil, n, 10), ok
	case Number:
		text, ok := decimal(raw)
		n, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil || !finite(n) {
			return nil, false
		}
		value, err = marshalPlain(tidy(n))
		return value, err == nil
	case Seed:
		text, ok := decimal(raw)
		return json.RawMessage(text), ok && wholeNumber(text)
	}
	return nil, false
}

// tidy takes off what an editor's arithmetic leaves behind: 0.30000000000000004 is 0.3.
func tidy(n float64) float64 {
	const places = 1e10
	if round := math.Round(n*places) / places; math.Abs(n) < 1e5 && round != 0 {
		return round
	}
	return n
}

// kindOf is the kind of a field for an input, or another when nothing is known about it.
func kindOf(in *Input, other Kind) Kind {
	if in == nil {
		return other
	}
	switch in.Type {
	case TypeInt:
		if other == Seed {
			return Seed
		}
		return Integer
	case TypeFloat:
		return Number
	case TypeBoolean:
		return Boolean
	case TypeCombo:
		if other == Image {
			return Image
		}
		return Choice
	case TypeString:
		if other == Image {
			return Image
		}
		return Text
	}
	return other
}
