package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
)

// ParseObjectInfo reads the answer of GET /object_info. Custom nodes put odd things there, and
// Python writes NaN and Infinity as they are: what cannot be understood is left out, class by
// class and input by input, and only a document that holds no class at all is an error.
func ParseObjectInfo(raw []byte) (*ObjectInfo, error) {
	classes, err := members(WithoutNaN(raw))
	if err != nil {
		return nil, fmt.Errorf("read object_info: %w", err)
	}
	o := &ObjectInfo{classes: make(map[string]func() *Class, len(classes))}
	for _, m := range classes {
		if firstByte(m.value) == '{' {
			o.classes[m.name] = sync.OnceValue(func() *Class { return parseClass(m.name, m.value) })
		}
	}
	if len(o.classes) == 0 {
		return nil, errors.New("read object_info: it names no class of node")
	}
	return o, nil
}

// classJSON is a class on the wire. Raw parts are those that custom nodes get wrong.
type classJSON struct {
	Input        map[string]json.RawMessage `json:"input"`
	InputOrder   map[string][]string        `json:"input_order"`
	Output       []json.RawMessage          `json:"output"`
	OutputName   []json.RawMessage          `json:"output_name"`
	OutputIsList []bool                     `json:"output_is_list"`
	DisplayName  string                     `json:"display_name"`
	Category     string                     `json:"category"`
	Description  string                     `json:"description"`
	OutputNode   bool                       `json:"output_node"`
	Deprecated   bool                       `json:"deprecated"`
	APINode      bool                       `json:"api_node"`
}

func parseClass(name string, raw json.RawMessage) *Class {
	var w classJSON
	// raw is an object in valid JSON, so the only error is a member of a wrong type: that leaves
	// its field as it is, and the others are read all the same.
	_ = json.Unmarshal(raw, &w)
	c := &Class{
		Name:        name,
		DisplayName: w.DisplayName,
		Category:    w.Category,
		Description: w.Description,
		OutputNode:  w.OutputNode,
		Deprecated:  w.Deprecated,
		APINode:     w.APINode,
	}
	if c.DisplayName == "" {
		c.DisplayName = name
	}
	for _, section := range []Section{Required, Optional, Hidden} {
		c.Inputs = append(c.Inputs, parseInputs(section, w.Input[string(section)], w.InputOrder[string(section)])...)
	}
	for i, t := range w.Output {
		out := Output{Type: typeName(t)}
		out.Name = out.Type
		if i < len(w.OutputName) && isString(w.OutputName[i]) {
			out.Name, _ = unquote(w.OutputName[i])
		}
		if i < len(w.OutputIsList) {
			out.List = w.OutputIsList[i]
		}
		c.Outputs = append(c.Outputs, out)
	}
	return c
}

// parseInputs reads one section. input_order leads; older servers have none, there the order of
// the document does.
func parseInputs(section Section, raw json.RawMessage, order []string) []Input {
	if len(raw) == 0 || isNull(raw) {
		return nil
	}
	list, err := members(raw)
	if err != nil {
		return nil
	}
	inputs := make([]Input, 0, len(list))
	for _, m := range list {
		if in, ok := parseInput(section, m.name, m.value); ok {
			inputs = append(inputs, in)
		}
	}
	if len(order) > 0 {
		place := make(map[string]int, len(order))
		for i, name := range order {
			place[name] = i + 1
		}
		rank := func(in Input) int {
			if p := place[in.Name]; p > 0 {
				return p
			}
			return len(order) + 1
		}
		slices.SortStableFunc(inputs, func(a, b Input) int { return rank(a) - rank(b) })
	}
	return inputs
}

// optionsJSON is the second part of an input's description.
type optionsJSON struct {
	Default              json.RawMessage   `json:"default"`
	Min                  json.RawMessage   `json:"min"`
	Max                  json.RawMessage   `json:"max"`
	Step                 json.RawMessage   `json:"step"`
	Round                json.RawMessage   `json:"round"`
	Options              []json.RawMessage `json:"options"`
	Remote               json.RawMessage   `json:"remote"`
	Tooltip              string            `json:"tooltip"`
	Multiline            bool              `json:"multiline"`
	DynamicPrompts       bool              `json:"dynamicPrompts"`
	ForceInput           bool              `json:"forceInput"`
	ControlAfterGenerate json.RawMessage   `json:"control_after_generate"`
	ImageUpload          bool              `json:"image_upload"`
	VideoUpload          bool              `json:"video_upload"`
	AudioUpload          bool              `json:"audio_upload"`
	FileUpload           bool              `json:"file_upload"`
}

// parseInput reads [type], [type, options] or, of hidden inputs, a bare type. The type is a name,
// or the list of choices itself: [["a", "b"], {...}] is the older form of ["COMBO", {"options": ...}].
func parseInput(section Section, name string, raw json.RawMessage) (Input, bool) {
	in := Input{Name: name, Section: section}
	if isString(raw) {
		in.Type = typeName(raw)
		return in, true
	}
	var spec []json.RawMessage
	if json.Unmarshal(raw, &spec) != nil || len(spec) == 0 {
		return Input{}, false
	}
	in.Type = typeName(spec[0])
	if in.Type == "" {
		return Input{}, false
	}
	var choices []json.RawMessage
	if isArray(spec[0]) && json.Unmarshal(spec[0], &choices) == nil {
		in.setChoices(choices)
	}
	if len(spec) < 2 {
		return in, true
	}
	var o optionsJSON
	_ = json.Unmarshal(spec[1], &o) // a member of a wrong type is as good as none
	if len(o.Options) > 0 && in.Type == TypeCombo && !isArray(spec[0]) {
		in.setChoices(o.Options)
	}
	if len(o.Default) > 0 && !isNull(o.Default) {
		in.Default = bytes.Clone(o.Default)
	}
	in.Min, in.Max, in.Step = number(o.Min), number(o.Max), number(o.Step)
	in.Round = number(o.Round)
	in.MaxUint, _ = strconv.ParseUint(string(o.Max), 10, 64)
	in.Remote = len(o.Remote) > 0 && !isNull(o.Remote)
	in.Tooltip = o.Tooltip
	in.Multiline = o.Multiline
	in.DynamicPrompts = o.DynamicPrompts
	in.ForceInput = o.ForceInput
	// The option is true, or the name of the first mode: "fixed", "randomize".
	in.ControlSlot = string(o.ControlAfterGenerate) == "true" || isString(o.ControlAfterGenerate)
	in.UploadImage = o.ImageUpload
	in.Upload = o.ImageUpload || o.VideoUpload || o.AudioUpload || o.FileUpload
	return in, true
}

func (in *Input) setChoices(list []json.RawMessage) {
	in.Choices = make([]string, 0, len(list))
	for _, raw := range list {
		if isString(raw) {
			if s, err := unquote(raw); err == nil {
				in.Choices = append(in.Choices, s)
			}
			continue
		}
		if c := firstByte(raw); c != 't' && c != 'f' && !isNumber(raw) {
			continue // null, or a list in a list: nothing that a graph could hold as a choice
		}
		if in.typed == nil {
			in.typed = map[string]json.RawMessage{}
		}
		in.typed[string(raw)] = bytes.Clone(raw)
		in.Choices = append(in.Choices, string(raw))
	}
}

// typeName is the name of a type; a list of choices in its place is a COMBO.
func typeName(raw json.RawMessage) string {
	switch {
	case isArray(raw):
		return TypeCombo
	case isString(raw):
		s, _ := unquote(raw)
		return s
	}
	return ""
}

// number reads a finite number; anything else is none.
func number(raw json.RawMessage) *float64 {
	if !isNumber(raw) {
		return nil
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || !finite(f) {
		return nil
	}
	return &f
}

type member struct {
	name  string
	value json.RawMessage
}

// members reads a JSON object in the order of the document.
func members(raw []byte) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil {
		return nil, err
	} else if t != json.Delim('{') {
		return nil, errors.New("it is no JSON object")
	}
	var list []member
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		list = append(list, member{name, value})
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return list, nil
}
