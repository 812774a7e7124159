package handlers

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"easel/comfy/workflow"
	"easel/studio"
)

// fakeWorkflows are the workflows that were brought to a fake.
type fakeWorkflows struct {
	brought []studio.WorkflowFile
	edits   []studio.WorkflowEdit
	kept    *studio.Workflow // the only one; nil: none
	reread  int              // how often one was read again
}

// broughtAt is when.
var broughtAt = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// portrait is one that a server can run and another cannot.
func portrait() *studio.Workflow {
	w := &studio.Workflow{
		WorkflowHead: studio.WorkflowHead{
			ID: "portrait", Title: "Portrait <b>", Description: "Faces.", Version: 3, HasGraph: true, CreatedAt: broughtAt, UpdatedAt: broughtAt,
		},
		Filename: "portrait.json", Container: "json", OriginalBytes: 2048,
		Graph: workflow.Graph{"3": {ClassType: "KSampler", Inputs: map[string]json.RawMessage{"steps": json.RawMessage("20"), "cfg": json.RawMessage("7")}}},
		Fields: []workflow.Field{
			{Name: "steps", Label: "Steps", Group: "main", Kind: workflow.Integer, Default: json.RawMessage("20"), Targets: []workflow.Target{{Node: "3", Input: "steps"}}},
		},
		Spare: []workflow.Field{
			{Name: "guidance", Label: "Guidance", Group: "more", Kind: workflow.Number, Default: json.RawMessage("7"), Targets: []workflow.Target{{Node: "3", Input: "cfg"}}},
		},
		Read: []workflow.Problem{{Node: "9", Title: "Old & grey", Class: "OldNode", Code: workflow.CodeBadValue, Message: "A value has no place."}},
		Servers: []studio.WorkflowServer{
			{ID: uuid.MustParse("00000000-0000-7000-8000-00000000000a"), Name: "first", Known: true, Runs: true},
			{ID: uuid.MustParse("00000000-0000-7000-8000-00000000000b"), Name: "second", Known: true, Problems: []workflow.Problem{
				{Node: "3", Class: "KSampler", Code: workflow.CodeUnknownNode, Message: "The server has no node “KSampler”; first has it."},
			}},
			{ID: uuid.MustParse("00000000-0000-7000-8000-00000000000c"), Name: "third"},
		},
	}
	made, err := workflow.New(w.ID, w.Title, w.Description, w.Graph, w.Fields)
	if err != nil {
		panic(err)
	}
	w.Form = made.Form()
	return w
}

func (f *fakeStudio) Workflow(_ context.Context, id string) (*studio.Workflow, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w := f.workflows.kept; w != nil && w.ID == id {
		found := *w
		return &found, nil
	}
	if w, ok := workflow.Builtin(id); ok {
		return &studio.Workflow{
			WorkflowHead: studio.WorkflowHead{ID: w.ID, Title: w.Title, HasGraph: true}, Graph: w.Graph, Fields: w.Fields, Form: w.Form(),
		}, nil
	}
	return nil, studio.ErrNoWorkflow
}

func (f *fakeStudio) ImportWorkflow(_ context.Context, file studio.WorkflowFile) (*studio.Workflow, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !strings.HasPrefix(string(file.Data), "{") {
		return nil, &studio.InvalidError{Fields: []studio.FieldError{{Field: "file", Message: "This is no workflow that can be read."}}}
	}
	f.workflows.brought = append(f.workflows.brought, file)
	f.workflows.kept = portrait()
	return f.workflows.kept, nil
}

func (f *fakeStudio) EditWorkflow(_ context.Context, id string, e studio.WorkflowEdit) (*studio.Workflow, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch kept := f.workflows.kept; {
	case id == workflow.TextToImage:
		return nil, studio.ErrWorkflowBuiltIn
	case kept == nil || kept.ID != id:
		return nil, studio.ErrNoWorkflow
	case e.Version != 0 && e.Version != kept.Version:
		return nil, studio.ErrWorkflowChanged
	case e.Title != nil && *e.Title == "":
		return nil, &studio.InvalidError{Fields: []studio.FieldError{{Field: "title", Message: "The title must not be empty."}}}
	}
	f.workflows.edits = append(f.workflows.edits, e)
	return f.workflows.kept, nil
}

func (f *fakeStudio) PreviewWorkflow(ctx context.Context, id string, e studio.WorkflowEdit) (*studio.Workflow, error) {
	w, err := f.Workflow(ctx, id)
	if err != nil {
		return nil, err
	}
	made, err := workflow.New(w.ID, w.Title, w.Description, w.Graph, e.Fields)
	if err != nil {
		return nil, &studio.InvalidError{Fields: []studio.FieldError{{Field: "fields.0.label", Message: "The label must not be empty."}}}
	}
	w.Fields, w.Form = e.Fields, made.Form()
	return w, nil
}

func (f *fakeStudio) WorkflowsMissing(context.Context) (map[string]string, error) {
	return map[string]string{"portrait": "No server has the node “FaceDetailer”."}, nil
}

func (f *fakeStudio) RereadWorkflow(ctx context.Context, id string) (*studio.Workflow, error) {
	f.mu.Lock()
	f.workflows.reread++
	f.mu.Unlock()
	return f.Workflow(ctx, id)
}

func (f *fakeStudio) DeleteWorkflow(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.workflows.kept == nil || f.workflows.kept.ID != id {
		return studio.ErrNoWorkflow
	}
	f.workflows.kept = nil
	f.forms = slices.DeleteFunc(f.forms, func(form workflow.Form) bool { return form.ID == id })
	return nil
}

func (f *fakeStudio) ExportWorkflow(_ context.Context, id, format string) (*studio.WorkflowExport, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.workflows.kept == nil || f.workflows.kept.ID != id:
		return nil, studio.ErrNoWorkflow
	case format == studio.ExportUI:
		return nil, studio.ErrNotExportable
	}
	return &studio.WorkflowExport{Name: "portrait.json", Container: "json", Data: []byte(`{"format":"` + format + `"}`)}, nil
}
