package handlers

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	forms    []workflow.Form
	now      time.Time
	rev      uint64

	overview fakeTopic
	topics   map[uuid.UUID]*fakeTopic
}

// fakeTopic is a state and those who watch it.
type fakeTopic struct {
	latest   atomic.Value
	mu       sync.Mutex
	watchers map[chan struct{}]bool
}

func (t *fakeTopic) set(v any) {
	t.latest.Store(v)
	t.mu.Lock()
	defer t.mu.Unlock()
	for wake := range t.watchers {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// watching is how many watch.
func (t *fakeTopic) watching() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.watchers)
}

func watchFake[T any](t *fakeTopic) *studio.Watch[T] {
	wake := make(chan struct{}, 1)
	wake <- struct{}{}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watchers == nil {
		t.watchers = map[chan struct{}]bool{}
	}
	t.watchers[wake] = true
	return studio.NewWatch[T](wake, &t.latest, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.watchers, wake)
	})
}

// newFake is a studio without generations, with one server that is up.
func newFake() *fakeStudio {
	f := &fakeStudio{
		states: map[uuid.UUID]*studio.State{}, attempts: map[uuid.UUID][]studio.Attempt{},
		keys: map[string]uuid.UUID{}, topics: map[uuid.UUID]*fakeTopic{},
		now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC),
		servers: []studio.Server{{
			ID: uuid.MustParse("00000000-0000-7000-8000-00000000000a"), Name: "workbench", URL: "http://127.0.0.1:8188",
			State: studio.ServerUp, Version: "0.3.64", Device: "cuda:0 NVIDIA GeForce RTX 4090", VRAMTotal: 25_757_220_864, VRAMFree: 18_200_000_000,
		}},
		forms: []workflow.Form{fakeForm()},
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
		topic.set(state)
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
	o := &studio.Overview{Servers: slices.Clone(f.servers), Rev: f.rev, At: f.now}
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
	f.overview.set(o)
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

func (f *fakeStudio) Workflows() []workflow.Form { return f.forms }

func (f *fakeStudio) Form(id string) (workflow.Form, bool) {
	for _, form := range f.forms {
		if form.ID == id {
			return form, true
		}
	}
	return workflow.Form{}, false
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
	state.Generation.NegativePrompt = r.NegativePrompt
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

func (f *fakeStudio) Preview(id uuid.UUID, index int) (*comfy.Preview, bool) {
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
		topic = &fakeTopic{}
		topic.set(state)
		f.topics[id] = topic
	}
	return watchFake[*studio.State](topic), nil
}

func (f *fakeStudio) Overview() *studio.Overview {
	return f.overview.latest.Load().(*studio.Overview) // only overviews are stored
}

func (f *fakeStudio) WatchOverview() *studio.Watch[*studio.Overview] {
	return watchFake[*studio.Overview](&f.overview)
}

func (f *fakeStudio) Ready(context.Context) error { return f.fail() }

var fakeIDs atomic.Int64

// newState is a generation of a size and number of images, made a minute after the one before.
func newState(f *fakeStudio, prompt string, status studio.Status, images int, size ...int) *studio.State {
	n := fakeIDs.Add(1)
	created := f.now.Add(time.Duration(n-10_000) * time.Minute)
	id := uuid.MustParse(fmt.Sprintf("%012x", created.UnixMilli())[:8] + "-" + fmt.Sprintf("%012x", created.UnixMilli())[8:] + fmt.Sprintf("-7000-8000-%012x", n))
	width, height := 1024, 1024
	if len(size) == 2 {
		width, height = size[0], size[1]
	}
	state := &studio.State{Generation: studio.Generation{
		ID: id, UserID: studio.LocalUser, Prompt: prompt, Workflow: workflow.TextToImage, Status: status,
		Settings: workflow.Values{
			"model": "sd_xl_base_1.0.safetensors", "width": int64(width), "height": int64(height), "steps": int64(20),
			"guidance": 7.0, "sampler": "euler", "scheduler": "normal", "seed": math.MaxUint64 - uint64(n),
		},
		CreatedAt: created, UpdatedAt: created,
	}}
	for i := range images {
		picture := studio.Image{
			Index: i + 1, Status: status, Seed: math.MaxUint64 - uint64(n) + uint64(i), Width: width, Height: height,
			PromptID: fmt.Sprintf("%s-%d", id, i+1), Server: "workbench", Attempts: 1,
		}
		state.Generation.Images = append(state.Generation.Images, picture)
		state.Images = append(state.Images, studio.ImageProgress{Index: i + 1, Progress: progressOf(status, 1)})
	}
	state.Progress = progressOf(status, images)
	if status.Ended() {
		end := created.Add(42 * time.Second)
		state.Generation.FinishedAt = &end
	}
	if status == studio.Complete {
		for i := range images {
			finish(state, i)
		}
	}
	return state
}

// finish gives an image its picture.
func finish(state *studio.State, i int) {
	image := &state.Generation.Images[i]
	sum := sha256.Sum256(fmt.Appendf(nil, "%d", image.Seed))
	image.Status = studio.Complete
	image.Outputs = []studio.Output{{
		Node: "save", Kind: "image", SHA256: hex.EncodeToString(sum[:]), Thumbnail: hex.EncodeToString(sum[:]), MIME: "image/png",
		Size: 1_482_113, Width: image.Width, Height: image.Height, Color: fakeColor(image.Seed),
	}}
	state.Images[i].Progress = progressOf(studio.Complete, 1)
}

func progressOf(status studio.Status, images int) studio.Progress {
	p := studio.RecordProgress(&studio.Generation{Status: status})
	p.TotalImages = images
	if status == studio.Pending {
		p.QueuePosition, p.Status = 2, "Position 2 in the queue"
	}
	return p
}

// sampling is a generation at a step of 20, with a preview.
func sampling(state *studio.State, step int) {
	p := studio.Progress{
		Phase: comfy.PhaseInference, Status: fmt.Sprintf("Step %d of 20", step), CurrentStep: step, TotalSteps: 20,
		Percentage: step * 5, Overall: step * 4, ETA: time.Duration(20-step) * time.Second, ETAKnown: true, ImageIndex: 1,
		TotalImages: len(state.Images), Pass: 1, Passes: 1, Node: "sampler", StepTime: 300 * time.Millisecond,
		PreviewRev: uint64(step), PreviewImage: 1,
	}
	state.Generation.Status = studio.Generating
	state.Generation.Images[0].Status = studio.Generating
	state.Progress, state.Images[0].Progress = p, p
}

func hue(seed uint64) float64 { return float64(seed%360) / 360 }

func fakeColor(seed uint64) string {
	c := shade(hue(seed*47), 0.45)
	return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B)
}

// shade is a muted colour: h around the circle and v dark to light, both 0 to 1.
func shade(h, v float64) color.RGBA {
	channel := func(shift float64) uint8 {
		return uint8(255 * v * (0.62 + 0.38*math.Cos(2*math.Pi*(h+shift))))
	}
	return color.RGBA{channel(0), channel(0.33), channel(0.67), 255}
}

// fakePicture draws hills under a sky; the clearer (0 to 1), the less noise lies over them.
func fakePicture(w, h int, seed uint64, clarity float64) []byte {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	noise := uint32(seed) | 1
	for y := range h {
		v := float64(y) / float64(h)
		for x := range w {
			u := float64(x) / float64(w)
			level := 0.55 + 0.4*v
			c := shade(hue(seed*47), level)
			for ridge := range 3 {
				edge := 0.5 + 0.15*float64(ridge) + 0.07*math.Sin(u*(5+float64(ridge)*3)+float64(seed%17)+float64(ridge))
				if v > edge {
					c = shade(hue(seed*47)+0.08*float64(ridge+1), 0.62-0.17*float64(ridge))
				}
			}
			if clarity < 1 {
				noise = noise*1664525 + 1013904223
				n := float64(noise>>24) * (1 - clarity)
				c.R, c.G, c.B = mix(c.R, n, clarity), mix(c.G, n, clarity), mix(c.B, n, clarity)
			}
			img.SetRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err) // a picture in memory
	}
	return b.Bytes()
}

func mix(c uint8, noise, clarity float64) uint8 {
	return uint8(min(255, float64(c)*(0.4+0.6*clarity)+noise*0.6))
}

// populate fills the studio with one generation of every kind.
func (f *fakeStudio) populate() {
	prompts := []string{
		"A small harbour at first light, fishing boats, thin mist over still water, watercolour",
		"Portrait of an old cellist in a red chair, window light, oil on canvas",
		"Isometric workshop of a clockmaker, cutaway, soft shadows",
		"قطة نائمة على سطح منزل قديم تحت ضوء القمر",
		"🏔️ Alpine hut 🌨️ in a snowstorm 🕯️ warm windows",
		"Bauhaus poster for an observatory",
		"Still life with pears, low key, chiaroscuro",
		"Panorama of terraced rice fields after rain",
	}
	sizes := [][]int{{1024, 1024}, {832, 1216}, {1216, 832}, {1024, 1024}, {768, 1344}, {832, 1216}, {1024, 1024}, {1536, 640}}
	for i := range 30 {
		count := 1
		if i%7 == 3 {
			count = 4
		}
		state := f.put(newState(f, prompts[i%len(prompts)], studio.Complete, count, sizes[i%len(sizes)]...))
		f.attempts[state.Generation.ID] = fakeAttempts(state)
	}
	failed := newState(f, "A lighthouse in a storm", studio.Failed, 1, 1216, 832)
	failed.Generation.ErrorMessage = "The server has no model named dreamshaper_8.safetensors. Choose another one and try again."
	failed.Progress.Status = "Failed while checking the prompt"
	f.put(failed)
	f.attempts[failed.Generation.ID] = fakeAttempts(failed)
	f.put(newState(f, strings.Repeat("an endless corridor of doors, each of another colour, ", 40), studio.Complete, 1, 640, 1536))
	f.put(newState(f, "Cancelled before it began", studio.Cancelled, 1))
}

func fakeAttempts(state *studio.State) []studio.Attempt {
	var all []studio.Attempt
	for _, image := range state.Generation.Images {
		at := func(seconds float64) *time.Time {
			t := state.Generation.CreatedAt.Add(time.Duration(seconds * float64(time.Second)))
			return &t
		}
		a := studio.Attempt{
			PromptID: image.PromptID, ImageIndex: image.Index, Number: 1, Server: "workbench", State: "complete",
			Graph:     []byte(`{"sampler":{"class_type":"KSampler","inputs":{"seed":18446744073709551615,"steps":20}}}`),
			CreatedAt: *at(1.2), SubmittedAt: at(1.3), RunningAt: at(1.4), SamplingAt: at(6.1), FinalizingAt: at(40.2), FinishedAt: at(42),
		}
		if state.Generation.Status == studio.Failed {
			a.State, a.ErrorMessage = "failed", state.Generation.ErrorMessage
			a.ErrorDetail = "node checkpoint (CheckpointLoaderSimple): Value not in list: ckpt_name: 'dreamshaper_8.safetensors'"
			a.RunningAt, a.SamplingAt, a.FinalizingAt = nil, nil, nil
		}
		all = append(all, a)
	}
	return all
}
