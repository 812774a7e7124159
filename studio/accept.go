package studio

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"easel/comfy/prompt"
	"easel/comfy/workflow"
	"easel/db"
	"easel/failpoint"
)

// The names of the fields that are not among a generation's settings.
const (
	fieldPrompt   = "prompt"
	fieldNegative = "negativePrompt"
)

// maxKey is how long an idempotency key may be, in bytes.
const maxKey = 255

// Create stores a generation; created is false when the idempotency key named an existing one.
// When it returns without an error, the generation is committed.
// Errors: *InvalidError, ErrKeyReused, ErrQueueFull, ErrUnavailable.
func (s *Studio) Create(ctx context.Context, r Request) (g Generation, created bool, err error) {
	for again := false; ; again = true {
		if g, err = s.check(ctx, r); err != nil {
			return Generation{}, false, err
		}
		g, created, err = s.accept(ctx, g, r)
		if again || !errors.Is(err, errUnknownWorkflow) {
			return g, created, err
		}
		// What the form was made of was replaced, or removed, at this very moment.
		if err := s.library.read(ctx); err != nil {
			return Generation{}, false, unavailable(err)
		}
	}
}

// check turns a request into the generation that it asks for, still without a place in the
// database. The error is an *InvalidError, with all complaints at once, or ErrUnavailable.
func (s *Studio) check(ctx context.Context, r Request) (Generation, error) {
	var complaints []FieldError
	complain := func(field, message string) {
		complaints = append(complaints, FieldError{Field: field, Message: message})
	}
	if r.Workflow == "" {
		r.Workflow = workflow.TextToImage
	}
	made, ref, err := s.askedFor(ctx, r)
	if errors.Is(err, ErrNoWorkflow) {
		return Generation{}, errUnknownWorkflow
	}
	if err != nil {
		return Generation{}, err
	}
	form := s.forms.of(made)
	if r.TotalImages == 0 {
		r.TotalImages = 1
	}
	if r.TotalImages < 1 || r.TotalImages > MaxImages {
		complain("totalImages", fmt.Sprintf("The number of images must be between 1 and %d.", MaxImages))
	}
	if len(r.IdempotencyKey) > maxKey {
		complain("idempotencyKey", fmt.Sprintf("The idempotency key must be at most %d bytes long.", maxKey))
	} else if strings.ContainsRune(r.IdempotencyKey, 0) || strings.ToValidUTF8(r.IdempotencyKey, "") != r.IdempotencyKey {
		complain("idempotencyKey", "The idempotency key must be plain text.")
	}
	webhook := s.Settings().Webhook
	if r.Webhook != nil {
		var complaint string
		if webhook, complaint = s.checkWebhook(*r.Webhook); complaint != "" {
			complain(fieldWebhook, complaint)
		}
	}
	values, problems := s.parse(form, r)
	for _, p := range problems {
		complain(p.Field, p.Message)
	}
	width, _ := values.Int("width")
	height, _ := values.Int("height")
	if width > 0 && height > maxPixels/width { // its picture could not be kept
		complain("settings.width", fmt.Sprintf("Width times height must be at most %d million pixels.", maxPixels/1_000_000))
	}
	if len(complaints) > 0 {
		return Generation{}, &InvalidError{Fields: complaints}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Generation{}, fmt.Errorf("draw an id: %w", err)
	}
	g := Generation{
		ID: id, UserID: r.UserID, Workflow: ref.id, WorkflowVersion: ref.version, Settings: values, Status: Pending,
		Priority: r.Priority, RetryOf: r.RetryOf, Webhook: webhook, Images: make([]Image, r.TotalImages), Warnings: []string{},
	}
	if g.UserID == uuid.Nil {
		g.UserID = LocalUser
	}
	g.Prompt, _ = values.Text(fieldPrompt)
	g.NegativePrompt, _ = values.Text(fieldNegative)
	delete(values, fieldPrompt)
	delete(values, fieldNegative)

	seed, err := resolveSeeds(form, values)
	if err != nil {
		return Generation{}, err
	}
	for i := range g.Images {
		g.Images[i] = Image{
			Index: i + 1, Status: Pending,
			Seed:  seed + uint64(i), // wraps around at 2^64, as it should
			Width: int(width), Height: int(height),
		}
	}
	if complaints := unresolvable(&g); len(complaints) > 0 {
		return Generation{}, &InvalidError{Fields: complaints}
	}
	g.needs = needsOfRequest(made, &g)
	gone, err := s.beginWith(ctx, &g, form, values)
	if err != nil {
		return Generation{}, err
	}
	if len(gone) > 0 {
		return Generation{}, &InvalidError{Fields: gone}
	}
	return g, nil
}

// askedFor is the workflow that a request names.
func (s *Studio) askedFor(ctx context.Context, r Request) (*workflow.Workflow, workflowRef, error) {
	if r.as != (workflowRef{}) {
		w, err := s.library.find(ctx, s.library.queries, r.as)
		return w, r.as, err
	}
	return s.library.current(ctx, r.Workflow)
}

var errUnknownWorkflow = &InvalidError{Fields: []FieldError{{Field: "workflow", Message: "There is no workflow of that name."}}}

// parse checks prompt and settings against the form, in the words of the request: a complaint
// names the field as the caller knows it.
func (s *Studio) parse(form workflow.Form, r Request) (workflow.Values, []workflow.FieldProblem) {
	var problems []workflow.FieldProblem
	raw := make(map[string]json.RawMessage, len(r.Settings)+2)
	maps.Copy(raw, r.Settings)
	for _, text := range []struct {
		name, label string
		value       *string
	}{
		{fieldPrompt, "The prompt", &r.Prompt},
		{fieldNegative, "The negative prompt", r.NegativePrompt},
	} {
		if _, taken := r.Settings[text.name]; taken {
			problems = append(problems, workflow.FieldProblem{
				Field: "settings." + text.name, Message: "It stands beside the settings, not among them.",
			})
		}
		delete(raw, text.name)
		if text.value == nil {
			continue
		}
		field, has := form.Field(text.name)
		if complaint := workflow.CheckText(text.label, *text.value, field.Required, MaxPromptRunes); complaint != "" {
			problems = append(problems, workflow.FieldProblem{Field: text.name, Message: complaint})
			continue
		}
		if has || *text.value != "" {
			raw[text.name], _ = json.Marshal(*text.value) // text that was checked: it cannot fail
		}
	}
	values, found := form.Parse(raw)
	for _, p := range found {
		if p.Field == fieldPrompt || p.Field == fieldNegative {
			if !mentions(problems, p.Field) {
				problems = append(problems, p)
			}
			continue
		}
		p.Field = "settings." + p.Field
		problems = append(problems, p)
	}
	return values, problems
}

func mentions(problems []workflow.FieldProblem, field string) bool {
	for _, p := range problems {
		if p.Field == field {
			return true
		}
	}
	return false
}

// unresolvable are complaints about prompts of which nothing can be drawn for some image.
func unresolvable(g *Generation) (complaints []FieldError) {
	for _, text := range []struct{ name, value string }{{fieldPrompt, g.Prompt}, {fieldNegative, g.NegativePrompt}} {
		for i := range g.Images {
			if _, err := resolvePrompt(text.value, g.Images[i].Seed); err != nil {
				complaints = append(complaints, FieldError{Field: text.name, Message: err.Error()})
				break
			}
		}
	}
	return complaints
}

// resolvePrompt is the prompt of one image: what is drawn of {a|b} hangs on the image's seed alone, so that the same
// seed makes the same picture again. What is kept with the generation is the text as it was written.
func resolvePrompt(text string, seed uint64) (string, error) { return prompt.Resolve(text, seed, nil) }

// resolveSeeds draws the seeds that were left open, so that what is stored can be made again, and
// returns the one that numbers the images.
func resolveSeeds(form workflow.Form, values workflow.Values) (uint64, error) {
	first, found := uint64(0), false
	for _, field := range form.Fields {
		if field.Kind != workflow.Seed {
			continue
		}
		seed, given := values.Seed(field.Name)
		if !given {
			var err error
			if seed, err = drawSeed(field.SeedMax); err != nil {
				return 0, err
			}
			values[field.Name] = seed
		}
		if !found || field.Name == "seed" {
			first, found = seed, true
		}
	}
	return first, nil
}

// exactSeeds is the end of what every JSON reader holds exactly: a drawn seed can be copied out of
// a browser's console. A given one may be any.
const exactSeeds = 1 << 53

// drawSeed draws from 0 to the lesser of most and 2^53-1.
func drawSeed(most uint64) (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("draw a seed: %w", err)
	}
	seed := binary.LittleEndian.Uint64(b[:])
	if most > 0 && most < exactSeeds-1 {
		return seed % (most + 1), nil
	}
	return seed % exactSeeds, nil
}

// accept stores a checked generation in one statement.
func (s *Studio) accept(ctx context.Context, g Generation, r Request) (Generation, bool, error) {
	settings, err := settingsJSON(g.Settings)
	if err != nil {
		return Generation{}, false, fmt.Errorf("encode settings: %w", err)
	}
	key, hash := idempotency(r)
	seeds := make([]string, len(g.Images))
	for i := range g.Images {
		seeds[i] = strconv.FormatUint(g.Images[i].Seed, 10)
	}
	failpoint.Hit(failpoint.BeforeAccept)
	row, err := db.One(s.queries.GenerationInsert(ctx, db.GenerationInsertParams{
		ID: g.ID, UserID: g.UserID, Prompt: g.Prompt, NegativePrompt: g.NegativePrompt,
		Workflow: g.Workflow, WorkflowVersion: workflowRef{g.Workflow, g.WorkflowVersion}.stored(), Settings: settings, Request: append([]byte{}, r.Original...),
		IdempotencyKey: key, BodyHash: hash, RetryOf: g.RetryOf, Webhook: g.Webhook, Seeds: seeds,
		Priority: int32(g.Priority),                                           //nolint:gosec // one of three
		Width:    int32(g.Images[0].Width), Height: int32(g.Images[0].Height), //nolint:gosec // bounded by the form
		Needs: g.needs, Inputs: g.inputs,
		MaxWaiting: int32(s.config.MaxWaiting), Origin: s.config.Instance, //nolint:gosec // a small setting
	}))
	switch {
	case errors.Is(err, db.ErrNotFound):
		return s.earlier(ctx, g.UserID, key, hash)
	case db.Unreferred(err, "generations_workflow_version"):
		return Generation{}, false, errUnknownWorkflow
	case err != nil:
		return Generation{}, false, unavailable(fmt.Errorf("store generation: %w", err))
	}
	failpoint.Hit(failpoint.AfterAccept)
	s.counters.Accepted.Add(1)
	g.Rev, g.CreatedAt, g.UpdatedAt, g.rank = row.Rev, row.CreatedAt, row.CreatedAt, row.Rank
	s.announce(bellChanged, g.ID, g.Rev)
	s.hub.put(g)
	s.wakeOne(g.needs)
	s.logger.InfoContext(ctx, "generation accepted", "generation", g.ID, "images", len(g.Images), "workflow", g.Workflow)
	return g.clone(), true, nil
}

// earlier finds the generation that has the key; without one the queue was full.
func (s *Studio) earlier(ctx context.Context, user uuid.UUID, key *string, hash []byte) (Generation, bool, error) {
	if key == nil {
		return Generation{}, false, ErrQueueFull
	}
	row, err := db.One(s.queries.GenerationByKey(ctx, db.GenerationByKeyParams{UserID: user, IdempotencyKey: *key}))
	switch {
	case errors.Is(err, db.ErrNotFound):
		return Generation{}, false, ErrQueueFull
	case err != nil:
		return Generation{}, false, unavailable(fmt.Errorf("look up idempotency key: %w", err))
	case !bytes.Equal(row.BodyHash, hash):
		return Generation{}, false, ErrKeyReused
	}
	g, ok := s.hub.generation(row.ID)
	if !ok {
		g, err = s.loadOne(ctx, row.ID)
	}
	return g, false, err
}

// idempotency is what is stored of a request's key: nil without one. A form's nonce counts only
// together with the body, so that the same page may be posted again with another prompt.
func idempotency(r Request) (key *string, hash []byte) {
	if r.IdempotencyKey == "" {
		return nil, nil
	}
	hash = r.BodyHash
	if len(hash) != sha256.Size {
		sum := sha256.Sum256(append(bytes.Clone(r.BodyHash), r.Original...))
		hash = sum[:]
	}
	stored := "key:" + r.IdempotencyKey
	if r.FormNonce {
		stored = "form:" + hex.EncodeToString(hash) + ":" + r.IdempotencyKey
	}
	return &stored, hash
}
