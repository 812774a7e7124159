package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// A graph that was read is written and read again as the same graph; an error is one of those
// that the doc comment names.
func FuzzParseGraph(f *testing.F) {
	sent, err := builtin(f).Graph.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sent)
	for _, text := range []string{
		`{"3":{"class_type":"KSampler","inputs":{"seed":18446744073709551615,"model":["4",0]},"_meta":{"title":"é"}}}`,
		`{"nodes":[{"id":1}],"links":[],"version":0.4}`,
		`{"3":{"class_type":"A","inputs":null,"is_changed":[1]}}`,
		`{"a":{"class_type":"A"},"\u0061":{"class_type":"B"}}`,
		`{"3":{"class_type":"A","inputs":{"t":"\ud83d\ude00\\\""}}} `,
		`{"3":{"class_type":"\ud83d"}}`,
		`{"3":{"class_type":"A","inputs":{"x":[[[[[[[[]]]]]]]]}}}`,
		"\xef\xbb\xbf{}",
		strings.Repeat(`[`, 200),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := ParseGraph(data)
		if err != nil {
			var graphErr *GraphError
			var jsonErr *JSONError
			if !errors.Is(err, ErrUIFormat) && !errors.As(err, &graphErr) && !errors.As(err, &jsonErr) {
				t.Fatalf("error of type %T: %v", err, err)
			}
			return
		}
		out, err := g.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseGraph(out)
		if err != nil {
			t.Fatalf("what Marshal wrote is refused: %v\n%s", err, out)
		}
		second, err := again.Marshal()
		if err != nil || string(second) != string(out) {
			t.Fatalf("the second writing differs (%v):\n%s\n%s", err, out, second)
		}
		if order, err := g.Order(); err == nil && len(order) != len(g) {
			t.Fatalf("Order() has %d nodes of %d", len(order), len(g))
		}
		for id := range g {
			g.Upstream(id)
		}
		fields := Discover(g, nil, Hints{})
		if _, err := New("w", "W", "", g, append(fields, Rest(g, nil, fields)...)); err != nil {
			t.Fatal(err)
		}
		g.PrefixOutputs("p", nil)
		for id, n := range g {
			if raw, ok := n.Inputs[filenamePrefix]; ok && string(raw) != `"p"` {
				t.Fatalf("node %q still saves to %s", id, raw)
			}
		}
	})
}

// Whatever a server says, the form that comes of it has bounds in order, a default that it takes
// itself, and can be written as JSON.
func FuzzParseObjectInfo(f *testing.F) {
	raw, err := os.ReadFile(stockFile)
	if err != nil {
		f.Fatal(err)
	}
	var stock map[string]json.RawMessage
	if err := json.Unmarshal(raw, &stock); err != nil {
		f.Fatal(err)
	}
	for _, class := range []string{"KSampler", "EmptyLatentImage", "CheckpointLoaderSimple", "SaveImage", "LoadImageOutput", "LossGraphNode"} {
		f.Add([]byte(`{"` + class + `":` + string(stock[class]) + `}`))
	}
	f.Add([]byte(`{"EmptyLatentImage":{"input":{"required":{"width":["INT",{"min":NaN,"max":-Infinity,"step":3}],"height":["INT",{"min":1,"max":9,"step":1e300}]}}}}`))
	f.Add([]byte(`{"KSampler":{"input":{"required":{"steps":["INT",{"max":1e308,"min":-1e308,"step":0.1}],"sampler_name":[[1,true,null,"a","a",[]]],"cfg":["FLOAT",{"min":5,"max":5}]},"optional":[]},"output":["LATENT",7]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := ParseObjectInfo(data)
		if err != nil {
			return
		}
		for _, name := range o.Names() {
			c, _ := o.Class(name)
			c.IsSampler()
		}
		form := builtin(t).Form(o)
		if _, err := json.Marshal(form); err != nil {
			t.Fatal(err)
		}
		for _, ff := range form.Fields {
			if ff.Min > ff.Max {
				t.Fatalf("%s: bounds %v..%v", ff.Name, ff.Min, ff.Max)
			}
			if ff.Default == nil || ff.Required {
				continue
			}
			raw, err := valueJSON(ff.Kind, ff.Default)
			if err != nil {
				t.Fatalf("%s: default %v: %v", ff.Name, ff.Default, err)
			}
			v, problems := Form{Fields: []FormField{ff}}.Parse(map[string]json.RawMessage{ff.Name: raw})
			if len(problems) > 0 || v[ff.Name] != ff.Default {
				t.Fatalf("%s (%v..%v step %v) does not take its own default %v: %v", ff.Name, ff.Min, ff.Max, ff.Step, ff.Default, problems)
			}
		}
		g := builtin(t).Graph.Clone()
		g.FillChoices(o)
		g.PrefixOutputs("p", o)
		if out, err := g.Marshal(); err != nil {
			t.Fatal(err)
		} else if _, err := ParseGraph(out); err != nil {
			t.Fatal(err)
		}
	})
}

// Settings of any kind give values that go into the graph and come back from storage, or
// sentences that can be shown.
func FuzzFormParse(f *testing.F) {
	for _, text := range []string{
		`{"prompt":"a cat","seed":18446744073709551615,"width":512,"guidance":"7.5"}`,
		`{"seed":"-1","steps":"","model":null,"sampler":"eular"}`,
		`{"width":1e3,"height":"５１２","guidance":1e-400,"scheduler":7}`,
		`{"prompt":"\ud83d","negativePrompt":"\u0000","x":{},"\u202e":[]}`,
		`{"width":512.0,"guidance":-0,"seed":-0,"steps":9223372036854775808}`,
	} {
		f.Add([]byte(text))
	}
	w := builtin(f)
	form := w.Form(stock(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		var raw map[string]json.RawMessage
		if json.Unmarshal(data, &raw) != nil {
			return
		}
		values, problems := form.Parse(raw)
		for _, p := range problems {
			if !utf8.ValidString(p.Message) || len(p.Message) > 1000 || strings.ContainsAny(p.Message, "\x00\n\r\x1b") {
				t.Fatalf("problem of %q: %q", p.Field, p.Message)
			}
		}
		if len(problems) > 0 {
			return
		}
		stored, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseValues(form, stored)
		if err != nil || !reflect.DeepEqual(values, back) {
			t.Fatalf("values came back as %#v (%v), were %#v", back, err, values)
		}
		g, err := w.Apply(back)
		if err != nil {
			t.Fatal(err)
		}
		out, err := g.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseGraph(out); err != nil {
			t.Fatalf("the graph is refused: %v\n%s", err, out)
		}
	})
}

// FuzzNaN holds that WithoutNaN leaves JSON as it is, touches no string, and needs one run.
func FuzzNaN(f *testing.F) {
	for _, text := range []string{
		`{"a": NaN}`, `[-Infinity, Infinity, "NaN", "\"NaN", "\\", NaN]`, `"NaN`, `{"NaN": "Infinity"}`, `-NaN`, `"\`, `NaNInfinity`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		got := WithoutNaN(text)
		if !bytes.Equal(text, before) {
			t.Fatal("the input was written to")
		}
		if json.Valid(text) && !bytes.Equal(got, text) {
			t.Fatalf("valid JSON %q became %q", text, got)
		}
		if again := WithoutNaN(got); !bytes.Equal(again, got) {
			t.Fatalf("a second run makes %q of %q", again, got)
		}
	})
}
