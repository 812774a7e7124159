package studio

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"easel/comfy"
	"easel/comfy/workflow"
	"easel/db"
	"easel/failpoint"
)

// errNothingToPick: the queue is empty, or what is in it is being picked by others.
var errNothingToPick = errors.New("nothing to pick")

var (
	errContended = errors.New("others are picking") // try again in a moment
	errYielded   = errors.New("left to another server")
)

// contendedWait is that moment.
const contendedWait = 20 * time.Millisecond

// pick takes the next image from the queue and commits an attempt for it, with the graph that will
// be sent, before ComfyUI has heard of it.
func (h *hold) pick(ctx context.Context) (*follower, error) {
	var f *follower
	var row db.ImagePickRow
	var inserted db.AttemptInsertRow
	var needs []string
	if h.anew.Swap(false) {
		h.load(ctx, []string{})
	}
	err := pgx.BeginFunc(ctx, h.studio.pool, func(tx pgx.Tx) error {
		q := h.studio.queries.WithTx(tx)
		var err error
		if row, err = h.next(ctx, q); err != nil {
			return err
		}
		past := life{Losses: int(row.Losses), Crashes: int(row.Crashes), OutOfMemory: int(row.OutOfMemory)}
		if v := spent(past); v.Do != wait {
			return &unsendableError{row.GenerationID, row.Index, v.Code, v.Message, errCrashes}
		}
		promptID := uuid.New()
		made, err := h.studio.library.find(ctx, q, refOf(row.Workflow, row.WorkflowVersion))
		if err != nil && !errors.Is(err, ErrNoWorkflow) {
			return err
		}
		graph, err := h.graph(made, row, promptID)
		if err != nil {
			return &unsendableError{row.GenerationID, row.Index, codeWorkflow, workflowWords, err}
		}
		needs = needsOf(graph)
		if lacks := lacking(needs, h.objectInfo()); len(lacks) > 0 {
			return &lackError{generation: row.GenerationID, needs: needs, lacks: lacks}
		}
		sent, err := graph.Marshal()
		if err != nil {
			return &unsendableError{row.GenerationID, row.Index, codeWorkflow, workflowWords, err}
		}
		f = h.newFollower(promptID, row.GenerationID, int(row.Index), graph)
		f.workflow = made
		f.fresh = true
		f.life = past
		f.life.State, f.life.Posted = attemptSubmitting, time.Now()
		inserted, err = db.One(q.AttemptInsert(ctx, db.AttemptInsertParams{
			Owner: h.lease.owner, ServerID: h.server.ID, Fence: h.lease.fence,
			GenerationID: row.GenerationID, ImageIndex: row.Index, PromptID: promptID,
			Number: row.Attempts + 1, Graph: sent, UserID: row.UserID,
		}))
		if errors.Is(err, db.ErrNotFound) {
			h.studio.counters.FenceRejections.Add(1)
			return errLeaseLost // the image is locked and was pending: it can only be the lease
		}
		failpoint.Hit(failpoint.BeforeAttempt)
		return err
	})
	switch {
	case errors.Is(err, db.ErrNotFound):
		return nil, errNothingToPick
	case err != nil:
		return nil, fmt.Errorf("pick an image: %w", err)
	}
	failpoint.Hit(failpoint.AfterAttempt)
	if row.Attempts > 0 {
		h.studio.counters.Retries.Add(1)
	}
	if models := modelsOf(needs); len(models) > 0 {
		h.load(ctx, models)
	}
	h.expect(f)
	h.studio.hub.change(row.GenerationID, inserted.Rev, func(g *Generation) {
		g.Status, g.UpdatedAt, g.served = Generating, inserted.UpdatedAt, inserted.ServedAt
		image := &g.Images[row.Index-1]
		image.Status, image.AttemptState = Generating, attemptSubmitting
		image.PromptID, image.Server, image.ServerID = f.promptID, h.latest.Load().Name, h.server.ID
		image.Attempts = int(row.Attempts) + 1
		image.ErrorMessage, image.StartedAt = "", nil
		image.StepsDone, image.StepsPlanned, image.Overall, image.Reused = 0, 0, 0, false
	})
	return f, nil
}

// next chooses and locks the image that the server runs next. Errors: db.ErrNotFound when there is none,
// errContended when others were at all that there are, errYielded.
func (h *hold) next(ctx context.Context, q *db.Queries) (row db.ImagePickRow, err error) {
	list, err := h.candidates(ctx, q)
	if err != nil {
		return row, err
	}
	if len(list) == 0 {
		return row, db.ErrNotFound
	}
	first := preferred(list, h.loaded)
	head := list[0]
	list[0], list[first] = list[first], list[0]
	if yield, err := h.yields(ctx, q, list[0]); err != nil {
		return row, err
	} else if yield {
		return row, errYielded
	}
	for i, c := range list {
		if most := h.studio.config.MaxRunning; most > 0 {
			if free, err := q.UserTurn(ctx, c.UserID); err != nil {
				return row, err
			} else if free == 0 {
				continue
			}
			if running, err := q.UserRunning(ctx, c.UserID); err != nil || running >= int64(most) {
				return row, cmp.Or(err, errContended)
			}
		}
		row, err = db.One(q.ImagePick(ctx, db.ImagePickParams{GenerationID: c.GenerationID, Index: c.Index, ServerID: h.server.ID}))
		if errors.Is(err, db.ErrNotFound) {
			continue
		}
		if err == nil && i == 0 && first > 0 {
			err = q.ImageOvertaken(ctx, db.ImageOvertakenParams{GenerationID: head.GenerationID, Index: head.Index})
		}
		return row, err
	}
	return row, errContended
}

// unsendableError is an image that will never be sent: its graph cannot be made, or it has taken servers down.
type unsendableError struct {
	generation    uuid.UUID
	image         int32
	code, message string
	err           error
}

func (e *unsendableError) Error() string { return fmt.Sprintf("image cannot be sent: %v", e.err) }
func (e *unsendableError) Unwrap() error { return e.err }

var errCrashes = errors.New("servers went down while they worked on it")

// workflowWords are said of an image whose graph cannot be made.
const workflowWords = "This workflow does not fit the settings any more."

// graph makes the graph of an image for this server: the workflow with the values in place, the
// image's own seed, and a folder of the attempt's own for what it saves. The folder makes the save
// node run even when all else is cached, and keeps other users' files from being taken for ours.
func (h *hold) graph(w *workflow.Workflow, row db.ImagePickRow, promptID uuid.UUID) (workflow.Graph, error) {
	if w == nil {
		return nil, fmt.Errorf("there is no workflow %q", row.Workflow)
	}
	form := h.studio.forms.of(w)
	values, err := workflow.ParseValues(form, row.Settings)
	if err != nil {
		return nil, err
	}
	seed, err := resolveSeeds(form, values) // drawn when it was accepted
	if err != nil {
		return nil, err
	}
	seed += uint64(row.Index - 1) //nolint:gosec // index counts from 1
	for _, field := range form.Fields {
		if field.Kind != workflow.Seed {
			continue
		}
		if base, ok := values.Seed(field.Name); ok {
			values[field.Name] = base + uint64(row.Index-1) //nolint:gosec // index counts from 1
		}
	}
	if _, ok := form.Field(fieldPrompt); ok {
		if values[fieldPrompt], err = resolvePrompt(row.Prompt, seed); err != nil {
			return nil, err
		}
	}
	if _, ok := form.Field(fieldNegative); ok {
		if values[fieldNegative], err = resolvePrompt(row.NegativePrompt, seed); err != nil {
			return nil, err
		}
	}
	graph, err := w.Apply(values)
	if err != nil {
		return nil, err
	}
	info := h.objectInfo()
	graph.FillChoices(info)
	graph.PrefixOutputs(outputPrefix(promptID), info)
	return graph, nil
}

func outputPrefix(promptID uuid.UUID) string { return "easel/" + promptID.String() + "/image" }

// failUnsendable ends an image that will never be sent.
func (h *hold) failUnsendable(ctx context.Context, e *unsendableError) error {
	row, err := db.One(h.studio.queries.ImageFail(ctx, db.ImageFailParams{
		GenerationID: e.generation, Index: e.image, Origin: h.lease.owner,
		ErrorCode: e.code, ErrorMessage: e.message,
	}))
	if err != nil {
		return fmt.Errorf("fail an image: %w", err)
	}
	h.studio.counters.ended(Status(row.Status))
	h.studio.logger.Warn("image cannot be sent", "generation", e.generation, "image", e.image, "err", e.err)
	h.studio.hub.change(e.generation, row.Rev, func(g *Generation) {
		image := &g.Images[e.image-1]
		image.Status, image.ErrorMessage, image.FinishedAt = Failed, e.message, &row.UpdatedAt
		g.endWith(Status(row.Status), row.UpdatedAt, e.code, e.message)
	})
	return nil
}

// submit posts the prompt, once. What it returns follows from the answer alone: unknown outcomes
// are left to the look-ups.
func (f *follower) submit(ctx context.Context) (verdict, error) {
	h := f.hold
	f.life.Posted = time.Now()
	failpoint.Hit(failpoint.BeforePost)
	submitted, err := h.client.Submit(failpoint.Answered(ctx, failpoint.AfterPost), comfy.Submission{
		PromptID: f.promptID, ClientID: h.server.ClientID, Graph: f.graph,
		ExtraData: map[string]any{"easel": map[string]any{
			"generation": f.generation.String(), "image": f.image,
		}},
	})
	failpoint.Hit(failpoint.AfterReply)
	switch mismatch, refusal := (*comfy.IDMismatchError)(nil), (*comfy.PromptError)(nil); {
	case err != nil && ctx.Err() != nil:
		return verdict{}, ctx.Err() // we are being stopped; the next owner looks it up
	case err == nil:
		h.pulse.posted(f.life.Posted, time.Now())
		h.accepted()
		f.life.Seen, f.life.State = true, attemptSubmitted
		return verdict{Do: noteSubmitted, Warnings: warnings(submitted.NodeErrors)}, nil
	case errors.As(err, &refusal):
		h.accepted()
		if lost := f.lostInputs(refusal); len(lost) > 0 {
			h.inputs.forget(lost)
			return verdict{Do: endLost, Reason: lossNotSent}, nil
		}
		h.looked.Store(false) // it may lack by now what it had: nothing more is sent before that is known
		ring(h.examine)
		return rejection(f.workflow, refusal), nil
	case errors.As(err, &mismatch):
		// It was queued under an id of the server's own, where nobody will look for it.
		if err := h.client.Cancel(ctx, mismatch.Got); err != nil {
			h.logger.Warn("could not take back a prompt", "prompt_id", mismatch.Got, "err", err)
		}
		h.holdOff("This ComfyUI is too old: it does not take prompt ids.", err)
		return verdict{Do: endLost, Reason: lossNotSent}, nil
	case errors.Is(err, comfy.ErrUnknownOutcome):
		status := (*comfy.StatusError)(nil)
		f.life.Refused = errors.As(err, &status) && status.Code == http.StatusInternalServerError
		h.logger.Warn("outcome of a submission is unknown", "prompt_id", f.promptID, "err", err)
		return verdict{}, nil
	}
	// Nothing was queued: no connection, or something that is no ComfyUI answered.
	h.holdOff(sentence(err), err)
	return verdict{Do: endLost, Reason: lossNotSent}, nil
}

// rejection says in words what ComfyUI has against a graph, by the names that people know its
// inputs by.
func rejection(w *workflow.Workflow, e *comfy.PromptError) verdict {
	v := verdict{Do: endFailed, Code: codeRejected}
	var sentences []string
	for _, node := range sortedNodes(e.NodeErrors) {
		for _, complaint := range e.NodeErrors[node].Errors {
			sentences = append(sentences, complaintOf(w, node, e.NodeErrors[node], complaint))
		}
	}
	slices.Sort(sentences)
	sentences = slices.Compact(sentences)
	v.Message = "ComfyUI refused this: " + strings.Join(sentences, " ")
	if len(sentences) == 0 {
		v.Message = "ComfyUI refused this: " + asSentence(e.Message)
	}
	if detail, err := json.Marshal(e); err == nil {
		v.Detail = string(detail)
	}
	return v
}

// complaintOf is one complaint as a sentence: "Model: Value not in list."
func complaintOf(w *workflow.Workflow, node string, n comfy.NodeError, c comfy.InputError) string {
	name := n.ClassType
	if c.Input != "" {
		name += "." + c.Input
	}
	if w != nil {
		for i := range w.Fields {
			if slices.Contains(w.Fields[i].Targets, workflow.Target{Node: node, Input: c.Input}) {
				name = w.Fields[i].Label
			}
		}
	}
	return name + ": " + asSentence(c.Message)
}

// maxWarnings is how many of one prompt are kept.
const maxWarnings = 50

// warnings are what ComfyUI has against outputs that it leaves out while it runs the others.
func warnings(nodes map[string]comfy.NodeError) []string {
	list := []string{}
	for _, node := range sortedNodes(nodes) {
		for _, c := range nodes[node].Errors {
			if len(list) == maxWarnings {
				return list
			}
			list = append(list, clean("An output was left out: "+complaintOf(nil, node, nodes[node], c)))
		}
	}
	return list
}
