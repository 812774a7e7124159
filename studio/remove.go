package studio

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// removeWait bounds what is done after the rows are gone, whether or not the visitor still waits.
const removeWait = 30 * time.Second

// Delete removes an ended generation and the files that nothing else uses. ErrLive, ErrNotFound.
func (s *Studio) Delete(ctx context.Context, id uuid.UUID) error {
	removed, err := s.deleteWithFiles(ctx, id)
	if err != nil {
		return unavailable(fmt.Errorf("delete generation: %w", err))
	}
	if !removed {
		if _, err := s.loadOne(ctx, id); err != nil {
			return err
		}
		return ErrLive
	}
	s.hub.remove(id)
	refillCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeWait)
	defer cancel()
	s.refill(refillCtx)
	s.logger.InfoContext(ctx, "generation deleted", "generation", id)
	return nil
}

// deleteWithFiles deletes the rows and then the files, while nobody is between storing a blob and
// referring to it. removed is false when there is no such generation, or it has not ended.
func (s *Studio) deleteWithFiles(ctx context.Context, id uuid.UUID) (removed bool, err error) {
	s.refers.Lock()
	defer s.refers.Unlock()
	unused, err := s.queries.GenerationDelete(ctx, id)
	if err != nil || len(unused) == 0 {
		return false, err
	}
	// The rows are gone, and with them the generation. A file that stays behind now is an orphan
	// that costs space and nothing else.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeWait)
	defer cancel()
	for _, name := range unused {
		if name == "" {
			continue
		}
		if err := s.blobs.Delete(ctx, name); err != nil {
			s.logger.WarnContext(ctx, "could not delete a file", "sha256", name, "err", err)
		}
	}
	return true, nil
}
