package studio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverSchema keeps River's tables apart from ours.
const riverSchema = "river"

// migrateLock is the key of the advisory lock under which River's tables are made.
const migrateLock = 0x6561_7365_6c // "easel"

// Migrate makes and updates River's tables, in their own schema. Any number of instances may call
// it at once.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	// The lock belongs to its connection, which does nothing else meanwhile.
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("migrate jobs: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", migrateLock); err != nil {
		return fmt.Errorf("migrate jobs: lock: %w", err)
	}
	defer func() {
		if _, err := conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", migrateLock); err != nil {
			_ = conn.Conn().Close(context.WithoutCancel(ctx)) // the lock goes with it
		}
	}()
	if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+riverSchema); err != nil {
		return fmt.Errorf("migrate jobs: schema: %w", err)
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: riverSchema})
	if err != nil {
		return fmt.Errorf("migrate jobs: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate jobs: %w", err)
	}
	return nil
}

// How many jobs run at once, and how long a graceful stop waits for them. A job that is cut off
// runs again.
const (
	jobsAtOnce  = 4
	jobsGrace   = 5 * time.Second
	rescueAfter = 5 * time.Minute
)

func (s *Studio) newRiver() (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &finalizer{studio: s}); err != nil {
		return nil, err
	}
	if err := river.AddWorkerSafely(workers, &tidier{studio: s}); err != nil {
		return nil, err
	}
	if err := river.AddWorkerSafely(workers, &remover{studio: s}); err != nil {
		return nil, err
	}
	if err := river.AddWorkerSafely(workers, &webhookWorker{studio: s}); err != nil {
		return nil, err
	}
	if err := river.AddWorkerSafely(workers, &pushWorker{studio: s}); err != nil {
		return nil, err
	}
	every := func(interval time.Duration, what string) *river.PeriodicJob {
		return river.NewPeriodicJob(river.PeriodicInterval(interval), func() (river.JobArgs, *river.InsertOpts) {
			return tidyArgs{What: what}, nil
		}, &river.PeriodicJobOpts{ID: what})
	}
	return river.NewClient(riverpgxv5.New(s.pool), &river.Config{
		Schema:  riverSchema,
		ID:      s.config.Instance.String(), // whose jobs they are: see takeUpJobs
		Workers: workers,
		Queues: map[string]river.QueueConfig{
			river.QueueDefault: {MaxWorkers: jobsAtOnce},
			webhookQueue:       {MaxWorkers: webhooksAtOnce},
			pushQueue:          {MaxWorkers: pushesAtOnce},
		},
		FetchPollInterval:    s.timing.JobPoll,
		JobTimeout:           finalizeTimeout,
		RescueStuckJobsAfter: rescueAfter,
		Logger:               s.logger.With("part", "river"),
		PeriodicJobs: []*river.PeriodicJob{
			every(5*time.Minute, tidyEvents),
			every(time.Minute, tidyUnfinished),
			every(time.Minute, tidyWebhooks),
			every(time.Hour, tidyDeliveries),
			every(time.Hour, tidyTemporary),
			every(24*time.Hour, tidyOrphans),
		},
	})
}

// runRiver works jobs until ctx ends.
func (s *Studio) runRiver(ctx context.Context) error {
	// Who works on a job must be known to be alive, before and after.
	if s.config.Sole && !s.persist(ctx, "take up jobs", s.reclaim) || !s.persist(ctx, "give a sign of life", s.giveSign) {
		return nil
	}
	// River's own context must outlive ours: with it ended, jobs are cut off in the middle. It does
	// not start while the database is away, which must not end us.
	for {
		err := s.river.Start(context.WithoutCancel(ctx))
		if err == nil {
			break
		}
		s.logger.WarnContext(ctx, "could not start the jobs", "err", err, "retry_in", minRedial)
		if !sleep(ctx, minRedial) {
			return nil
		}
	}
	<-ctx.Done()
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), jobsGrace)
	defer cancel()
	err := s.river.Stop(stopCtx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.river.StopAndCancel(context.WithoutCancel(ctx))
	}
	if err != nil {
		return fmt.Errorf("studio: stop jobs: %w", err)
	}
	s.leavePresence(ctx)
	return nil
}

// reclaim puts back the jobs that our predecessor was working on when it died. River waits for
// rescueAfter before it does that, since others may be at them; here there are no others, and
// somebody looks at "Storing" all the while.
func (s *Studio) reclaim(ctx context.Context) error {
	tag, err := s.pool.Exec(ctx, "UPDATE "+riverSchema+".river_job SET state = 'available', scheduled_at = now() WHERE state = 'running'")
	if n := tag.RowsAffected(); n > 0 {
		s.logger.InfoContext(ctx, "jobs of a killed process taken up", "count", n)
	}
	return err
}

// tidyArgs name one of the chores.
type tidyArgs struct {
	What string `json:"what"`
}

// The chores.
const (
	tidyEvents     = "events"     // drop old events
	tidyUnfinished = "unfinished" // see that every finished prompt has its job
	tidyWebhooks   = "webhooks"   // see that every delivery and every message has its job
	tidyDeliveries = "deliveries" // drop the log of old ones, browsers that want nothing, and unused uploads
	tidyTemporary  = "temporary"  // remove what broken stores left behind
	tidyOrphans    = "orphans"    // remove files that nothing refers to
)

// orphanAge is how old a file must be before it can be taken for one that nobody will refer to.
const orphanAge = 24 * time.Hour

// Kind is River's name for the job.
func (tidyArgs) Kind() string { return "tidy" }

// InsertOpts: a chore that fails comes again anyway.
func (tidyArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 1} }

type tidier struct {
	river.WorkerDefaults[tidyArgs]

	studio *Studio
}

// Work is part of river.Worker.
func (w *tidier) Work(ctx context.Context, job *river.Job[tidyArgs]) error {
	s := w.studio
	switch job.Args.What {
	case tidyEvents:
		_, err := s.queries.EventsPrune(ctx)
		return errors.Join(err, s.queries.PreviewsPrune(ctx), s.queries.InstancesPrune(ctx))
	case tidyUnfinished:
		return s.refinalize(ctx)
	case tidyWebhooks:
		return s.requeueOutbox(ctx)
	case tidyDeliveries:
		_, err := s.queries.WebhookPrune(ctx)
		_, pushErr := s.queries.PushPrune(ctx)
		return errors.Join(err, pushErr, s.pruneUploads(ctx))
	case tidyTemporary:
		removed, err := s.blobs.Sweep(ctx, orphanAge)
		if removed > 0 {
			s.logger.InfoContext(ctx, "left-over files removed", "count", removed)
		}
		return err
	case tidyOrphans:
		return s.removeOrphans(ctx)
	}
	return nil // a chore of another version
}

// refinalize inserts the jobs of finished prompts again; those that are there already stay the
// only ones. There is nothing for it to do, unless somebody has emptied River's tables.
func (s *Studio) refinalize(ctx context.Context) error {
	prompts, err := s.queries.AttemptsUnfinished(ctx)
	if err != nil {
		return err
	}
	for _, prompt := range prompts {
		if _, err := s.river.Insert(ctx, finalizeArgs{PromptID: prompt}, nil); err != nil {
			return err
		}
	}
	return nil
}

// removeOrphans deletes files that no row refers to: a crash between storing a file and its row
// leaves one.
func (s *Studio) removeOrphans(ctx context.Context) error {
	for info, err := range s.blobs.Walk(ctx) {
		if err != nil {
			return err
		}
		if time.Since(info.StoredAt) < orphanAge {
			continue
		}
		removed, err := s.removeUnused(ctx, info.SHA256)
		if errors.Is(err, errBackup) {
			return nil // tomorrow
		}
		if err != nil {
			return err
		}
		if removed {
			s.logger.InfoContext(ctx, "file without a row removed", "sha256", info.SHA256)
		}
	}
	return nil
}
