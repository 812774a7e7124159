package workflow

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestStockObjectInfo(t *testing.T) {
	o := stock(t)
	if got := len(o.Names()); got != 382 {
		t.Errorf("%d classes, want 382", got)
	}
	var samplers, outputs []string
	for _, name := range o.Names() {
		c, _ := o.Class(name)
		if c.IsSampler() {
			samplers = append(samplers, name)
		}
		if c.OutputNode {
			outputs = append(outputs, name)
		}
		for _, in := range c.Inputs {
			if in.Type == "" {
				t.Errorf("%s.%s has no type", name, in.Name)
			}
		}
	}
	if want := []string{"KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced"}; !slices.Equal(samplers, want) {
		t.Errorf("samplers = %v, want %v", samplers, want)
	}
	if len(outputs) != 25 || !slices.Contains(outputs, "SaveImage") {
		t.Errorf("output nodes = %v", outputs)
	}
	if _, ok := o.Class("NoSuchClass"); ok {
		t.Error("Class(NoSuchClass) was found")
	}
	var none *ObjectInfo
	if _, ok := none.Class("KSampler"); ok || none.Names() != nil {
		t.Error("a nil ObjectInfo knows classes")
	}
}

func TestStockKSampler(t *testing.T) {
	c, _ := stock(t).Class("KSampler")
	var names []string
	for _, in := range c.Inputs {
		names = append(names, in.Name)
	}
	want := []string{"model", "seed", "steps", "cfg", "sampler_name", "scheduler", "positive", "negative", "latent_image", "denoise"}
	if !slices.Equal(names, want) {
		t.Errorf("inputs = %v, want %v (the order of input_order)", names, want)
	}
	if want := []Output{{Type: "LATENT", Name: "LATENT"}}; !slices.Equal(c.Outputs, want) {
		t.Errorf("outputs = %v, want %v", c.Outputs, want)
	}
	seed, _ := c.Input("seed")
	if seed.MaxUint != 1<<64-1 || !seed.ControlSlot || !seed.Widget() {
		t.Errorf("seed = %+v, want all 64 bits and a control slot", seed)
	}
	cfg, _ := c.Input("cfg")
	if *cfg.Min != 0 || *cfg.Max != 100 || *cfg.Step != 0.1 || string(cfg.Default) != "8.0" {
		t.Errorf("cfg = %v..%v step %v default %s", *cfg.Min, *cfg.Max, *cfg.Step, cfg.Default)
	}
	sampler, _ := c.Input("sampler_name")
	if sampler.Type != TypeCombo || len(sampler.Choices) < 30 || sampler.Choices[0] != "euler" {
		t.Errorf("sampler_name = %s of %v", sampler.Type, sampler.Choices)
	}
	if model, _ := c.Input("model"); model.Widget() || model.Section != Required {
		t.Errorf("model = %+v, want a required link", model)
	}
	save, _ := stock(t).Class("SaveImage")
	if prompt, ok := save.Input("prompt"); !ok || prompt.Section != Hidden || prompt.Type != "PROMPT" || prompt.Widget() {
		t.Errorf("SaveImage's hidden prompt = %+v", prompt)
	}
}

func TestObjectInfoForms(t *testing.T) {
	o := info(t, `{
	"Odd": {
		"input": {
			"required": {
				"old": [["b", "a"], {"default": "a"}],
				"new": ["COMBO", {"options": ["x", "y"], "image_upload": true}],
				"bare": [["only"]],
				"empty": [[]],
				"numbers": [[256, 512, true, null, ["nested"]]],
				"remote": ["COMBO", {"remote": {"route": "/internal"}}],
				"inf": ["FLOAT", {"min": -Infinity, "max": Infinity, "step": NaN, "default": NaN}],
				"big": ["INT", {"min": -9223372036854775808, "max": 9223372036854775807, "step": 64}],
				"text": ["STRING", {"default": "NaN, Infinity", "multiline": true, "dynamicPrompts": true}],
				"forced": ["INT", {"forceInput": true}],
				"control": ["INT", {"control_after_generate": "fixed"}],
				"wrong": ["INT", {"min": "zero", "max": [1], "tooltip": 3, "step": 2}],
				"none": [],
				"scalar": 7,
				"third": ["MODEL", {}, "more"]
			},
			"optional": null,
			"hidden": {"id": "UNIQUE_ID", "graph": ["PROMPT"]}
		},
		"output": ["LATENT", ["a", "b"], null],
		"output_name": ["out"],
		"output_is_list": [true],
		"output_node": 1,
		"display_name": null
	},
	"Not a class": "text",
	"Null": null
	}`)
	c, ok := o.Class("Odd")
	if !ok {
		t.Fatal("the class was dropped")
	}
	choices := func(name string) []string {
		in, ok := c.Input(name)
		if !ok || in.Type != TypeCombo {
			t.Errorf("%s = %+v, want a choice", name, in)
			return nil
		}
		return in.Choices
	}
	for name, want := range map[string][]string{
		"old": {"b", "a"}, "new": {"x", "y"}, "bare": {"only"}, "empty": {}, "numbers": {"256", "512", "true"}, "remote": nil,
	} {
		if got := choices(name); !reflect.DeepEqual(got, want) {
			t.Errorf("choices of %s = %#v, want %#v", name, got, want)
		}
	}
	get := func(name string) *Input {
		in, ok := c.Input(name)
		if !ok {
			t.Fatalf("input %s was dropped", name)
		}
		return in
	}
	if in := get("inf"); in.Min != nil || in.Max != nil || in.Step != nil || in.Default != nil {
		t.Errorf("inf = %+v, want no bounds and no default", in)
	}
	if in := get("big"); in.MaxUint != 1<<63-1 || *in.Step != 64 {
		t.Errorf("big = %+v", in)
	}
	if in := get("text"); string(in.Default) != `"NaN, Infinity"` || !in.Multiline || !in.DynamicPrompts {
		t.Errorf("text = %+v, want its words untouched", in)
	}
	if in := get("forced"); in.Widget() {
		t.Error("forced is a widget")
	}
	if !get("control").ControlSlot || !get("remote").Remote || !get("new").Upload {
		t.Error("control, remote or upload was not seen")
	}
	if in := get("wrong"); in.Min != nil || in.Max != nil || *in.Step != 2 {
		t.Errorf("wrong = %+v, want only the step", in)
	}
	for _, name := range []string{"none", "scalar"} {
		if in, ok := c.Input(name); ok {
			t.Errorf("%s = %+v, want it left out", name, in)
		}
	}
	if get("id").Type != "UNIQUE_ID" || get("graph").Type != "PROMPT" {
		t.Error("hidden inputs were not read")
	}
	if want := []Output{{"LATENT", "out", true}, {"COMBO", "COMBO", false}, {"", "", false}}; !slices.Equal(c.Outputs, want) {
		t.Errorf("outputs = %v, want %v", c.Outputs, want)
	}
	if c.DisplayName != "Odd" || c.Inputs[0].Name != "old" {
		t.Errorf("display name %q, first input %q; want the name, and the order of the document", c.DisplayName, c.Inputs[0].Name)
	}
	if len(o.Names()) != 1 {
		t.Errorf("classes = %v, want Odd alone", o.Names())
	}
}

func TestParseObjectInfoRefuses(t *testing.T) {
	for _, text := range []string{``, `[]`, `null`, `"x"`, `{}`, `{"a":1}`, `{"A":{"input":{}}`, `<html>`, `{"A":{}} <html>`} {
		if o, err := ParseObjectInfo([]byte(text)); err == nil {
			t.Errorf("ParseObjectInfo(%s) = %v, want an error", text, o.Names())
		}
	}
}

func TestIsSampler(t *testing.T) {
	class := func(inputs, outputs string) *Class {
		c, _ := info(t, `{"A":{"input":{"required":{`+inputs+`}},"output":[`+outputs+`]}}`).Class("A")
		return c
	}
	for _, tt := range []struct {
		name, inputs, outputs string
		want                  bool
	}{
		{"a model in, a latent out", `"m":["MODEL"]`, `"MODEL","LATENT"`, true},
		{"a guider in", `"g":["GUIDER"],"s":["SAMPLER"],"sigmas":["SIGMAS"]`, `"LATENT"`, true},
		{"a loader", `"n":[["a"]]`, `"MODEL"`, false},
		{"only a latent", `"l":["LATENT"]`, `"LATENT"`, false},
		{"an image out", `"m":["MODEL"]`, `"IMAGE"`, false},
		{"the schedule alone", `"m":["MODEL"],"sigmas":["SIGMAS"]`, `"LATENT"`, false},
	} {
		if got := class(tt.inputs, tt.outputs).IsSampler(); got != tt.want {
			t.Errorf("%s: IsSampler() = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestWithoutNaN(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":NaN,"b":[-Infinity,Infinity,-1]}`: `{"a":null,"b":[null,null,-1]}`,
		`{"NaN":"-Infinity \" NaN"}`:            `{"NaN":"-Infinity \" NaN"}`,
		`["\\", NaN]`:                           `["\\", null]`,
		`{"a":"NaN`:                             `{"a":"NaN`,
		`[-]`:                                   `[-]`,
	} {
		if got := string(WithoutNaN([]byte(in))); got != want {
			t.Errorf("WithoutNaN(%s) = %s, want %s", in, got, want)
		}
	}
	plain := []byte(strings.Repeat("[1]", 10))
	if got := WithoutNaN(plain); &got[0] != &plain[0] {
		t.Error("text without the words was copied")
	}
}
