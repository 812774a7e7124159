package workflow

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestApply(t *testing.T) {
	w := builtin(t)
	before, err := w.Graph.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	g, err := w.Apply(Values{"prompt": `a "cat" <lora:x:1>`, "width": int64(512), "guidance": 7.5, "seed": uint64(math.MaxUint64)})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ node, input, want string }{
		{"positive", "text", `"a \"cat\" <lora:x:1>"`},
		{"negative", "text", `""`},
		{"latent", "width", `512`},
		{"latent", "height", `768`},
		{"sampler", "cfg", `7.5`},
		{"sampler", "steps", `20`},
		{"sampler", "seed", `18446744073709551615`},
		{"checkpoint", "ckpt_name", `""`},
	} {
		if got := string(g[tt.node].Inputs[tt.input]); got != tt.want {
			t.Errorf("%s.%s = %s, want %s", tt.node, tt.input, got, tt.want)
		}
	}
	if after, err := w.Graph.Marshal(); err != nil || string(after) != string(before) {
		t.Errorf("Apply() changed the workflow itself (%v)", err)
	}
}

func TestApplyRefuses(t *testing.T) {
	for _, tt := range []struct {
		values Values
		want   string
	}{
		{Values{"stepz": int64(1)}, `no field "stepz"`},
		{Values{"steps": "20"}, "kind integer cannot hold a string"},
		{Values{"steps": 20}, "kind integer cannot hold a int"},
		{Values{"seed": int64(1)}, "kind seed cannot hold a int64"},
		{Values{"guidance": math.NaN()}, "NaN"},
	} {
		if _, err := builtin(t).Apply(tt.values); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Apply(%v) error = %v, want %q in it", tt.values, err, tt.want)
		}
	}
}

func TestFillChoices(t *testing.T) {
	g := graph(t, `{
		"1":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":""}},
		"2":{"class_type":"KSampler","inputs":{"sampler_name":"heun","scheduler":["9",0]}},
		"3":{"class_type":"CLIPLoader","inputs":{"clip_name":""}},
		"4":{"class_type":"Unknown","inputs":{"ckpt_name":""}}}`)
	g.FillChoices(stock(t))
	for _, tt := range []struct{ node, input, want string }{
		{"1", "ckpt_name", `"full-random-sd15.safetensors"`},
		{"2", "sampler_name", `"heun"`},
		{"2", "scheduler", `["9",0]`},
		{"3", "clip_name", `""`}, // the server has none
		{"4", "ckpt_name", `""`},
	} {
		if got := string(g[tt.node].Inputs[tt.input]); got != tt.want {
			t.Errorf("%s.%s = %s, want %s", tt.node, tt.input, got, tt.want)
		}
	}
}

// ComfyUI compares choices with their type, and a form knows only their text.
func TestFillChoicesGivesTypesBack(t *testing.T) {
	o := info(t, `{"A":{"input":{"required":{"size":[[256,512]],"mode":[["","x"]],"big":["COMBO",{"options":[true,"true2"]}]}}}}`)
	w := &Workflow{
		ID: "w", Graph: graph(t, `{"1":{"class_type":"A","inputs":{"size":"","mode":"","big":""}}}`),
		Fields: []Field{{Name: "size", Label: "Size", Kind: Choice, Targets: []Target{{"1", "size"}}}},
	}
	values, problems := w.Form(o).Parse(settings("size", "512"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	g, err := w.Apply(values)
	if err != nil {
		t.Fatal(err)
	}
	g.FillChoices(o)
	if got, want := g["1"].Inputs, settings("size", "512", "mode", `""`, "big", "true"); !reflect.DeepEqual(got, want) {
		t.Errorf("inputs = %s, want %s", got, want)
	}
}

// Row 24 of the matrix: a save node never writes where its graph says.
func TestBadInput24FilenamePrefix(t *testing.T) {
	const text = `{
		"1":{"class_type":"SaveImage","inputs":{"filename_prefix":"../../x","images":["9",0]}},
		"2":{"class_type":"SaveVideo","inputs":{"filename_prefix":["7",0]}},
		"3":{"class_type":"SaveLatent","inputs":{}},
		"4":{"class_type":"PreviewImage","inputs":{"images":["9",0]}},
		"5":{"class_type":"Custom Save","inputs":{"filename_prefix":"/etc/x"}},
		"6":{"class_type":"KSampler","inputs":{"seed":1}}}`
	const prefix = `"easel/0192/1"`
	for name, info := range map[string]*ObjectInfo{"with object_info": stock(t), "without": nil} {
		g := graph(t, text)
		g.PrefixOutputs("easel/0192/1", info)
		for id, want := range map[string]string{"1": prefix, "2": prefix, "3": prefix, "4": "", "5": prefix, "6": ""} {
			if id == "3" && info == nil {
				want = "" // nothing says that it could
			}
			if got := string(g[id].Inputs["filename_prefix"]); got != want {
				t.Errorf("%s: node %s has %s, want %s", name, id, got, want)
			}
		}
	}
}

func TestValues(t *testing.T) {
	v := Values{"seed": uint64(math.MaxUint64), "steps": int64(20), "guidance": 7.5, "sampler": "euler", "tile": true}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"guidance":7.5,"sampler":"euler","seed":18446744073709551615,"steps":20,"tile":true}`; string(out) != want {
		t.Errorf("JSON = %s, want %s", out, want)
	}
	var free Values
	if err := json.Unmarshal(out, &free); err != nil || !reflect.DeepEqual(free, v) {
		t.Errorf("without a form = %#v (%v), want %#v", free, err, v)
	}
	if seed, ok := free.Seed("seed"); !ok || seed != math.MaxUint64 {
		t.Errorf("Seed() = %d, %v", seed, ok)
	}
	if _, ok := free.Int("seed"); ok {
		t.Error("Int() of a value beyond int64 is ok")
	}
	if n, ok := free.Int("steps"); !ok || n != 20 {
		t.Errorf("Int() = %d, %v", n, ok)
	}
	if _, ok := (Values{"seed": int64(-1)}).Seed("seed"); ok {
		t.Error("Seed() of -1 is ok")
	}
	for name, want := range map[string]string{"seed": "18446744073709551615", "steps": "20", "guidance": "7.5", "sampler": "euler", "tile": "true"} {
		if got, ok := v.Text(name); !ok || got != want {
			t.Errorf("Text(%s) = %s, %v, want %s", name, got, ok, want)
		}
	}
}

func TestParseValuesByKind(t *testing.T) {
	f := builtin(t).Form()
	v, err := ParseValues(f, []byte(`{"seed":7,"guidance":7,"steps":20,"sampler":"gone","old":18446744073709551615,"list":[1.50]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := Values{"seed": uint64(7), "guidance": 7.0, "steps": int64(20), "sampler": "gone", "old": uint64(math.MaxUint64), "list": []any{json.Number("1.50")}}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("values = %#v, want %#v", v, want)
	}
	for _, text := range []string{``, `[]`, `{"seed":-1}`, `{"seed":"7"}`, `{"steps":2.5}`, `{"guidance":"7"}`, `{"sampler":1}`} {
		if v, err := ParseValues(f, []byte(text)); err == nil {
			t.Errorf("ParseValues(%s) = %v, want an error", text, v)
		}
	}
}
