package handlers

import (
	"context"

	"github.com/google/uuid"

	"easel/studio"
)

// moved is one call that put the queue in order.
type moved struct {
	id   uuid.UUID
	what string
}

// queued answers for a generation that waits, as the studio does for others.
func (f *fakeStudio) queued(ctx context.Context, id uuid.UUID, what string, change func(*studio.Generation)) (studio.Generation, error) {
	state, err := f.State(ctx, id)
	switch {
	case err != nil:
		return studio.Generation{}, err
	case state.Generation.Status.Ended():
		return studio.Generation{}, studio.ErrEnded
	case state.Generation.Status == studio.Generating:
		return studio.Generation{}, studio.ErrBegun
	}
	f.mu.Lock()
	f.moves = append(f.moves, moved{id, what})
	f.mu.Unlock()
	state = f.update(id, func(s *studio.State) { change(&s.Generation) })
	return state.Generation, nil
}

func (f *fakeStudio) Move(ctx context.Context, _, id uuid.UUID, m studio.Move) (studio.Generation, error) {
	what := string(m.To)
	if m.To == "" {
		what = "before " + m.Before.String()
	}
	return f.queued(ctx, id, what, func(*studio.Generation) {})
}

func (f *fakeStudio) Prioritise(ctx context.Context, _, id uuid.UUID, p studio.Priority) (studio.Generation, error) {
	return f.queued(ctx, id, p.String(), func(g *studio.Generation) { g.Priority = p })
}

func (f *fakeStudio) Hold(ctx context.Context, _, id uuid.UUID, held bool) (studio.Generation, error) {
	return f.queued(ctx, id, "hold", func(g *studio.Generation) {
		g.HeldAt = nil
		if at := f.now; held {
			g.HeldAt = &at
		}
	})
}

func (f *fakeStudio) CancelAll(ctx context.Context, _ uuid.UUID) (counts studio.CancelCounts, err error) {
	for _, state := range f.Overview().Live {
		if _, changed, err := f.Cancel(ctx, state.Generation.ID); err != nil || !changed {
			return counts, err
		}
		counts.Cancelling++
	}
	return counts, f.fail()
}

func (f *fakeStudio) SetQueuePaused(_ context.Context, paused bool) error {
	if err := f.fail(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paused = paused
	f.publishLocked()
	return nil
}
