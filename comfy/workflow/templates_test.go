//go:build templates

package workflow

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var templatesDir = flag.String("templates", "", "folder with the stock templates; make test-templates gives it")

// Every stock template of ComfyUI becomes a graph, and the only complaint is of nodes that the recorded
// server does not have, by name.
func TestTemplates(t *testing.T) {
	const templates = 172 // in comfyui-workflow-templates 0.1.95
	names, err := filepath.Glob(filepath.Join(*templatesDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(filepath.Base(name), "index.") })
	if len(names) != templates {
		t.Fatalf("%d templates in %q, want %d", len(names), *templatesDir, templates)
	}
	server := stock(t)
	unknown := map[string]int{}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f, err := ReadFile(data)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Convert(f.UI, server)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range c.Problems {
				_, known := server.Class(p.Class)
				if p.Code != CodeUnknownNode || known || !strings.Contains(p.Message, p.Class) {
					t.Errorf("problem %+v", p)
				}
				unknown[p.Class]++
			}
			checkTemplate(t, c.Graph, server)
		})
	}
	t.Logf("%d templates; the recorded server lacks %d classes: %s", len(names), len(unknown), strings.Join(sortedKeys(unknown), ", "))
}

// checkTemplate holds that links lead to outputs that exist, and that every value is there which the
// server can offer one for.
func checkTemplate(t *testing.T, g Graph, server *ObjectInfo) {
	t.Helper()
	for id, n := range g {
		for input := range n.Inputs {
			from, slot, linked := n.Link(input)
			if !linked {
				continue
			}
			source, sent := g[from]
			class, known := server.Class(source.ClassType)
			if !sent || known && slot >= len(class.Outputs) {
				t.Errorf("node %s, %s: linked to output %d of %s (%s)", id, input, slot, from, source.ClassType)
			}
		}
		class, known := server.Class(n.ClassType)
		if !known {
			continue
		}
		for _, in := range class.Inputs {
			if _, given := n.Inputs[in.Name]; in.Section == Required && !given && in.Widget() && in.fallback() != nil {
				t.Errorf("node %s (%s): %s is missing", id, n.ClassType, in.Name)
			}
		}
	}
}
