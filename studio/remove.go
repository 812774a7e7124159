package studio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"easel/blob"
	"easel/db"
)

// Delete removes an ended generation, and has the files removed that nothing else uses. ErrLive,
// ErrNotFound.
func (s *Studio) Delete(ctx context.Context, id uuid.UUID) error {
	removed, err := s.deleteRows(ctx, id)
	if err != nil {
		return unavailable(fmt.Errorf("delete generation: %w", err))
	}
	if !removed {
		if _, err := s.loadOne(ctx, id); err != nil {
			return err
		}
		return ErrLive
	}
	s.announce(bellDeleted, id, deleted)
	s.hub.remove(id) // and the newest pictures are read anew
	s.logger.InfoContext(ctx, "generation deleted", "generation", id)
	return nil
}

// deleteRows deletes the rows and, in the same transaction, inserts the jobs that remove the
// files: nobody has to live on for that, and the storage may be down. removed is false when there
// is no such generation, or it has not ended.
func (s *Studio) deleteRows(ctx context.Context, id uuid.UUID) (removed bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		blobs, err := s.queries.WithTx(tx).GenerationDelete(ctx, id)
		if err != nil {
			return err
		}
		removed = len(blobs) > 0
		blobs = slices.DeleteFunc(blobs, func(name string) bool { return name == "" })
		if len(blobs) == 0 {
			return nil
		}
		var jobs []river.InsertManyParams
		for some := range slices.Chunk(blobs, removedAtOnce) {
			jobs = append(jobs, river.InsertManyParams{Args: removeArgs{Blobs: some}})
		}
		_, err = s.river.InsertManyTx(ctx, tx, jobs)
		return err
	})
	return removed && err == nil, err
}

// removeArgs name blobs that lost a row.
type removeArgs struct {
	Blobs []string `json:"blobs"`
}

// Kind is River's name for the job.
func (removeArgs) Kind() string { return "blob_delete" }

// InsertOpts: with the longest pause of ten minutes it goes on for more than half a day. Then the
// daily look for files without a row takes over.
func (removeArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 100} }

const (
	removedAtOnce  = 256 // blobs of one job
	removeWait     = 20 * time.Second
	maxRemovePause = 10 * time.Minute
	backupPause    = time.Minute // until a removal that a backup forbids is tried again
)

// remover removes blobs that no row refers to any more.
type remover struct {
	river.WorkerDefaults[removeArgs]

	studio *Studio
}

// NextRetry is part of river.Worker.
func (w *remover) NextRetry(job *river.Job[removeArgs]) time.Time {
	return time.Now().Add(min(time.Second<<min(job.Attempt-1, 20), maxRemovePause))
}

// Work is part of river.Worker. What an earlier try has removed costs a look.
func (w *remover) Work(ctx context.Context, job *river.Job[removeArgs]) error {
	for _, name := range job.Args.Blobs {
		switch _, err := w.studio.removeUnused(ctx, name); {
		case errors.Is(err, errBackup):
			return river.JobSnooze(backupPause)
		case err != nil:
			return fmt.Errorf("remove file %s: %w", name, err)
		}
	}
	return nil
}

// errBackup: a backup is being made, and may be about to read what would be removed.
var errBackup = errors.New("a backup is being made")

// removeUnused removes a blob if no row refers to it, on whichever instance it was stored.
//
// Storing a blob and referring to it are two steps, and a removal between them would leave a row
// without its file. So both sides take a lock of the blob in the database: refer looks for the file
// under it before it commits, and we look for rows under it before we remove. Whoever comes second
// sees what the first has done. The lock ends with the transaction: a process that stood still for
// longer than removeWait may have lost it, and its context with it, and removes nothing.
func (s *Studio) removeUnused(ctx context.Context, name string) (removed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, removeWait)
	defer cancel()
	used, err := s.queries.BlobUsed(ctx, name)
	if err != nil || used {
		return false, err // most are used; that needs no lock
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		queries := s.queries.WithTx(tx)
		switch allowed, err := queries.RemovalAllowed(ctx); {
		case err != nil:
			return err
		case !allowed:
			return errBackup
		}
		if err := queries.BlobAlone(ctx, name); err != nil {
			return err
		}
		// A statement of its own: what was committed before the lock was ours must be seen.
		used, err := queries.BlobUsed(ctx, name)
		if err != nil || used || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		removed = true
		return s.blobs.Delete(ctx, name)
	})
	return removed && err == nil, err
}

// refer ends an image with the outputs in arg, all of which are stored. It fails when one has been
// removed since, as a file that nothing referred to: then all is to be stored again.
func (s *Studio) refer(ctx context.Context, arg db.AttemptSucceedParams) (ended db.AttemptSucceedRow, err error) {
	err = s.keeping(ctx, slices.Concat(arg.SHA256s, arg.Thumbnails), func(queries *db.Queries) error {
		ended, err = db.One(queries.AttemptSucceed(ctx, arg))
		return err
	})
	return ended, err
}

// keeping makes rows that refer to stored files, in one transaction, unless one of the files has been removed since.
func (s *Studio) keeping(ctx context.Context, names []string, store func(*db.Queries) error) error {
	slices.Sort(names)
	names = slices.Compact(names)
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		queries := s.queries.WithTx(tx)
		if err := queries.BlobsKeep(ctx, names); err != nil {
			return err
		}
		for _, name := range names {
			switch _, err := s.blobs.Stat(ctx, name); {
			case errors.Is(err, blob.ErrNotFound):
				return fmt.Errorf("file %s was removed before a row referred to it", name)
			case err != nil:
				return err
			}
		}
		return store(queries)
	})
}
