package handlers

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"easel/comfy/workflow"
	"easel/studio"
	"easel/views"
)

// workflowPageRoutes are the pages of the workflows, and their forms.
func (s *Server) workflowPageRoutes() {
	s.route("GET /workflows", negotiate(faces{HTML: s.showWorkflows, JSON: s.apiWorkflows}))
	s.routeLarge("POST /workflows", maxWorkflowBody, s.importWorkflow)
	s.route("GET /workflows/{id}", negotiate(faces{HTML: s.showWorkflow, JSON: s.apiWorkflow}))
	s.route("POST /workflows/{id}", s.changeWorkflow)
	s.route("POST /workflows/{id}/preview", s.previewWorkflow)
	s.route("GET /workflows/{id}/export", s.exportWorkflow)
}

// showWorkflows lists what can be asked for.
func (s *Server) showWorkflows(w http.ResponseWriter, r *http.Request) error {
	return s.renderWorkflows(w, r, http.StatusOK, views.BringForm{})
}

func (s *Server) renderWorkflows(w http.ResponseWriter, r *http.Request, status int, bring views.BringForm) error {
	missing, err := s.studio.WorkflowsMissing(r.Context())
	if err != nil {
		return err
	}
	bring.File.Name, bring.Text.Name, bring.Title.Name = "file", "text", "title"
	view := views.WorkflowsView{Bring: bring, Now: time.Now(), Removed: shownText(r.URL.Query().Get("removed"))}
	for _, head := range s.studio.Workflows() {
		row := rowOf(&head)
		row.Missing = missing[head.ID]
		view.Workflows = append(view.Workflows, row)
	}
	return render(w, r, status, views.WorkflowsPage(s.page(r, "workflows", "Workflows"), view))
}

func rowOf(head *studio.WorkflowHead) views.WorkflowRow {
	return views.WorkflowRow{
		ID: head.ID, Title: head.Title, Description: head.Description, BuiltIn: head.BuiltIn(), HasGraph: head.HasGraph,
		UpdatedAt: head.UpdatedAt,
	}
}

// importWorkflow keeps a file, and leads to its page. What is wrong is said in the form.
func (s *Server) importWorkflow(w http.ResponseWriter, r *http.Request) error {
	file, err := readWorkflowFile(r)
	if err != nil {
		return err
	}
	kept, err := s.studio.ImportWorkflow(r.Context(), file)
	if err == nil {
		http.Redirect(w, r, s.paths.Workflow(kept.ID), http.StatusSeeOther)
		return nil
	}
	answer := userError(err)
	if answer == nil || !slices.Contains(keptStatus, answer.Status) {
		return err
	}
	bring := views.BringForm{Title: views.Field{Value: shownText(file.Title)}}
	if file.Name == "" && len(file.Data) < maxBodyBytes { // it was pasted
		bring.Text.Value = shownText(string(file.Data))
	}
	if len(answer.Fields) == 0 {
		bring.File.Error = answer.Message
	}
	for _, problem := range answer.Fields {
		switch {
		case problem.Field == "title":
			bring.Title.Error = problem.Message
		case bring.Text.Value != "":
			bring.Text.Error = strings.TrimSpace(bring.Text.Error + " " + problem.Message)
		default:
			bring.File.Error = strings.TrimSpace(bring.File.Error + " " + problem.Message)
		}
	}
	return s.renderWorkflows(w, r, answer.Status, bring)
}

// showWorkflow is the page of one workflow.
func (s *Server) showWorkflow(w http.ResponseWriter, r *http.Request) error {
	found, err := s.studio.Workflow(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	editor := s.editorOf(found, nil)
	editor.Saved = r.URL.Query().Get("saved") != ""
	return s.renderWorkflow(w, r, http.StatusOK, found, editor, "")
}

func (s *Server) renderWorkflow(w http.ResponseWriter, r *http.Request, status int, found *studio.Workflow, editor views.WorkflowEditor, problem string) error {
	view := views.WorkflowView{
		WorkflowRow: rowOf(&found.WorkflowHead), Version: found.Version, Nodes: len(found.Graph),
		Problems: problemViews(found.Problems), Read: problemViews(found.Read), Notes: problemViews(found.Notes), Editor: editor, Preview: previewOf(found, problem),
	}
	if found.HasGraph {
		view.Exports = append(view.Exports,
			views.WorkflowExport{Label: "API format", URL: s.paths.WorkflowExport(found.ID, studio.ExportAPI)},
			views.WorkflowExport{Label: "Editor's format", URL: s.paths.WorkflowExport(found.ID, studio.ExportUI)})
	}
	if !found.BuiltIn() {
		view.Exports = append(view.Exports, views.WorkflowExport{Label: "As it was brought", URL: s.paths.WorkflowExport(found.ID, studio.ExportOriginal)})
		view.Source = "Brought as " + orText(found.Filename, "text") + ", " + views.Bytes(int64(found.OriginalBytes))
	}
	for _, server := range found.Servers {
		view.Servers = append(view.Servers, views.WorkflowServer{Name: server.Name, Known: server.Known, Runs: server.Runs, Problems: problemViews(server.Problems)})
	}
	return render(w, r, status, views.WorkflowPage(s.page(r, "workflows", found.Title), view))
}

// problemViews say of each problem which node it is about, as its author called that.
func problemViews(problems []workflow.Problem) []views.WorkflowProblem {
	var shown []views.WorkflowProblem
	for _, p := range problems {
		node := orText(p.Title, p.Class)
		if p.Node != "" {
			node = strings.TrimSpace(node + " (node " + p.Node + ")")
		}
		shown = append(shown, views.WorkflowProblem{Node: node, Message: p.Message})
	}
	return shown
}

// previewOf is the form as people see it; problem says why it is not shown.
func previewOf(w *studio.Workflow, problem string) views.WorkflowPreview {
	c := views.Composer{
		Workflow: w.ID, Title: w.Title, PromptRunes: studio.MaxPromptRunes, MoreOpen: true,
		Prompt: views.Field{Name: "prompt", Label: "Prompt", Kind: "text"},
		Images: views.Field{Name: "totalImages", Label: "Images", Kind: "integer", Value: "1", Min: "1", Max: strconv.Itoa(studio.MaxImages), Step: "1"},
	}
	fillComposer(&c, w.Form, map[string]string{}, nil)
	return views.WorkflowPreview{Form: c, Problem: problem}
}

// fieldEdit is what was typed about one field.
type fieldEdit struct {
	field workflow.Field     // as it is stored, or was found
	form  workflow.FormField // the same as it can be filled in
	shown bool
}

// editsOf are all fields of a workflow: those of the form in its order, then the others.
func editsOf(w *studio.Workflow) []fieldEdit {
	edits := make([]fieldEdit, 0, len(w.Fields)+len(w.Spare))
	for _, f := range w.Fields {
		form, _ := w.Form.Field(f.Name)
		edits = append(edits, fieldEdit{f, form, true})
	}
	for _, f := range w.Spare {
		form, _ := w.SpareForm.Field(f.Name)
		edits = append(edits, fieldEdit{f, form, false})
	}
	return edits
}

// editorOf is the form in which a workflow is changed. problems are put at their fields.
func (s *Server) editorOf(w *studio.Workflow, problems []studio.FieldError) views.WorkflowEditor {
	return s.editorWith(w, editsOf(w), map[string]string{"title": w.Title, "description": w.Description}, problems)
}

func (s *Server) editorWith(w *studio.Workflow, edits []fieldEdit, typed map[string]string, problems []studio.FieldError) views.WorkflowEditor {
	e := views.WorkflowEditor{
		URL: s.paths.Workflow(w.ID), Version: w.Version,
		Title:       views.Field{Name: "title", Label: "Title", Value: shownText(typed["title"])},
		Description: views.Field{Name: "description", Label: "Description", Value: shownText(typed["description"])},
		Groups:      []string{workflow.GroupMain, workflow.GroupMore},
	}
	last := -1
	for i := range edits {
		if edits[i].shown {
			last = i
		}
	}
	for i, edit := range edits {
		f := &edit.field
		shown := views.EditedField{
			Name: f.Name, Title: orText(strings.TrimSpace(shownText(f.Label)), f.Name), Where: placesOf(w.Graph, f.Targets), Shown: edit.shown,
			Label: views.Field{Name: "label." + f.Name, Value: shownText(f.Label)},
			Group: views.Field{Name: "group." + f.Name, Value: shownText(f.Group)},
			Help:  views.Field{Name: "help." + f.Name, Value: shownText(f.Help)},
			Up:    edit.shown && i > 0, Down: edit.shown && i < last,
		}
		if f.Kind != workflow.Seed && f.Kind != workflow.Image { // a seed has none, and a picture is chosen each time
			shown.Default = fieldView(edit.form, map[string]string{})
			shown.Default.Name, shown.Default.Label, shown.Default.Help = "default."+f.Name, "Default", ""
			shown.Default.Value = defaultText(f.Default)
			shown.Default.Kind = string(f.Kind)
		}
		if !slices.Contains(e.Groups, f.Group) {
			e.Groups = append(e.Groups, f.Group)
		}
		e.Fields = append(e.Fields, shown)
	}
	place(&e, problems)
	return e
}

// place puts problems at the fields that they are about: "fields.2.label" is the third that is in the form.
func place(e *views.WorkflowEditor, problems []studio.FieldError) {
	for _, problem := range problems {
		switch problem.Field {
		case "title":
			e.Title.Error = problem.Message
			continue
		case "description":
			e.Description.Error = problem.Message
			continue
		}
		field := shownField(e, problem.Field)
		switch {
		case field == nil:
			e.Problem = strings.TrimSpace(e.Problem + " " + problem.Message)
		case strings.HasSuffix(problem.Field, ".label"):
			field.Label.Error, field.Open = problem.Message, true
		case strings.HasSuffix(problem.Field, ".help"):
			field.Help.Error, field.Open = problem.Message, true
		default:
			field.Error, field.Open = problem.Message, true
		}
	}
}

func shownField(e *views.WorkflowEditor, name string) *views.EditedField {
	rest, ok := strings.CutPrefix(name, "fields.")
	number, _, _ := strings.Cut(rest, ".")
	n, ok2 := index(number)
	if !ok || !ok2 {
		return nil
	}
	for i := range e.Fields {
		if e.Fields[i].Shown {
			if n == 0 {
				return &e.Fields[i]
			}
			n--
		}
	}
	return nil
}

// placesOf says where in the graph a field's value goes.
func placesOf(g workflow.Graph, targets []workflow.Target) string {
	var places []string
	for _, t := range targets {
		n := g[t.Node]
		places = append(places, orText(n.Title(), n.ClassType)+", "+t.Input)
	}
	return strings.Join(slices.Compact(places), "; ")
}

// defaultText is a stored default as a control shows it.
func defaultText(raw json.RawMessage) string {
	var text string
	if len(raw) == 0 || string(raw) == "null" || json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// readEdit reads the form in which a workflow is changed, over what there is.
func readEdit(w *studio.Workflow, values url.Values) (edits []fieldEdit, typed map[string]string) {
	typed = typedForm(values)
	all := editsOf(w)
	byName := make(map[string]*fieldEdit, len(all))
	for i := range all {
		byName[all[i].field.Name] = &all[i]
	}
	take := func(edit *fieldEdit) {
		name := edit.field.Name
		edit.shown = typed["show."+name] != ""
		if text, ok := typed["label."+name]; ok {
			edit.field.Label = strings.TrimSpace(text)
		}
		if text, ok := typed["group."+name]; ok {
			edit.field.Group = orText(strings.TrimSpace(text), workflow.GroupMore)
		}
		if text, ok := typed["help."+name]; ok {
			edit.field.Help = strings.TrimSpace(text)
		}
		if text, ok := typed["default."+name]; ok {
			edit.field.Default = defaultJSON(edit.field.Kind, text)
		}
		edits = append(edits, *edit)
	}
	for _, name := range values["order"] {
		if edit := byName[name]; edit != nil {
			delete(byName, name)
			take(edit)
		}
	}
	for i := range all { // what the page did not know of
		if edit := byName[all[i].field.Name]; edit != nil {
			edits = append(edits, *edit)
		}
	}
	slices.SortStableFunc(edits, func(a, b fieldEdit) int { // those of the form first
		switch {
		case a.shown == b.shown:
			return 0
		case a.shown:
			return -1
		}
		return 1
	})
	move(edits, typed["do"])
	return edits, typed
}

// move obeys "up:NAME" and "down:NAME".
func move(edits []fieldEdit, do string) {
	way, name, _ := strings.Cut(do, ":")
	at := slices.IndexFunc(edits, func(e fieldEdit) bool { return e.field.Name == name && e.shown })
	to := at
	switch way {
	case "up":
		to--
	case "down":
		to++
	default:
		return
	}
	if at >= 0 && to >= 0 && to < len(edits) && edits[to].shown {
		edits[at], edits[to] = edits[to], edits[at]
	}
}

// defaultJSON is a default that was typed; what is not of its kind goes on as text, for the studio to complain about.
func defaultJSON(kind workflow.Kind, text string) json.RawMessage {
	if kind != workflow.Text {
		text = strings.TrimSpace(text)
		if text == "" {
			return nil
		}
	}
	switch kind {
	case workflow.Integer, workflow.Number, workflow.Boolean:
		if json.Valid([]byte(text)) && !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
			return json.RawMessage(text)
		}
	case workflow.Text, workflow.Choice, workflow.Seed, workflow.Image:
	}
	raw, err := json.Marshal(text)
	if err != nil {
		return nil // a string always marshals
	}
	return raw
}

// editOf is what the studio is asked for.
func editOf(edits []fieldEdit, typed map[string]string) studio.WorkflowEdit {
	edit := studio.WorkflowEdit{Fields: []workflow.Field{}}
	if version := typed["version"]; version != "" {
		var err error
		if edit.Version, err = strconv.Atoi(version); err != nil {
			edit.Version = -1 // of no version: nothing is changed without a look at what others did
		}
	}
	title, description := typed["title"], typed["description"]
	edit.Title, edit.Description = &title, &description
	for _, e := range edits {
		if e.shown {
			edit.Fields = append(edit.Fields, e.field)
		}
	}
	return edit
}

// changeWorkflow does what a button of the page says.
func (s *Server) changeWorkflow(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Datastar-Request")
	values, err := readForm(r)
	if err != nil {
		return err
	}
	found, err := s.studio.Workflow(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	do := values.Get("do")
	if do == "remove" {
		if err := s.studio.DeleteWorkflow(r.Context(), found.ID); err != nil {
			return err
		}
		http.Redirect(w, r, s.paths.Workflows()+"?removed="+url.QueryEscape(found.Title), http.StatusSeeOther)
		return nil
	}
	if do == "reread" {
		if _, err := s.studio.RereadWorkflow(r.Context(), found.ID); err != nil {
			return err
		}
		http.Redirect(w, r, s.paths.Workflow(found.ID), http.StatusSeeOther)
		return nil
	}
	edits, typed := readEdit(found, values)
	edit := editOf(edits, typed)
	act := s.studio.PreviewWorkflow // a field was moved: nothing is stored before somebody says so
	if do == "" || do == "save" {
		act = s.studio.EditWorkflow
	}
	changed, err := act(r.Context(), found.ID, edit)
	answer := userError(err)
	switch {
	case err == nil && (do == "" || do == "save"):
		if !isDatastar(r) {
			http.Redirect(w, r, s.paths.Workflow(found.ID)+"?saved=1#workflow-editor", http.StatusSeeOther)
			return nil
		}
		editor := s.editorOf(changed, nil)
		editor.Saved = true
		return s.answerEditor(w, editor, previewOf(changed, ""))
	case err == nil:
		return s.answerEdited(w, r, http.StatusOK, changed, s.editorWith(changed, edits, typed, nil), "")
	case answer == nil || !slices.Contains(keptStatus, answer.Status):
		return err
	}
	found.Version = edit.Version // what was typed is about that one, and another press says so again
	editor := s.editorWith(found, edits, typed, answer.Fields)
	if len(answer.Fields) == 0 {
		editor.Problem = answer.Message
	}
	return s.answerEdited(w, r, answer.Status, found, editor, notShown)
}

// notShown stands in the place of a form that would not fit together.
const notShown = "Something in the form is not right yet; see beside."

func (s *Server) answerEdited(w http.ResponseWriter, r *http.Request, status int, found *studio.Workflow, editor views.WorkflowEditor, problem string) error {
	if isDatastar(r) {
		return s.answerEditor(w, editor, previewOf(found, problem))
	}
	return s.renderWorkflow(w, r, status, found, editor, problem)
}

func (s *Server) answerEditor(w http.ResponseWriter, editor views.WorkflowEditor, preview views.WorkflowPreview) error {
	events, err := patch(views.WorkflowEditorForm(s.pages.site, editor))
	if err != nil {
		return err
	}
	shown, err := patch(views.WorkflowPreviewBox(s.pages.site, preview))
	if err != nil {
		return err
	}
	return answerPatches(w, append(events, shown...))
}

// previewWorkflow shows, while somebody types, the form that would come of it.
func (s *Server) previewWorkflow(w http.ResponseWriter, r *http.Request) error {
	values, err := readForm(r)
	if err != nil {
		return err
	}
	found, err := s.studio.Workflow(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	edits, typed := readEdit(found, values)
	changed, err := s.studio.PreviewWorkflow(r.Context(), found.ID, editOf(edits, typed))
	problem := ""
	if _, invalid := errors.AsType[*studio.InvalidError](err); invalid {
		problem = userError(err).Fields[0].Message
	} else if err != nil {
		return err
	}
	if changed == nil {
		changed = found
	}
	events, err := patch(views.WorkflowPreviewBox(s.pages.site, previewOf(changed, problem)))
	if err != nil {
		return err
	}
	return answerPatches(w, events)
}
