package workflow

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func field(t testing.TB, f Form, name string) FormField {
	t.Helper()
	ff, ok := f.Field(name)
	if !ok {
		t.Fatalf("the form has no field %s", name)
	}
	return ff
}

func TestBuiltinForm(t *testing.T) {
	f := builtin(t).Form(stock(t))
	var names []string
	for _, ff := range f.Fields {
		names = append(names, ff.Name)
		if ff.Label == "" || ff.Group != "main" && ff.Group != "more" {
			t.Errorf("field %+v lacks a label or a group", ff)
		}
	}
	want := []string{"prompt", "negativePrompt", "model", "width", "height", "steps", "guidance", "sampler", "scheduler", "seed"}
	if !slices.Equal(names, want) {
		t.Errorf("fields = %v, want %v", names, want)
	}
	if _, ok := f.Field("nothing"); ok {
		t.Error("Field(nothing) was found")
	}
	width := field(t, f, "width")
	if !width.Bounded || width.Min != 16 || width.Max != 16384 || width.Step != 8 || width.Default != int64(768) {
		t.Errorf("width = %+v", width)
	}
	if steps := field(t, f, "steps"); steps.Min != 1 || steps.Max != 10000 || steps.Default != int64(20) {
		t.Errorf("steps = %+v", steps)
	}
	if guidance := field(t, f, "guidance"); guidance.Max != 100 || guidance.Step != 0.1 || guidance.Default != float64(7) {
		t.Errorf("guidance = %+v", guidance)
	}
	model := field(t, f, "model")
	if !slices.Equal(model.Choices, []string{"full-random-sd15.safetensors", "tiny-random-sd15.safetensors"}) || model.Default != "full-random-sd15.safetensors" {
		t.Errorf("model = %+v, want the first as its default", model)
	}
	if sampler := field(t, f, "sampler"); len(sampler.Choices) < 30 || sampler.Default != "euler" {
		t.Errorf("sampler = %+v", sampler)
	}
	if scheduler := field(t, f, "scheduler"); !slices.Contains(scheduler.Choices, "karras") || scheduler.Default != "normal" {
		t.Errorf("scheduler = %+v", scheduler)
	}
	if seed := field(t, f, "seed"); seed.SeedMax != math.MaxUint64 || seed.Default != nil {
		t.Errorf("seed = %+v", seed)
	}
	if _, err := json.Marshal(f); err != nil {
		t.Errorf("a form cannot be written as JSON: %v", err)
	}
}

func TestFormWithoutServers(t *testing.T) {
	f := builtin(t).Form()
	if width := field(t, f, "width"); !width.Bounded || width.Max != 16384 || width.Step != 8 {
		t.Errorf("width = %+v, want the workflow's own bounds", width)
	}
	if model := field(t, f, "model"); model.Choices != nil || model.Default != nil {
		t.Errorf("model = %+v, want open choices", model)
	}
}

// server is an object_info of the classes that the built-in form looks at.
func server(t testing.TB, models, samplers, width, seed string) *ObjectInfo {
	return info(t, `{
		"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [[`+models+`]]}}},
		"KSampler": {"input": {"required": {
			"seed": ["INT", {`+seed+`}], "sampler_name": ["COMBO", {"options": [`+samplers+`]}]}}},
		"EmptyLatentImage": {"input": {"required": {"width": ["INT", {`+width+`}]}}}}`)
}

func TestFormOfSeveralServers(t *testing.T) {
	a := server(t, `"x","y"`, `"heun","euler"`, `"min": 32, "max": 2048, "step": 8`, `"max": 18446744073709551615`)
	b := server(t, `"y","z"`, `"heun"`, `"min": 16, "max": 4096, "step": 64`, `"max": 9223372036854775807`)
	none := info(t, `{"LoadImage":{}}`)
	f := builtin(t).Form(a, none, b)
	model := field(t, f, "model")
	if got := model.Choices; !slices.Equal(got, []string{"x", "y", "z"}) {
		t.Errorf("models = %v, want the union", got)
	}
	if model.Default != "y" {
		t.Errorf("default = %v, want the first model that both servers have", model.Default)
	}
	strangers := builtin(t).Form(a, server(t, `"z"`, `"heun"`, ``, ``))
	if got := field(t, strangers, "model").Default; got != nil {
		t.Errorf("default = %v although no server has what another has", got)
	}
	width := field(t, f, "width")
	if width.Min != 32 || width.Max != 2048 || width.Step != 64 {
		t.Errorf("width = %v..%v step %v, want the intersection", width.Min, width.Max, width.Step)
	}
	if seed := field(t, f, "seed"); seed.SeedMax != math.MaxInt64 {
		t.Errorf("SeedMax = %d, want 2^63-1 exactly", seed.SeedMax)
	}
	if f := builtin(t).Form(b); field(t, f, "sampler").Default != "heun" {
		t.Error("the default is a choice that no server has")
	}
}

func TestFormWhenServersContradict(t *testing.T) {
	a := server(t, ``, ``, `"min": 16, "max": 512`, ``)
	b := server(t, ``, ``, `"min": 1024, "max": 2048`, ``)
	width := field(t, builtin(t).Form(a, b), "width")
	if width.Min != 16 || width.Max != 512 {
		t.Errorf("width = %v..%v, want the first server's", width.Min, width.Max)
	}
	if width.Default != int64(512) {
		t.Errorf("default = %v, want it moved inside the bounds", width.Default)
	}
}

func TestFormWithOddSteps(t *testing.T) {
	a := server(t, ``, ``, `"min": 1, "max": 99, "step": 2`, ``)
	f := Form{Fields: []FormField{{Name: "size", Label: "Size", Kind: Integer, Min: 1, Max: 99, Step: 2, Bounded: true}}}
	if _, problems := f.Parse(settings("size", "4")); len(problems) != 1 || problems[0].Message != "Size must be 1 and a multiple of 2, such as 3 or 5." {
		t.Errorf("problems = %v", problems)
	}
	if _, problems := f.Parse(settings("size", "5")); len(problems) != 0 {
		t.Errorf("problems = %v", problems)
	}
	w := &Workflow{ID: "w", Graph: Graph{"l": {ClassType: "EmptyLatentImage"}}, Fields: []Field{{
		Name: "size", Label: "Size", Kind: Integer, value: int64(4), Targets: []Target{{"l", "width"}},
	}}}
	if size := field(t, w.Form(a), "size"); size.Min != 1 || size.Default != int64(5) {
		t.Errorf("size = %+v, want the default on a step", size)
	}
}

func TestFormWithOneOpenEnd(t *testing.T) {
	w := func() *Workflow {
		return &Workflow{ID: "w", Graph: Graph{"l": {ClassType: "EmptyLatentImage"}}, Fields: []Field{{
			Name: "size", Label: "Size", Kind: Integer, Targets: []Target{{"l", "width"}},
		}}}
	}
	for bounds, tries := range map[string]map[string]string{
		`"min": 3`: {"2": "Size must be at least 3.", "3": ""},
		`"max": 3`: {"4": "Size must be at most 3.", "-7": ""},
		``:         {"-1000000000000": "", "99999999999999999999": "Size is too large a number."},
	} {
		f := w().Form(server(t, ``, ``, bounds, ``))
		for value, want := range tries {
			_, problems := f.Parse(settings("size", value))
			got := ""
			if len(problems) > 0 {
				got = problems[0].Message
			}
			if got != want {
				t.Errorf("with %s, %s: %q, want %q", bounds, value, got, want)
			}
		}
	}
}

// A field of two targets takes only what both take.
func TestFormOfTwoTargets(t *testing.T) {
	o := info(t, `{
		"A": {"input": {"required": {"c": [["x", "y"]], "n": ["INT", {"min": 0, "max": 10}]}}},
		"B": {"input": {"required": {"c": ["COMBO", {"options": ["y", "x2"]}], "n": ["INT", {"min": 5, "max": 50}]}}}}`)
	w := &Workflow{
		ID:    "w",
		Graph: Graph{"1": {ClassType: "A"}, "2": {ClassType: "B"}},
		Fields: []Field{
			{Name: "c", Label: "C", Kind: Choice, Targets: []Target{{"1", "c"}, {"2", "c"}}},
			{Name: "n", Label: "N", Kind: Integer, Targets: []Target{{"1", "n"}, {"2", "n"}}},
		},
	}
	f := w.Form(o)
	if got := field(t, f, "c").Choices; !slices.Equal(got, []string{"y"}) {
		t.Errorf("choices = %v, want y", got)
	}
	if n := field(t, f, "n"); n.Min != 5 || n.Max != 10 {
		t.Errorf("bounds = %v..%v, want 5..10", n.Min, n.Max)
	}
	g, err := w.Apply(Values{"c": "y", "n": int64(7)})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"1", "2"} {
		if got, want := g[id].Inputs, settings("c", `"y"`, "n", "7"); !reflect.DeepEqual(got, want) {
			t.Errorf("node %s = %s, want both targets set", id, got)
		}
	}
}

func TestParseWorkflowRefuses(t *testing.T) {
	const good = `{"id":"w","title":"W","graph":{"1":{"class_type":"A","inputs":{"x":1,"l":["1",0]}}},"fields":[{"name":"x","label":"X","group":"main","kind":"integer","default":5,"targets":[{"node":"1","input":"x"}]}]}`
	if w, err := Parse([]byte(good)); err != nil || w.Fields[0].value != int64(5) {
		t.Fatalf("Parse() = %+v, %v", w, err)
	}
	for _, tt := range []struct{ from, to, want string }{
		{`"id":"w"`, `"id":""`, "id and title are needed"},
		{`"class_type"`, `"class"`, "class_type is missing"},
		{`"name":"x"`, `"name":""`, "needs a name of its own"},
		{`"fields":[`, `"fields":[{"name":"x","label":"X","group":"main","kind":"text","targets":[{"node":"1","input":"x"}]},`, "needs a name of its own"},
		{`"integer"`, `"whole"`, `"whole" is no kind`},
		{`"main"`, `" "`, "The group must not be empty"},
		{`"label":"X"`, `"label":""`, "a label and at least one target"},
		{`"node":"1"`, `"node":"2"`, `no node "2"`},
		{`"input":"x"`, `"input":"l"`, `input "l" of node "1" is linked`},
		{`"default":5`, `"default":"five"`, "its default"},
		{`"default":5`, `"default":5,"default":6`, "stands twice"},
	} {
		text := strings.Replace(good, tt.from, tt.to, 1)
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("with %s: error = %v, want %q in it", tt.to, err, tt.want)
		}
	}
}

func TestBuiltinsAreOurs(t *testing.T) {
	all := Builtins()
	if len(all) == 0 || all[0] == nil {
		t.Fatal("no built-in workflow")
	}
	all[0] = nil // the caller's own slice
	for _, w := range Builtins() {
		if got, ok := Builtin(w.ID); !ok || got != w {
			t.Errorf("Builtin(%s) = %v, %v", w.ID, got, ok)
		}
		if problems := w.Graph.Check(stock(t)); len(problems) > 0 {
			t.Errorf("%s: %v", w.ID, problems)
		}
	}
	if _, ok := Builtin("none"); ok {
		t.Error("Builtin(none) was found")
	}
}
