package simulator

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
)

// The classes that the simulator executes, in the form of GET /object_info: names, types, bounds and choices are
// ComfyUI's, without its help texts. Choices that depend on the server (models, input files) are filled in.
//
//go:embed classes.json
var stockClasses []byte

// The recorded server's test nodes; see Config.BenchNodes.
//
//go:embed classes_bench.json
var benchClasses []byte

// class is one node class as object_info describes it.
type class struct {
	name        string
	inputs      []input // required, then optional
	returns     []string
	makesList   []bool // for each output slot: the node returns a list, to be worked through one by one
	output      bool
	run         nodeFunc // nil: known by description only
	checksImage bool     // its image input is checked against the files, not against the list of choices
}

// input is one input of a class.
type input struct {
	name     string
	required bool
	kind     any // the type's name, or the list of choices
	options  *object
	lazy     bool
	config   any // the whole description, as error messages quote it
}

// input returns the description of an input; of an unknown one, the zero value.
func (c *class) input(name string) input {
	if c == nil {
		return input{}
	}
	at := slices.IndexFunc(c.inputs, func(i input) bool { return i.name == name })
	if at < 0 {
		return input{}
	}
	return c.inputs[at]
}

// choices returns the values an input may have, when it is a choice at all.
func (i input) choices() (list []any, ok bool) {
	if list, ok := i.kind.([]any); ok {
		return list, true
	}
	if i.kind == "COMBO" {
		v, _ := i.options.get("options")
		list, ok := v.([]any)
		return list, ok
	}
	return nil, false
}

// classes is the set of node classes of one server.
type classes struct {
	raw    []byte  // Config.ObjectInfo; nil: made from described
	base   *object // without the choices that depend on the server
	models []string
	loras  []string
	files  *files
}

func newClasses(c Config, f *files) *classes {
	set := &classes{models: c.Models, loras: c.LoRAs, files: f}
	if set.models == nil {
		set.models = []string{"aurora-demo.safetensors", "watercolor-demo.safetensors"}
	}
	if set.loras == nil {
		set.loras = []string{"soft-light-demo.safetensors"}
	}
	base := stockClasses
	if c.ObjectInfo != nil {
		base = c.ObjectInfo
		set.raw = c.ObjectInfo
	}
	set.base = mustObject(base)
	if c.BenchNodes {
		bench := mustObject(benchClasses)
		for _, name := range bench.keys {
			set.base.set(name, bench.values[name])
		}
	}
	return set
}

func mustObject(data []byte) *object {
	v, err := decode(data)
	o, ok := v.(*object)
	if err != nil || !ok {
		panic(fmt.Sprintf("simulator: not an object_info document: %v", err))
	}
	return o
}

// document is the answer to GET /object_info.
func (s *classes) document() json.RawMessage {
	if s.raw != nil {
		return s.raw
	}
	all := newObject()
	for _, name := range s.base.keys {
		all.set(name, s.describe(name))
	}
	return encode(all)
}

// describe returns one class's description with the present choices, or nil when there is no such class.
func (s *classes) describe(name string) *object {
	base := s.base.member(name)
	if base == nil || s.raw != nil {
		return base
	}
	var slot string
	var choices []string
	switch name {
	case "CheckpointLoaderSimple":
		slot, choices = "ckpt_name", s.models
	case "LoraLoader", "LoraLoaderModelOnly":
		slot, choices = "lora_name", s.loras
	case "LoadImage":
		slot, choices = "image", s.files.pictures(folderInput)
	default:
		return base
	}
	filled, _ := copied(base).(*object)
	config, _ := filled.member("input").member("required").get(slot)
	if list, ok := config.([]any); ok {
		list[0] = anyList(choices)
	}
	return filled
}

// get returns a class, or nil when there is none of that name.
func (s *classes) get(name string) *class {
	described := s.describe(name)
	if described == nil {
		return nil
	}
	c := &class{name: name, run: nodeFuncs[name], checksImage: name == "LoadImage"}
	output, _ := described.get("output_node")
	c.output = output == true
	for _, section := range []string{"required", "optional"} {
		inputs := described.member("input").member(section)
		if inputs == nil {
			continue
		}
		for _, in := range inputs.keys {
			c.inputs = append(c.inputs, readInput(in, section == "required", inputs.values[in]))
		}
	}
	returns, _ := described.get("output")
	for _, kind := range asList(returns) {
		text, _ := kind.(string)
		c.returns = append(c.returns, text)
	}
	lists, _ := described.get("output_is_list")
	for _, is := range asList(lists) {
		c.makesList = append(c.makesList, is == true)
	}
	return c
}

func readInput(name string, required bool, config any) input {
	in := input{name: name, required: required, options: newObject()}
	list := asList(config)
	if len(list) > 0 {
		in.kind = list[0]
	}
	if len(list) > 1 {
		if options, ok := list[1].(*object); ok {
			in.options = options
		}
	}
	in.config = []any{in.kind, in.options}
	lazy, _ := in.options.get("lazy")
	in.lazy = lazy == true
	return in
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}
