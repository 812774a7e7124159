package studio

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"easel/comfy/workflow"
	"easel/db"
)

// Formats of an export.
const (
	ExportAPI      = "api"      // as ComfyUI's POST /prompt takes it
	ExportUI       = "ui"       // as ComfyUI's editor saves it
	ExportOriginal = "original" // the very bytes that were brought
)

// ExportWorkflow is a workflow as a file. Errors: ErrNoWorkflow, ErrNotExportable, ErrUnavailable.
func (s *Studio) ExportWorkflow(ctx context.Context, id, format string) (*WorkflowExport, error) {
	if format == ExportAPI {
		w, err := s.Workflow(ctx, id)
		switch {
		case err != nil:
			return nil, err
		case w.Graph == nil:
			return nil, ErrNotExportable
		}
		data, err := w.Graph.Marshal()
		if err != nil {
			return nil, fmt.Errorf("encode graph: %w", err)
		}
		return &WorkflowExport{Name: w.ID + ".api.json", Container: containerJSON, Data: data, Time: w.UpdatedAt}, nil
	}
	if _, ok := workflow.Builtin(id); ok {
		if format == ExportUI {
			return s.exportSaved(ctx, id)
		}
		return nil, ErrNotExportable
	}
	if !workflowID(id) {
		return nil, ErrNoWorkflow
	}
	row, err := db.One(s.queries.WorkflowOriginal(ctx, id))
	switch {
	case errors.Is(err, db.ErrNotFound):
		return nil, ErrNoWorkflow
	case err != nil:
		return nil, unavailable(fmt.Errorf("read workflow: %w", err))
	case format == ExportOriginal:
		name := row.Filename
		if name == "" {
			name = id + "." + strings.Replace(row.Container, "text", "txt", 1)
		}
		return &WorkflowExport{Name: name, Container: row.Container, Data: row.Original}, nil
	}
	if file, err := workflow.ReadFile(row.Original); err == nil && file.UI != nil {
		return &WorkflowExport{Name: id + ".json", Container: containerJSON, Data: file.UI}, nil
	}
	return s.exportSaved(ctx, id)
}

// exportSaved is a workflow in the editor's format where that was not brought: by what the server says that knows most
// of its nodes.
func (s *Studio) exportSaved(ctx context.Context, id string) (*WorkflowExport, error) {
	w, err := s.Workflow(ctx, id)
	if err != nil {
		return nil, err
	}
	var best *workflow.ObjectInfo
	needs, least := needsOf(w.Graph), 0
	for _, info := range s.forms.all() {
		if lacks := len(lacking(needs, info)); best == nil || lacks < least {
			best, least = info, lacks
		}
	}
	if w.Graph == nil || best == nil {
		return nil, ErrNotExportable
	}
	data, err := w.Graph.Save(best)
	if err != nil {
		return nil, fmt.Errorf("save graph: %w", err)
	}
	return &WorkflowExport{Name: id + ".json", Container: containerJSON, Data: data, Time: w.UpdatedAt}, nil
}

// WorkflowExport is a file that is given out.
type WorkflowExport struct {
	Name      string
	Container string // json, text, png, webp, jpeg
	Data      []byte
	Time      time.Time // of the last change; zero: not told
}
