package studio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"easel/db"
)

// The queue of the jobs that deliver is their own: receivers that hang hold up no picture, and with at
// most webhooksPerHost workers each hardly each other.
const (
	webhookQueue   = "webhooks"
	webhooksAtOnce = 8
)

// When to give up.
const (
	webhookDay       = 24 * time.Hour // after the end, or after somebody asked again
	maxWebhookPause  = time.Hour
	maxRefusals      = 8 // tries of a receiver that refuses; with the usual pauses 21 minutes
	webhookJobMargin = 20 * time.Second
)

// webhookArgs name one round of a delivery; there is one such job.
type webhookArgs struct {
	Delivery uuid.UUID `json:"delivery"`
	Round    int32     `json:"round"`
}

// Kind is River's name for the job.
func (webhookArgs) Kind() string { return "webhook" }

// InsertOpts: when to give up is decided here, not by River, whose tries are for our own failures.
func (webhookArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: webhookQueue, UniqueOpts: uniqueWhileLive}
}

// webhookWorker makes one try of a delivery, and puts its job back until the next.
type webhookWorker struct {
	river.WorkerDefaults[webhookArgs]

	studio *Studio
}

// Timeout is part of river.Worker.
func (*webhookWorker) Timeout(*river.Job[webhookArgs]) time.Duration {
	return webhookTimeout + webhookJobMargin
}

// Work is part of river.Worker.
func (w *webhookWorker) Work(ctx context.Context, job *river.Job[webhookArgs]) error {
	s := w.studio
	row, err := db.One(s.queries.WebhookForJob(ctx, db.WebhookForJobParams{ID: job.Args.Delivery, Round: job.Args.Round}))
	if errors.Is(err, db.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read delivery: %w", err)
	}
	leave, snooze := s.receivers.enter(hostOf(row.URL))
	if leave == nil {
		return river.JobSnooze(jitter(snooze)) // which is no try
	}
	defer leave()
	body, err := s.webhookBody(ctx, row)
	if errors.Is(err, ErrNotFound) {
		return nil // deleted, and the delivery with it
	}
	if err != nil {
		return fmt.Errorf("make the body: %w", err)
	}
	began := time.Now()
	a, err := s.sender.post(ctx, posting{URL: row.URL, Event: row.Event, Delivery: row.ID.String(), Body: body})
	if err != nil {
		return fmt.Errorf("deliver: %w", err)
	}
	took := time.Since(began)
	state, pause := s.afterTry(row, a)
	err = s.queries.WebhookTried(context.WithoutCancel(ctx), db.WebhookTriedParams{
		ID: row.ID, Round: row.Round, BeganAt: began, TookMS: int32(took.Milliseconds()), //nolint:gosec // seconds
		Status: int32(a.Status), Error: a.Words, Response: a.Body, //nolint:gosec // of HTTP
		State: string(state), PauseSeconds: pause.Seconds(),
	})
	if err != nil {
		return fmt.Errorf("store try: %w", err) // it comes again, under the same id
	}
	s.deliveries.changed()
	if a.Outcome == delivered {
		s.counters.WebhooksDelivered.Add(1)
	} else {
		s.counters.WebhooksFailed.Add(1)
	}
	s.logger.InfoContext(ctx, "webhook tried", "delivery", row.ID, "status", a.Status, "state", state,
		"reason", a.Words, "attempt", row.Tries+1, "retry_in", pause, "took", took)
	if state == DeliveryPending {
		return river.JobSnooze(pause)
	}
	return nil
}

// hostOf is whom an address is of, port and all; the whole of one that is none.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return strings.ToLower(u.Host)
}

// afterTry decides how a delivery goes on. A test is tried once: somebody waits for its result.
func (s *Studio) afterTry(row db.WebhookForJobRow, a answer) (DeliveryState, time.Duration) {
	tries := int(row.Tries) + 1
	pause := jitter(min(s.timing.RetryWebhook<<min(tries-1, 20), maxWebhookPause))
	pause = max(pause, a.RetryAfter)
	age := time.Duration(row.AgeSeconds * float64(time.Second))
	switch {
	case a.Outcome == delivered:
		return DeliveryDelivered, 0
	case row.Event == eventPing, a.Outcome == gone,
		a.Outcome == refused && tries >= maxRefusals,
		age+pause > webhookDay:
		return DeliveryFailed, 0
	}
	return DeliveryPending, pause
}

// webhookBody is what is posted. An ended generation does not change, so every try posts the same.
func (s *Studio) webhookBody(ctx context.Context, row db.WebhookForJobRow) ([]byte, error) {
	if row.GenerationID == nil {
		return json.Marshal(map[string]any{"event": row.Event, "createdAt": row.CreatedAt.UTC()})
	}
	g, err := s.loadOne(ctx, *row.GenerationID) // memory may not have heard of the end yet
	if err != nil {
		return nil, err
	}
	return s.config.WebhookBody(&g)
}

// briefly is a body for a studio that was given no other.
func briefly(g *Generation) ([]byte, error) {
	return json.Marshal(map[string]string{"id": g.ID.String(), "status": string(g.Status)})
}
