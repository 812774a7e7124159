package workflow

import (
	"encoding/json"
	"fmt"
	"testing"
)

// everyNode is a graph with a node of each class: every value is another than the default where there
// is a choice, and every input that needs a link has one from a node that gives its type.
func everyNode(t testing.TB, o *ObjectInfo) Graph {
	t.Helper()
	type output struct {
		node string
		slot int
	}
	gives := map[string]output{}
	names := o.Names()
	for i, name := range names {
		class, _ := o.Class(name)
		for slot, out := range class.Outputs {
			if _, known := gives[out.Type]; !known {
				gives[out.Type] = output{fmt.Sprint(i + 1), slot}
			}
		}
	}
	g := make(Graph, len(names))
	for i, name := range names {
		class, _ := o.Class(name)
		n := Node{ClassType: name, Inputs: map[string]json.RawMessage{}, Meta: metaOf(fmt.Sprintf("%s, number %d", name, i))}
		for k := range class.Inputs {
			in := &class.Inputs[k]
			switch {
			case in.Section == Hidden:
			case in.Widget():
				n.Inputs[in.Name] = valueFor(in)
			default:
				if from, ok := gives[in.Type]; ok {
					n.Inputs[in.Name] = linkJSON(from.node, from.slot)
				}
			}
		}
		g[fmt.Sprint(i+1)] = n
	}
	return g
}

func valueFor(in *Input) json.RawMessage {
	switch {
	case in.Type == TypeCombo && len(in.Choices) > 0:
		return in.choice(in.Choices[len(in.Choices)-1])
	case in.Type == TypeCombo:
		return textJSON("some " + in.Name + ".safetensors")
	case in.Type == TypeString:
		return textJSON("some \"" + in.Name + "\"\nin <two> lines")
	case in.Type == TypeBoolean:
		return json.RawMessage("true")
	case in.MaxUint > 1<<60:
		return json.RawMessage(fmt.Sprint(in.MaxUint))
	case in.Max != nil && *in.Max < 1<<50:
		return json.RawMessage(plain(*in.Max))
	}
	return json.RawMessage("3")
}

// A graph of every class that a stock server has goes into the editor's format and comes back.
func TestSaveEveryNode(t *testing.T) {
	o := stock(t)
	g := everyNode(t, o)
	if len(g) < 380 {
		t.Fatalf("%d classes", len(g))
	}
	file, err := g.Save(o)
	if err != nil {
		t.Fatal(err)
	}
	f, err := ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := convert(t, f.UI)
	if len(c.Problems) > 0 {
		t.Errorf("Problems = %v", c.Problems)
	}
	sameGraph(t, c.Graph, g)
	for id := range g {
		if got, want := c.Graph[id].Title(), g[id].Title(); got != want {
			t.Errorf("node %s is titled %q, want %q", id, got, want)
		}
	}
	out, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	f, err = ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	sameGraph(t, f.API, g)
}

// The ten graphs of people, and what the form of the built-in one sends, whose ids are words.
func TestSaveStockGraphs(t *testing.T) {
	graphs := stockGraphs(t)
	graphs["the built-in one"] = builtin(t).Graph
	for name, g := range graphs {
		t.Run(name, func(t *testing.T) {
			file, err := g.Save(stock(t))
			if err != nil {
				t.Fatal(err)
			}
			sameGraph(t, convert(t, file).Graph, g)
		})
	}
}

func TestSaveOddGraphs(t *testing.T) {
	g := graph(t, `{"10:9":{"class_type":"MadeSink","inputs":{"model":["x",1],"grown":["x",0],"lost":5,"size":["x",0],"text":"a"}},
		"x":{"class_type":"NobodyKnows","inputs":{"in":["10:9",0],"value":3,"far":["10:9",99999]}},
		"7":{"class_type":"MadeKinds","inputs":{"text":{"__value__":["a",1]},"long":"","whole":null,"part":["gone",0]}}}`)
	file, err := g.Save(made(t))
	if err != nil {
		t.Fatal(err)
	}
	c := convert(t, file)
	want := graph(t, `{"10:9":{"class_type":"MadeSink","inputs":{"model":["x",1],"grown":["x",0],"size":["x",0],"text":"a"}},
		"x":{"class_type":"NobodyKnows","inputs":{"in":["10:9",0],"far":["10:9",99999]}},
		"7":{"class_type":"MadeKinds","inputs":{"text":{"__value__":["a",1]},"long":"","whole":null,"part":0,"flag":true,"pick":"one","pick2":"red"}}}`)
	sameGraph(t, c.Graph, want)
	if len(c.Problems) != 1 || c.Problems[0].Class != "NobodyKnows" {
		t.Errorf("Problems = %v", c.Problems)
	}
	if file, err := (Graph{}).Save(nil); err != nil || !json.Valid(file) {
		t.Errorf("an empty graph is saved as %s, %v", file, err)
	}
}

// What is saved reads from left to right, and no two nodes lie on each other.
func TestSavePlacesNodes(t *testing.T) {
	g := stockGraphs(t)["text-to-image"]
	file, err := g.Save(stock(t))
	if err != nil {
		t.Fatal(err)
	}
	saved, err := readSaved(file)
	if err != nil {
		t.Fatal(err)
	}
	boxes := map[string]box{}
	for _, n := range saved.Nodes {
		boxes[idText(n.ID)] = n.box()
	}
	for id := range g {
		for _, from := range g.Sources(id) {
			if a, b := boxes[from], boxes[id]; a.x+a.width >= b.x {
				t.Errorf("node %s is not to the right of %s: %v, %v", id, from, b, a)
			}
		}
		for other, o := range boxes {
			if b := boxes[id]; other != id && o.x == b.x && o.y < b.y+b.height && b.y < o.y+o.height {
				t.Errorf("nodes %s and %s lie on each other: %v, %v", id, other, b, o)
			}
		}
	}
}
