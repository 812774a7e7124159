package workflow_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"easel/comfy/simulator"
	"easel/comfy/workflow"
)

// What is diagnosed is what a server finds, which the simulator has learned from a real one:
// people's graphs, broken in one place or several, are judged by both.
func TestDiagnoseAsServersDo(t *testing.T) {
	raw, err := os.ReadFile(filepath.FromSlash("../testdata/transcripts/object_info.json"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := workflow.ParseObjectInfo(raw)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/stock/*.json")
	if err != nil {
		t.Fatal(err)
	}
	server := simulator.New(simulator.Config{ObjectInfo: raw, NewServer: true})
	defer server.Close()

	// takes reports whether the server takes all of the graph: one that is good in parts runs in parts.
	takes := func(t *rapid.T, g workflow.Graph) bool {
		body, err := json.Marshal(map[string]any{"prompt": g})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/prompt", bytes.NewReader(body)))
		var answer struct {
			NodeErrors map[string]any `json:"node_errors"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil && w.Code < 500 {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
		return w.Code == http.StatusOK && len(answer.NodeErrors) == 0
	}
	rapid.Check(t, func(t *rapid.T) {
		data, err := os.ReadFile(rapid.SampledFrom(files).Draw(t, "file"))
		if err != nil {
			t.Fatal(err)
		}
		g, err := workflow.ParseGraph(data)
		if err != nil {
			t.Fatal(err)
		}
		ids := slices.Sorted(maps.Keys(g))
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			id := rapid.SampledFrom(ids).Draw(t, "node")
			n := g[id]
			inputs := slices.Sorted(maps.Keys(n.Inputs))
			input := rapid.SampledFrom(inputs).Draw(t, "input")
			if n.ClassType == "LoadImage" {
				continue // its file is the server's own matter
			}
			switch rapid.IntRange(0, 5).Draw(t, "change") {
			case 0:
				n.ClassType = rapid.SampledFrom([]string{"NoSuchNode", "SaveImage", "KSampler", "VAEDecode"}).Draw(t, "class")
				g[id] = n
			case 1:
				delete(n.Inputs, input)
				if len(inputs) == 1 {
					n.Inputs["left"] = json.RawMessage("1")
				}
			case 2, 3:
				from := rapid.SampledFrom(append(ids, "gone")).Draw(t, "from")
				n.Inputs[input] = json.RawMessage(fmt.Sprintf(`[%q,%d]`, from, rapid.IntRange(0, 3).Draw(t, "slot")))
			case 4:
				if _, _, linked := n.Link(input); !linked {
					n.Inputs[input] = json.RawMessage(rapid.SampledFrom([]string{
						"-1", "0.5", "1e9", `"20"`, `"x"`, `"euler"`, "true", `[1,2]`, `{"__value__":3}`, `{"__value__":"x"}`,
					}).Draw(t, "value"))
				}
			case 5:
				delete(g, id)
				ids = slices.DeleteFunc(ids, func(other string) bool { return other == id })
			}
			if len(ids) == 0 {
				return
			}
		}
		d := workflow.Diagnose(g, []workflow.Named{{Name: "it", Info: info}})
		if got, want := d.Runs(), takes(t, g); got != want {
			t.Fatalf("Diagnose says %v, the server %v\n%+v", got, want, d.Problems)
		}
	})
}
