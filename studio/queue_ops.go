package studio

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"easel/db"
)

// Move says where in the queue a generation goes, among those of the same user and priority.
type Move struct {
	To     MoveTo    // empty: in front of Before
	Before uuid.UUID // a generation that waits
}

// MoveTo is a direction or an end of the queue.
type MoveTo string

// The ways to move.
const (
	MoveFront MoveTo = "front"
	MoveBack  MoveTo = "back"
	MoveUp    MoveTo = "up"   // by one place
	MoveDown  MoveTo = "down" // by one place
)

// Move puts a generation that waits at another place. It answers as Hold does.
func (s *Studio) Move(ctx context.Context, user, id uuid.UUID, m Move) (Generation, error) {
	return s.reorder(ctx, user, id, func(e *entry) error {
		if e.images.Begun > 0 {
			return ErrBegun
		}
		gap, err := e.destination(ctx, m)
		if err != nil || gap.here {
			return err
		}
		rank, ok := gap.middle(e.row.Now)
		if !ok { // after very many moves into one gap
			if err := e.spread(ctx); err != nil {
				return err
			}
			if gap, err = e.destination(ctx, m); err != nil {
				return err
			}
			if rank, ok = gap.middle(e.row.Now); !ok {
				return fmt.Errorf("no room between %v and %v", gap.after, gap.before)
			}
		}
		row, err := db.One(e.q.GenerationRank(ctx, db.GenerationRankParams{ID: id, Rank: rank, Origin: s.config.Instance}))
		e.changed(id, row.Rev, func(g *Generation) { g.rank, g.UpdatedAt = rank, row.UpdatedAt })
		return err
	})
}

// Prioritise sets the priority of a generation of which something waits. It answers as Hold does.
func (s *Studio) Prioritise(ctx context.Context, user, id uuid.UUID, p Priority) (Generation, error) {
	p = min(max(p, PriorityLow), PriorityHigh)
	return s.reorder(ctx, user, id, func(e *entry) error {
		if e.row.Priority == int32(p) { //nolint:gosec // one of three
			return nil
		}
		row, err := db.One(e.q.GenerationPrioritise(ctx, db.GenerationPrioritiseParams{
			ID: id, Priority: int32(p), Origin: s.config.Instance, //nolint:gosec // one of three
		}))
		e.changed(id, row.Rev, func(g *Generation) { g.Priority, g.UpdatedAt = p, row.UpdatedAt })
		return err
	})
}

// Hold keeps what waits of a generation from being sent to a server, or with held false no longer.
// What is so already stays as it is. Errors: ErrNotFound, also for what is another user's;
// ErrEnded; ErrBegun when nothing of it waits any more; ErrUnavailable.
func (s *Studio) Hold(ctx context.Context, user, id uuid.UUID, held bool) (Generation, error) {
	g, err := s.reorder(ctx, user, id, func(e *entry) error {
		if (e.row.HeldAt != nil) == held {
			return nil
		}
		row, err := db.One(e.q.GenerationHold(ctx, db.GenerationHoldParams{ID: id, Held: held, Origin: s.config.Instance}))
		e.changed(id, row.Rev, func(g *Generation) { g.HeldAt, g.UpdatedAt = row.HeldAt, row.UpdatedAt })
		return err
	})
	if err == nil && !held {
		s.wakeSupervisors()
	}
	return g, err
}

// entry is one generation in the queue while it is being moved: nobody picks it, and nobody else
// puts its user's work in order.
type entry struct {
	q       *db.Queries
	origin  uuid.UUID
	user    uuid.UUID
	id      uuid.UUID
	row     db.QueueEntryRow
	images  db.QueueImagesRow
	changes []change
}

// change is what the database has stored, for the hub.
type change struct {
	id     uuid.UUID
	rev    int64
	mutate func(*Generation)
}

func (e *entry) changed(id uuid.UUID, rev int64, mutate func(*Generation)) {
	e.changes = append(e.changes, change{id, rev, mutate})
}

// reorder lets act change the place of a generation of which something waits, in one transaction,
// and shows the result.
func (s *Studio) reorder(ctx context.Context, user, id uuid.UUID, act func(*entry) error) (Generation, error) {
	e := &entry{origin: s.config.Instance, user: user, id: id}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		e.q = s.queries.WithTx(tx)
		if err := e.q.QueueLock(ctx, queueKey(user)); err != nil {
			return err
		}
		var err error
		if e.row, err = db.One(e.q.QueueEntry(ctx, db.QueueEntryParams{ID: id, UserID: user})); err != nil {
			return err
		}
		if Status(e.row.Status).Ended() {
			return ErrEnded
		}
		if e.images, err = e.q.QueueImages(ctx, id); err != nil {
			return err
		}
		if e.images.Waiting == 0 {
			return ErrBegun
		}
		return act(e)
	})
	switch {
	case errors.Is(err, db.ErrNotFound):
		return Generation{}, ErrNotFound
	case errors.Is(err, ErrEnded), errors.Is(err, ErrBegun):
		return Generation{}, err
	case err != nil:
		var invalid *InvalidError
		if errors.As(err, &invalid) {
			return Generation{}, err
		}
		return Generation{}, unavailable(fmt.Errorf("reorder the queue: %w", err))
	}
	var newest int64
	for _, c := range e.changes {
		s.hub.change(c.id, c.rev, c.mutate)
		if c.id == id {
			newest = c.rev
		}
	}
	return s.generationSince(ctx, id, newest)
}

// generationSince is a generation as it is in memory, or, where that does not know of revision rev
// yet, as it is stored.
func (s *Studio) generationSince(ctx context.Context, id uuid.UUID, rev int64) (Generation, error) {
	if g, ok := s.hub.generation(id); ok && g.Rev >= rev {
		return g, nil
	}
	return s.loadOne(ctx, id)
}

// queueKey is the key of the advisory lock on a user's queue.
func queueKey(user uuid.UUID) int64 {
	return int64(binary.LittleEndian.Uint64(user[:8]) ^ binary.LittleEndian.Uint64(user[8:])) //nolint:gosec // all bits count
}

// gap is where in the queue something goes: between two ranks, either of which may be absent.
type gap struct {
	after, before *float64
	here          bool // it is there already
}

// apart is how far from its neighbour a rank is at the ends: ranks begin as seconds, and a
// generation that was moved to the end must still come before what is asked for later.
const apart = 1.0 / 1024

// middle is a rank in the gap; ok is false when no number lies there.
func (g gap) middle(now float64) (rank float64, ok bool) {
	switch {
	case g.after == nil && g.before == nil:
		return now, true
	case g.after == nil:
		return *g.before - apart, true
	case g.before == nil:
		return max(*g.after+apart, now), true
	}
	rank = *g.after + (*g.before-*g.after)/2
	return rank, *g.after < rank && rank < *g.before
}

// destination finds where a move leads.
func (e *entry) destination(ctx context.Context, m Move) (gap, error) {
	switch m.To {
	case MoveFront: // in front of what has begun too: its other images wait here
		next, err := e.after(ctx, math.Inf(-1), uuid.Nil, true)
		if err != nil || len(next) == 0 {
			return gap{here: true}, err
		}
		return gap{before: &next[0].Rank, here: next[0].ID == e.id}, nil
	case MoveBack:
		last, err := e.before(ctx, math.Inf(1), uuid.Max, true)
		if err != nil || len(last) == 0 {
			return gap{here: true}, err
		}
		return gap{after: &last[0].Rank, here: last[0].ID == e.id}, nil
	case MoveUp:
		above, err := e.before(ctx, e.row.Rank, e.id, false)
		if err != nil || len(above) == 0 {
			return gap{here: true}, err
		}
		return between(above[1:], &above[0].Rank), nil
	case MoveDown:
		below, err := e.after(ctx, e.row.Rank, e.id, false)
		if err != nil || len(below) == 0 {
			return gap{here: true}, err
		}
		to := gap{after: &below[0].Rank}
		if len(below) > 1 {
			to.before = &below[1].Rank
		}
		return to, nil
	}
	return e.inFrontOf(ctx, m.Before)
}

func between(above []db.QueueBeforeRow, below *float64) gap {
	to := gap{before: below}
	if len(above) > 0 {
		to.after = &above[0].Rank
	}
	return to
}

// inFrontOf is the gap in front of another generation that waits.
func (e *entry) inFrontOf(ctx context.Context, other uuid.UUID) (gap, error) {
	refused := &InvalidError{Fields: []FieldError{{
		Field: "before", Message: "It must be a generation that waits with the same priority.",
	}}}
	if other == e.id {
		return gap{here: true}, nil
	}
	row, err := db.One(e.q.QueueEntry(ctx, db.QueueEntryParams{ID: other, UserID: e.user}))
	if errors.Is(err, db.ErrNotFound) {
		return gap{}, refused
	}
	if err != nil {
		return gap{}, err
	}
	images, err := e.q.QueueImages(ctx, other)
	if err != nil {
		return gap{}, err
	}
	if Status(row.Status).Ended() || images.Waiting == 0 || images.Begun > 0 || row.Priority != e.row.Priority {
		return gap{}, refused
	}
	above, err := e.before(ctx, row.Rank, other, false)
	if err != nil {
		return gap{}, err
	}
	if len(above) > 0 && above[0].ID == e.id {
		return gap{here: true}, nil
	}
	return between(above, &row.Rank), nil
}

func (e *entry) before(ctx context.Context, rank float64, id uuid.UUID, begun bool) ([]db.QueueBeforeRow, error) {
	return e.q.QueueBefore(ctx, db.QueueBeforeParams{
		UserID: e.user, Priority: e.row.Priority, Rank: rank, ID: id, Begun: begun,
	})
}

func (e *entry) after(ctx context.Context, rank float64, id uuid.UUID, begun bool) ([]db.QueueAfterRow, error) {
	return e.q.QueueAfter(ctx, db.QueueAfterParams{
		UserID: e.user, Priority: e.row.Priority, Rank: rank, ID: id, Begun: begun,
	})
}

// spread numbers all of the user's work of this priority anew, in its present order and up to now.
func (e *entry) spread(ctx context.Context) error {
	ids, err := e.q.QueueAll(ctx, db.QueueAllParams{UserID: e.user, Priority: e.row.Priority})
	if err != nil {
		return err
	}
	ranks := make([]float64, len(ids))
	for i := range ranks {
		ranks[i] = e.row.Now - float64(len(ids)-1-i)*apart
	}
	rows, err := e.q.QueueSpread(ctx, db.QueueSpreadParams{Ids: ids, Ranks: ranks, Origin: e.origin})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.ID == e.id {
			e.row.Rank = row.Rank
		}
		e.changed(row.ID, row.Rev, func(g *Generation) { g.rank, g.UpdatedAt = row.Rank, row.UpdatedAt })
	}
	return nil
}

// CancelCounts is what CancelAll has done.
type CancelCounts struct {
	Cancelled  int // have ended: nothing of them was inside a server
	Cancelling int // end when their server has confirmed
}

// cancelPortion is how many generations are cancelled in one statement.
const cancelPortion = 200

// CancelAll asks for the end of everything that a user has asked for until now. Asking again
// changes nothing. An error may come after a part was done, which counts tells.
func (s *Studio) CancelAll(ctx context.Context, user uuid.UUID) (counts CancelCounts, err error) {
	until, err := uuid.NewV7()
	if err != nil {
		return counts, fmt.Errorf("draw an id: %w", err)
	}
	for {
		rows, err := s.cancelSome(ctx, user, until)
		if err != nil {
			return counts, unavailable(fmt.Errorf("cancel all: %w", err))
		}
		for _, row := range rows {
			s.counters.ended(Status(row.Status))
			if Status(row.Status).Ended() {
				counts.Cancelled++
			} else {
				counts.Cancelling++
			}
			s.hub.change(row.ID, row.Rev, func(g *Generation) {
				g.cancel(Status(row.Status), row.CancelRequestedAt, row.Indexes)
			})
			s.wakeFollowers(row.ID)
		}
		if len(rows) < cancelPortion {
			s.logger.InfoContext(ctx, "all of a user cancelled", "user", user,
				"cancelled", counts.Cancelled, "cancelling", counts.Cancelling)
			return counts, nil
		}
	}
}

func (s *Studio) cancelSome(ctx context.Context, user, until uuid.UUID) (rows []db.GenerationsCancelRow, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		q := s.queries.WithTx(tx)
		if err := q.QueueLock(ctx, queueKey(user)); err != nil { // who reorders locks many rows too
			return err
		}
		rows, err = q.GenerationsCancel(ctx, db.GenerationsCancelParams{
			UserID: user, Until: until, Portion: cancelPortion, Origin: s.config.Instance,
		})
		return err
	})
	return rows, err
}

// cancel takes in that the end was asked for, which the images of these indexes have met.
func (g *Generation) cancel(status Status, at *time.Time, indexes []int32) {
	g.Status, g.CancelRequestedAt, g.UpdatedAt = status, at, *at
	for _, index := range indexes {
		image := &g.Images[index-1]
		image.Status, image.FinishedAt = Cancelled, at
	}
	if g.Status.Ended() {
		g.FinishedAt = at
	}
}
