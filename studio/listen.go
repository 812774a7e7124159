package studio

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"easel/db"
)

// noticed takes in a bell. What this instance has changed it knows already; all else is looked up, so that a bell
// that lies costs a reading.
func (s *Studio) noticed(n notice) {
	switch {
	case n.Origin == s.config.Instance && n.Kind == bellChanged:
	case n.Kind == bellChanged || n.Kind == bellDeleted:
		if !s.hub.suspect(n.Generation, n.Rev, n.Kind == bellDeleted) {
			ring(s.relay.behind) // there is no room for more: it is in the events as well
		}
	default:
		s.learned(n.Kind, n.Generation, n.Rev)
	}
}

// learned takes in a change that is in the database, whoever made it. One that is known does no harm.
func (s *Studio) learned(kind string, subject uuid.UUID, rev int64) {
	switch kind {
	case bellChanged:
		s.hub.invalidate(subject, rev)
	case bellDeleted:
		s.hub.remove(subject)
	case bellSettings:
		s.settingsChanged()
	case bellServer:
		s.serversChanged(subject)
	case bellWorkflows:
		ring(s.library.reread)
	}
}

// reader reads what was not heard: after each connect of the bus, and now and then. It goes on where it stopped, so that
// a bell that was lost costs a moment and never a state.
type reader struct {
	cursor string
	at     time.Time // when it was read last
}

const (
	readDeaf    = time.Second      // between two readings while no bell is heard
	readTimeout = 10 * time.Second // for one reading
	readMost    = 5000             // events; with more of them everything live is read anew
	readAge     = 10 * time.Minute // events are kept for 15
)

// catchUp reads until ctx ends.
func (s *Studio) catchUp(ctx context.Context, r reader) error {
	failing := false
	timer := time.NewTimer(s.timing.CatchUp)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.relay.behind:
		case <-timer.C:
		}
		next := jitter(s.timing.CatchUp)
		if s.relay.deaf.Load() {
			next = min(next, readDeaf)
		}
		err := s.read(ctx, &r)
		switch {
		case err == nil:
			failing = false
		case ctx.Err() != nil:
			return nil
		default:
			next = min(next, readDeaf)
			if !failing {
				failing = true
				s.logger.WarnContext(ctx, "could not read what others have changed", "err", err, "retry_in", next)
			}
		}
		timer.Reset(next)
	}
}

// read reads on.
func (s *Studio) read(ctx context.Context, r *reader) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if time.Since(r.at) > readAge {
		return s.resync(ctx, r)
	}
	began := time.Now()
	rows, err := s.queries.EventsSince(ctx, db.EventsSinceParams{Cursor: r.cursor, Most: readMost})
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	if len(rows) == readMost {
		return s.resync(ctx, r)
	}
	for _, row := range rows {
		s.learned(row.Kind, row.GenerationID, row.Rev)
		r.cursor, r.at = row.Next, began
	}
	return nil
}

// beginReading is a reader of all that is committed from now on.
func (s *Studio) beginReading(ctx context.Context) (reader, error) {
	began := time.Now()
	cursor, err := s.queries.EventsCursor(ctx)
	if err != nil {
		return reader{}, fmt.Errorf("read where events are: %w", err)
	}
	return reader{cursor: cursor, at: began}, nil
}

// resync reads everything live anew, when there is more to read than a look at the state costs.
func (s *Studio) resync(ctx context.Context, r *reader) error {
	from, err := s.beginReading(ctx)
	if err != nil {
		return err
	}
	ids, err := s.queries.GenerationsLive(ctx)
	if err != nil {
		return fmt.Errorf("read live generations: %w", err)
	}
	for _, id := range s.hub.memory() {
		s.hub.invalidate(id, unread)
	}
	for _, id := range ids {
		s.hub.invalidate(id, 0)
	}
	s.hub.thin()
	s.settingsChanged()
	ring(s.library.reread)
	s.serversChanged(uuid.Nil)
	s.wakeSupervisors()
	s.counters.Resyncs.Add(1)
	*r = from
	return nil
}

// loadLive fills the hub at the start: what lives, and the newest pictures.
func (s *Studio) loadLive(ctx context.Context) error {
	ids, err := s.queries.GenerationsLive(ctx)
	if err != nil {
		return fmt.Errorf("read live generations: %w", err)
	}
	for portion := range slices.Chunk(ids, loadPortion) {
		found, err := s.load(ctx, portion)
		if err != nil {
			return err
		}
		for _, g := range found {
			s.hub.put(g)
		}
	}
	if err := s.fill(ctx); err != nil {
		return err
	}
	s.hub.refresh()
	return nil
}

// fill reads the newest pictures.
func (s *Studio) fill(ctx context.Context) error {
	ids, err := s.queries.GenerationsRecent(ctx, recentPictures)
	if err != nil {
		return fmt.Errorf("read newest generations: %w", err)
	}
	found, err := s.load(ctx, ids)
	if err != nil {
		return err
	}
	states := make([]*State, len(found))
	for i := range found {
		states[i] = stateOf(&found[i])
	}
	s.hub.setRecent(states)
	return nil
}

// sleep waits for d; false if ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
