package studio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"easel/comfy"
	"easel/db"
)

// What has ended for us because ComfyUI did not have it may turn up there yet: a POST that hangs in
// a proxy is carried out a minute later. Such attempts stay on watch for Timing.Watch, wherever the
// reason of their end is that they were absent, or that an earlier attempt made them needless.

// lateAction is what follows from looking at an attempt on watch.
type lateAction int

const (
	lateWait   lateAction = iota // not there, so far
	lateCancel                   // it is there, and nobody needs it: take it out
	lateAdopt                    // it has succeeded before any other attempt of its image
	lateOver                     // it has ended there, and nothing follows
)

// decideLate is the whole of what can follow from that: state is the attempt's, needed says whether
// its image is still to be made.
func decideLate(state string, needed bool, l comfy.Lookup) lateAction {
	switch l.State {
	case comfy.Absent:
		return lateWait
	case comfy.Waiting, comfy.Running:
		return lateCancel
	case comfy.Succeeded:
		if state == attemptLost && needed && len(wanted(l.Outputs)) > 0 {
			return lateAdopt
		}
	}
	return lateOver
}

const (
	maxWatched = 64 // attempts of one server that are watched, the newest
	maxLate    = 16 // of them looked up at once
)

// watchLate looks for what turns up late: after each connect, and every Timing.LatePoll while there
// is something to watch. Otherwise it reads the table once a minute, in case a ring was missed.
func (h *hold) watchLate(ctx context.Context) error {
	const idle = time.Minute
	timer := time.NewTimer(0)
	defer timer.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			return nil
		case <-h.late:
		case <-timer.C:
		}
		next := idle
		watched, err := h.lookForLate(ctx, turn)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			h.logger.Debug("could not look for late prompts", "err", err)
			next = h.studio.timing.LatePoll
		case watched > 0:
			next = h.studio.timing.LatePoll
		}
		timer.Reset(jitter(next))
	}
}

// lookForLate looks once at what is on watch, and does what follows. watched is how many there are.
func (h *hold) lookForLate(ctx context.Context, turn int) (watched int, err error) {
	rows, err := h.studio.queries.AttemptsOnWatch(ctx, db.AttemptsOnWatchParams{ServerID: h.server.ID, Count: maxWatched})
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	watched = len(rows)
	if rounds := (watched + maxLate - 1) / maxLate; rounds > 1 { // a portion each time
		start := turn % rounds * maxLate
		rows = rows[start:min(start+maxLate, watched)]
	}
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.PromptID.String()
	}
	found, err := h.client.LookupAll(ctx, ids)
	if err != nil {
		return watched, err
	}
	for i, row := range rows {
		if err := h.settle(ctx, row, found[ids[i]]); err != nil {
			return watched, err
		}
	}
	return watched, nil
}

// settle does what follows from what ComfyUI says of an attempt on watch.
func (h *hold) settle(ctx context.Context, row db.AttemptsOnWatchRow, l comfy.Lookup) error {
	promptID := row.PromptID.String()
	switch decideLate(row.State, row.Needed, l) {
	case lateCancel: // again each time: an interrupt in a prompt's first moment is lost
		h.logger.Info("prompt turned up late, taking it out", "prompt_id", promptID, "state", l.State)
		return h.client.Cancel(ctx, promptID)
	case lateAdopt:
		err := h.adopt(ctx, row, wanted(l.Outputs))
		if !errors.Is(err, db.ErrNotFound) {
			return err
		}
		h.logger.Debug("late prompt is not needed so far", "prompt_id", promptID)
	case lateOver:
		return h.studio.queries.AttemptUnwatch(ctx, db.AttemptUnwatchParams{
			ServerID: h.server.ID, Owner: h.lease.owner, Fence: h.lease.fence, PromptID: row.PromptID,
		})
	}
	return nil
}

// supersededWords stand in the record of an attempt that was not needed any more.
const supersededWords = "Not needed any more: an earlier attempt has succeeded after all."

// adopt takes a lost attempt that has succeeded for the image's, and its files for the image's. The
// attempt that was made in its place is cancelled. db.ErrNotFound: the image has ended, or the files
// of the other are being stored already.
func (h *hold) adopt(ctx context.Context, row db.AttemptsOnWatchRow, files []comfy.OutputFile) error {
	result, err := json.Marshal(storableFiles(files))
	if err != nil {
		return fmt.Errorf("encode files: %w", err)
	}
	var adopted db.AttemptAdoptRow
	err = pgx.BeginFunc(ctx, h.studio.pool, func(tx pgx.Tx) error {
		q := h.studio.queries.WithTx(tx)
		if err := q.AttemptSupersede(ctx, db.AttemptSupersedeParams{
			ServerID: h.server.ID, Owner: h.lease.owner, Fence: h.lease.fence, PromptID: row.PromptID,
			ErrorMessage: supersededWords, WatchSeconds: h.studio.timing.Watch.Seconds(),
		}); err != nil {
			return err
		}
		var err error
		if adopted, err = db.One(q.AttemptAdopt(ctx, db.AttemptAdoptParams{
			ServerID: h.server.ID, Owner: h.lease.owner, Fence: h.lease.fence, PromptID: row.PromptID, Result: result,
		})); err != nil {
			return err
		}
		_, err = h.studio.river.InsertTx(ctx, tx, finalizeArgs{PromptID: row.PromptID}, &river.InsertOpts{})
		return err
	})
	if err != nil {
		return fmt.Errorf("adopt a late result: %w", err)
	}
	h.logger.Info("late result adopted", "prompt_id", row.PromptID, "generation", row.GenerationID, "image", row.ImageIndex)
	h.studio.hub.change(row.GenerationID, adopted.Rev, func(g *Generation) {
		g.Status, g.UpdatedAt = Generating, adopted.UpdatedAt
		image := &g.Images[row.ImageIndex-1]
		image.Status, image.AttemptState, image.ErrorMessage = Generating, attemptFinalizing, ""
		image.PromptID, image.StartedAt = row.PromptID.String(), adopted.StartedAt
		image.Server, image.ServerID = h.latest.Load().Name, h.server.ID // another may have been at it
	})
	h.studio.wakeFollowers(row.GenerationID) // one of them follows the attempt that was superseded
	return nil
}

// superseded reports whether the attempt was ended by somebody else, because an earlier one has
// succeeded after all. Memory shows it first; the database has the last word.
func (f *follower) superseded(ctx context.Context) bool {
	if f.hold.studio.hub.prompt(f.generation, f.image) == f.promptID {
		return false
	}
	live, err := f.hold.studio.queries.AttemptLive(ctx, f.prompt)
	return err == nil && !live
}

// dismiss leaves an attempt that was ended by somebody else: it is on watch, where it is taken out
// of ComfyUI.
func (f *follower) dismiss() {
	f.hold.logger.Info("prompt is not needed any more", "prompt_id", f.promptID, "generation", f.generation, "image", f.image)
	f.stopped()
	f.hold.studio.hub.unfollow(f.promptID)
	ring(f.hold.late)
}
