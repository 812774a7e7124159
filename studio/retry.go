package studio

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/google/uuid"
)

// Retry stores a new generation made from an ended one, with r's fields over the old where they
// are given (nil: as it was, with the same seed). Errors: those of Create, ErrNotFound, and
// ErrLive while the old one runs.
func (s *Studio) Retry(ctx context.Context, id uuid.UUID, r *Request) (Generation, error) {
	old, ok := s.hub.generation(id)
	if !ok {
		var err error
		if old, err = s.loadOne(ctx, id); err != nil {
			return Generation{}, err
		}
	}
	if !old.Status.Ended() {
		return Generation{}, ErrLive
	}
	request, err := asRequest(&old)
	if err != nil {
		return Generation{}, err
	}
	// What the old one had counts if it would be taken today; the rules may have become stricter.
	if _, complaint := s.checkWebhook(old.Webhook); old.Webhook != "" && complaint == "" {
		request.Webhook = &old.Webhook
	}
	if r != nil {
		overlay(&request, r)
	}
	g, _, err := s.Create(ctx, request)
	return g, err
}

// asRequest is the request that would ask for g again.
func asRequest(g *Generation) (Request, error) {
	r := Request{
		UserID: g.UserID, Prompt: g.Prompt, NegativePrompt: &g.NegativePrompt, Workflow: g.Workflow,
		Settings: make(map[string]json.RawMessage, len(g.Settings)), TotalImages: len(g.Images), RetryOf: &g.ID,
		as: workflowRef{g.Workflow, g.WorkflowVersion},
	}
	for name, value := range g.Settings {
		raw, err := json.Marshal(value)
		if err != nil {
			return Request{}, fmt.Errorf("encode setting %s: %w", name, err)
		}
		r.Settings[name] = raw
	}
	return r, nil
}

// overlay puts what with gives over r.
func overlay(r, with *Request) {
	if with.Prompt != "" {
		r.Prompt = with.Prompt
	}
	if with.NegativePrompt != nil {
		r.NegativePrompt = with.NegativePrompt
	}
	if with.Workflow != "" && with.Workflow != r.Workflow {
		r.Workflow, r.Settings = with.Workflow, make(map[string]json.RawMessage) // another form's fields
		r.as = workflowRef{}
	}
	maps.Copy(r.Settings, with.Settings)
	if with.TotalImages != 0 {
		r.TotalImages = with.TotalImages
	}
	if with.Webhook != nil {
		r.Webhook = with.Webhook
	}
	r.Original = with.Original
	r.IdempotencyKey, r.BodyHash, r.FormNonce = with.IdempotencyKey, with.BodyHash, with.FormNonce
}
