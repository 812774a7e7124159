package handlers

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"easel/studio"
)

// uploaded is a form with a file, and its content type.
func uploaded(t *testing.T, fields map[string]string, filename, file string) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for name, value := range fields {
		if err := form.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	part, err := form.CreateFormFile("file", filename)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write([]byte(file)); err != nil {
		t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), form.FormDataContentType()
}

func TestWorkflowsAPI(t *testing.T) {
	f := newFake()
	s := newSite(t, f)
	body, kind := uploaded(t, map[string]string{"title": " Mine ", "other": "x"}, "a.json", `{"1": {}}`)
	for name, c := range map[string]struct {
		target, body, kind, title, file string
	}{
		"a form":      {"/api/workflows", body, kind, "Mine", "a.json"},
		"a body":      {"/api/workflows?title=Mine&filename=b.json", `{"1": {}}`, "application/json", "Mine", "b.json"},
		"an unnamed":  {"/api/workflows", `{"1": {}}`, "application/octet-stream", "", ""},
		"a large one": {"/api/workflows", `{"1": {}}` + strings.Repeat(" ", 2<<20), "text/plain", "", ""},
	} {
		res := call(t, s, "POST", c.target, c.body, "Content-Type", c.kind)
		got := decode[workflowDetailJSON](t, res, 201)
		brought := f.workflows.brought[len(f.workflows.brought)-1]
		if brought.Title != c.title || brought.Name != c.file || !strings.HasPrefix(string(brought.Data), `{"1": {}}`) {
			t.Errorf("%s was brought as %q, %q, %.20q", name, brought.Title, brought.Name, brought.Data)
		}
		if got.ID != "portrait" || res.Header.Get("Location") != "/api/workflows/portrait" || *got.Version != 3 || !got.Runnable ||
			len(got.Servers) != 3 || !*got.Servers[0].CanRun || *got.Servers[1].CanRun || got.Servers[2].CanRun != nil ||
			got.Servers[1].Problems[0].Node != "3" || len(got.Form) != 1 || len(got.Spare) != 1 || len(got.Read) != 1 {
			t.Errorf("%s is answered with %+v", name, got)
		}
	}
	if got := decode[workflowDetailJSON](t, call(t, s, "PATCH", "/api/workflows/portrait",
		`{"version": 3, "title": "New", "fields": [{"name": "steps", "label": "How often", "group": "main", "kind": "integer", "targets": [{"node": "3", "input": "steps"}]}]}`), 200); got.ID != "portrait" {
		t.Errorf("edited: %+v", got)
	}
	if e := f.workflows.edits[0]; e.Version != 3 || *e.Title != "New" || e.Description != nil || e.Fields[0].Label != "How often" {
		t.Errorf("the edit is %+v", e)
	}
	list := decode[struct{ Workflows []workflowJSON }](t, call(t, s, "GET", "/api/workflows", ""), 200)
	if len(list.Workflows) == 0 || !list.Workflows[0].BuiltIn || list.Workflows[0].Version != nil || len(list.Workflows[0].Fields) == 0 {
		t.Errorf("the list is %+v", list)
	}
	export := call(t, s, "GET", "/api/workflows/portrait/export?format=original", "")
	if got := bodyOf(t, export); export.StatusCode != 200 || got != `{"format":"original"}` ||
		export.Header.Get("Content-Disposition") != `attachment; filename=portrait.json` {
		t.Errorf("exported %d %q %v", export.StatusCode, got, export.Header)
	}
	for _, c := range []struct {
		method, target, body string
		status               int
		field                string
	}{
		{"POST", "/api/workflows", "hello", 422, "file"},
		{"PATCH", "/api/workflows/portrait", `{"title": ""}`, 422, "title"},
		{"PATCH", "/api/workflows/portrait", `{"title": 7}`, 422, "title"},
		{"PATCH", "/api/workflows/portrait", `{"colour": 7}`, 422, "colour"},
		{"PATCH", "/api/workflows/portrait", `{"version": 2}`, 409, ""},
		{"PATCH", "/api/workflows/portrait", `[]`, 400, ""},
		{"PATCH", "/api/workflows/text-to-image", `{"title": "x"}`, 409, ""},
		{"PATCH", "/api/workflows/none", `{"title": "x"}`, 404, ""},
		{"GET", "/api/workflows/none", "", 404, ""},
		{"GET", "/api/workflows/portrait/export?format=ui", "", 409, ""},
		{"GET", "/api/workflows/portrait/export?format=pdf", "", 400, "format"},
		{"GET", "/api/workflows/none/export", "", 404, ""},
		{"DELETE", "/api/workflows/none", "", 404, ""},
	} {
		got := decode[problem](t, call(t, s, c.method, c.target, c.body), c.status)
		if got.Detail == "" || c.field != "" && (len(got.Errors) == 0 || got.Errors[0].Field != c.field) {
			t.Errorf("%s %s: %+v", c.method, c.target, got)
		}
	}
	tooLarge := call(t, s, "POST", "/api/workflows", strings.Repeat(" ", maxWorkflowBody+1), "Content-Type", "image/png")
	if tooLarge.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a file of %d bytes: %d", studio.MaxWorkflowBytes, tooLarge.StatusCode)
	}
	if got := call(t, s, "DELETE", "/api/workflows/portrait", ""); got.StatusCode != http.StatusNoContent {
		t.Errorf("removed: %d", got.StatusCode)
	}
}

func TestWorkflowPages(t *testing.T) {
	f := newFake()
	s := newSite(t, f)
	doc, _ := page(t, s, "/workflows", http.StatusOK)
	if doc.Find(`.workflows a[href="/workflows/text-to-image"]`).Length() != 1 || doc.Find(`form[data-bring][enctype="multipart/form-data"] input[type=file]`).Length() != 1 {
		t.Errorf("the list shows %q", doc.Find("main").Text())
	}
	body, kind := uploaded(t, nil, "a.json", `{"1": {}}`)
	brought := call(t, s, "POST", "/workflows", body, "Content-Type", kind, "Accept", "text/html")
	if brought.StatusCode != http.StatusSeeOther || brought.Header.Get("Location") != "/workflows/portrait" {
		t.Fatalf("brought: %d to %q", brought.StatusCode, brought.Header.Get("Location"))
	}
	body, kind = uploaded(t, map[string]string{"text": "what <b>"}, "", "")
	refused := pageDocument(t, call(t, s, "POST", "/workflows", body, "Content-Type", kind, "Accept", "text/html"), http.StatusUnprocessableEntity)
	if refused.Find("#text").Text() != "what <b>" || refused.Find("#text-error").Text() != "This is no workflow that can be read." {
		t.Errorf("refused: %q, %q", refused.Find("#text").Text(), refused.Find("#text-error").Text())
	}

	doc, _ = page(t, s, "/workflows/portrait", http.StatusOK)
	if got := doc.Find("h1").Text(); got != "Portrait <b>" {
		t.Errorf("its title is %q", got)
	}
	if got := doc.Find(".runs").Text(); !strings.Contains(got, "first can run it") || !strings.Contains(got, "second cannot run it") ||
		!strings.Contains(got, "KSampler (node 3): The server has no node") || !strings.Contains(got, "third has not said yet") {
		t.Errorf("who can run it: %q", got)
	}
	if doc.Find(`[name="show.steps"][checked]`).Length() != 1 || doc.Find(`[name="show.guidance"]:not([checked])`).Length() != 1 ||
		doc.Find(`#workflow-preview [name="settings.steps"]`).AttrOr("value", "") != "20" {
		t.Error("the form and its preview are not as they are stored")
	}
	if missing, _ := page(t, s, "/workflows/none", http.StatusNotFound); !strings.Contains(missing.Text(), "There is no such workflow") {
		t.Errorf("an unknown one: %q", missing.Find("main").Text())
	}
}

// edited is what the form of the page sends.
func edited(do string) url.Values {
	return url.Values{
		"version": {"3"}, "title": {"New"}, "description": {""}, "order": {"steps", "guidance"}, "do": {do},
		"show.steps": {"1"}, "label.steps": {"How often"}, "group.steps": {"Work"}, "help.steps": {"More is slower."}, "default.steps": {"12"},
		"show.guidance": {"1"}, "label.guidance": {"Guidance"}, "group.guidance": {""}, "help.guidance": {""}, "default.guidance": {""},
	}
}

func TestWorkflowEditor(t *testing.T) {
	f := newFake()
	f.workflows.kept = portrait()
	s := newSite(t, f)
	saved := post(t, s, "/workflows/portrait", edited("save"))
	if saved.StatusCode != http.StatusSeeOther || saved.Header.Get("Location") != "/workflows/portrait?saved=1#workflow-editor" {
		t.Errorf("saved: %d to %q", saved.StatusCode, saved.Header.Get("Location"))
	}
	edit := f.workflows.edits[0]
	if edit.Version != 3 || *edit.Title != "New" || len(edit.Fields) != 2 {
		t.Fatalf("the edit is %+v", edit)
	}
	if steps := edit.Fields[0]; steps.Label != "How often" || steps.Group != "Work" || steps.Help != "More is slower." ||
		string(steps.Default) != "12" || steps.Targets[0].Input != "steps" {
		t.Errorf("its first field is %+v", steps)
	}
	if guidance := edit.Fields[1]; guidance.Group != "more" || guidance.Default != nil || guidance.Kind != "number" {
		t.Errorf("its second field is %+v", guidance)
	}

	// A field moves in the page; nothing is stored for that.
	moved := patches(t, s, "/workflows/portrait", edited("down:steps"))
	if first, second := strings.Index(moved, "field-guidance"), strings.Index(moved, "field-steps"); first < 0 || second < first || len(f.workflows.edits) != 1 {
		t.Errorf("guidance at %d, steps at %d, %d edits", first, second, len(f.workflows.edits))
	}
	out := edited("save")
	out.Del("show.guidance")
	post(t, s, "/workflows/portrait", out)
	if got := f.workflows.edits[1]; len(got.Fields) != 1 || got.Fields[0].Name != "steps" {
		t.Errorf("with one field taken out the form has %+v", got.Fields)
	}

	// What is typed shows beside, and what is wrong is said there.
	preview := patches(t, s, "/workflows/portrait/preview", edited(""))
	if !strings.Contains(preview, "How often") || !strings.Contains(preview, "Work") {
		t.Errorf("the preview is %q", preview)
	}
	wrong := edited("")
	wrong.Set("label.steps", "")
	if preview := patches(t, s, "/workflows/portrait/preview", wrong); !strings.Contains(preview, "The label must not be empty.") {
		t.Errorf("the preview of what is wrong is %q", preview)
	}
	wrong = edited("save")
	wrong.Set("title", "")
	refused := pageDocument(t, post(t, s, "/workflows/portrait", wrong), http.StatusUnprocessableEntity)
	if refused.Find("#title-error").Text() == "" || refused.Find(`[name="label.steps"]`).AttrOr("value", "") != "How often" {
		t.Error("what was typed does not come back with the complaint")
	}
	late := edited("save")
	late.Set("version", "2")
	conflict := pageDocument(t, post(t, s, "/workflows/portrait", late), http.StatusConflict)
	if !strings.Contains(conflict.Find("#workflow-editor > .error").Text(), "has been changed meanwhile") {
		t.Errorf("a late edit: %q", conflict.Find("#workflow-editor > .error").Text())
	}

	removed := post(t, s, "/workflows/portrait", url.Values{"do": {"remove"}})
	if removed.StatusCode != http.StatusSeeOther || f.workflows.kept != nil {
		t.Errorf("removed: %d", removed.StatusCode)
	}
	after, _ := page(t, s, removed.Header.Get("Location"), http.StatusOK)
	if !strings.Contains(after.Find("[role=status]").Text(), "Portrait <b>") {
		t.Errorf("after the removal: %q", after.Find("main").Text())
	}
}
