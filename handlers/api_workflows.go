package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"easel/comfy/workflow"
	"easel/studio"
)

// workflowAPIRoutes are the workflows as programs see and tend them.
func (s *Server) workflowAPIRoutes() {
	s.route("GET /api/workflows", s.apiWorkflows)
	s.routeLarge("POST /api/workflows", maxWorkflowBody, s.apiImportWorkflow)
	s.route("GET /api/workflows/{id}", s.apiWorkflow)
	s.route("PATCH /api/workflows/{id}", s.apiEditWorkflow)
	s.route("DELETE /api/workflows/{id}", s.apiDeleteWorkflow)
	s.route("GET /api/workflows/{id}/export", s.exportWorkflow)
}

// maxWorkflowBody is room for the largest file, and what a form puts around it.
const maxWorkflowBody = studio.MaxWorkflowBytes + 64<<10

// fieldJSON is a field of a form as it can be filled in now.
type fieldJSON struct {
	Name    string        `json:"name"`
	Label   string        `json:"label"`
	Help    string        `json:"help,omitempty"`
	Group   string        `json:"group"`
	Kind    workflow.Kind `json:"kind"`
	Default any           `json:"default"`
	Min     *float64      `json:"min,omitempty"`
	Max     *float64      `json:"max,omitempty"`
	Step    float64       `json:"step,omitempty"`
	Choices []string      `json:"choices,omitempty"`
}

func fieldsJSON(form workflow.Form) []fieldJSON {
	shown := make([]fieldJSON, 0, len(form.Fields))
	for i := range form.Fields {
		f := &form.Fields[i]
		field := fieldJSON{Name: f.Name, Label: f.Label, Help: f.Help, Group: f.Group, Kind: f.Kind, Default: f.Default, Step: f.Step, Choices: f.Choices}
		if f.Bounded {
			field.Min, field.Max = &f.Min, &f.Max
		}
		shown = append(shown, field)
	}
	return shown
}

type workflowJSON struct {
	ID          string      `json:"id"`
	Title       string      `json:"title"`
	Description string      `json:"description"`
	BuiltIn     bool        `json:"builtIn"`
	Version     *int        `json:"version"`  // null: it comes with Easel
	HasGraph    bool        `json:"hasGraph"` // otherwise it could not be converted yet, and cannot be asked for
	CreatedAt   *string     `json:"createdAt"`
	UpdatedAt   *string     `json:"updatedAt"`
	Fields      []fieldJSON `json:"fields"`
}

func newWorkflowJSON(head *studio.WorkflowHead, form workflow.Form) workflowJSON {
	shown := workflowJSON{
		ID: head.ID, Title: head.Title, Description: head.Description, BuiltIn: head.BuiltIn(), HasGraph: head.HasGraph,
		Fields: fieldsJSON(form),
	}
	if !head.BuiltIn() {
		created, updated := timeText(head.CreatedAt), timeText(head.UpdatedAt)
		shown.Version, shown.CreatedAt, shown.UpdatedAt = &head.Version, &created, &updated
	}
	return shown
}

// apiWorkflows lists what can be asked for, with the fields that go into settings.
func (s *Server) apiWorkflows(w http.ResponseWriter, r *http.Request) error {
	forms, err := s.studio.Forms(r.Context())
	if err != nil {
		return err
	}
	list := struct {
		Workflows []workflowJSON `json:"workflows"`
	}{[]workflowJSON{}}
	for _, head := range s.studio.Workflows() {
		var form workflow.Form
		if at := slices.IndexFunc(forms, func(f workflow.Form) bool { return f.ID == head.ID }); at >= 0 {
			form = forms[at]
		}
		list.Workflows = append(list.Workflows, newWorkflowJSON(&head, form))
	}
	return answerJSON(w, http.StatusOK, list)
}

// workflowDetailJSON is a workflow as its owner sees it.
type workflowDetailJSON struct {
	workflowJSON

	Runnable bool                 `json:"runnable"` // by some server, as far as is known
	Nodes    int                  `json:"nodes"`
	Source   *sourceJSON          `json:"source"`     // null: it comes with Easel
	Form     []workflow.Field     `json:"formFields"` // what PATCH takes as fields
	Spare    []workflow.Field     `json:"spareFields"`
	Read     []workflow.Problem   `json:"readProblems"` // what there was to say when it was read
	Problems []workflow.Problem   `json:"problems"`     // what keeps it from running on any server
	Notes    []workflow.Problem   `json:"notes"`        // what is chosen in place of what no server has
	Servers  []workflowServerJSON `json:"servers"`
}

type sourceJSON struct {
	Filename  string `json:"filename"`
	Container string `json:"container"`
	Bytes     int    `json:"bytes"`
}

type workflowServerJSON struct {
	ID       uuid.UUID          `json:"id"`
	Name     string             `json:"name"`
	CanRun   *bool              `json:"canRun"` // null: it has not said what it has
	Problems []workflow.Problem `json:"problems"`
}

func newWorkflowDetailJSON(w *studio.Workflow) workflowDetailJSON {
	shown := workflowDetailJSON{
		workflowJSON: newWorkflowJSON(&w.WorkflowHead, w.Form), Runnable: w.Runnable(), Nodes: len(w.Graph),
		Form: orNone(w.Fields), Spare: orNone(w.Spare), Read: orNone(w.Read), Problems: orNone(w.Problems), Notes: orNone(w.Notes), Servers: []workflowServerJSON{},
	}
	if !w.BuiltIn() {
		shown.Source = &sourceJSON{w.Filename, w.Container, w.OriginalBytes}
	}
	for _, server := range w.Servers {
		one := workflowServerJSON{ID: server.ID, Name: server.Name, Problems: orNone(server.Problems)}
		if server.Known {
			one.CanRun = &server.Runs
		}
		shown.Servers = append(shown.Servers, one)
	}
	return shown
}

// orNone is a list that is never null.
func orNone[T any](list []T) []T { return append([]T{}, list...) }

// apiWorkflow is one of them.
func (s *Server) apiWorkflow(w http.ResponseWriter, r *http.Request) error {
	found, err := s.studio.Workflow(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return answerJSON(w, http.StatusOK, newWorkflowDetailJSON(found))
}

// apiImportWorkflow keeps a file: the body itself, or the part "file" of a form.
func (s *Server) apiImportWorkflow(w http.ResponseWriter, r *http.Request) error {
	file, err := readWorkflowFile(r)
	if err != nil {
		return err
	}
	kept, err := s.studio.ImportWorkflow(r.Context(), file)
	if err != nil {
		return err
	}
	w.Header().Set("Location", s.paths.APIWorkflow(kept.ID))
	return answerJSON(w, http.StatusCreated, newWorkflowDetailJSON(kept))
}

// readWorkflowFile reads a file that is the body, with ?title= and ?filename=, or comes in a form with "file" or
// "text", and "title". Errors: 413 beyond the limit, 400 for what broke off.
func readWorkflowFile(r *http.Request) (studio.WorkflowFile, error) {
	f := studio.WorkflowFile{UserID: studio.LocalUser}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		query := r.URL.Query()
		f.Title, f.Name = query.Get("title"), query.Get("filename")
		f.Data, err = io.ReadAll(r.Body)
		return f, bodyError(err)
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return f, bodyError(err)
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return f, bodyError(err)
		}
		if err := takePart(&f, part); err != nil {
			return f, err
		}
	}
}

// takePart takes in one part of a form; what it does not know it leaves.
func takePart(f *studio.WorkflowFile, part *multipart.Part) error {
	name := part.FormName()
	if name != "file" && name != "text" && name != "title" {
		return nil
	}
	data, err := io.ReadAll(part) // the body as a whole is bounded
	if err != nil {
		return bodyError(err)
	}
	switch name {
	case "title":
		f.Title = strings.TrimSpace(string(data))
	case "file":
		if len(data) > 0 {
			f.Name, f.Data = part.FileName(), data
		}
	case "text": // what was pasted counts where no file was chosen
		if len(f.Data) == 0 {
			f.Data = bytes.TrimSpace(data)
		}
	}
	return nil
}

// bodyError is the answer to a body that could not be read to its end.
func bodyError(err error) error {
	if err == nil {
		return nil
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return errTooLarge
	}
	return &UserError{Status: http.StatusBadRequest, Message: "The body broke off before its end."}
}

// editFields are the members of the object that changes a workflow.
var editFields = []string{"version", "title", "description", "fields"}

// apiEditWorkflow changes what people see of a workflow, and fill in.
func (s *Server) apiEditWorkflow(w http.ResponseWriter, r *http.Request) error {
	body, err := readJSON(r, false)
	if err != nil {
		return err
	}
	object, problems, err := strictObject(body)
	if err != nil {
		return err
	}
	var edit studio.WorkflowEdit
	for name, into := range map[string]any{"version": &edit.Version, "title": &edit.Title, "description": &edit.Description, "fields": &edit.Fields} {
		if raw, ok := object[name]; ok && json.Unmarshal(raw, into) != nil {
			problems = append(problems, studio.FieldError{Field: name, Message: "cannot be read; see the documentation for its shape"})
		}
	}
	for name := range object {
		if !slices.Contains(editFields, name) {
			problems = append(problems, studio.FieldError{Field: name, Message: "is not a field of this request; those are " + strings.Join(editFields, ", ")})
		}
	}
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b studio.FieldError) int { return strings.Compare(a.Field, b.Field) })
		return &studio.InvalidError{Fields: problems[:min(len(problems), mostProblems)]}
	}
	edited, err := s.studio.EditWorkflow(r.Context(), r.PathValue("id"), edit)
	if err != nil {
		return err
	}
	return answerJSON(w, http.StatusOK, newWorkflowDetailJSON(edited))
}

// apiDeleteWorkflow takes a workflow out of the list.
func (s *Server) apiDeleteWorkflow(w http.ResponseWriter, r *http.Request) error {
	if err := s.studio.DeleteWorkflow(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// containerTypes are the media types of what is given out.
var containerTypes = map[string]string{
	"json": "application/json", "text": "text/plain; charset=utf-8", "png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg",
}

// exportWorkflow gives a workflow out as a file: ?format=api, ui or original.
func (s *Server) exportWorkflow(w http.ResponseWriter, r *http.Request) error {
	format := r.URL.Query().Get("format")
	switch format {
	case "":
		format = studio.ExportAPI
	case studio.ExportAPI, studio.ExportUI, studio.ExportOriginal:
	default:
		return badRequest("format", "must be api, ui or original")
	}
	file, err := s.studio.ExportWorkflow(r.Context(), r.PathValue("id"), format)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Security-Policy", filePolicy)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", orText(containerTypes[file.Container], "application/octet-stream"))
	h.Set("Content-Disposition", contentDisposition("attachment", file.Name))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(downloadWait)) // a recorder in a test has none
	http.ServeContent(w, r, "", file.Time, bytes.NewReader(file.Data))
	return nil
}
