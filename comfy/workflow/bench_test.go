package workflow

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"testing"
)

func BenchmarkParseObjectInfo(b *testing.B) {
	raw, err := os.ReadFile(stockFile)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseObjectInfo(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadEveryClass is the worst case: a graph that needs them all.
func BenchmarkReadEveryClass(b *testing.B) {
	raw, err := os.ReadFile(stockFile)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		o, err := ParseObjectInfo(raw)
		if err != nil {
			b.Fatal(err)
		}
		for _, name := range o.Names() {
			if _, ok := o.Class(name); !ok {
				b.Fatal(name)
			}
		}
	}
}

func BenchmarkParseGraph(b *testing.B) {
	raw, err := builtin(b).Graph.Marshal()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseGraph(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFromSettingsToGraph is what every generation costs here: the form of the server, the
// check of what was typed, the graph and its JSON.
func BenchmarkFromSettingsToGraph(b *testing.B) {
	w, o := builtin(b), stock(b)
	typed := settings("prompt", `"a lighthouse at dusk"`, "width", "512", "height", `"512"`, "seed", "18446744073709551615")
	b.ReportAllocs()
	for b.Loop() {
		values, problems := w.Form(o).Parse(typed)
		if len(problems) > 0 {
			b.Fatal(problems)
		}
		g, err := w.Apply(values)
		if err != nil {
			b.Fatal(err)
		}
		g.FillChoices(o)
		g.PrefixOutputs("easel/1", o)
		if _, err := g.Marshal(); err != nil {
			b.Fatal(err)
		}
	}
}

// As large a graph as is read: a hundred passes, each with its own LoRAs and prompts.
func BenchmarkDiscover(b *testing.B) {
	g := Graph{}
	for pass := range 100 {
		for id, n := range stockGraphs(b)["lora-stack"] {
			n.Inputs = maps.Clone(n.Inputs)
			for input := range n.Inputs {
				if from, slot, ok := n.Link(input); ok {
					n.Inputs[input] = json.RawMessage(fmt.Sprintf(`["%d:%s",%d]`, pass, from, slot))
				}
			}
			g[fmt.Sprintf("%d:%s", pass, id)] = n
		}
	}
	infos := []*ObjectInfo{stock(b)}
	for b.Loop() {
		if fields := Discover(g, infos, Hints{}); len(fields) != MaxFields {
			b.Fatal(len(fields))
		}
	}
}
