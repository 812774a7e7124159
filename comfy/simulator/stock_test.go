package simulator

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"easel/comfy/simulator/paint"
	"easel/comfy/workflow"
)

// People's graphs, filled in through the forms that are found for them, run to their ends on a
// server with the classes of a stock ComfyUI.
func TestStockGraphsRun(t *testing.T) {
	raw, err := os.ReadFile(filepath.FromSlash("../testdata/transcripts/object_info.json"))
	if err != nil {
		t.Fatal(err)
	}
	// The recorded server has no control net.
	raw = regexp.MustCompile(`("control_net_name":\s*\[\s*\[)(\s*\])`).ReplaceAll(raw, []byte(`$1"control_v11p_sd15_canny.safetensors"$2`))
	info, err := workflow.ParseObjectInfo(raw)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../workflow/testdata/stock/*.json")
	if err != nil || len(files) != 10 {
		t.Fatal(files, err)
	}
	r := start(t, Config{ObjectInfo: raw, NoPreviews: true})
	picture, err := paint.PNG(paint.Paint(paint.Scene{Text: "a lake"}, 64, 48), nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := strings.Repeat("5a", 32)
	r.Simulator.files.store(place{folderInput, workflow.UploadName(sum)}, picture)
	e := listenAs(t, r, "stock")
	for i, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		g, err := workflow.ParseGraph(data)
		if err != nil {
			t.Fatal(err)
		}
		if d := workflow.Diagnose(g, []workflow.Named{{Name: "it", Info: info}}); !d.Runs() {
			t.Errorf("%s: %+v", name, d.Problems)
			continue
		}
		w, err := workflow.New(name, name, "", g, workflow.Discover(g, []*workflow.ObjectInfo{info}, workflow.Hints{}))
		if err != nil {
			t.Fatal(err)
		}
		typed := map[string]json.RawMessage{}
		for _, f := range w.Fields {
			switch {
			case f.Kind == workflow.Image:
				typed[f.Name] = json.RawMessage(`"` + sum + `"`)
			case f.Name == "width", f.Name == "height", f.Name == "scaledWidth", f.Name == "scaledHeight":
				typed[f.Name] = json.RawMessage("64")
			case strings.HasPrefix(f.Name, "steps"):
				typed[f.Name] = json.RawMessage("3")
			case f.Name == "frames":
				typed[f.Name] = json.RawMessage("4")
			case f.Kind == workflow.Seed:
				typed[f.Name] = json.RawMessage("18446744073709551615")
			}
		}
		values, problems := w.Form(info).Parse(typed)
		if len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
			continue
		}
		filled, err := w.Apply(values)
		if err != nil {
			t.Fatal(err)
		}
		filled.FillChoices(info)
		filled.PrefixOutputs("easel/"+name, info)
		sent, err := filled.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		post(t, r, id, "stock", string(sent))
		end := e.untilWhere("the end of "+name, func(h heard) bool {
			return h.Data.PromptID == id && (h.Type == "execution_success" || h.Type == "execution_error")
		})
		e.over(id) // the history has it then
		if end.Type != "execution_success" {
			t.Errorf("%s: %s", name, end.raw)
			continue
		}
		_, history := ask(t, r, "GET", "/history/"+id, "")
		if !strings.Contains(history, name+"_00001_.") || !strings.Contains(history, `"subfolder": "easel"`) {
			t.Errorf("%s: the history has no such output: %s", name, history)
		}
		if _, seeded := w.Form().Field("seed"); seeded && !strings.Contains(history, "18446744073709551615") {
			t.Errorf("%s: the seed has lost digits", name)
		}
	}
}
