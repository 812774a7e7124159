package studio

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"easel/db"
)

// The queue of the jobs that tell browsers is their own, as that of webhooks is.
const (
	pushQueue    = "push"
	pushesAtOnce = 4
)

// pushArgs name a message; there is one such job.
type pushArgs struct {
	Message uuid.UUID `json:"message"`
}

// Kind is River's name for the job.
func (pushArgs) Kind() string { return "push" }

// InsertOpts: when to give up is decided here.
func (pushArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: pushQueue, UniqueOpts: uniqueWhileLive}
}

// pushWorker makes one try of a message, and puts its job back until the next.
type pushWorker struct {
	river.WorkerDefaults[pushArgs]

	studio *Studio
}

// Timeout is part of river.Worker.
func (*pushWorker) Timeout(*river.Job[pushArgs]) time.Duration {
	return webhookTimeout + webhookJobMargin
}

// Work is part of river.Worker.
func (w *pushWorker) Work(ctx context.Context, job *river.Job[pushArgs]) error {
	s := w.studio
	row, err := db.One(s.queries.PushForJob(ctx, job.Args.Message))
	if errors.Is(err, db.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	leave, snooze := s.pushServices.enter(hostOf(row.Endpoint))
	if leave == nil {
		return river.JobSnooze(jitter(snooze)) // which is no try
	}
	defer leave()
	message := pushing{Keep: max(pushPatience-ageOf(row), 0), Browser: Browser{Endpoint: row.Endpoint, PublicKey: row.PublicKey, Auth: row.Auth}}
	if row.GenerationID != nil {
		message.Topic = base64.RawURLEncoding.EncodeToString(row.GenerationID[:])
	}
	message.Body, err = s.pushBody(ctx, row.GenerationID)
	if errors.Is(err, ErrNotFound) {
		return nil // deleted, and the message with it
	}
	if err != nil {
		return fmt.Errorf("make the body: %w", err)
	}
	a, err := s.sender.push(ctx, s.config.PushKey, s.config.PushContact, message)
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	return s.afterPush(context.WithoutCancel(ctx), row, a)
}

func ageOf(row db.PushForJobRow) time.Duration {
	return time.Duration(row.AgeSeconds * float64(time.Second))
}

// afterPush stores what came of a try. A browser that is gone is forgotten, with all that it was to be told.
func (s *Studio) afterPush(ctx context.Context, row db.PushForJobRow, a answer) error {
	pause := max(jitter(min(s.timing.RetryWebhook<<min(row.Tries, 20), maxWebhookPause)), a.RetryAfter)
	again := a.Outcome == tryAgain && ageOf(row)+pause <= pushPatience && row.GenerationID != nil // somebody waits for a test
	var err error
	switch {
	case a.Outcome == gone:
		_, err = s.queries.PushUnsubscribe(ctx, row.SubscriptionID)
	case again:
		err = s.queries.PushTried(ctx, db.PushTriedParams{ID: row.ID, PauseSeconds: pause.Seconds()})
	default:
		err = s.queries.PushDone(ctx, row.ID)
	}
	if err != nil {
		return fmt.Errorf("store try: %w", err) // it comes again, on the same topic
	}
	if a.Outcome == delivered {
		s.counters.PushesDelivered.Add(1)
	} else {
		s.counters.PushesFailed.Add(1)
	}
	// The endpoint stays out: whoever has it and our key can write to the browser.
	s.logger.InfoContext(ctx, "push tried", "message", row.ID, "host", hostOf(row.Endpoint), "status", a.Status,
		"reason", a.Words, "attempt", row.Tries+1, "again", again)
	if again {
		return river.JobSnooze(pause)
	}
	return nil
}

// pushBody is what a browser is told. An ended generation does not change, so every try says the same.
func (s *Studio) pushBody(ctx context.Context, id *uuid.UUID) ([]byte, error) {
	if id == nil {
		return s.config.PushBody(nil)
	}
	g, err := s.loadOne(ctx, *id) // memory may not have heard of the end yet
	if err != nil {
		return nil, err
	}
	return s.config.PushBody(&g)
}

// shortly is a body for a studio that was given no other.
func shortly(g *Generation) ([]byte, error) {
	if g == nil {
		return json.Marshal(map[string]string{"status": "test"})
	}
	return briefly(g)
}
