package workflow

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseGraphKeepsWhatItRead(t *testing.T) {
	const text = `{"10:9:8":{"class_type":"KSampler","inputs":{"cfg":7.50,"model":["ünï 4",0],"seed":18446744073709551615,"text":"<lora:a&b:1>"},"_meta":{"title":"Sampler"}},"3":{"class_type":"A","inputs":{}}}`
	g := graph(t, text)
	out, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != text {
		t.Errorf("Marshal() =\n%s, want\n%s", out, text)
	}
	if got := g["10:9:8"].Title(); got != "Sampler" {
		t.Errorf("Title() = %q, want Sampler", got)
	}
	if got := g["3"].Title(); got != "" {
		t.Errorf("Title() without _meta = %q, want none", got)
	}
}

func TestParseGraphRefuses(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		b.WriteByte('{')
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `"%d":{"class_type":"A"}`, i)
		}
		return b.String() + "}"
	}
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", ``, "it is not JSON"},
		{"cut off", `{"3":{"class_type":`, "it is not JSON: unexpected end"},
		{"HTML", `<html>`, "it is not JSON"},
		{"array", `[]`, "a graph is a JSON object"},
		{"null", `null`, "a graph is a JSON object"},
		{"empty", `{}`, "the graph has no nodes"},
		{"node is text", `{"3":"KSampler"}`, `node "3": a node is a JSON object`},
		{"node is null", `{"3":null}`, `node "3": a node is a JSON object`},
		{"no class", `{"3":{"inputs":{}}}`, `node "3": class_type is missing`},
		{"class of another case", `{"3":{"Class_Type":"A"}}`, `node "3": class_type is missing`},
		{"class is a number", `{"3":{"class_type":3}}`, `node "3": class_type must be text`},
		{"class is empty", `{"3":{"class_type":""}}`, `node "3": class_type must be text`},
		{"inputs are a list", `{"3":{"class_type":"A","inputs":[]}}`, `node "3": inputs must be an object`},
		{"invalid UTF-8", "{\"3\":{\"class_type\":\"\xff\"}}", "not valid UTF-8"},
		{"half surrogate", `{"3":{"class_type":"A","inputs":{"text":"\ud83d"}}}`, "half a surrogate pair"},
		{"NaN", `{"3":{"class_type":"A","inputs":{"cfg":NaN}}}`, "it is not JSON"},
		{"too many nodes", many(10_000), "the graph has 10000 nodes; 5000 are allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseGraph([]byte(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseGraph() error = %v, want %q in it", err, tt.want)
			}
		})
	}
	if _, err := ParseGraph([]byte(many(MaxNodes))); err != nil {
		t.Errorf("ParseGraph() of %d nodes: %v", MaxNodes, err)
	}
}

func TestParseGraphNamesTheEditorsFormat(t *testing.T) {
	const saved = `{"last_node_id":9,"last_link_id":9,"nodes":[{"id":3,"type":"KSampler","widgets_values":[1]}],"links":[],"version":0.4}`
	if _, err := ParseGraph([]byte(saved)); !errors.Is(err, ErrUIFormat) {
		t.Errorf("ParseGraph() error = %v, want ErrUIFormat", err)
	}
	// A node may be called "nodes"; it is an object there, and the list of the editor is not.
	if _, err := ParseGraph([]byte(`{"nodes":{"class_type":"A"}}`)); err != nil {
		t.Errorf("ParseGraph() of a node called nodes: %v", err)
	}
}

// Row 21 of the bad-input matrix.
func TestBadInput21DuplicateKeys(t *testing.T) {
	for _, text := range []string{
		`{"3":{"class_type":"A"},"3":{"class_type":"B"}}`,
		`{"3":{"class_type":"A","inputs":{"seed":1,"seed":2}}}`,
		`{"3":{"class_type":"A","inputs":{"seed":1,"\u0073eed":2}}}`,
		`{"3":{"class_type":"A","inputs":{"list":[{"a":1,"b":[],"a":{}}]}}}`,
	} {
		_, err := ParseGraph([]byte(text))
		var j *JSONError
		if !errors.As(err, &j) || !strings.Contains(err.Error(), "stands twice") {
			t.Errorf("ParseGraph(%s) error = %v, want a key that stands twice", text, err)
		}
	}
	if _, err := ParseGraph([]byte(`{"3":{"class_type":"A","inputs":{"a":{"a":"a"},"b":["a","a"]}},"a":{"class_type":"a"}}`)); err != nil {
		t.Errorf("the same key at different places: %v", err)
	}
}

// Row 22 of the bad-input matrix: refused before it is decoded, so the rest need not even be JSON.
func TestBadInput22Depth(t *testing.T) {
	deep := func(n int) string {
		return `{"3":{"class_type":"A","inputs":{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}}}`
	}
	if _, err := ParseGraph([]byte(deep(MaxGraphDepth - 3))); err != nil {
		t.Errorf("nested as deep as allowed: %v", err)
	}
	for _, text := range []string{deep(MaxGraphDepth - 2), deep(10_000), strings.Repeat(`{"a":`, 10_000), strings.Repeat("[", 1<<20)} {
		_, err := ParseGraph([]byte(text))
		if err == nil || !strings.Contains(err.Error(), "nested more than 64 levels deep") {
			t.Errorf("ParseGraph(%.20s...) error = %v, want nested too deep", text, err)
		}
	}
	if _, err := ParseGraph([]byte(`{"3":{"class_type":"A","inputs":{"x":"` + strings.Repeat("[{", 10_000) + `"}}}`)); err != nil {
		t.Errorf("brackets in a text are no nesting: %v", err)
	}
}

func TestLink(t *testing.T) {
	for _, tt := range []struct {
		raw  string
		from string
		slot int
		ok   bool
	}{
		{`["4",0]`, "4", 0, true},
		{` [ "10:9:8" , 2 ] `, "10:9:8", 2, true},
		{`["4",1.0]`, "4", 1, true},
		{`["\u0034",1]`, "4", 1, true},
		{`[4,0]`, "", 0, false},
		{`["4"]`, "", 0, false},
		{`["4",0,1]`, "", 0, false},
		{`["4",-1]`, "", 0, false},
		{`["4",0.5]`, "", 0, false},
		{`["4","0"]`, "", 0, false},
		{`["4",1e99]`, "", 0, false},
		{`"4"`, "", 0, false},
		{`{"0":"4"}`, "", 0, false},
		{`null`, "", 0, false},
	} {
		n := Node{Inputs: settings("x", tt.raw)}
		from, slot, ok := n.Link("x")
		if from != tt.from || slot != tt.slot || ok != tt.ok {
			t.Errorf("Link(%s) = %q, %d, %v, want %q, %d, %v", tt.raw, from, slot, ok, tt.from, tt.slot, tt.ok)
		}
	}
	if _, _, ok := (Node{}).Link("absent"); ok {
		t.Error("Link() of an absent input is ok")
	}
}

func TestNodeInt(t *testing.T) {
	for _, tt := range []struct {
		raw  string
		want int64
		ok   bool
	}{
		{`20`, 20, true},
		{`-3`, -3, true},
		{`20.9`, 20, true},
		{`2e1`, 20, true},
		{`"20"`, 20, true},
		{`9223372036854775807`, 9223372036854775807, true},
		{`18446744073709551615`, 0, false},
		{`"twenty"`, 0, false},
		{`["4",0]`, 0, false},
		{`true`, 0, false},
	} {
		got, ok := Node{Inputs: settings("x", tt.raw)}.Int("x")
		if got != tt.want || ok != tt.ok {
			t.Errorf("Int(%s) = %d, %v, want %d, %v", tt.raw, got, ok, tt.want, tt.ok)
		}
	}
}

func TestCloneIsApart(t *testing.T) {
	g := graph(t, `{"3":{"class_type":"A","inputs":{"seed":1}}}`)
	c := g.Clone()
	if err := c.Set("3", "seed", json.RawMessage("2")); err != nil {
		t.Fatal(err)
	}
	if got := string(g["3"].Inputs["seed"]); got != "1" {
		t.Errorf("setting a clone changed the original to %s", got)
	}
	if err := c.Set("4", "seed", json.RawMessage("2")); err == nil {
		t.Error("Set() of a node that does not exist: no error")
	}
}

// Every graph that was posted to the recorded server goes through unchanged.
func TestGraphsOfTheTranscriptsRoundTrip(t *testing.T) {
	files, err := filepath.Glob("../testdata/transcripts/*/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts found (%v)", err)
	}
	graphs := 0
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 64<<20)
		for lines.Scan() {
			var line struct{ Kind, Method, Path, Body string }
			if json.Unmarshal(lines.Bytes(), &line) != nil || line.Kind != "http_request" || line.Method != "POST" || line.Path != "/prompt" {
				continue
			}
			var body struct{ Prompt json.RawMessage }
			if json.Unmarshal([]byte(line.Body), &body) != nil {
				continue
			}
			g, err := ParseGraph(body.Prompt)
			if err != nil {
				continue // the recording posts broken graphs too, see TestParseGraphRefuses
			}
			out, err := g.Marshal()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want := decoded(t, body.Prompt)
			for _, n := range want.(map[string]any) {
				if n := n.(map[string]any); n["inputs"] == nil {
					n["inputs"] = map[string]any{} // the recorded server failed without the key
				}
			}
			if got := decoded(t, out); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: a graph came out as %s, was %s", name, out, body.Prompt)
			}
			graphs++
		}
		if err := lines.Err(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f.Close()
	}
	if graphs < 100 {
		t.Errorf("only %d graphs of the transcripts were read", graphs)
	}
}

func decoded(t testing.TB, raw []byte) (v any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestGraphRoundTripProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := Graph{}
		for range rapid.IntRange(1, 8).Draw(t, "nodes") {
			inputs := map[string]json.RawMessage{}
			for range rapid.IntRange(0, 5).Draw(t, "inputs") {
				inputs[rapid.String().Draw(t, "input")] = rapid.OneOf(
					rapid.Custom(func(t *rapid.T) json.RawMessage { return textJSON(rapid.String().Draw(t, "text")) }),
					rapid.Custom(func(t *rapid.T) json.RawMessage {
						return json.RawMessage(strconv.FormatUint(rapid.Uint64().Draw(t, "seed"), 10))
					}),
					rapid.SampledFrom([]json.RawMessage{[]byte(`["4",0]`), []byte("null"), []byte("-0.10"), []byte("1e-7"), []byte(`{"a":[]}`)}),
				).Draw(t, "value")
			}
			g[rapid.String().Draw(t, "id")] = Node{ClassType: rapid.StringN(1, -1, -1).Draw(t, "class"), Inputs: inputs}
		}
		out, err := g.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseGraph(out)
		if err != nil {
			t.Fatalf("ParseGraph(Marshal()): %v\n%s", err, out)
		}
		if !reflect.DeepEqual(g, back) {
			t.Fatalf("a graph came back as %v, was %v", back, g)
		}
	})
}
