package studio

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Delete removes an ended generation and the files that nothing else uses. ErrLive, ErrNotFound.
func (s *Studio) Delete(ctx context.Context, id uuid.UUID) error {
	s.refers.Lock() // nobody is between storing a blob and referring to it
	defer s.refers.Unlock()
	unused, err := s.queries.GenerationDelete(ctx, id)
	if err != nil {
		return unavailable(fmt.Errorf("delete generation: %w", err))
	}
	if len(unused) == 0 {
		if _, err := s.loadOne(ctx, id); err != nil {
			return err
		}
		return ErrLive
	}
	s.hub.remove(id)
	// The rows are gone, and with them the generation. A file that stays behind now is an orphan
	// that costs space and nothing else.
	ctx = context.WithoutCancel(ctx)
	for _, name := range unused {
		if name == "" {
			continue
		}
		if err := s.blobs.Delete(ctx, name); err != nil {
			s.logger.WarnContext(ctx, "could not delete a file", "sha256", name, "err", err)
		}
	}
	s.refill(ctx)
	s.logger.InfoContext(ctx, "generation deleted", "generation", id)
	return nil
}
