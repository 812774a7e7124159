package studio

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"easel/db"
)

// Neighbours names the generations next to one in the list: the next newer and the next older,
// each uuid.Nil where there is none. The generation itself need not be there any more.
// ErrUnavailable.
func (s *Studio) Neighbours(ctx context.Context, id uuid.UUID) (newer, older uuid.UUID, err error) {
	row, err := db.New(s.pool).GenerationNeighbours(ctx, id)
	if err != nil {
		return uuid.Nil, uuid.Nil, unavailable(fmt.Errorf("neighbours of a generation: %w", err))
	}
	return row.Newer, row.Older, nil
}
