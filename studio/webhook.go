package studio

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"easel/db"
)

// eventPing is the event of a test; those of generations are made by the database.
const eventPing = "ping"

// DeliveryState is how a delivery stands.
type DeliveryState string

// The states of a delivery; the last two are ends until somebody asks for it again.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryFailed    DeliveryState = "failed"
)

// Delivery is the post of one event to one address, over all its tries.
type Delivery struct {
	ID         uuid.UUID // Easel-Delivery: the same at every try
	Generation uuid.UUID // uuid.Nil: a test
	Event      string    // "generation.complete", "generation.failed", "generation.cancelled" or "ping"
	URL        string
	State      DeliveryState
	Tries      []DeliveryTry // oldest first, at most maxTriesShown of the latest
	CreatedAt  time.Time
	NextTryAt  *time.Time // while it is pending
	EndedAt    *time.Time
}

// DeliveryTry is one request, with what was answered.
type DeliveryTry struct {
	Number   int // from 1
	BeganAt  time.Time
	Took     time.Duration
	Status   int    // of HTTP; 0: no answer came
	Error    string // a sentence; empty: delivered
	Response string // how the answer's body began
}

// DeliveryFilter selects deliveries for a list, newest first.
type DeliveryFilter struct {
	Generation uuid.UUID // uuid.Nil: of all, and tests
	Cursor     string    // from DeliveryPage.Next; empty: the newest
	Limit      int       // 0: 50; clamped to 1..200
}

// DeliveryPage is one part of a list.
type DeliveryPage struct {
	Deliveries []Delivery
	Next       string // cursor of the older part; empty at the end
}

const maxTriesShown = 40 // a day's, with the usual pauses

// ErrNoDelivery says that there is none of that id.
var ErrNoDelivery = errors.New("no such delivery")

// ErrNoWebhook says that none is set that could be tested.
var ErrNoWebhook = errors.New("no webhook is set")

// Deliveries pages through the log of webhooks. Errors: ErrBadCursor, ErrUnavailable.
func (s *Studio) Deliveries(ctx context.Context, f DeliveryFilter) (DeliveryPage, error) {
	limit := 50
	if f.Limit != 0 {
		limit = min(max(f.Limit, 1), 200)
	}
	params := db.WebhookListParams{Count: int32(limit) + 1} //nolint:gosec // at most 201
	if f.Generation != uuid.Nil {
		params.GenerationID = &f.Generation
	}
	if f.Cursor != "" {
		before, err := strconv.ParseInt(f.Cursor, 10, 64)
		if err != nil {
			return DeliveryPage{}, ErrBadCursor
		}
		params.Before = &before
	}
	rows, err := s.queries.WebhookList(ctx, params)
	if err != nil {
		return DeliveryPage{}, unavailable(fmt.Errorf("read deliveries: %w", err))
	}
	var page DeliveryPage
	if len(rows) > limit {
		rows = rows[:limit]
		page.Next = strconv.FormatInt(rows[limit-1].Seq, 10)
	}
	page.Deliveries, err = s.withTries(ctx, rows)
	return page, err
}

// Redeliver has a delivery made again, at once and with the same id, whatever became of it so far.
// Errors: ErrNoDelivery, ErrUnavailable.
func (s *Studio) Redeliver(ctx context.Context, id uuid.UUID) (Delivery, error) {
	if _, err := db.One(s.queries.WebhookAgain(ctx, id)); errors.Is(err, db.ErrNotFound) {
		return Delivery{}, ErrNoDelivery
	} else if err != nil {
		return Delivery{}, unavailable(fmt.Errorf("deliver again: %w", err))
	}
	return s.queued(ctx, id)
}

// TestWebhook posts a ping to the webhook of the settings. Errors: ErrNoWebhook, ErrUnavailable.
func (s *Studio) TestWebhook(ctx context.Context) (Delivery, error) {
	address := s.Settings().Webhook
	if address == "" {
		return Delivery{}, ErrNoWebhook
	}
	id, err := s.queries.WebhookPing(ctx, address)
	if err != nil {
		return Delivery{}, unavailable(fmt.Errorf("store test: %w", err))
	}
	return s.queued(ctx, id)
}

// queued has a delivery carried out that was just stored, and reads it.
func (s *Studio) queued(ctx context.Context, id uuid.UUID) (Delivery, error) {
	ring(s.hub.outbox)
	s.deliveries.changed()
	rows, err := s.queries.WebhookList(ctx, db.WebhookListParams{ID: &id, Count: 1})
	if err != nil {
		return Delivery{}, unavailable(fmt.Errorf("read delivery: %w", err))
	}
	list, err := s.withTries(ctx, rows)
	if err != nil {
		return Delivery{}, err
	}
	if len(list) == 0 { // deleted with its generation in this moment
		return Delivery{}, ErrNoDelivery
	}
	return list[0], nil
}

func (s *Studio) withTries(ctx context.Context, rows []db.WebhookListRow) ([]Delivery, error) {
	list := make([]Delivery, len(rows))
	place := make(map[uuid.UUID]int, len(rows))
	ids := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		list[i] = Delivery{
			ID: row.ID, Event: row.Event, URL: row.URL, State: DeliveryState(row.State),
			CreatedAt: row.CreatedAt, NextTryAt: row.NextTryAt, EndedAt: row.EndedAt,
		}
		if row.GenerationID != nil {
			list[i].Generation = *row.GenerationID
		}
		place[row.ID], ids[i] = i, row.ID
	}
	tries, err := s.queries.WebhookTries(ctx, db.WebhookTriesParams{DeliveryIDs: ids, Most: maxTriesShown})
	if err != nil {
		return nil, unavailable(fmt.Errorf("read tries: %w", err))
	}
	for _, try := range tries {
		d := &list[place[try.DeliveryID]]
		d.Tries = append(d.Tries, DeliveryTry{
			Number: int(try.Number), BeganAt: try.BeganAt, Took: time.Duration(try.TookMS) * time.Millisecond,
			Status: int(try.Status), Error: try.Error, Response: try.Response,
		})
	}
	return list, nil
}

// deliveries is the newest part of the log, kept for those who watch it.
type deliveries struct {
	wake chan struct{} // there may be something new

	mu       sync.Mutex // guards watchers
	watchers int
	latest   topic[[]Delivery]
}

// Of the watched part.
const (
	watchedDeliveries = 20
	deliveriesEvery   = 2 * time.Second // another instance may have made a try: nothing rings then
)

// changed has the log read anew, if anybody watches it. It never waits.
func (d *deliveries) changed() { ring(d.wake) }

// WatchDeliveries follows the newest deliveries. They are read only while somebody does.
// Errors: ErrUnavailable.
func (s *Studio) WatchDeliveries(ctx context.Context) (*Watch[[]Delivery], error) {
	d := &s.deliveries
	d.mu.Lock()
	d.watchers++
	d.mu.Unlock()
	leave := func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.watchers--
	}
	page, err := s.Deliveries(ctx, DeliveryFilter{Limit: watchedDeliveries})
	if err != nil {
		leave()
		return nil, err
	}
	d.latest.set(page.Deliveries)
	d.changed()
	return d.latest.watch(leave), nil
}

func (d *deliveries) watched() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.watchers > 0
}

// keepDeliveries reads the newest deliveries for their watchers, until ctx ends: when one was tried
// here, and now and then for those that were tried elsewhere.
func (s *Studio) keepDeliveries(ctx context.Context) error {
	timer := time.NewTimer(deliveriesEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.deliveries.wake:
		case <-timer.C:
		}
		timer.Stop() // nobody watches: the next who does rings
		if !s.deliveries.watched() {
			continue
		}
		page, err := s.Deliveries(ctx, DeliveryFilter{Limit: watchedDeliveries})
		if err != nil {
			s.logger.WarnContext(ctx, "could not read the deliveries", "err", err)
		} else {
			s.deliveries.latest.set(page.Deliveries)
		}
		timer.Reset(jitter(deliveriesEvery))
	}
}
