package handlers

import (
	"bytes"
	"mime/multipart"
	"net/http"
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
			got.Servers[1].Problems[0].Node != "3" || len(got.Form) != 1 || len(got.Spare) != 1 || len(got.Problems) != 1 {
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
