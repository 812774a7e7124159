package studio

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/db"
)

// keepLore reads what was learned, and stores what is learned here, until ctx ends. It waits for something to do,
// and then for more of it: a statement stands for all that ended in Timing.Learned.
func (s *Studio) keepLore(ctx context.Context) error {
	var upTo time.Time
	if !s.persist(ctx, "read learned times", func(ctx context.Context) (err error) {
		if err = s.queries.TimingsPrune(ctx, mostStoredLore); err != nil {
			return err
		}
		upTo, err = s.readLore(ctx, upTo)
		return err
	}) {
		return nil
	}
	s.hub.reorder() // now the queue can be foretold
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.study:
		}
		if !sleep(ctx, s.timing.Study) {
			return nil
		}
		if err := s.storeLore(ctx); err != nil && ctx.Err() == nil {
			s.logger.WarnContext(ctx, "could not store learned times", "err", err) // they are learned again
		}
		if !s.studyOthers.Swap(false) {
			continue
		}
		last, err := s.readLore(ctx, upTo)
		if err != nil {
			if ctx.Err() == nil {
				s.logger.WarnContext(ctx, "could not read learned times", "err", err)
			}
			continue
		}
		upTo = last
	}
}

const (
	mostStoredLore = 50_000 // rows of the table
	loreOverlap    = 10 * time.Second
	loreTimeout    = 10 * time.Second
)

// readLore reads what was learned anywhere since a time. upTo is the newest that there was: a transaction that began
// before it may end after, so that the next reading goes back a little.
func (s *Studio) readLore(ctx context.Context, since time.Time) (upTo time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, loreTimeout)
	defer cancel()
	rows, err := s.queries.TimingsSince(ctx, db.TimingsSinceParams{Since: since.Add(-loreOverlap), Count: mostLore})
	if err != nil {
		return since, fmt.Errorf("read timings: %w", err)
	}
	upTo = since
	if len(rows) > 0 {
		upTo = rows[0].UpdatedAt
	}
	s.lore.adopt(rows)
	return upTo, nil
}

// adopt takes in what the table has. What was learned here since it was stored last comes on top of it.
func (l *lore) adopt(rows []db.Timing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ready()
	for i := range rows {
		row := &rows[i]
		on := subject{row.Scope, row.Node, part(row.Part), row.Cold}
		t := learned{row.Mean, row.Variance, int(row.Count)}
		if n, ok := l.pending[on]; ok {
			t = t.after(n, on.part)
		}
		if _, ok := l.known[on]; ok || len(l.known) < mostLore {
			l.known[on] = t
		}
	}
}

// storeLore stores what was learned here, in one statement. Where it fails, it is forgotten: a few runs bring it again.
func (s *Studio) storeLore(ctx context.Context) error {
	s.lore.mu.Lock()
	pending := s.lore.pending
	s.lore.pending = make(map[subject]lesson)
	s.lore.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	var arg db.TimingsLearnParams
	for on, n := range pending {
		t := learned{}.after(n, on.part)
		arg.Scopes = append(arg.Scopes, on.scope)
		arg.Nodes = append(arg.Nodes, on.node)
		arg.Parts = append(arg.Parts, string(on.part))
		arg.Colds = append(arg.Colds, on.cold)
		arg.Means = append(arg.Means, t.mean)
		arg.Variances = append(arg.Variances, t.variance)
		arg.Counts = append(arg.Counts, int32(t.count)) //nolint:gosec // of a few seconds
	}
	ctx, cancel := context.WithTimeout(ctx, loreTimeout)
	defer cancel()
	return s.queries.TimingsLearn(ctx, arg)
}

// studied learns from a prompt that has succeeded.
func (s *Studio) studied(generation uuid.UUID, server uuid.UUID, p *comfy.Progress) {
	if k, ok := s.hub.kind(generation); ok {
		s.lore.study(k.on(server), p)
		ring(s.study)
	}
}

// concluded is what was said of an attempt whose files were stored just now, held against what came; nil: nothing was
// noted of it. since is when the row was read.
func concluded(row *db.AttemptForJobRow, since time.Time) *Calibration {
	c := parseCalibration(row.Calibration)
	if c == nil || c.Noted <= 0 {
		return nil
	}
	c.conclude(c.Noted + row.WaitedSeconds + time.Since(since).Seconds())
	return c
}

// settled learns how long it takes from ComfyUI's end to the stored files, and counts how true was what was said.
func (s *Studio) settled(row *db.AttemptForJobRow, c *Calibration) {
	if c == nil {
		return
	}
	s.counters.ProgressErrors.observe(c.Errors.Overall)
	switch {
	case c.First == nil:
	case c.First.Inside:
		s.counters.ETAInside.Add(1)
	default:
		s.counters.ETAOutside.Add(1)
	}
	if k, ok := s.hub.kind(row.GenerationID); ok {
		k = k.on(row.ServerID)
		s.lore.teach(k, &comfy.Work{}, partStore, false, inSeconds(c.Seconds-c.Over))
		s.lore.judge(k, c)
		ring(s.study)
	}
}
