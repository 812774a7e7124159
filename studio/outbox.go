package studio

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"easel/db"
)

// What is to be told of an end, to a webhook or to a browser, is a row that the statement wrote which ended the
// generation. River carries it out; here each row gets its job.

// outboxPortion is how many rows of each kind get their jobs at once.
const outboxPortion = 100

// uniqueWhileLive: a job that ended does not keep its row from having another.
var uniqueWhileLive = river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning,
	rivertype.JobStateRetryable, rivertype.JobStateScheduled,
}}

// keepOutbox gives jobs to what is to be told as soon as a generation has ended here, until ctx ends. It
// begins with what a crash has left without one.
func (s *Studio) keepOutbox(ctx context.Context) error {
	for {
		for {
			err := s.queueOutbox(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			s.logger.WarnContext(ctx, "could not queue what is to be told", "err", err, "retry_in", reloadAfter)
			sleep(ctx, reloadAfter)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.hub.outbox:
		}
	}
}

// queueOutbox inserts the jobs of all rows that have none.
func (s *Studio) queueOutbox(ctx context.Context) error {
	for {
		var n int
		err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			queries := s.queries.WithTx(tx)
			rows, err := queries.OutboxJobless(ctx, outboxPortion)
			if n = len(rows); err != nil || n == 0 {
				return err
			}
			return s.insertJobs(ctx, tx, queries, rows)
		})
		if err != nil {
			return fmt.Errorf("queue what is to be told: %w", err)
		}
		if n < outboxPortion {
			return nil
		}
	}
}

func (s *Studio) insertJobs(ctx context.Context, tx pgx.Tx, queries *db.Queries, rows []db.OutboxJoblessRow) error {
	jobs := make([]river.InsertManyParams, len(rows))
	for i, row := range rows {
		if row.Kind == (pushArgs{}).Kind() {
			jobs[i].Args = pushArgs{Message: row.ID}
		} else {
			jobs[i].Args = webhookArgs{Delivery: row.ID, Round: row.Round}
		}
	}
	inserted, err := s.river.InsertManyTx(ctx, tx, jobs)
	if err != nil {
		return err
	}
	var webhooks db.WebhookJobsParams
	var messages db.PushJobsParams
	for i, row := range rows {
		if id := inserted[i].Job.ID; row.Kind == (pushArgs{}).Kind() {
			messages.MessageIDs, messages.JobIDs = append(messages.MessageIDs, row.ID), append(messages.JobIDs, id)
		} else {
			webhooks.DeliveryIDs, webhooks.JobIDs = append(webhooks.DeliveryIDs, row.ID), append(webhooks.JobIDs, id)
		}
	}
	if len(webhooks.JobIDs) > 0 {
		if err := queries.WebhookJobs(ctx, webhooks); err != nil {
			return err
		}
	}
	if len(messages.JobIDs) > 0 {
		return queries.PushJobs(ctx, messages)
	}
	return nil
}

// requeueOutbox is the chore behind keepOutbox: what an instance that died had left.
func (s *Studio) requeueOutbox(ctx context.Context) error {
	late, err := s.queries.WebhookOverdue(ctx)
	if err != nil {
		return fmt.Errorf("find overdue webhooks: %w", err)
	}
	if late > 0 {
		s.logger.WarnContext(ctx, "webhooks are overdue", "count", late)
	}
	if late, err = s.queries.PushOverdue(ctx); err != nil {
		return fmt.Errorf("find overdue messages: %w", err)
	}
	if late > 0 {
		s.logger.WarnContext(ctx, "messages to browsers are overdue", "count", late)
	}
	return s.queueOutbox(ctx)
}
