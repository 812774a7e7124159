package studio

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"easel/blob"
	"easel/comfy"
	"easel/db"
)

// State is a generation as it is now: from memory while it lives, else from the database.
func (s *Studio) State(ctx context.Context, id uuid.UUID) (*State, error) {
	if state, ok := s.hub.state(id); ok {
		return state, nil
	}
	g, err := s.loadOne(ctx, id)
	if err != nil {
		return nil, err
	}
	return stateOf(&g), nil
}

// stateOf is the state of a generation that nobody follows.
func stateOf(g *Generation) *State {
	state := &State{Generation: *g, Rev: 1}
	state.Progress, state.Images = progressOf(g, nil, unheard(place{}))
	return state
}

// Watch follows a generation. One that has ended is read once, when it is not in memory.
func (s *Studio) Watch(ctx context.Context, id uuid.UUID) (*Watch[*State], error) {
	if w, ok := s.hub.watch(id, nil); ok {
		return w, nil
	}
	g, err := s.loadOnce(ctx, id)
	if err != nil {
		return nil, err
	}
	w, _ := s.hub.watch(id, &g)
	return w, nil
}

// loadOnce is loadOne for all who ask for the same generation at the same time: when an instance has just
// started, a thousand readers come back to one generation, and a thousand statements would leave no
// connection for anything else.
func (s *Studio) loadOnce(ctx context.Context, id uuid.UUID) (Generation, error) {
	loading := s.loads.DoChan(id.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout) // who asked first may leave
		defer cancel()
		return s.loadOne(ctx, id)
	})
	select {
	case <-ctx.Done():
		return Generation{}, unavailable(ctx.Err())
	case loaded := <-loading:
		if loaded.Err != nil {
			return Generation{}, loaded.Err
		}
		g := loaded.Val.(Generation) // what loadOne gives
		g.Images = slices.Clone(g.Images)
		return g, nil
	}
}

// Overview is the present state of the whole installation, from memory.
func (s *Studio) Overview() *Overview {
	return s.hub.overview.latest.Load().(*Overview) // New has set it
}

// WatchOverview follows it. Progress of the stage's generation wakes it too.
func (s *Studio) WatchOverview() *Watch[*Overview] { return s.hub.watchOverview() }

// Resolve finds the generation of a ComfyUI prompt_id, and the image that it makes. ErrNotFound.
func (s *Studio) Resolve(ctx context.Context, promptID string) (id uuid.UUID, imageIndex int, err error) {
	prompt, err := uuid.Parse(promptID)
	if err != nil || prompt.String() != promptID {
		return uuid.Nil, 0, ErrNotFound
	}
	row, err := db.One(s.queries.AttemptGeneration(ctx, prompt))
	switch {
	case errors.Is(err, db.ErrNotFound):
		return uuid.Nil, 0, ErrNotFound
	case err != nil:
		return uuid.Nil, 0, unavailable(fmt.Errorf("resolve prompt_id: %w", err))
	}
	return row.GenerationID, int(row.ImageIndex), nil
}

// Attempts is the record of a generation: every graph that was sent, oldest first.
func (s *Studio) Attempts(ctx context.Context, id uuid.UUID) ([]Attempt, error) {
	rows, err := s.queries.AttemptsOf(ctx, id)
	if err != nil {
		return nil, unavailable(fmt.Errorf("read attempts: %w", err))
	}
	attempts := make([]Attempt, len(rows))
	for i, row := range rows {
		attempts[i] = Attempt{
			PromptID: row.PromptID.String(), ImageIndex: int(row.ImageIndex), Number: int(row.Number),
			Server: row.Server, State: row.State, LossReason: row.LossReason, RetryReason: row.RetryReason,
			ErrorMessage: row.ErrorMessage, ErrorDetail: row.ErrorDetail, Graph: row.Graph,
			CreatedAt: row.CreatedAt, SubmittedAt: row.SubmittedAt, RunningAt: row.RunningAt,
			SamplingAt: row.SamplingAt, FinalizingAt: row.FinalizingAt, AdoptedAt: row.AdoptedAt, FinishedAt: row.FinishedAt,
		}
	}
	return attempts, nil
}

// Output opens a stored output (or its thumbnail) of a generation: image counts from 1, output
// from 0. ErrNotFound when there is none.
func (s *Studio) Output(ctx context.Context, id uuid.UUID, image, output int, thumbnail bool) (*File, error) {
	if image < 1 || image > MaxImages || output < 0 || output > math.MaxInt32 {
		return nil, ErrNotFound
	}
	o, err := db.One(s.queries.OutputOne(ctx, db.OutputOneParams{
		GenerationID: id, ImageIndex: int32(image), Position: int32(output),
	}))
	switch {
	case errors.Is(err, db.ErrNotFound):
		return nil, ErrNotFound
	case err != nil:
		return nil, unavailable(fmt.Errorf("read output: %w", err))
	}
	file := &File{SHA256: o.SHA256, MIME: o.MIME, Size: o.Size, Time: o.CreatedAt}
	if thumbnail {
		if o.Thumbnail == "" {
			return nil, ErrNotFound
		}
		file.SHA256, file.MIME = o.Thumbnail, thumbnailMIME
	}
	if file.Body, err = s.blobs.Open(ctx, file.SHA256); err != nil {
		if errors.Is(err, blob.ErrNotFound) {
			return nil, fmt.Errorf("%w: its file is gone", ErrNotFound)
		}
		return nil, fmt.Errorf("open output: %w", err)
	}
	if thumbnail {
		info, err := s.blobs.Stat(ctx, file.SHA256)
		if err != nil {
			_ = file.Body.Close()
			return nil, fmt.Errorf("open thumbnail: %w", err)
		}
		file.Size = info.Size
	}
	file.Name = fileName(id, image, output, file.MIME)
	return file, nil
}

// fileName is what a download is called: nothing in it comes from a visitor or from ComfyUI.
func fileName(id uuid.UUID, image, output int, mime string) string {
	name := fmt.Sprintf("easel-%s-%d", id.String()[24:], image) // the random end of the id
	if output > 0 {
		name += fmt.Sprintf("-%d", output+1)
	}
	return name + extensions[mime]
}

// Preview is the latest live preview of an image, while there is one. Where another instance follows the
// image it is asked for the preview, which takes a moment.
func (s *Studio) Preview(ctx context.Context, id uuid.UUID, image int) (*comfy.Preview, bool) {
	if p, ok := s.hub.preview(id, image); ok || !s.hub.followedElsewhere(id, image) {
		return p, ok
	}
	watch, ok := s.hub.watch(id, nil)
	if !ok {
		return nil, false
	}
	defer watch.Close()
	s.relay.want(id)
	timeout := time.NewTimer(remotePreviewWait)
	defer timeout.Stop()
	for {
		select {
		case <-watch.Changed():
			if p, ok := s.hub.preview(id, image); ok || !s.hub.followedElsewhere(id, image) {
				return p, ok
			}
		case <-timeout.C:
			return nil, false
		case <-ctx.Done():
			return nil, false
		}
	}
}

// remotePreviewWait is how long a preview may be on its way from another instance.
const remotePreviewWait = 2 * time.Second

// Ready says whether the database answers and its tables are there.
func (s *Studio) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	ready, err := s.queries.TablesReady(ctx)
	switch {
	case err != nil:
		return unavailable(fmt.Errorf("ask the database: %w", err))
	case !ready:
		return fmt.Errorf("%w: its tables are not there yet", ErrUnavailable)
	}
	return nil
}

const readyTimeout = 3 * time.Second
