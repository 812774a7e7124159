package studio

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"easel/comfy/workflow"
	"easel/db"
)

// load reads generations with their images, latest attempts and outputs, in the order of ids. Ids
// that do not exist are left out. It takes three statements, however many there are, and another one where they were
// made with workflows that are not in memory.
func (s *Studio) load(ctx context.Context, ids []uuid.UUID) ([]Generation, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := s.queries.GenerationsByID(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read generations: %w", err)
	}
	images, err := s.queries.ImagesOf(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read images: %w", err)
	}
	outputs, err := s.queries.OutputsOf(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read outputs: %w", err)
	}
	byID := make(map[uuid.UUID]*Generation, len(rows))
	refs := make([]workflowRef, len(rows))
	for i, row := range rows {
		refs[i] = refOf(row.Workflow, row.WorkflowVersion)
	}
	workflows, err := s.library.findAll(ctx, s.queries.Queries, refs)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		g, err := s.generationOf(row, workflows[refs[i]])
		if err != nil {
			return nil, err
		}
		byID[g.ID] = &g
	}
	for _, row := range images {
		if g := byID[row.GenerationID]; g != nil {
			g.Images = append(g.Images, imageOf(row))
		}
	}
	for _, row := range outputs {
		if g := byID[row.GenerationID]; g != nil {
			image := &g.Images[row.ImageIndex-1]
			image.Outputs = append(image.Outputs, outputOf(row))
		}
	}
	found := make([]Generation, 0, len(byID))
	for _, id := range ids {
		// The statements saw different moments; a generation that was deleted between them has
		// come without its images, and is gone.
		if g := byID[id]; g != nil && len(g.Images) > 0 {
			found = append(found, *g)
		}
	}
	return found, nil
}

// loadOne is load for one id; ErrNotFound when there is none.
func (s *Studio) loadOne(ctx context.Context, id uuid.UUID) (Generation, error) {
	found, err := s.load(ctx, []uuid.UUID{id})
	if err != nil {
		return Generation{}, unavailable(err)
	}
	if len(found) == 0 {
		return Generation{}, ErrNotFound
	}
	return found[0], nil
}

func (s *Studio) generationOf(row db.GenerationsByIDRow, w *workflow.Workflow) (Generation, error) {
	settings, err := s.forms.settings(w, row.Settings)
	if err != nil {
		return Generation{}, fmt.Errorf("read settings of generation %s: %w", row.ID, err)
	}
	g := Generation{
		ID: row.ID, UserID: row.UserID,
		Prompt: row.Prompt, NegativePrompt: row.NegativePrompt,
		Workflow: row.Workflow, WorkflowVersion: refOf(row.Workflow, row.WorkflowVersion).version, Settings: settings,
		Status: Status(row.Status), Warnings: row.Warnings,
		RetryOf: row.RetryOf, Webhook: row.Webhook, CancelRequestedAt: row.CancelRequestedAt,
		CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt, FinishedAt: row.FinishedAt,
		Rev: row.Rev, needs: row.Needs, Priority: Priority(row.Priority), HeldAt: row.HeldAt, rank: row.Rank, served: row.ServedAt,
		failureCode: row.ErrorCode, failureMessage: row.ErrorMessage,
	}
	g.showFailure()
	return g, nil
}

// showFailure makes the first failure of an image that of the generation, once it has failed.
func (g *Generation) showFailure() {
	if g.Status == Failed {
		g.ErrorCode, g.ErrorMessage = g.failureCode, g.failureMessage
	}
}

func imageOf(row db.ImagesOfRow) Image {
	image := Image{
		Index: int(row.Index), Status: Status(row.Status), Seed: uint64(row.Seed),
		Width: int(row.Width), Height: int(row.Height),
		PromptID: row.PromptID, Server: row.Server, ServerID: row.ServerID,
		AttemptState: row.AttemptState, Attempts: int(row.Attempts),
		ErrorMessage: row.ErrorMessage,
		StepsDone:    int(row.StepsDone), StepsPlanned: int(row.StepsPlanned), Overall: int(row.Overall), Reused: row.Reused,
		StartedAt: row.StartedAt, FinishedAt: row.FinishedAt,
	}
	if image.Attempts > 1 || image.Attempts == 1 && !image.Status.Ended() {
		image.RetryReason = retryWords(row.RetryReason)
	}
	return image
}

func outputOf(row db.OutputsOfRow) Output {
	return Output{
		Index: int(row.Position), Node: row.NodeID, Kind: row.Kind,
		SHA256: row.SHA256, Thumbnail: row.Thumbnail, MIME: row.MIME, Size: row.Size,
		Width: int(row.Width), Height: int(row.Height), Color: row.Color,
	}
}

// clone is a copy whose images may be changed. What they refer to may not.
func (g *Generation) clone() Generation {
	c := *g
	c.Images = slices.Clone(g.Images)
	return c
}

// unavailable turns an error of the database's absence into ours.
func unavailable(err error) error {
	if err != nil && db.Unavailable(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// settingsJSON is what is stored of the values of a form.
func settingsJSON(v workflow.Values) ([]byte, error) { return json.Marshal(v) }
