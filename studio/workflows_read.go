package studio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"easel/comfy/workflow"
)

// What a workflow can be brought in.
const containerJSON = "json"

// reading is what was made of a file that a person brought.
type reading struct {
	container   string
	title       string // as the file says; empty: it says none
	description string
	graph       workflow.Graph // nil: it could not be converted
	fields      []workflow.Field
	problems    []workflow.Problem
}

// columns are what is stored of it.
func (r *reading) columns() (c struct{ graph, fields, problems []byte }, err error) {
	if r.graph != nil {
		if c.graph, err = r.graph.Marshal(); err != nil {
			return c, fmt.Errorf("encode graph: %w", err)
		}
	}
	if c.fields, err = json.Marshal(append([]workflow.Field{}, r.fields...)); err != nil {
		return c, fmt.Errorf("encode fields: %w", err)
	}
	if len(c.fields) > maxFieldsBytes {
		return c, &InvalidError{Fields: []FieldError{{Field: "file", Message: "The texts in this graph are more than a form can hold."}}}
	}
	if c.problems, err = json.Marshal(append([]workflow.Problem{}, r.problems...)); err != nil {
		return c, fmt.Errorf("encode problems: %w", err)
	}
	return c, nil
}

// keep puts the fields that a form had before those that were found, where they still fit.
func (r *reading) keep(fields []workflow.Field) {
	var kept []workflow.Field
	names, places := map[string]bool{}, map[workflow.Target]bool{}
	for i := range fields {
		if _, err := workflow.New("x", "x", "", r.graph, fields[i:i+1]); err != nil {
			continue
		}
		kept = append(kept, fields[i])
		names[fields[i].Name] = true
		for _, t := range fields[i].Targets {
			places[t] = true
		}
	}
	for _, f := range r.fields {
		if !names[f.Name] && !slices.ContainsFunc(f.Targets, func(t workflow.Target) bool { return places[t] }) {
			kept = append(kept, f)
		}
	}
	r.fields = kept[:min(len(kept), workflow.MaxFields)]
}

// readWorkflow makes what it can of a file.
func (s *Studio) readWorkflow(ctx context.Context, data []byte) (*reading, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r, own, err := s.readOwn(data); err != nil || own {
		return r, err
	}
	return s.readForeign(data)
}

// readForeign reads what other programs write.
func (s *Studio) readForeign(data []byte) (*reading, error) {
	file, err := workflow.ReadFile(data)
	if err != nil {
		return nil, badFile(err)
	}
	r := &reading{container: file.Container, graph: file.API}
	infos := s.forms.all()
	var hints workflow.Hints
	switch {
	case file.UI != nil:
		converted, err := workflow.Convert(file.UI, workflow.Union(infos...))
		switch {
		case err == nil:
			r.title, hints = converted.Title, workflow.Hints{Groups: converted.Groups, Order: converted.Order}
			if r.graph == nil { // what was run is exact, and needs no conversion
				r.graph, r.problems = converted.Graph, converted.Problems
			}
		case r.graph != nil: // it says no more than where things lie
		case len(infos) == 0:
			r.problems = []workflow.Problem{{Code: codeUnconverted, Message: "No server has told its nodes yet: the values in this file cannot be told apart without."}}
			return r, nil
		default:
			return nil, badFile(err)
		}
	case file.API == nil && file.Parameters != nil:
		s.takeParameters(r, file.Parameters)
		return r, nil
	}
	if err := r.graph.CheckTexts(); err != nil {
		return nil, badFile(err)
	}
	r.fields = workflow.Discover(r.graph, infos, hints)
	return r, nil
}

// Codes of problems that a reading has, beside those of package workflow.
const (
	codeUnconverted = "unconverted" // no server was there to convert it with
	codeParameters  = "parameters"  // something that another program wrote could not be taken over
)

// takeParameters makes the built-in workflow of what another program wrote, with its values as defaults.
func (s *Studio) takeParameters(r *reading, p *workflow.Parameters) {
	base, _ := workflow.Builtin(workflow.TextToImage)
	form := s.forms.of(base)
	raw, warnings := p.Values(form)
	values, problems := form.Parse(raw)
	for _, problem := range problems {
		warnings = append(warnings, problem.Message)
	}
	r.graph, r.fields = base.Graph, slices.Clone(base.Fields)
	for i := range r.fields {
		f := &r.fields[i]
		if value, ok := values[f.Name]; ok && f.Kind != workflow.Seed {
			f.Default, _ = json.Marshal(value) // text or a number: it cannot fail
		}
	}
	for _, warning := range warnings {
		r.problems = append(r.problems, workflow.Problem{Code: codeParameters, Message: warning})
	}
}

// ownFile is a workflow as the API takes it: a graph in either format, and its fields. Without fields they are found.
type ownFile struct {
	Title       string           `json:"title"`
	Description string           `json:"description"`
	Graph       json.RawMessage  `json:"graph"`
	Fields      []workflow.Field `json:"fields"`
}

// readOwn reads a file of our own; own is false for any other.
func (s *Studio) readOwn(data []byte) (r *reading, own bool, err error) {
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) || workflow.CheckJSON(data, workflow.MaxGraphDepth+2) != nil {
		return nil, false, nil
	}
	var top map[string]json.RawMessage
	if json.Unmarshal(data, &top) != nil {
		return nil, false, nil
	}
	if raw, ok := top["graph"]; !ok || isNode(raw) {
		return nil, false, nil
	}
	var file ownFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, false, badFile(err)
	}
	if r, err = s.readForeign(file.Graph); err != nil {
		return nil, false, err
	}
	if file.Fields != nil {
		if complaints := checkFields(&Workflow{Graph: r.graph}, file.Fields); len(complaints) > 0 {
			return nil, false, &InvalidError{Fields: complaints}
		}
		r.fields = file.Fields
	}
	if complaint := workflow.CheckText("The description", file.Description, false, maxDescription); complaint != "" {
		return nil, false, &InvalidError{Fields: []FieldError{{Field: "description", Message: complaint}}}
	}
	r.description = file.Description
	if file.Title != "" {
		r.title = file.Title
	}
	return r, true, nil
}

// isNode reports whether a member of a JSON object is a node of a graph in API format: then "graph" is a node's id.
func isNode(raw json.RawMessage) bool {
	var node struct {
		Class *string `json:"class_type"`
	}
	return json.Unmarshal(raw, &node) == nil && node.Class != nil
}

// badFile says in words why nothing can be made of a file.
func badFile(err error) error {
	return &InvalidError{Fields: []FieldError{{Field: "file", Message: "This file cannot be taken: " + err.Error() + "."}}}
}

// fieldName is what the fields of a form may be called: they are the names of settings.
var fieldName = regexp.MustCompile(`^[a-z][A-Za-z0-9]{0,59}$`)

// checkFields says what is wrong with the fields that are wanted for a workflow.
func checkFields(w *Workflow, fields []workflow.Field) (complaints []FieldError) {
	complain := func(i int, what, message string) {
		at := "fields." + strconv.Itoa(i)
		if what != "" {
			at += "." + what
		}
		complaints = append(complaints, FieldError{Field: at, Message: message})
	}
	if len(fields) > workflow.MaxFields {
		return []FieldError{{Field: "fields", Message: fmt.Sprintf("A form may have at most %d fields.", workflow.MaxFields)}}
	}
	for i := range fields {
		f := &fields[i]
		if !fieldName.MatchString(f.Name) {
			complain(i, "name", "A name is of letters and digits, and begins with a small letter, such as steps2.")
		}
		if text := f.Name == fieldPrompt || f.Name == fieldNegative; text && f.Kind != workflow.Text {
			complain(i, "kind", "The prompts are text.")
		}
		if complaint := workflow.CheckText("The label", f.Label, true, maxLabelRunes); complaint != "" {
			complain(i, "label", complaint)
		}
		if complaint := workflow.CheckText("The help", f.Help, false, maxHelpRunes); complaint != "" {
			complain(i, "help", complaint)
		}
	}
	if len(complaints) > 0 {
		return complaints
	}
	// What is left are names that stand twice, kinds, groups, places in the graph and defaults: one sentence, of the first.
	if w.Graph == nil && len(fields) > 0 {
		return []FieldError{{Field: "fields", Message: "There is no graph yet that they could be fields of."}}
	}
	for i := range fields {
		if _, err := workflow.New("x", "x", "", w.Graph, fields[i:i+1]); err != nil {
			complain(i, "", asSentence(lastOf(err)))
		}
		if slices.ContainsFunc(fields[:i], func(f workflow.Field) bool { return f.Name == fields[i].Name }) {
			complain(i, "name", "Another field has this name.")
		}
	}
	return complaints
}

// lastOf is what an error says without where it was.
func lastOf(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

// examine tells what else could be in the form of w, and whether the servers can run it.
func (s *Studio) examine(w *Workflow) {
	w.spare(s.forms.all())
	w.notes()
	graph := w.Graph
	if made, err := workflow.New(w.ID, w.Title, "", w.Graph, w.Fields); err == nil { // it was made of these before
		graph = asOffered(made, w.Form)
	}
	servers := slices.Clone(s.Overview().Servers)
	slices.SortFunc(servers, func(a, b Server) int { return strings.Compare(a.Name, b.Name) })
	named := make([]workflow.Named, len(servers))
	for i := range servers {
		named[i] = workflow.Named{Name: servers[i].Name, Info: s.forms.info(servers[i].ID)}
	}
	found := workflow.Diagnose(graph, named)
	w.Problems = found.Problems
	for i, server := range found.Servers {
		w.Servers = append(w.Servers, WorkflowServer{
			ID: servers[i].ID, Name: server.Name, Known: server.Known, Runs: server.Runs, Problems: server.Problems,
		})
	}
}

// notes says what is chosen where the graph's own choice is on no server.
func (w *Workflow) notes() {
	w.Notes = nil
	for _, f := range w.Fields {
		var own string
		form, ok := w.Form.Field(f.Name)
		if f.Kind != workflow.Choice || !ok || len(form.Choices) == 0 || json.Unmarshal(f.Default, &own) != nil || own == "" {
			continue
		}
		if chosen, _ := form.Default.(string); chosen != own {
			w.Notes = append(w.Notes, workflow.Problem{
				Node: f.Targets[0].Node, Title: w.Graph[f.Targets[0].Node].Title(), Class: w.Graph[f.Targets[0].Node].ClassType,
				Input: f.Targets[0].Input, Code: workflow.CodeUnknownValue,
				Message: fmt.Sprintf("%s: no server has %s; the form offers %s instead.", f.Label, own, chosen),
			})
		}
	}
}

// spare finds what the graph has beside the fields of the form: first what would be found in it by itself.
func (w *Workflow) spare(infos []*workflow.ObjectInfo) {
	w.Spare = nil
	names, places := map[string]bool{}, map[workflow.Target]bool{}
	taken := slices.Clone(w.Fields)
	for _, f := range w.Fields {
		names[f.Name] = true
		for _, t := range f.Targets {
			places[t] = true
		}
	}
	for _, f := range workflow.Discover(w.Graph, infos, workflow.Hints{}) {
		if names[f.Name] || slices.ContainsFunc(f.Targets, func(t workflow.Target) bool { return places[t] }) {
			continue
		}
		w.Spare, taken = append(w.Spare, f), append(taken, f)
	}
	w.Spare = append(w.Spare, workflow.Rest(w.Graph, infos, taken)...)
	if made, err := workflow.New(w.ID, w.Title, "", w.Graph, w.Spare); err == nil { // what was found fits its graph
		w.SpareForm = made.Form(infos...)
	}
}
