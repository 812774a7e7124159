package handlers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/comfy/workflow"
	"easel/studio"
)

// strictStudio is a fakeStudio that accepts as the real one does: by the form of the built-in
// workflow, with idempotency keys. Its files are what a test put there.
type strictStudio struct {
	*fakeStudio
	keys     map[string]usedKey // guarded by fakeStudio.mu, like the rest
	files    map[string]storedFile
	previews map[uuid.UUID]*comfy.Preview
	filter   studio.Filter // of the last List
	seed     uint64
}

type usedKey struct {
	hash string
	id   uuid.UUID
}

type storedFile struct {
	body       []byte
	mime, name string
}

func newStrict() *strictStudio {
	return &strictStudio{
		fakeStudio: newFake(), keys: map[string]usedKey{}, files: map[string]storedFile{},
		previews: map[uuid.UUID]*comfy.Preview{}, seed: 7,
	}
}

// strictTime is the moment at which everything in a strictStudio was made.
var strictTime = time.Date(2026, 5, 1, 10, 0, 0, 123456000, time.UTC)

// add puts a waiting generation of so many images into the studio.
func (f *strictStudio) add(prompt string, images int) uuid.UUID {
	state := newState(f.fakeStudio, prompt, studio.Pending, images, 512, 512)
	g := &state.Generation
	g.CreatedAt, g.UpdatedAt = strictTime, strictTime
	g.Settings = workflow.Values{"steps": int64(20), "guidance": 7.5, "seed": uint64(math.MaxUint64), "model": "dream.safetensors"}
	for i := range g.Images {
		g.Images[i].Seed, g.Images[i].PromptID = math.MaxUint64+uint64(i), ""
	}
	f.put(state)
	return g.ID
}

// promptID is the prompt_id under which an image of a generation was sent.
func promptID(id uuid.UUID, image int) string {
	return uuid.NewSHA1(id, fmt.Appendf(nil, "%d", image)).String()
}

// step publishes sampler step n of total of the first image.
func (f *strictStudio) step(id uuid.UUID, n, total int) {
	f.update(id, func(s *studio.State) {
		p := studio.Progress{
			Phase: comfy.PhaseInference, Status: fmt.Sprintf("Step %d of %d", n, total), CurrentStep: n, TotalSteps: total,
			Percentage: min(n*100/total, 99), Overall: min(n*90/total, 99), ImageIndex: 1, TotalImages: len(s.Images), Node: "3",
			ETA: time.Duration(total-n) * 500 * time.Millisecond, ETAKnown: true,
		}
		s.Generation.Status, s.Generation.Images[0].Status = studio.Generating, studio.Generating
		s.Generation.Images[0].PromptID = promptID(id, 1)
		s.Progress, s.Images[0].Progress = p, p
	})
}

// end publishes the end of a generation and of all its images.
func (f *strictStudio) end(id uuid.UUID, status studio.Status, message string) {
	f.update(id, func(s *studio.State) {
		at := strictTime.Add(time.Minute)
		s.Generation.Status, s.Generation.ErrorMessage = status, message
		s.Generation.UpdatedAt, s.Generation.FinishedAt = at, &at
		s.Progress = studio.RecordProgress(&s.Generation)
		for i := range s.Images {
			s.Generation.Images[i].Status, s.Generation.Images[i].ErrorMessage = status, message
			s.Images[i].Progress = s.Progress
		}
	})
}

// picture stores an output of the first image, and its thumbnail.
func (f *strictStudio) picture(id uuid.UUID, mime, name string, body []byte) {
	f.update(id, func(s *studio.State) {
		sum := sha256.Sum256(body)
		hash := hex.EncodeToString(sum[:])
		image := &s.Generation.Images[0]
		f.files[fmt.Sprintf("%s/%d", id, len(image.Outputs))] = storedFile{body, mime, name}
		image.Outputs = append(slices.Clone(image.Outputs), studio.Output{
			Index: len(image.Outputs), Node: "9", Kind: "image", SHA256: hash, Thumbnail: hash, MIME: mime,
			Size: int64(len(body)), Width: 512, Height: 512, Color: "#336699",
		})
	})
}

// fails makes every call that needs the database return err.
func (f *strictStudio) fails(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *strictStudio) Form(_ context.Context, id string) (workflow.Form, error) {
	w, ok := workflow.Builtin(id)
	if !ok {
		return workflow.Form{}, studio.ErrNoWorkflow
	}
	return w.Form(), nil
}

func (f *strictStudio) Forms(context.Context) ([]workflow.Form, error) {
	var forms []workflow.Form
	for _, w := range workflow.Builtins() {
		forms = append(forms, w.Form())
	}
	return forms, nil
}

func (f *strictStudio) Create(_ context.Context, r studio.Request) (studio.Generation, bool, error) {
	values, err := f.check(&r)
	if err != nil {
		return studio.Generation{}, false, err
	}
	state := newState(f.fakeStudio, r.Prompt, studio.Pending, max(r.TotalImages, 1), 512, 512)
	f.mu.Lock()
	if f.err != nil {
		defer f.mu.Unlock()
		return studio.Generation{}, false, f.err
	}
	hash := hex.EncodeToString(r.BodyHash)
	if used, ok := f.keys[r.IdempotencyKey]; ok {
		defer f.mu.Unlock()
		if used.hash != hash {
			return studio.Generation{}, false, studio.ErrKeyReused
		}
		return f.states[used.id].Generation, false, nil
	}
	g := &state.Generation
	if r.IdempotencyKey != "" {
		f.keys[r.IdempotencyKey] = usedKey{hash, g.ID}
	}
	seed, ok := values.Seed("seed")
	if !ok {
		f.seed++
		seed, values["seed"] = f.seed, f.seed
	}
	if r.NegativePrompt != nil {
		g.NegativePrompt = *r.NegativePrompt
	}
	g.RetryOf, g.Settings, g.CreatedAt, g.UpdatedAt = r.RetryOf, values, strictTime, strictTime
	for i := range g.Images {
		g.Images[i].Seed, g.Images[i].PromptID = seed+uint64(i), ""
	}
	f.states[g.ID] = state
	f.mu.Unlock()
	f.put(state)
	return state.Generation, true, nil
}

// check reads a request by the workflow's own form.
func (f *strictStudio) check(r *studio.Request) (workflow.Values, error) {
	form, err := f.Form(context.Background(), workflow.TextToImage)
	if err != nil {
		return nil, err
	}
	raw := map[string]json.RawMessage{}
	for name, value := range r.Settings {
		raw[name] = value
	}
	for name, text := range map[string]*string{"prompt": &r.Prompt, "negativePrompt": r.NegativePrompt} {
		if text == nil {
			continue
		}
		value, err := json.Marshal(text)
		if err != nil {
			return nil, err
		}
		raw[name] = value
	}
	values, problems := form.Parse(raw)
	if len(problems) == 0 {
		delete(values, "prompt")
		delete(values, "negativePrompt")
		return values, nil
	}
	invalid := &studio.InvalidError{}
	for _, p := range problems {
		if p.Field != "prompt" && p.Field != "negativePrompt" {
			p.Field = "settings." + p.Field
		}
		invalid.Fields = append(invalid.Fields, studio.FieldError{Field: p.Field, Message: p.Message})
	}
	return nil, invalid
}

func (f *strictStudio) Retry(ctx context.Context, id uuid.UUID, r *studio.Request) (studio.Generation, error) {
	old, err := f.State(ctx, id)
	if err != nil {
		return studio.Generation{}, err
	}
	if !old.Generation.Status.Ended() {
		return studio.Generation{}, studio.ErrLive
	}
	next := studio.Request{Prompt: old.Generation.Prompt, TotalImages: len(old.Generation.Images), RetryOf: &id}
	if r != nil {
		next.Settings, next.IdempotencyKey, next.BodyHash = r.Settings, r.IdempotencyKey, r.BodyHash
		if r.Prompt != "" {
			next.Prompt = r.Prompt
		}
	}
	g, _, err := f.Create(ctx, next)
	return g, err
}

// Cancel gives an ended generation back as it is.
func (f *strictStudio) Cancel(ctx context.Context, id uuid.UUID) (studio.Generation, bool, error) {
	state, err := f.State(ctx, id)
	if err != nil || state.Generation.Status.Ended() {
		if err != nil {
			return studio.Generation{}, false, err
		}
		return state.Generation, false, nil
	}
	return f.fakeStudio.Cancel(ctx, id)
}

func (f *strictStudio) List(ctx context.Context, filter studio.Filter) (studio.Page, error) {
	f.mu.Lock()
	f.filter = filter
	f.mu.Unlock()
	return f.fakeStudio.List(ctx, filter)
}

func (f *strictStudio) Output(_ context.Context, id uuid.UUID, image, output int, thumbnail bool) (*studio.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	file, ok := f.files[fmt.Sprintf("%s/%d", id, output)]
	if !ok || image != 1 {
		return nil, studio.ErrNotFound
	}
	if thumbnail {
		file.name = "thumbnail-" + file.name
	}
	sum := sha256.Sum256(file.body)
	return &studio.File{
		Body: nopCloser{bytes.NewReader(file.body)}, SHA256: hex.EncodeToString(sum[:]), MIME: file.mime,
		Size: int64(len(file.body)), Name: file.name, Time: strictTime,
	}, nil
}

func (f *strictStudio) Preview(_ context.Context, id uuid.UUID, image int) (*comfy.Preview, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.previews[id]
	return p, ok && image == 1
}

// newSite is a site over a studio.
func newSite(t testing.TB, f Studio, edit ...func(*Config)) *Server {
	t.Helper()
	c := Config{Studio: f, Version: "test", DatastarJS: []byte("// a stand-in\n"), Logger: slog.New(slog.DiscardHandler)}
	for _, e := range edit {
		e(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve runs a site on a port of its own, as Easel does. Its open streams are cut at the end.
func serve(t testing.TB, f Studio, edit ...func(*Config)) (*Server, *httptest.Server) {
	t.Helper()
	return serveOn(t, true, f, edit...)
}

// serveOn is serve where streams are handed over, or stay with their handlers.
func serveOn(t testing.TB, handOver bool, f Studio, edit ...func(*Config)) (*Server, *httptest.Server) {
	t.Helper()
	s := newSite(t, f, edit...)
	ts := httptest.NewUnstartedServer(nil)
	ts.Config.Handler = s
	ts.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	ts.Config.RegisterOnShutdown(s.Drain)
	if handOver {
		ts.Config.ConnContext = s.ConnContext
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if handOver { // from when Run has begun
		asked := httptest.NewRequestWithContext(s.ConnContext(ctx, &net.TCPConn{}), "GET", "/", nil)
		waitFor(t, func() bool { return s.fanout.Takes(asked) })
	}
	ts.Start()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		ts.Close()
	})
	return s, ts
}

type serving func(testing.TB, Studio, ...func(*Config)) (*Server, *httptest.Server)

// bothWays runs a test with streams that are handed over and with such as stay with their handlers.
func bothWays(t *testing.T, test func(t *testing.T, serve serving)) {
	for name, handOver := range map[string]bool{"handed over": true, "plain": false} {
		t.Run(name, func(t *testing.T) {
			test(t, func(t testing.TB, f Studio, edit ...func(*Config)) (*Server, *httptest.Server) {
				t.Helper()
				return serveOn(t, handOver, f, edit...)
			})
		})
	}
}
