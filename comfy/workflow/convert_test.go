package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// editorCase is one rule of the editor. Its graph in API format is what ComfyUI's frontend 1.27.10
// answered, run in Chromium against the stock object_info and the classes in classes.json; where a note
// stands, it says why not.
type editorCase struct {
	Rule string          `json:"rule"`
	Note string          `json:"note"`
	UI   json.RawMessage `json:"ui"`
	API  json.RawMessage `json:"api"`
}

func editorCases(t testing.TB) []editorCase {
	t.Helper()
	raw, err := os.ReadFile("testdata/editor/rules.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var cases []editorCase
	for line := range bytes.Lines(raw) {
		var c editorCase
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	return cases
}

// made is the stock object_info and the classes that the cases need besides.
func made(t testing.TB) *ObjectInfo {
	t.Helper()
	raw, err := os.ReadFile("testdata/editor/classes.json")
	if err != nil {
		t.Fatal(err)
	}
	return Union(info(t, string(raw)), stock(t))
}

func TestConvertAsTheEditor(t *testing.T) {
	for _, c := range editorCases(t) {
		t.Run(c.Rule, func(t *testing.T) {
			converted, err := Convert(c.UI, made(t))
			if err != nil {
				t.Fatal(err)
			}
			if len(converted.Problems) > 0 {
				t.Errorf("Problems = %v, want none", converted.Problems)
			}
			sameGraph(t, converted.Graph, graph(t, string(c.API)))
		})
	}
}

// sameGraph compares what a server would see: numbers by value, and no titles.
func sameGraph(t *testing.T, got, want Graph) {
	t.Helper()
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if _, ok := got[id]; !ok {
			t.Errorf("node %s (%s) is missing", id, want[id].ClassType)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(got)) {
		w, ok := want[id]
		if !ok {
			t.Errorf("node %s (%s) should not be sent", id, got[id].ClassType)
			continue
		}
		if got[id].ClassType != w.ClassType {
			t.Errorf("node %s is a %s, want a %s", id, got[id].ClassType, w.ClassType)
		}
		inputs := maps.Clone(w.Inputs)
		maps.Copy(inputs, got[id].Inputs)
		for _, name := range slices.Sorted(maps.Keys(inputs)) {
			if g, w := got[id].Inputs[name], w.Inputs[name]; !sameJSON(g, w) {
				t.Errorf("node %s, %s = %s, want %s", id, name, orNone(g), orNone(w))
			}
		}
	}
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	if (a == nil) != (b == nil) || a != nil && (json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil) {
		return false
	}
	return reflect.DeepEqual(x, y)
}

func orNone(raw json.RawMessage) string {
	if raw == nil {
		return "nothing"
	}
	return string(raw)
}

// ui is a saved graph of version 0.4 with these nodes and links.
func ui(nodes, links string) []byte {
	return []byte(`{"version":0.4,"nodes":[` + nodes + `],"links":[` + links + `]}`)
}

func convert(t testing.TB, file []byte) *Converted {
	t.Helper()
	c, err := Convert(file, made(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConvertKeepsSeedsExact(t *testing.T) {
	c := convert(t, ui(`{"id":1,"type":"KSampler","widgets_values":[18446744073709551615,"fixed",20,8,"euler","normal",1]},
		{"id":2,"type":"PrimitiveNode","widgets_values":[9007199254740993,"fixed"]},
		{"id":3,"type":"RandomNoise","widgets_values":[0,"fixed"],"inputs":[{"name":"noise_seed","type":"INT","link":1}]}`, `[1,2,0,3,0,"INT"]`))
	for id, want := range map[string]string{"1": "18446744073709551615", "3": "9007199254740993"} {
		name := "seed"
		if id == "3" {
			name = "noise_seed"
		}
		if got := string(c.Graph[id].Inputs[name]); got != want {
			t.Errorf("node %s: %s = %s, want %s", id, name, got, want)
		}
	}
}

func TestConvertLeavesAlternativesToTheForm(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`a {red|blue} cat`, `a {red|blue} cat`},
		{`a {{red}|{dark {blue}}} {cat}`, `a {red|dark blue} cat`},
		{`a {red // or\n|blue} cat`, `a {red \n|blue} cat`},
		{`a \\{red|blue\\} cat {never|closed`, `a \\{red|blue\\} cat {never|closed}`},
		{`a | b } c \\`, `a | b } c \\`},
	} {
		c := convert(t, ui(`{"id":1,"type":"CLIPTextEncode","widgets_values":["`+tt.text+`"]}`, ""))
		if got := string(c.Graph["1"].Inputs["text"]); got != `"`+tt.want+`"` {
			t.Errorf("%s became %s, want %s", tt.text, got, tt.want)
		}
	}
}

func TestConvertNamesUnknownNodes(t *testing.T) {
	c := convert(t, ui(`{"id":1,"type":"MadeSource","widgets_values":[1]},
		{"id":3,"type":"FaceDetailer","title":"Faces","widgets_values":["x"],"inputs":[{"name":"model","type":"MODEL","link":1}],
		 "outputs":[{"name":"out","type":"MODEL"}],"properties":{"cnr_id":"comfyui-impact-pack"}},
		{"id":4,"type":"OddOne","properties":{"aux_id":"somebody/odd"}},{"id":5,"type":"workflow>Mine"},
		{"id":6,"type":"Muted","mode":2},{"id":2,"type":"MadeSink","inputs":[{"name":"model","type":"MODEL","link":2}]}`,
		`[1,1,0,3,0,"MODEL"],[2,3,0,2,0,"MODEL"]`))
	want := []Problem{
		{Node: "3", Title: "Faces", Class: "FaceDetailer", Code: CodeUnknownNode, Message: "The server has no node “FaceDetailer”. It comes from “comfyui-impact-pack”."},
		{Node: "4", Title: "OddOne", Class: "OddOne", Code: CodeUnknownNode, Message: "The server has no node “OddOne”. It comes from “somebody/odd”."},
		{Node: "5", Title: "workflow>Mine", Class: "workflow>Mine", Code: CodeUnknownNode, Message: "“workflow>Mine” is a group node of older editors; turn it into a subgraph in ComfyUI, and save again."},
	}
	if !slices.Equal(c.Problems, want) {
		t.Errorf("Problems = %v, want %v", c.Problems, want)
	}
	sameGraph(t, c.Graph, graph(t, `{"1":{"class_type":"MadeSource","inputs":{"seed":1}},"3":{"class_type":"FaceDetailer","inputs":{"model":["1",0]}},
		"4":{"class_type":"OddOne"},"5":{"class_type":"workflow>Mine"},"2":{"class_type":"MadeSink","inputs":{"model":["3",0],"size":3,"text":"own"}}}`))
}

// What the editor recovers from by itself, or never writes, and still may come.
func TestConvertRefuses(t *testing.T) {
	const loop = `{"id":1,"type":"Reroute","inputs":[{"name":"","type":"*","link":1}]},{"id":2,"type":"Reroute","inputs":[{"name":"","type":"*","link":2}]},
		{"id":3,"type":"MadeSink","inputs":[{"name":"model","type":"MODEL","link":3}]}`
	inner := func(id, holds string) string {
		return fmt.Sprintf(`{"id":%q,"name":%q,"version":1,"nodes":[{"id":1,"type":%q},{"id":2,"type":%q}]}`, id, id, holds, holds)
	}
	var deep []string
	for i := range 40 {
		deep = append(deep, inner(fmt.Sprint("s", i), fmt.Sprint("s", i+1)))
	}
	subgraphs := func(list ...string) []byte {
		return []byte(`{"version":0.4,"nodes":[{"id":1,"type":"s0"}],"definitions":{"subgraphs":[` + strings.Join(list, ",") + `]}}`)
	}
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"a graph in API format":         {[]byte(`{"1":{"class_type":"A"}}`), "this is no saved graph of ComfyUI's editor: it has no list of nodes"},
		"no JSON":                       {[]byte(`{"nodes":[`), "it is not JSON: unexpected end of JSON input (at byte 10)"},
		"a key that stands twice":       {[]byte(`{"nodes":[],"nodes":[]}`), `key "nodes" stands twice (at byte 12)`},
		"nesting of 10,000 levels":      {[]byte(`{"nodes":` + strings.Repeat("[", 10_000)), "it is nested more than 64 levels deep (at byte 72)"},
		"no nodes":                      {ui("", ""), "the graph has no nodes that a server could run"},
		"notes alone":                   {ui(`{"id":1,"type":"Note"}`, ""), "the graph has no nodes that a server could run"},
		"10,000 nodes":                  {ui(`{"id":0,"type":"Note"}`+strings.Repeat(`,{}`, 9_999), ""), "the graph has 10000 nodes; 5000 are allowed"},
		"an id that stands twice":       {ui(`{"id":1,"type":"Note"},{"id":"1","type":"Note"}`, ""), `node "1": two nodes have this id`},
		"an id that is long":            {ui(`{"id":"`+strings.Repeat("7", 101)+`","type":"Note"}`, ""), `node "` + strings.Repeat("7", 59) + `…": its id is too long`},
		"a long text 2,000 times":       {[]byte(`{"version":0.4,"nodes":[` + strings.TrimSuffix(repeated(`{"id":%d,"type":"s"},`, 2_000), ",") + `],"definitions":{"subgraphs":[{"id":"s","nodes":[{"id":1,"type":"CLIPTextEncode","widgets_values":["` + strings.Repeat("x", 10_000) + `"]}]}]}}`), "the graph would have more than 16 MiB of text"},
		"a node without a type":         {ui(`{"id":1}`, ""), `node "1": it has no type`},
		"a node without an id":          {ui(`{"type":"KSampler"}`, ""), "a node “KSampler” has no id"},
		"reroutes in a circle":          {ui(loop, `[1,2,0,1,0],[2,1,0,2,0],[3,2,0,3,0]`), `node "3", input "model": its links run in a circle`},
		"a subgraph in itself":          {subgraphs(inner("s0", "s1"), inner("s1", "s0")), "the subgraph “s0” holds itself"},
		"subgraphs that double 40 fold": {subgraphs(deep...), "it holds more than 5000 subgraphs"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Convert(tt.file, made(t))
			var graphErr *GraphError
			var jsonErr *JSONError
			if !errors.As(err, &graphErr) && !errors.As(err, &jsonErr) {
				t.Fatalf("error of type %T", err)
			}
			if err.Error() != tt.want {
				t.Errorf("error = %q, want %q", err, tt.want)
			}
		})
	}
	if _, err := Convert(ui(`{"id":1,"type":"KSampler"}`, ""), nil); err == nil {
		t.Error("a graph was converted without any object_info")
	}
}

// repeated writes a line with the numbers from 1.
func repeated(line string, times int) string {
	var b strings.Builder
	for i := range times {
		fmt.Fprintf(&b, line, i+1)
	}
	return b.String()
}

// Chains that a hostile file makes as long as it can take no more than moments.
func TestConvertBoundsItsWork(t *testing.T) {
	const long = 4_000
	var nodes, links strings.Builder
	for i := range long {
		fmt.Fprintf(&nodes, `{"id":%d,"type":"Reroute","inputs":[{"name":"","type":"*","link":%d}]},`, i, i)
		fmt.Fprintf(&links, `[%d,%d,0,%d,0,"*"],`, i, i+1, i)
	}
	inputs := strings.TrimSuffix(repeated(`{"name":"in%d","type":"*","link":0},`, 10_000), ",")
	file := ui(nodes.String()+`{"id":4000,"type":"Note"},{"id":5000,"type":"MadeSink","inputs":[`+inputs+`]}`, strings.TrimSuffix(links.String(), ","))
	start := time.Now()
	_, err := Convert(file, made(t))
	t.Logf("took %v", time.Since(start))
	if err == nil || err.Error() != "its links are too tangled to be followed" {
		t.Errorf("error = %v", err)
	}
	names := strings.Repeat("%Long.text%", 10_000)
	c := convert(t, ui(`{"id":1,"type":"CLIPTextEncode","title":"Long","widgets_values":["`+strings.Repeat("x", mostNamedBytes+1)+`"]},
		{"id":2,"type":"SaveImage","widgets_values":["`+names+`"]}`, ""))
	if got := asText(c.Graph["2"].Inputs["filename_prefix"]); got != names {
		t.Errorf("a name of %d bytes became one of %d", len(names), len(got))
	}
}

// The place of nodes names and orders the fields of a form.
func TestConvertReadsPlaces(t *testing.T) {
	c := convert(t, []byte(`{"version":0.4,"extra":{"info":{"name":"My graph"}},
		"groups":[{"title":"All","bounding":[-50,-50,2000,1000]},{"title":"Left","bounding":[0,0,350,500]},{"bounding":[0]}],
		"nodes":[{"id":1,"type":"MadeSink","pos":[800,0],"size":[200,100]},
			{"id":2,"type":"MadeSink","pos":[10,300],"size":[200,100]},
			{"id":3,"type":"MadeSink","pos":{"0":60,"1":20},"size":{"0":200,"1":100}},
			{"id":4,"type":"MadeSink","pos":[5000,20],"size":[200,100]},
			{"id":5,"type":"sub","pos":[400,0],"size":[200,100]}],
		"definitions":{"subgraphs":[{"id":"sub","name":"Sub","version":1,"groups":[{"title":"Inside","bounding":[0,0,100,100]}],
			"nodes":[{"id":1,"type":"MadeSink","pos":[900,0]},{"id":2,"type":"MadeSink","pos":[10,10]}]}]}}`))
	if c.Title != "My graph" {
		t.Errorf("Title = %q", c.Title)
	}
	groups := map[string]string{"1": "All", "2": "Left", "3": "Left", "5:1": "All", "5:2": "Inside"}
	if !maps.Equal(c.Groups, groups) {
		t.Errorf("Groups = %v, want %v", c.Groups, groups)
	}
	order := map[string]int{"3": 0, "2": 1, "5:2": 2, "5:1": 3, "1": 4, "4": 5}
	if !maps.Equal(c.Order, order) {
		t.Errorf("Order = %v, want %v", c.Order, order)
	}
}

func TestConvertTitles(t *testing.T) {
	c := convert(t, ui(`{"id":1,"type":"KSampler","title":"Second pass"},{"id":2,"type":"CheckpointLoaderSimple"}`, ""))
	if got := c.Graph["1"].Title() + ", " + c.Graph["2"].Title(); got != "Second pass, Load Checkpoint" {
		t.Errorf("titles = %s", got)
	}
}

func TestUnion(t *testing.T) {
	a := info(t, `{"Both":{"display_name":"first"},"One":{}}`)
	b := info(t, `{"Both":{"display_name":"second"},"Two":{}}`)
	both := Union(nil, a, b)
	if class, _ := both.Class("Both"); class == nil || class.DisplayName != "first" {
		t.Errorf("Class(Both) = %v, want the first server's", class)
	}
	if names := both.Names(); !slices.Equal(names, []string{"Both", "One", "Two"}) {
		t.Errorf("Names() = %v", names)
	}
	if Union() != nil || Union(nil) != nil {
		t.Error("of no server there is no union")
	}
}
