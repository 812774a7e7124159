package workflow

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestDiagnoseStock(t *testing.T) {
	for name, g := range stockGraphs(t) {
		d := Diagnose(g, []Named{{"one", stock(t)}})
		if name == "control-net" { // the recorded server has none
			want := `No server has “control_v11p_sd15_canny.safetensors” to choose for “control_net_name”.`
			if d.Runs() || len(d.Problems) != 1 || d.Problems[0].Message != want || d.Problems[0].Node != "12" {
				t.Errorf("%s: %+v", name, d)
			}
			continue
		}
		if !d.Runs() || len(d.Problems) > 0 || len(d.Servers[0].Problems) > 0 {
			t.Errorf("%s: %+v", name, d)
		}
	}
	if w := builtin(t); !Diagnose(w.Graph, []Named{{"one", stock(t)}}).Runs() {
		t.Error("the built-in workflow has problems")
	}
}

func TestDiagnose(t *testing.T) {
	server := func(models, more string) *ObjectInfo {
		return info(t, `{
			"Load":{"input":{"required":{"name":[[`+models+`]],"file":[["a.png"],{"image_upload":true}]}},"output":["MODEL","CLIP"]},
			"Draw":{"input":{"required":{"model":["MODEL"],"steps":["INT",{"min":1,"max":100}],"cfg":["FLOAT",{"min":0}],"box":["LOAD_3D"]},"optional":{"any":["*"],"both":["IMAGE,MASK"]}},"output":["IMAGE"]},
			"Save":{"input":{"required":{"images":["IMAGE"]}},"output":[],"output_node":true}`+more+`}`)
	}
	one, two := server(`"base.safetensors","x/Detail-XL.safetensors"`, ""), server(`"other.ckpt"`, `,"Face":{"input":{"required":{}},"output":["IMAGE"]}`)
	const good = `"1":{"class_type":"Load","inputs":{"name":"base.safetensors","file":"mine.png"}},
		"2":{"class_type":"Draw","inputs":{"model":["1",0],"steps":20,"cfg":7.5,"box":""}},"3":{"class_type":"Save","inputs":{"images":["2",0]}}`
	for _, tt := range []struct {
		name, old, new string
		want           []string // "node.input code: message", of a server with its name before it
		runs           string   // the names of those that can
	}{
		{"nothing", "", "", []string{
			`two: 1.name unknown_choice: This server has no “base.safetensors” to choose for “name”. “one” has it.`,
		}, "one"},
		{"a node that one has", `"Draw","inputs":{`, `"Face","inputs":{"x":1,`, []string{
			`one: 2. unknown_node: This server has no node “Face”. “two” has it.`,
			`two: 1.name unknown_choice: This server has no “base.safetensors” to choose for “name”. “one” has it.`,
		}, ""},
		{"a node that none has", `"Draw"`, `"Drow"`, []string{
			`2. unknown_node: No server has the node “Drow”. Did you mean “Draw”?`,
			`two: 1.name unknown_choice: This server has no “base.safetensors” to choose for “name”. “one” has it.`,
		}, ""},
		{"a model that none has", `"base.safetensors"`, `"detail_xl.safetensors"`, []string{
			`1.name unknown_choice: No server has “detail_xl.safetensors” to choose for “name”. Did you mean “x/Detail-XL.safetensors”?`,
		}, ""},
		{"the server's first", `"base.safetensors"`, `""`, nil, "one two"},
		{"a needed input", `"steps":20,`, ``, []string{`2.steps missing_input: “steps” is needed, and is missing.`}, ""},
		{"a link that is a value", `["1",0]`, `"m"`, []string{`2.model missing_input: “model” needs a link to a node that gives “MODEL”.`}, ""},
		{"a link to nowhere", `["1",0]`, `["9",0]`, []string{`2.model broken_link: “model” is linked to node “9”, which the graph does not have.`}, ""},
		{"a link to no output", `["1",0]`, `["1",2]`, []string{`2.model broken_link: “model” is linked to output 3 of node “1”, which has 2.`}, ""},
		{"a link of another type", `["1",0]`, `["1",1]`, []string{`2.model type_mismatch: “model” takes “MODEL”, and is linked to an output that gives “CLIP”.`}, ""},
		{"a type of several", `"box":""`, `"box":"","both":["2",0]`, []string{`2. cycle: The links run in a circle: from node “2” and back.`}, ""},
		{"a circle", `["1",0]`, `["3",0]`, []string{`3. cycle: The links run in a circle: from node “3” to “2” and back.`}, ""},
		{"too small", `"steps":20`, `"steps":"0"`, []string{`2.steps bad_value: “steps” must be at least 1, and is “0”.`}, ""},
		{"too large", `"steps":20`, `"steps":101`, []string{`2.steps bad_value: “steps” must be at most 100, and is “101”.`}, ""},
		{"no number", `"cfg":7.5`, `"cfg":"much"`, []string{`2.cfg bad_value: “cfg” must be a number, and is “\"much\"”.`}, ""},
		{"a list", `"cfg":7.5`, `"cfg":[1,2,3]`, []string{`2.cfg bad_value: “cfg” is a list, which is neither a value nor a link.`}, ""},
		{"a wrapped number", `"cfg":7.5`, `"cfg":{"__value__":-1}`, []string{`2.cfg bad_value: “cfg” must be at least 0, and is “-1”.`}, ""},
		{"no output", `"3":{"class_type":"Save"`, `"3":{"class_type":"Load"`, []string{
			`. no_output: Nothing would be saved: the graph has no node that puts something out.`,
		}, ""},
		{"what runs for nobody", `"3":`, `"8":{"class_type":"Draw","inputs":{"model":["9",0]}},"3":`, nil, "one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(good, tt.old, tt.new, 1)
			if text == good && tt.old != "" {
				t.Fatal("nothing was changed")
			}
			d := Diagnose(graph(t, "{"+text+"}"), []Named{{"one", one}, {"two", two}, {"asleep", nil}})
			var got, runs []string
			add := func(server string, problems []Problem) {
				for _, p := range problems {
					got = append(got, fmt.Sprintf("%s%s.%s %s: %s", server, p.Node, p.Input, p.Code, p.Message))
				}
			}
			add("", d.Problems)
			for _, s := range d.Servers {
				add(s.Name+": ", s.Problems)
				if s.Runs {
					runs = append(runs, s.Name)
				}
				if s.Known != (s.Name != "asleep") {
					t.Errorf("%s: Known is %v", s.Name, s.Known)
				}
			}
			for _, want := range tt.want {
				if !slices.Contains(got, want) {
					t.Errorf("missing: %s\nof %s", want, strings.Join(got, "\n"))
				}
			}
			if rest := strings.Join(runs, " "); rest != tt.runs || d.Runs() != (tt.runs != "") {
				t.Errorf("runs on %q, want %q", rest, tt.runs)
			}
			if tt.want == nil && tt.runs == "one two" && len(got) > 0 {
				t.Errorf("problems: %q", got)
			}
		})
	}
}

func TestDiagnoseBounds(t *testing.T) {
	if d := Diagnose(nil, []Named{{"one", stock(t)}}); d.Runs() || d.Problems[0].Code != CodeNoOutput {
		t.Errorf("of no graph: %+v", d)
	}
	huge := Graph{}
	for i := range MaxNodes + 1 {
		huge[fmt.Sprint(i)] = Node{ClassType: fmt.Sprintf("KSampler%d", i)}
	}
	if d := Diagnose(huge, []Named{{"one", stock(t)}}); d.Runs() || d.Problems[0].Message != "The graph has 5,001 nodes; at most 5,000 are taken." {
		t.Errorf("of a large graph: %+v", d.Problems)
	}
	delete(huge, "5000")
	d := Diagnose(huge, []Named{{"one", stock(t)}, {"two", stock(t)}})
	if len(d.Problems) != mostProblems || d.Problems[2].Node != "2" {
		t.Errorf("%d problems, the third of node %s", len(d.Problems), d.Problems[2].Node)
	}
	if !strings.Contains(d.Problems[0].Message, "Did you mean") || strings.Contains(d.Problems[mostProblems-1].Message, "Did you mean") {
		t.Errorf("%q ... %q", d.Problems[0].Message, d.Problems[mostProblems-1].Message)
	}
}
