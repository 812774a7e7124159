package studio

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"easel/comfy"
	"easel/db"
	"easel/failpoint"
)

// storeSubmitted records that ComfyUI has the prompt.
func (f *follower) storeSubmitted(ctx context.Context, v verdict) error {
	h := f.hold
	row, err := db.One(h.studio.queries.AttemptSubmitted(ctx, db.AttemptSubmittedParams{
		Owner: h.lease.owner, ServerID: h.server.ID, Fence: h.lease.fence, PromptID: f.prompt,
		Warnings: append([]string{}, v.Warnings...),
	}))
	if err != nil {
		return fmt.Errorf("store submission: %w", err)
	}
	h.logger.Info("prompt submitted", "prompt_id", f.promptID, "generation", f.generation, "image", f.image)
	f.change(row.Rev, func(g *Generation, image *Image) {
		g.UpdatedAt = row.UpdatedAt
		g.Warnings = append(append([]string{}, g.Warnings...), v.Warnings...)
		image.AttemptState = attemptSubmitted
	})
	return nil
}

// storeRunning records that ComfyUI works at it.
func (f *follower) storeRunning(ctx context.Context) error {
	h := f.hold
	row, err := db.One(h.studio.queries.AttemptRunning(ctx, db.AttemptRunningParams{
		Owner: h.lease.owner, ServerID: h.server.ID, Fence: h.lease.fence, PromptID: f.prompt,
	}))
	if err != nil {
		return fmt.Errorf("store start: %w", err)
	}
	f.running.Store(true)
	h.studio.hub.setServer(h.server.ID, func(s *Server) { s.Running = f.promptID })
	f.change(row.Rev, func(g *Generation, image *Image) {
		g.UpdatedAt = row.UpdatedAt
		image.AttemptState, image.StartedAt = attemptRunning, row.StartedAt
	})
	return nil
}

// storableFiles is files without NUL, which jsonb does not hold: the end would be refused for ever. In its
// place stands another control character, so that the name stays one that nobody asks for.
func storableFiles(files []comfy.OutputFile) []comfy.OutputFile {
	files = slices.Clone(files)
	for i := range files {
		f := &files[i]
		for _, text := range []*string{&f.Node, &f.Filename, &f.Subfolder, &f.Type, &f.Kind} {
			*text = strings.ReplaceAll(*text, "\x00", "\x01")
		}
	}
	return files
}

// storeFinalizing records ComfyUI's success, and with it, in one transaction, the job that fetches
// the files: neither can be without the other.
func (f *follower) storeFinalizing(ctx context.Context, v verdict) error {
	h := f.hold
	files, err := json.Marshal(storableFiles(v.Files))
	if err != nil {
		return fmt.Errorf("encode files: %w", err)
	}
	failpoint.Hit(failpoint.AfterHistory)
	s, _ := h.tracker.Snapshot(f.promptID)
	steps := f.progress()
	if !s.Reused {
		steps.done = max(steps.done, steps.planned) // those of which nothing was heard
	}
	var row db.AttemptFinalizingRow
	err = pgx.BeginFunc(ctx, h.studio.pool, func(tx pgx.Tx) error {
		var err error
		row, err = db.One(h.studio.queries.WithTx(tx).AttemptFinalizing(ctx, db.AttemptFinalizingParams{
			Owner: h.lease.owner, ServerID: h.server.ID, Fence: h.lease.fence, PromptID: f.prompt,
			Result: files, RunningAt: givenTime(s.StartedAt), SamplingAt: f.samplingAt(),
			StepsDone: int32(steps.done), StepsPlanned: int32(steps.planned), //nolint:gosec // steps
			Reused: s.Reused, Timeline: storableTimeline(&s), Calibration: h.studio.hub.calibration(f.promptID, time.Now()),
		}))
		if err != nil {
			return err
		}
		_, err = h.studio.river.InsertTx(ctx, tx, finalizeArgs{PromptID: f.prompt}, &river.InsertOpts{})
		return err
	})
	if err != nil {
		return fmt.Errorf("store success: %w", err)
	}
	failpoint.Hit(failpoint.AfterFinalizing)
	h.logger.Info("prompt done", "prompt_id", f.promptID, "generation", f.generation, "image", f.image, "files", len(v.Files))
	f.stopped()
	h.studio.studied(f.generation, h.server.ID, &s)
	f.change(row.Rev, func(g *Generation, image *Image) {
		g.UpdatedAt = row.UpdatedAt
		image.AttemptState, image.StartedAt = attemptFinalizing, row.StartedAt
		image.StepsDone, image.StepsPlanned, image.Reused = steps.done, steps.planned, s.Reused
	})
	return nil
}

// storeEnd records an attempt that gave nothing, and what that means for its image.
func (f *follower) storeEnd(ctx context.Context, v verdict) error {
	h := f.hold
	state, image := endings(v.Do)
	v.Message, v.Detail = clean(v.Message), clean(v.Detail)
	s, _ := h.tracker.Snapshot(f.promptID)
	steps, watch := f.progress(), time.Duration(0)
	if v.Watch {
		watch = h.studio.timing.Watch
	}
	row, err := db.One(h.studio.queries.AttemptEnd(ctx, db.AttemptEndParams{
		Owner: h.lease.owner, ServerID: h.server.ID, Fence: h.lease.fence, PromptID: f.prompt,
		State: state, LossReason: only(state == attemptLost, v.Reason), RetryReason: only(state != attemptLost, v.Reason),
		ImageStatus: string(image), ErrorCode: v.Code, ErrorMessage: v.Message, ErrorDetail: v.Detail,
		StepsDone: int32(steps.done), StepsPlanned: int32(steps.planned), //nolint:gosec // steps
		Timeline: storableTimeline(&s), WatchSeconds: watch.Seconds(),
	}))
	if err != nil {
		return fmt.Errorf("store end: %w", err)
	}
	h.logger.Info("prompt ended", "prompt_id", f.promptID, "generation", f.generation, "image", f.image,
		"state", state, "reason", v.Reason, "code", v.Code)
	if state == attemptLost {
		h.studio.counters.AttemptsLost.Add(1)
	}
	h.studio.counters.ended(Status(row.Status))
	f.stopped()
	if v.Watch {
		ring(h.late)
	}
	f.change(row.Rev, func(g *Generation, image *Image) {
		image.AttemptState, image.Status, image.ErrorMessage = state, Status(row.ImageStatus), v.Message
		image.StepsDone, image.StepsPlanned = steps.done, steps.planned
		if image.Status.Ended() {
			image.FinishedAt = &row.UpdatedAt
		} else {
			image.putBack(v.Reason)
		}
		code := v.Code
		if image.Status != Failed {
			code = ""
		}
		g.endWith(Status(row.Status), row.UpdatedAt, code, v.Message)
	})
	h.studio.hub.unfollow(f.promptID)
	if Status(row.ImageStatus) == Pending {
		h.studio.wakeSupervisors()
	}
	return nil
}

// endings are the states of attempt and image that an end brings. A lost attempt's image goes
// back into the queue; AttemptEnd cancels it instead if that was asked in the meantime.
func endings(a action) (attempt string, image Status) {
	switch a {
	case endCancelled:
		return attemptCancelled, Cancelled
	case endInterrupted:
		return attemptCancelled, Failed
	case endLost:
		return attemptLost, Pending
	case endRetried:
		return attemptFailed, Pending
	case endGone:
		return attemptLost, Failed
	}
	return attemptFailed, Failed
}

// only is text where it is meant, else empty.
func only(meant bool, text string) string {
	if meant {
		return text
	}
	return ""
}

// change brings a stored change to the hub.
func (f *follower) change(rev int64, mutate func(*Generation, *Image)) {
	f.hold.studio.hub.change(f.generation, rev, func(g *Generation) {
		mutate(g, &g.Images[f.image-1])
	})
}

// stopped notes that the server does not work at it any more.
func (f *follower) stopped() {
	f.running.Store(false)
	running := f.hold.running()
	f.hold.studio.hub.setServer(f.hold.server.ID, func(s *Server) { s.Running = running })
}

// samplingAt is when the first sampler step was seen.
func (f *follower) samplingAt() *time.Time {
	nanos := f.sampled.Load()
	if nanos == 0 {
		return nil
	}
	at := time.Unix(0, nanos)
	return &at
}
