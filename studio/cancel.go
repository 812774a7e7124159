package studio

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"easel/db"
)

// Cancel asks for the end of a generation. Images that wait in our queue end at once; those that
// a ComfyUI has end when it has confirmed, which the returned generation shows as
// CancelRequestedAt. changed is false when it had ended before, or was asked already.
func (s *Studio) Cancel(ctx context.Context, id uuid.UUID) (g Generation, changed bool, err error) {
	row, err := db.One(s.queries.GenerationCancel(ctx, db.GenerationCancelParams{ID: id, Origin: s.config.Instance}))
	switch {
	case errors.Is(err, db.ErrNotFound): // not there, ended, or asked for already
	case err != nil:
		return Generation{}, false, unavailable(fmt.Errorf("cancel generation: %w", err))
	default:
		changed = true
		s.counters.ended(Status(row.Status))
		s.hub.change(id, row.Rev, func(g *Generation) {
			g.cancel(Status(row.Status), row.CancelRequestedAt, row.Indexes)
		})
		s.wakeFollowers(id)
		s.logger.InfoContext(ctx, "generation cancel requested", "generation", id, "status", row.Status)
	}
	state, err := s.State(ctx, id)
	if err != nil {
		return Generation{}, false, err
	}
	if changed && state.Generation.Rev < row.Rev { // another change overtook this one on its way here
		g, err = s.loadOne(ctx, id)
		return g, changed, err
	}
	return state.Generation.clone(), changed, nil
}
