package handlers

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/comfy/workflow"
	"easel/studio"
)

// fakeStudio stands in for *studio.Studio: generations in memory, which change when a test (or
// advance) says so. It keeps the promises of the interface, so that handlers can be tried alone.
type fakeStudio struct {
	mu       sync.Mutex
	states   map[uuid.UUID]*studio.State
	attempts map[uuid.UUID][]studio.Attempt
	servers  []studio.Server
	keys     map[string]uuid.UUID // idempotency key to generation
	err      error                // answer of everything that would ask the database
	created  []studio.Request     // all that Create and Retry were given
	moves    []moved              // all that put the queue in order
	paused   bool                 // the queue is
	forms    []workflow.Form
	now      time.Time
	rev      uint64

	push     fakePush
	webhooks fakeWebhooks

	workflows fakeWorkflows
	uploads   map[string][]byte // as they were given, by what the fake says is their hash

	calibrations studio.Calibrations

	overview studio.StandIn[*studio.Overview]
	topics   map[uuid.UUID]*studio.StandIn[*studio.State]
}

// newFake is a studio without generations, with one server that is up.
func newFake() *fakeStudio {
	f := &fakeStudio{
		states: map[uuid.UUID]*studio.State{}, attempts: map[uuid.UUID][]studio.Attempt{},
		keys: map[string]uuid.UUID{}, topics: map[uuid.UUID]*studio.StandIn[*studio.State]{},
		now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC),
		servers: []studio.Server{{
			ID: workbench, Name: "workbench", URL: "http://127.0.0.1:8188",
			State: studio.ServerUp, Version: "0.3.64", Device: "cuda:0 NVIDIA GeForce RTX 4090", VRAMTotal: 25_757_220_864, VRAMFree: 18_200_000_000,
		}},
		forms: []workflow.Form{fakeForm()},
		push:  fakePush{},
	}
	f.publish()
	return f
}

func fakeForm() workflow.Form {
	number := func(name, label string, kind workflow.Kind, value any, low, high, step float64) workflow.FormField {
		return workflow.FormField{Name: name, Label: label, Group: "more", Kind: kind, Default: value, Min: low, Max: high, Step: step, Bounded: true}
	}
	return workflow.Form{ID: workflow.TextToImage, Title: "Text to image", Fields: []workflow.FormField{
		{Name: "prompt", Label: "Prompt", Group: "main", Kind: workflow.Text},
		{Name: "negativePrompt", Label: "Negative prompt", Help: "What the picture should not show.", Group: "main", Kind: workflow.Text},
		{Name: "model", Label: "Model", Group: "main", Kind: workflow.Choice, Default: "", Choices: []string{"sd_xl_base_1.0.safetensors", "v1-5-pruned-emaonly.safetensors"}},
		number("width", "Width", workflow.Integer, int64(1024), 64, 2048, 8),
		number("height", "Height", workflow.Integer, int64(1024), 64, 2048, 8),
		number("steps", "Steps", workflow.Integer, int64(20), 1, 150, 1),
		number("guidance", "Guidance", workflow.Number, 7.0, 0, 30, 0.5),
		{Name: "sampler", Label: "Sampler", Group: "more", Kind: workflow.Choice, Default: "euler", Choices: []string{"euler", "dpmpp_2m", "dpm_adaptive"}},
		{Name: "scheduler", Label: "Scheduler", Group: "more", Kind: workflow.Choice, Default: "normal", Choices: []string{"normal", "karras"}},
		{Name: "seed", Label: "Seed", Help: "Empty: a random one.", Group: "more", Kind: workflow.Seed},
		{Name: "tile", Label: "Tile", Group: "more", Kind: workflow.Boolean, Default: false},
	}}
}

// put stores a generation and tells its watchers. The oldest of all is made first.
func (f *fakeStudio) put(state *studio.State) *studio.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rev++
	state.Rev = f.rev
	state.Generation.Rev = int64(f.rev)
	f.states[state.Generation.ID] = state
	if topic := f.topics[state.Generation.ID]; topic != nil {
		topic.Set(state)
	}
	f.publishLocked()
	return state
}

// update puts a changed copy of a generation in the place of the present one.
func (f *fakeStudio) update(id uuid.UUID, change func(*studio.State)) *studio.State {
	f.mu.Lock()
	old := f.states[id]
	f.mu.Unlock()
	next := &studio.State{Generation: old.Generation, Progress: old.Progress, Images: slices.Clone(old.Images)}
	next.Generation.Images = slices.Clone(old.Generation.Images)
	change(next)
	return f.put(next)
}

func (f *fakeStudio) publish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.publishLocked()
}

func (f *fakeStudio) publishLocked() {
	o := &studio.Overview{Servers: slices.Clone(f.servers), QueuePaused: f.paused, Rev: f.rev, At: f.now}
	for _, server := range f.servers {
		o.Demo = o.Demo || server.Demo
	}
	all := f.newestFirst()
	for _, state := range slices.Backward(all) {
		if !state.Generation.Status.Ended() {
			o.Live = append(o.Live, state)
		}
	}
	slices.SortStableFunc(o.Live, func(a, b *studio.State) int { // running first
		return cmp.Compare(b.Generation.Status, a.Generation.Status) * -1
	})
	for _, state := range all {
		if state.Generation.Status.Ended() && hasPicture(state) && len(o.Recent) < 12 {
			o.Recent = append(o.Recent, state)
		}
	}
	switch {
	case len(o.Live) > 0:
		o.Stage = o.Live[0]
	case len(all) > 0:
		o.Stage = all[0]
	}
	f.overview.Set(o)
}

func hasPicture(state *studio.State) bool {
	return slices.ContainsFunc(state.Generation.Images, func(i studio.Image) bool { return len(i.Outputs) > 0 })
}

func (f *fakeStudio) newestFirst() []*studio.State {
	all := make([]*studio.State, 0, len(f.states))
	for _, state := range f.states {
		all = append(all, state)
	}
	slices.SortFunc(all, func(a, b *studio.State) int {
		return strings.Compare(b.Generation.ID.String(), a.Generation.ID.String())
	})
	return all
}

func (f *fakeStudio) fail() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *fakeStudio) Workflows() (heads []studio.WorkflowHead) {
	for _, form := range f.forms {
		heads = append(heads, studio.WorkflowHead{ID: form.ID, Title: form.Title, Description: form.Description, HasGraph: true})
	}
	return heads
}

func (f *fakeStudio) Forms(context.Context) ([]workflow.Form, error) { return f.forms, nil }

func (f *fakeStudio) Form(_ context.Context, id string) (workflow.Form, error) {
	for _, form := range f.forms {
		if form.ID == id {
			return form, nil
		}
	}
	return workflow.Form{}, studio.ErrNoWorkflow
}

func (f *fakeStudio) FormOf(ctx context.Context, g *studio.Generation) (workflow.Form, error) {
	return f.Form(ctx, g.Workflow)
}

// Away keeps no more than the first model.
func (f *fakeStudio) Away(context.Context, string) map[string]map[string]bool {
	return map[string]map[string]bool{"model": {"v1-5-pruned-emaonly.safetensors": true}}
}

func (f *fakeStudio) Create(_ context.Context, r studio.Request) (studio.Generation, bool, error) {
	if err := f.fail(); err != nil {
		return studio.Generation{}, false, err
	}
	var wrong []studio.FieldError
	if strings.TrimSpace(r.Prompt) == "" {
		wrong = append(wrong, studio.FieldError{Field: "prompt", Message: "Write a prompt."})
	}
	if r.TotalImages < 0 || r.TotalImages > studio.MaxImages {
		wrong = append(wrong, studio.FieldError{Field: "totalImages", Message: "The number of images must be between 1 and 64."})
	}
	if string(r.Settings["steps"]) == `"0"` {
		wrong = append(wrong, studio.FieldError{Field: "settings.steps", Message: "must be from 1 to 150"})
	}
	if r.Webhook != nil && !strings.HasPrefix(*r.Webhook, "https://") {
		wrong = append(wrong, studio.FieldError{Field: "webhook", Message: "The address must begin with https://."})
	}
	if len(wrong) > 0 {
		return studio.Generation{}, false, &studio.InvalidError{Fields: wrong}
	}
	f.mu.Lock()
	f.created = append(f.created, r)
	if id, ok := f.keys[r.IdempotencyKey]; ok && r.IdempotencyKey != "" {
		g := f.states[id].Generation
		f.mu.Unlock()
		return g, false, nil
	}
	f.mu.Unlock()
	state := newState(f, r.Prompt, studio.Pending, max(1, r.TotalImages))
	if r.NegativePrompt != nil {
		state.Generation.NegativePrompt = *r.NegativePrompt
	}
	state.Generation.RetryOf = r.RetryOf
	f.put(state)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys[r.IdempotencyKey] = state.Generation.ID
	return state.Generation, true, nil
}

func (f *fakeStudio) Cancel(ctx context.Context, id uuid.UUID) (studio.Generation, bool, error) {
	state, err := f.State(ctx, id)
	if err != nil || state.Generation.Status.Ended() {
		return studio.Generation{}, false, err
	}
	at := f.now
	state = f.update(id, func(s *studio.State) {
		s.Generation.CancelRequestedAt = &at
		s.Progress.Cancelling = true
	})
	return state.Generation, true, nil
}

func (f *fakeStudio) Retry(ctx context.Context, id uuid.UUID, r *studio.Request) (studio.Generation, error) {
	old, err := f.State(ctx, id)
	if err != nil {
		return studio.Generation{}, err
	}
	if !old.Generation.Status.Ended() {
		return studio.Generation{}, studio.ErrLive
	}
	request := studio.Request{Prompt: old.Generation.Prompt, TotalImages: len(old.Generation.Images)}
	if r != nil {
		if r.Prompt != "" {
			request = *r
		}
		request.IdempotencyKey, request.BodyHash, request.FormNonce = r.IdempotencyKey, r.BodyHash, r.FormNonce
	}
	request.RetryOf = &id
	g, _, err := f.Create(ctx, request)
	return g, err
}

func (f *fakeStudio) Delete(ctx context.Context, id uuid.UUID) error {
	state, err := f.State(ctx, id)
	if err != nil {
		return err
	}
	if !state.Generation.Status.Ended() {
		return studio.ErrLive
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.states, id)
	f.publishLocked()
	return nil
}

func (f *fakeStudio) State(_ context.Context, id uuid.UUID) (*studio.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	state, ok := f.states[id]
	if !ok {
		return nil, studio.ErrNotFound
	}
	return state, nil
}

func (f *fakeStudio) Resolve(_ context.Context, promptID string) (uuid.UUID, int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, state := range f.states {
		for _, image := range state.Generation.Images {
			if image.PromptID == promptID {
				return id, image.Index, nil
			}
		}
	}
	return uuid.Nil, 0, studio.ErrNotFound
}

// List knows the cursor "before <id>", and whole words for a query.
func (f *fakeStudio) List(_ context.Context, filter studio.Filter) (studio.Page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return studio.Page{}, f.err
	}
	before, ok := strings.CutPrefix(filter.Cursor, "before ")
	if filter.Cursor != "" && !ok {
		return studio.Page{}, studio.ErrBadCursor
	}
	limit := filter.Limit
	if limit == 0 {
		limit = 50
	}
	limit = min(max(limit, 1), 200)
	var page studio.Page
	for _, state := range f.newestFirst() {
		g := state.Generation
		switch {
		case before != "" && g.ID.String() >= before,
			filter.Status != "" && g.Status != filter.Status,
			filter.Query != "" && !strings.Contains(strings.ToLower(g.Prompt), strings.ToLower(filter.Query)),
			!filter.From.IsZero() && g.CreatedAt.Before(filter.From),
			!filter.To.IsZero() && !g.CreatedAt.Before(filter.To),
			filter.Pictures && g.Status.Ended() && !hasPicture(state):
			continue
		}
		if len(page.Generations) == limit {
			page.Next = "before " + page.Generations[limit-1].ID.String()
			break
		}
		page.Generations = append(page.Generations, g)
	}
	return page, nil
}

func (f *fakeStudio) Neighbours(_ context.Context, id uuid.UUID) (newer, older uuid.UUID, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, state := range f.newestFirst() {
		switch other := state.Generation.ID; {
		case other.String() > id.String():
			newer = other // the last that is newer is next to it
		case other.String() < id.String():
			return newer, other, f.err
		}
	}
	return newer, uuid.Nil, f.err
}

func (f *fakeStudio) Attempts(_ context.Context, id uuid.UUID) ([]studio.Attempt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	return slices.Clone(f.attempts[id]), nil
}

func (f *fakeStudio) Output(ctx context.Context, id uuid.UUID, index, output int, thumbnail bool) (*studio.File, error) {
	state, err := f.State(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, i := range state.Generation.Images {
		if i.Index != index || output >= len(i.Outputs) {
			continue
		}
		o := i.Outputs[output]
		w, h := o.Width, o.Height
		if thumbnail {
			w, h = max(1, w/3), max(1, h/3)
		}
		body := fakePicture(w, h, i.Seed, 1)
		return &studio.File{Body: nopCloser{bytes.NewReader(body)}, SHA256: o.SHA256, MIME: "image/png", Size: int64(len(body)), Name: "easel.png", Time: f.now}, nil
	}
	return nil, studio.ErrNotFound
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

func (f *fakeStudio) Preview(_ context.Context, id uuid.UUID, index int) (*comfy.Preview, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	state, ok := f.states[id]
	if !ok || index < 1 || index > len(state.Images) || state.Images[index-1].PreviewRev == 0 {
		return nil, false
	}
	image := state.Generation.Images[index-1]
	clarity := float64(state.Images[index-1].Percentage) / 100
	return &comfy.Preview{
		MIME: "image/png", Rev: state.Images[index-1].PreviewRev,
		Bytes: fakePicture(max(1, image.Width/8), max(1, image.Height/8), image.Seed, clarity),
	}, true
}

func (f *fakeStudio) Watch(ctx context.Context, id uuid.UUID) (*studio.Watch[*studio.State], error) {
	state, err := f.State(ctx, id)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	topic := f.topics[id]
	if topic == nil {
		topic = &studio.StandIn[*studio.State]{}
		topic.Set(state)
		f.topics[id] = topic
	}
	return topic.Watch(), nil
}

func (f *fakeStudio) Overview() *studio.Overview {
	return f.overview.Latest()
}

func (f *fakeStudio) WatchOverview() *studio.Watch[*studio.Overview] {
	return f.overview.Watch()
}

func (f *fakeStudio) Ready(context.Context) error   { return f.fail() }
func (f *fakeStudio) Storage(context.Context) error { return f.fail() }
