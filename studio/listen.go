package studio

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// channel is where generations_ring rings.
const channel = "easel"

// notice is the bell: which generation, in which revision, by whom. The state itself is read.
type notice struct {
	Kind       string    `json:"kind"` // changed or deleted; server or settings, which are about no generation
	Generation uuid.UUID `json:"generation"`
	Rev        int64     `json:"rev"`
	Origin     uuid.UUID `json:"origin"`
}

// listen hears what other instances change, on a connection of its own, and connects again for as
// long as ctx lives. listening is closed once it hears for the first time, or once that has
// failed: then what happens meanwhile is read after the connect.
func (s *Studio) listen(ctx context.Context, listening chan<- struct{}) error {
	first := sync.OnceFunc(func() { close(listening) })
	defer first()
	for wait := minRelisten; ; wait = min(2*wait, maxRelisten) {
		began := time.Now()
		err := s.hear(ctx, first)
		if ctx.Err() != nil {
			return nil
		}
		first()
		if time.Since(began) > maxRelisten {
			wait = minRelisten
		}
		pauseFor := wait/2 + rand.N(wait) //nolint:gosec // jitter
		s.logger.Warn("not listening to the database", "err", err, "retry_in", pauseFor)
		if !sleep(ctx, pauseFor) {
			return nil
		}
	}
}

const (
	minRelisten = 250 * time.Millisecond
	maxRelisten = 10 * time.Second
)

// hear listens until the connection ends, which is the error.
func (s *Studio) hear(ctx context.Context, listening func()) error {
	config := s.pool.Config().ConnConfig.Copy()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	// What was rung while nobody listened is not said again: everything that may have changed is
	// read now. At the first start that is nothing, since nothing has been loaded.
	if err := s.resync(ctx); err != nil {
		return err
	}
	listening()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("wait for a notice: %w", err)
		}
		var said notice
		if err := json.Unmarshal([]byte(n.Payload), &said); err != nil {
			s.logger.Debug("notice that is none of ours", "err", err)
			continue
		}
		s.noticed(said)
	}
}

// noticed takes in what somebody has changed. What this instance has changed it knows already.
func (s *Studio) noticed(n notice) {
	switch {
	case n.Kind == "deleted":
		s.hub.remove(n.Generation)
	case n.Kind == "settings":
		s.settingsChanged()
	case n.Kind == "server":
	case n.Origin != s.config.Instance:
		s.hub.invalidate(n.Generation, n.Rev)
	}
}

// resync reads every live generation anew.
func (s *Studio) resync(ctx context.Context) error {
	for _, id := range s.hub.live() {
		s.hub.invalidate(id, 1<<62)
	}
	ids, err := s.queries.GenerationsLive(ctx)
	if err != nil {
		return fmt.Errorf("read live generations: %w", err)
	}
	for _, id := range ids {
		s.hub.invalidate(id, 0)
	}
	s.settingsChanged()
	s.wakeSupervisors()
	s.counters.Resyncs.Add(1)
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

// refill reads the newest pictures again after one of them was deleted.
func (s *Studio) refill(ctx context.Context) {
	if err := s.fill(ctx); err != nil {
		s.logger.WarnContext(ctx, "could not read the newest pictures", "err", err)
	}
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
