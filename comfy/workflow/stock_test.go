package workflow

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// stockGraphs are ten graphs as people bring them, in API format: ComfyUI's own examples, with
// the models of the recorded server.
func stockGraphs(t testing.TB) map[string]Graph {
	t.Helper()
	files, err := filepath.Glob("testdata/stock/*.json")
	if err != nil || len(files) != 10 {
		t.Fatal(files, err)
	}
	all := make(map[string]Graph, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = graph(t, string(data))
	}
	return all
}

// Each is a graph that the recorded server takes, and none goes without a class that names it.
func TestStockGraphs(t *testing.T) {
	for name, g := range stockGraphs(t) {
		if problems := g.Check(stock(t)); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
		for id, n := range g {
			class, _ := stock(t).Class(n.ClassType)
			for input := range n.Inputs {
				in, ok := class.Input(input)
				from, slot, linked := n.Link(input)
				if !ok || in.Widget() == linked {
					t.Errorf("%s: node %s of class %s has no input %s, or it is linked the wrong way", name, id, n.ClassType, input)
					continue
				}
				if linked {
					above, _ := stock(t).Class(g[from].ClassType)
					if slot >= len(above.Outputs) || above.Outputs[slot].Type != in.Type {
						t.Errorf("%s: input %s of node %s is linked to another type", name, input, id)
					}
					continue
				}
				// The recorded server has no control net.
				if text, ok := n.Text(input); ok && len(in.Choices) > 0 && !slices.Contains(in.Choices, text) {
					t.Errorf("%s: input %s of node %s has no choice %s", name, input, id, text)
				}
			}
		}
	}
}
