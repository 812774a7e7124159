package workflow

import (
	"encoding/json"
	"math"
	"slices"
)

// Types of inputs that hold a value of their own; all others, such as MODEL or LATENT, only come
// by a link.
const (
	TypeInt     = "INT"
	TypeFloat   = "FLOAT"
	TypeString  = "STRING"
	TypeBoolean = "BOOLEAN"
	TypeCombo   = "COMBO" // a choice from a list, in either of the two forms that servers write
)

// Section says in which part of a class an input stands.
type Section string

// The sections, in their order. Hidden inputs are filled in by the server itself.
const (
	Required Section = "required"
	Optional Section = "optional"
	Hidden   Section = "hidden"
)

// ObjectInfo is what a server's /object_info says: every class of node that it can run. It does
// not change once it was read, and any number of goroutines may use it.
type ObjectInfo struct {
	// classes are read when they are first asked for: servers with custom nodes send many
	// megabytes, and a graph needs ten classes of them.
	classes map[string]func() *Class
}

// Class finds a class by the name that graphs use as class_type.
func (o *ObjectInfo) Class(name string) (*Class, bool) {
	if o == nil {
		return nil, false
	}
	class, ok := o.classes[name]
	if !ok {
		return nil, false
	}
	return class(), true
}

// Names lists the classes, sorted.
func (o *ObjectInfo) Names() []string {
	if o == nil {
		return nil
	}
	return sortedKeys(o.classes)
}

// Class is one kind of node.
type Class struct {
	Name        string // as in class_type
	DisplayName string // for people; the name when the server gives none
	Category    string
	Description string
	Inputs      []Input // required, optional, hidden, each in the order in which the editor shows them
	Outputs     []Output
	OutputNode  bool // its result is the aim of a graph: it saves or shows something
	Deprecated  bool
	APINode     bool // it sends data to a paid service
}

// Output is one result of a class.
type Output struct {
	Type string // "MODEL", "LATENT", ...
	Name string
	List bool // it gives a list, over which what follows is repeated
}

// Input is one input of a class.
type Input struct {
	Name    string
	Type    string // one of the types above, or what has to be linked: "MODEL"
	Section Section

	Default        json.RawMessage // as the server wrote it; nil: none
	Min, Max, Step *float64        // of INT and FLOAT; nil: none
	Round          *float64        // of FLOAT: what the editor rounds to; nil: to the digits of Step
	MaxUint        uint64          // Max of an INT with all its digits; 0 when there is none, or it is negative
	Choices        []string        // of a COMBO, in the server's order
	Remote         bool            // a COMBO whose choices come from another route: the list is not known
	Multiline      bool
	DynamicPrompts bool // the editor resolves {a|b} in it
	ForceInput     bool // a plain type that still has to be linked
	ControlSlot    bool // an INT with control_after_generate: in the editor a further value follows it
	Upload         bool // the editor offers an upload button beside it
	UploadImage    bool // and it is for images
	Tooltip        string

	// typed holds the choices that are no text in the server's list (256, true), by their text:
	// ComfyUI compares with the type, so "256" would be refused.
	typed map[string]json.RawMessage
}

// Widget reports whether a graph may give the input a value of its own.
func (in *Input) Widget() bool {
	switch in.Type {
	case TypeInt, TypeFloat, TypeString, TypeBoolean, TypeCombo:
		return in.Section != Hidden && !in.ForceInput
	}
	return false
}

// Input finds an input by name.
func (c *Class) Input(name string) (*Input, bool) {
	for i := range c.Inputs {
		if c.Inputs[i].Name == name {
			return &c.Inputs[i], true
		}
	}
	return nil, false
}

// IsSampler reports whether nodes of this class sample: a model or a guider goes in, a latent
// comes out. A class that takes sigmas but no sampler only reads the noise schedule (AddNoise
// is one) and never steps.
func (c *Class) IsSampler() bool {
	takes := func(kind string) bool {
		return slices.ContainsFunc(c.Inputs, func(in Input) bool { return in.Type == kind && in.Section != Hidden })
	}
	gives := slices.ContainsFunc(c.Outputs, func(out Output) bool { return out.Type == "LATENT" })
	return gives && (takes("MODEL") || takes("GUIDER")) && (takes("SAMPLER") || !takes("SIGMAS"))
}

// choice is the value to send for a choice: the server's own type where the list is not of text.
func (in *Input) choice(text string) json.RawMessage {
	if raw, ok := in.typed[text]; ok {
		return raw
	}
	return textJSON(text)
}

// textJSON writes text as JSON; it cannot fail for a string.
func textJSON(s string) json.RawMessage {
	raw, err := marshalPlain(s)
	if err != nil {
		return json.RawMessage(`""`)
	}
	return raw
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// Union knows every class that one of the servers knows, as the first of them says it; nil when none
// has told. What is read of a file does not depend on which server will run it.
func Union(infos ...*ObjectInfo) *ObjectInfo {
	var all *ObjectInfo
	for _, info := range infos {
		if info == nil {
			continue
		}
		if all == nil {
			all = &ObjectInfo{classes: map[string]func() *Class{}}
		}
		for name, class := range info.classes {
			if _, known := all.classes[name]; !known {
				all.classes[name] = class
			}
		}
	}
	return all
}
