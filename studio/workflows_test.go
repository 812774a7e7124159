package studio_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"easel/comfy/simulator"
	"easel/comfy/workflow"
	"easel/studio"
)

// ownWorkflow is a file of our own format: the built-in graph with a prompt, a seed and steps.
func ownWorkflow(t *testing.T, title string) []byte {
	t.Helper()
	w, ok := workflow.Builtin(workflow.TextToImage)
	if !ok {
		t.Fatal("the built-in workflow is not there")
	}
	graph := w.Graph.Clone()
	for input, raw := range map[string]string{"width": "64", "height": "64"} {
		if err := graph.Set("latent", input, json.RawMessage(raw)); err != nil {
			t.Fatal(err)
		}
	}
	var fields []workflow.Field
	for _, f := range w.Fields {
		if slices.Contains([]string{"prompt", "seed", "steps"}, f.Name) {
			fields = append(fields, f)
		}
	}
	data, err := json.Marshal(map[string]any{"title": title, "graph": graph, "fields": fields})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (w *workshop) bring(data []byte, name string) *studio.Workflow {
	w.t.Helper()
	brought, err := w.studio.ImportWorkflow(w.t.Context(), studio.WorkflowFile{Name: name, Data: data})
	if err != nil {
		w.t.Fatal(err)
	}
	return brought
}

// A workflow that was brought is asked for like any other; an edit changes what is asked for from then on and
// nothing that was asked for before, on every instance.
func TestWorkflowVersions(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	w.awaitServer(studio.ServerUp)
	second, stop := w.run(w.pool, false)
	defer stop()

	brought := w.bring(ownWorkflow(t, "Four quick steps"), "x.json")
	if brought.ID != "four-quick-steps" || brought.Version != 1 || !brought.Runnable() || len(brought.Form.Fields) != 3 {
		t.Fatalf("brought %q, version %d, runnable %t, %d fields", brought.ID, brought.Version, brought.Runnable(), len(brought.Form.Fields))
	}
	if again := w.bring(ownWorkflow(t, "Four quick steps"), ""); again.ID != "four-quick-steps-2" {
		t.Errorf("one of the same name is %q", again.ID)
	}
	ask := func(prompt, steps string) studio.Request {
		r := studio.Request{Prompt: prompt, Workflow: brought.ID, Settings: map[string]json.RawMessage{}}
		if steps != "" {
			r.Settings["steps"] = json.RawMessage(steps)
		}
		return r
	}
	first := w.create(ask("before the edit", "3"))
	if first.Workflow != brought.ID || first.WorkflowVersion != 1 {
		t.Errorf("asked for %s, version %d", first.Workflow, first.WorkflowVersion)
	}

	fields := slices.Clone(brought.Fields)
	fields[slices.IndexFunc(fields, func(f workflow.Field) bool { return f.Name == "steps" })].Default = json.RawMessage("2")
	title := "Two quick steps"
	edited, err := second.EditWorkflow(t.Context(), brought.ID, studio.WorkflowEdit{Version: 1, Title: &title, Fields: fields})
	if err != nil {
		t.Fatal(err)
	}
	if edited.Version != 2 || edited.Title != title {
		t.Errorf("edited to version %d, %q", edited.Version, edited.Title)
	}
	if _, err := second.EditWorkflow(t.Context(), brought.ID, studio.WorkflowEdit{Version: 1, Title: &title}); !errors.Is(err, studio.ErrWorkflowChanged) {
		t.Errorf("an edit of an earlier version: %v", err)
	}
	w.eventually("the edit is heard of", func() bool {
		return slices.ContainsFunc(w.studio.Workflows(), func(h studio.WorkflowHead) bool { return h.ID == brought.ID && h.Version == 2 })
	})
	later := w.create(ask("after the edit", ""))
	w.stepper.Open()
	for id, steps := range map[*studio.Generation]int64{&first: 3, &later: 2} {
		w.awaitStatus(id.ID, studio.Complete)
		attempts, err := w.studio.Attempts(t.Context(), id.ID)
		if err != nil || len(attempts) != 1 {
			t.Fatalf("%d attempts, %v", len(attempts), err)
		}
		graph, err := workflow.ParseGraph(attempts[0].Graph)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := graph["sampler"].Int("steps"); got != steps {
			t.Errorf("version %d was sent with %d steps, want %d", id.WorkflowVersion, got, steps)
		}
	}

	// One that is removed stays for what was made with it, and that can be made again as it was.
	if err := w.studio.DeleteWorkflow(t.Context(), brought.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.studio.Create(t.Context(), ask("removed", "")); !isInvalid(err, "workflow") {
		t.Errorf("a removed one is asked for: %v", err)
	}
	form, err := w.studio.FormOf(t.Context(), &first)
	if err != nil || len(form.Fields) != 3 {
		t.Errorf("its form has %d fields, %v", len(form.Fields), err)
	}
	again, err := w.studio.Retry(t.Context(), first.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.awaitStatus(again.ID, studio.Complete)
	if err := w.studio.DeleteWorkflow(t.Context(), "four-quick-steps-2"); err != nil {
		t.Fatal(err)
	}
	if n := w.count("SELECT count(*) FROM workflow_sources"); n != 1 {
		t.Errorf("%d files are kept, want that of the one that was used", n)
	}
	for _, id := range []string{brought.ID, "never", "A B", strings.Repeat("x", 100)} {
		if _, err := w.studio.Workflow(t.Context(), id); !errors.Is(err, studio.ErrNoWorkflow) {
			t.Errorf("Workflow(%q) = %v", id, err)
		}
	}
}

func isInvalid(err error, field string) bool {
	invalid, ok := errors.AsType[*studio.InvalidError](err)
	return ok && slices.ContainsFunc(invalid.Fields, func(f studio.FieldError) bool { return strings.HasPrefix(f.Field, field) })
}

// What cannot be read is refused in words, and an edit that does not fit as well.
func TestWorkflowRefused(t *testing.T) {
	t.Parallel()
	w := open(t, func(w *workshop, _ *simulator.Config) { w.unserved = true })
	for name, data := range map[string]string{
		"empty": "", "no JSON": "hello", "a list": "[]", "no nodes": "{}", "a node without a class": `{"1": {"inputs": {}}}`,
		"a field of no node": `{"graph": {"1": {"class_type": "A", "inputs": {}}}, "fields": [
			{"name": "a", "label": "A", "group": "main", "kind": "text", "targets": [{"node": "2", "input": "a"}]}]}`,
	} {
		if _, err := w.studio.ImportWorkflow(t.Context(), studio.WorkflowFile{Data: []byte(data)}); !isInvalid(err, "f") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := w.count("SELECT count(*) FROM workflows"); n != 0 {
		t.Errorf("%d workflows were stored", n)
	}
	brought := w.bring([]byte(`{"1": {"class_type": "FaceDetailer", "inputs": {"text": "a", "steps": 3}}}`), "my_graph.api.json")
	if brought.ID != "my-graph" || brought.Title != "My graph" || brought.Filename != "my_graph.api.json" || brought.Runnable() {
		t.Errorf("brought as %+v", brought.WorkflowHead)
	}
	target := []workflow.Target{{Node: "1", Input: "steps"}}
	for name, f := range map[string]workflow.Field{
		"name":    {Name: "Not one", Label: "A", Group: "main", Kind: workflow.Integer, Targets: target},
		"label":   {Name: "a", Group: "main", Kind: workflow.Integer, Targets: target},
		"kind":    {Name: "a", Label: "A", Group: "main", Kind: "colour", Targets: target},
		"prompt":  {Name: "prompt", Label: "A", Group: "main", Kind: workflow.Integer, Targets: target},
		"default": {Name: "a", Label: "A", Group: "main", Kind: workflow.Integer, Default: json.RawMessage(`"x"`), Targets: target},
		"target":  {Name: "a", Label: "A", Group: "main", Kind: workflow.Integer, Targets: []workflow.Target{{Node: "9", Input: "x"}}},
	} {
		if _, err := w.studio.EditWorkflow(t.Context(), brought.ID, studio.WorkflowEdit{Fields: []workflow.Field{f}}); !isInvalid(err, "fields.0") {
			t.Errorf("a field with a wrong %s: %v", name, err)
		}
	}
	title := " "
	if _, err := w.studio.EditWorkflow(t.Context(), brought.ID, studio.WorkflowEdit{Title: &title}); !isInvalid(err, "title") {
		t.Errorf("an empty title: %v", err)
	}
	if _, err := w.studio.EditWorkflow(t.Context(), workflow.TextToImage, studio.WorkflowEdit{}); !errors.Is(err, studio.ErrWorkflowBuiltIn) {
		t.Errorf("an edit of the built-in one: %v", err)
	}
	for format, want := range map[string]bool{studio.ExportAPI: true, studio.ExportOriginal: true, studio.ExportUI: false /* no server is there */} {
		file, err := w.studio.ExportWorkflow(t.Context(), brought.ID, format)
		if want && (err != nil || len(file.Data) == 0) || !want && !errors.Is(err, studio.ErrNotExportable) {
			t.Errorf("export as %s: %v", format, err)
		}
	}
}

// What other programs save is brought in each of its shapes, and what could not be converted is read again once a
// server is there.
func TestWorkflowShapes(t *testing.T) {
	t.Parallel()
	w := open(t, func(w *workshop, _ *simulator.Config) { w.unserved = true })
	saved := []byte(`{"last_node_id": 2, "last_link_id": 1, "version": 0.4, "links": [[1, 1, 0, 2, 0, "IMAGE"]], "groups": [],
		"nodes": [
			{"id": 1, "type": "EmptyImage", "pos": [0, 0], "mode": 0, "inputs": [], "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}], "widgets_values": [64, 96, 1, 0]},
			{"id": 2, "type": "SaveImage", "pos": [300, 0], "mode": 0, "inputs": [{"name": "images", "type": "IMAGE", "link": 1}], "outputs": [], "widgets_values": ["plain"]}]}`)
	early := w.bring(saved, "plain.json")
	if early.HasGraph || early.Runnable() || len(early.Read) != 1 {
		t.Errorf("without a server it is brought as %+v", early)
	}
	if _, err := w.studio.Form(t.Context(), early.ID); !errors.Is(err, studio.ErrNoWorkflow) {
		t.Errorf("its form: %v", err)
	}
	if _, err := w.studio.AddServer(t.Context(), "late", w.comfy.URL()); err != nil {
		t.Fatal(err)
	}
	w.awaitServer(studio.ServerUp)
	var read *studio.Workflow
	w.eventually("its classes are known", func() bool {
		var err error
		if read, err = w.studio.RereadWorkflow(t.Context(), early.ID); err != nil {
			t.Fatal(err)
		}
		return read.HasGraph
	})
	if width, _ := read.Graph["1"].Int("width"); width != 64 || len(read.Fields) == 0 {
		t.Errorf("read again it has %d fields, and a width of %d", len(read.Fields), width)
	}
	for format, want := range map[string]string{studio.ExportUI: `"last_node_id"`, studio.ExportOriginal: `"last_node_id"`, studio.ExportAPI: `"class_type"`} {
		if file, err := w.studio.ExportWorkflow(t.Context(), early.ID, format); err != nil || !strings.Contains(string(file.Data), want) {
			t.Errorf("export as %s: %v", format, err)
		}
	}

	text := w.bring([]byte("a lighthouse\nNegative prompt: fog\nSteps: 3, Sampler: Euler, CFG scale: 5, Seed: 7, Size: 64x128"), "")
	g := w.create(studio.Request{Prompt: "a lighthouse", Workflow: text.ID})
	negative, _ := text.Form.Field("negativePrompt")
	if steps, _ := g.Settings.Int("steps"); steps != 3 || g.Images[0].Height != 128 || negative.Default != "fog" {
		t.Errorf("of parameters: %d steps, height %d, negative prompt %q", steps, g.Images[0].Height, negative.Default)
	}
	w.awaitStatus(g.ID, studio.Complete)

	within, err := json.Marshal(map[string]any{"title": "Within", "graph": json.RawMessage(saved)})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.bring(within, ""); got.Title != "Within" || !got.HasGraph {
		t.Errorf("within an object it is brought as %+v", got.WorkflowHead)
	}
}

// Ten graphs as people bring them: each gives a form.
func TestStockWorkflows(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.awaitServer(studio.ServerUp)
	files, err := filepath.Glob("../comfy/workflow/testdata/stock/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d graphs, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		brought := w.bring(data, filepath.Base(file))
		if len(brought.Form.Fields) == 0 || !brought.HasGraph || !brought.Runnable() && len(brought.Problems) == 0 {
			t.Errorf("%s gives %d fields, and %v to say", file, len(brought.Form.Fields), brought.Problems)
		}
	}
}

// One that is brought under the title of another that was removed is not taken for that.
func TestWorkflowOfARemovedOnesTitle(t *testing.T) {
	t.Parallel()
	w := open(t, func(w *workshop, _ *simulator.Config) { w.unserved = true })
	first := w.bring(ownWorkflow(t, "Again"), "")
	if err := w.studio.DeleteWorkflow(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	if n := w.count("SELECT count(*) FROM workflow_sources"); n != 0 {
		t.Errorf("%d files are kept of what was removed and never used", n)
	}
	second := w.bring([]byte(strings.Replace(string(ownWorkflow(t, "Again")), `"width":64`, `"width":128`, 1)), "")
	export, err := w.studio.ExportWorkflow(t.Context(), second.ID, studio.ExportAPI)
	if err != nil {
		t.Fatal(err)
	}
	if second.ID == first.ID || !strings.Contains(string(export.Data), `"width":128`) {
		t.Errorf("%s was removed; %s of the same title is %s", first.ID, second.ID, export.Data)
	}
}

// What no database can hold, and what no form takes, is refused or left as it is, in words.
func TestWorkflowTextsThatCannotBeKept(t *testing.T) {
	t.Parallel()
	w := open(t, func(w *workshop, _ *simulator.Config) { w.unserved = true })
	graph := func(text string) []byte {
		raw, err := json.Marshal(map[string]any{
			"5": map[string]any{"class_type": "CheckpointLoaderSimple", "inputs": map[string]any{"ckpt_name": "a.safetensors"}},
			"6": map[string]any{"class_type": "CLIPTextEncode", "inputs": map[string]any{"text": text, "clip": []any{"5", 1}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	var invalid *studio.InvalidError
	_, err := w.studio.ImportWorkflow(t.Context(), studio.WorkflowFile{Data: graph("a\x00b")})
	if !errors.As(err, &invalid) || !strings.Contains(invalid.Fields[0].Message, `node "6"`) || !strings.Contains(invalid.Fields[0].Message, "NUL") {
		t.Errorf("a NUL: %v", err)
	}
	for was, is := range map[string]string{`"input":"steps"`: `"input":"st\u0000ps"`, `"default":"`: `"default":"\u0000`} {
		data := strings.Replace(string(ownWorkflow(t, "Own")), was, is, 1)
		if _, err := w.studio.ImportWorkflow(t.Context(), studio.WorkflowFile{Data: []byte(data)}); !isInvalid(err, "fields.") {
			t.Errorf("%s in the fields: %v", is, err)
		}
	}
	if brought := w.bring(graph(`not a \u0000`), ""); len(brought.Fields) == 0 {
		t.Error("a backslash in front of u0000 is taken for a NUL")
	}
	long := w.bring(graph(strings.Repeat("<", 50_000)), "")
	for _, f := range long.Fields {
		if len(f.Default) > 4*workflow.MaxTextRunes {
			t.Errorf("field %s has a default of %d bytes", f.Name, len(f.Default))
		}
	}
	title := "Renamed"
	if _, err := w.studio.EditWorkflow(t.Context(), long.ID, studio.WorkflowEdit{Title: &title, Version: long.Version}); err != nil {
		t.Errorf("cannot be renamed: %v", err)
	}
}
