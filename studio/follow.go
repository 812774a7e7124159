package studio

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/comfy/workflow"
	"easel/db"
)

// follower leads one attempt from its POST to the moment when ComfyUI has nothing more to do with
// it. It is a goroutine; what others tell it goes through its atomics and its wake-up.
type follower struct {
	hold       *hold
	prompt     uuid.UUID
	promptID   string
	generation uuid.UUID
	image      int
	graph      workflow.Graph
	workflow   *workflow.Workflow // nil: taken over, and only needed for the words of a refusal

	wake    chan struct{}
	begun   chan struct{} // closed when its POST is over, whatever came of it; not of one that was taken over
	look    atomic.Bool   // look at ComfyUI as soon as awake
	missed  atomic.Bool   // messages were missed: the tracker has to be told what /queue says
	running atomic.Bool   // for the watchdog
	sampled atomic.Int64  // Unix nanoseconds of the first sampler step seen; 0: none

	// Of the goroutine alone.
	life   life
	steps  steps     // as last kept in the database
	fresh  bool      // not posted yet
	inputs []string  // uploads that its graph names
	known  []string  // those of them that the server was believed to have
	behind bool      // taken over, and not found out about yet
	asked  time.Time // when ComfyUI was last asked to cancel it
	hurry  time.Duration
}

// run returns when the attempt is over for this supervisor. The error is errLeaseLost; the end of
// ctx is none, and leaves the attempt as it is for whoever comes next.
func (f *follower) run(ctx context.Context) error {
	defer f.hold.leave(f)
	defer f.found()
	defer func() {
		if ctx.Err() != nil {
			f.leaveWord(context.WithoutCancel(ctx))
		}
	}()
	if f.fresh {
		over, err := f.begin(ctx)
		close(f.begun)
		if over || err != nil {
			return err
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	note := time.NewTicker(f.hold.studio.timing.NoteStep)
	defer note.Stop()
	if !f.look.Load() {
		timer.Reset(f.rest(comfy.Lookup{}))
	}
	for {
		var due bool
		select {
		case <-ctx.Done():
			return nil
		case <-note.C:
			f.noteSteps(ctx)
			continue
		case <-f.wake:
			due = f.look.Load()
		case <-timer.C:
			due = true
		}
		f.life.Cancel = f.hold.studio.hub.cancelling(f.generation)
		if over, err := f.listen(ctx); over || err != nil {
			return err
		}
		if !due {
			continue
		}
		f.look.Store(false)
		over, next, err := f.inspect(ctx)
		if over || err != nil {
			return err
		}
		timer.Reset(next)
	}
}

// begin posts the prompt, unless somebody has cancelled the generation in the meantime.
func (f *follower) begin(ctx context.Context) (over bool, err error) {
	f.fresh = false
	if f.hold.studio.hub.cancelling(f.generation) {
		return f.act(ctx, verdict{Do: endCancelled})
	}
	v, err := f.sendInputs(ctx)
	if err == nil && v.Do == wait {
		if len(f.inputs) > 0 && f.hold.studio.hub.cancelling(f.generation) { // they may have taken a while
			return f.act(ctx, verdict{Do: endCancelled})
		}
		v, err = f.submit(ctx)
	}
	if err != nil {
		return true, unlessEnded(ctx, err)
	}
	return f.act(ctx, v)
}

// listen takes in what the socket has told: that the prompt has begun needs no second witness.
func (f *follower) listen(ctx context.Context) (over bool, err error) {
	s, ok := f.hold.tracker.Snapshot(f.promptID)
	if !ok || f.life.State == attemptRunning || s.Phase == comfy.PhaseQueued || s.StartedAt.IsZero() {
		return false, nil
	}
	f.life.State, f.life.Seen, f.life.AbsentAt = attemptRunning, true, time.Time{}
	return f.act(ctx, verdict{Do: noteRunning})
}

// inspect asks for the cancellation that may be due, looks, and does what follows. next is when to
// look again.
func (f *follower) inspect(ctx context.Context) (over bool, next time.Duration, err error) {
	h := f.hold
	if f.superseded(ctx) {
		f.dismiss()
		return true, 0, nil
	}
	if f.life.Cancel && time.Since(f.asked) >= h.studio.timing.AskAgain {
		// Asked again for as long as it goes on: an interrupt in a prompt's first moment is lost.
		f.asked = time.Now()
		if err := h.client.Cancel(ctx, f.promptID); err != nil && ctx.Err() == nil {
			h.logger.Warn("could not ask for a cancellation", "prompt_id", f.promptID, "err", err)
		}
	}
	found, err := h.client.Lookup(ctx, f.promptID)
	if err != nil {
		if ctx.Err() != nil {
			return true, 0, nil
		}
		h.logger.Debug("could not look a prompt up", "prompt_id", f.promptID, "err", err)
		over, err := f.act(ctx, f.unanswered(ctx)) // nothing was said about the prompt
		return over, h.studio.timing.FastPoll, err
	}
	h.answered(time.Now())
	f.found()
	if found.State == comfy.Running && f.missed.Swap(false) {
		h.tracker.Resumed(f.promptID)
		h.studio.hub.progressed(f.promptID)
	}
	var v verdict
	f.life, v = decide(f.life, found, time.Now(), h.studio.timing)
	if v.Do == endRetried {
		// Done as soon as its worker is idle, and so before the image comes there again.
		if err := h.client.Free(ctx); err != nil && ctx.Err() == nil {
			h.logger.Warn("could not have memory freed", "prompt_id", f.promptID, "err", err)
		}
	}
	if over, err = f.act(ctx, v); over || err != nil {
		return over, 0, err
	}
	return false, f.rest(found), nil
}

// unanswered is what follows when the server cannot be asked.
func (f *follower) unanswered(ctx context.Context) verdict {
	h := f.hold
	if h.silence(time.Now()) < h.studio.timing.Abandon {
		return verdict{}
	}
	elsewhere, err := h.runsElsewhere(ctx, f.generation)
	if err != nil && ctx.Err() == nil {
		h.logger.Warn("could not find out who else can run a prompt", "prompt_id", f.promptID, "err", err)
	}
	return decideUnanswered(f.life, elsewhere)
}

// found lets go of the server's picking, which waits until everything that was taken over is
// accounted for.
func (f *follower) found() {
	if f.behind {
		f.behind = false
		f.hold.behind.Add(-1)
		ring(f.hold.supervisor.wake)
	}
}

// rest is how long to wait for a message before looking again.
func (f *follower) rest(found comfy.Lookup) time.Duration {
	h, t := f.hold, f.hold.studio.timing
	s, _ := h.tracker.Snapshot(f.promptID)
	switch {
	case !f.life.AbsentAt.IsZero(): // look again when it may be believed
		return max(t.AbsentGap, time.Until(f.life.Posted.Add(t.Settle)))
	case found.State == comfy.Succeeded, s.Ended, f.life.Cancel:
		// History may come later than the message, by 0.4 s as measured; and what was asked to
		// stop does so within a step or two.
		f.hurry = min(max(2*f.hurry, shortestLook), t.FastPoll)
		return f.hurry
	}
	f.hurry = 0
	if !f.life.Seen || h.pulse.silent(time.Now(), f.running.Load()) {
		return t.FastPoll
	}
	return jitter(t.Poll)
}

// shortestLook is the least time between two looks at the same prompt.
const shortestLook = 50 * time.Millisecond

// act stores what a verdict says, as often as it takes while the lease is ours. What the database
// refuses for what it says would be refused for ever: then the attempt is given up, in plain words.
// over is true when the attempt has left this supervisor.
func (f *follower) act(ctx context.Context, v verdict) (over bool, err error) {
	if v.Do == wait {
		return false, nil
	}
	const longest = 5 * time.Second
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, longest) {
		over, err = f.store(ctx, v)
		switch {
		case err == nil:
			return over, nil
		case ctx.Err() != nil:
			return true, nil
		case errors.Is(err, db.ErrNotFound):
			live, asked := f.hold.studio.queries.AttemptLive(ctx, f.prompt)
			if asked == nil && live {
				f.hold.studio.counters.FenceRejections.Add(1)
				return true, fmt.Errorf("%w: attempt %s was not ours to change", errLeaseLost, f.promptID)
			}
			if asked == nil {
				f.dismiss()
				return true, nil
			}
		case db.Refused(err):
			f.hold.logger.Error("the database refuses what became of a prompt", "prompt_id", f.promptID, "err", err)
			if v.Code == codeUnstorable {
				return true, nil // nor does it take the plain words: whoever comes next looks again
			}
			v = verdict{
				Do: endFailed, Code: codeUnstorable, Watch: true,
				Message: "Easel could not store what ComfyUI said about this.", Detail: err.Error(),
			}
		}
		f.hold.logger.Warn("could not store what became of a prompt", "prompt_id", f.promptID, "err", err, "retry_in", pause)
		if !sleep(ctx, pause) {
			return true, nil
		}
	}
}

func (f *follower) store(ctx context.Context, v verdict) (over bool, err error) {
	switch v.Do {
	case noteSubmitted:
		return false, f.storeSubmitted(ctx, v)
	case noteRunning:
		return false, f.storeRunning(ctx)
	case fetch:
		return true, f.storeFinalizing(ctx, v)
	}
	return true, f.storeEnd(ctx, v)
}

// steps is how far a prompt is: steps of its samplers, and its share of the time from 0 to 100.
type steps struct{ done, planned, overall int }

// progress is how far the prompt is as its tracker knows, and at least as far as was kept before a
// restart of ours.
func (f *follower) progress() steps {
	s, _ := f.hold.tracker.Snapshot(f.promptID)
	overall := max(f.hold.studio.hub.overall(f.generation, f.image), f.steps.overall)
	if s.StepsDone < f.steps.done {
		return steps{f.steps.done, f.steps.planned, overall}
	}
	return steps{s.StepsDone, s.StepsPlanned, overall}
}

// noteSteps keeps how far the prompt is, so that a restart of ours does not forget it. It is worth
// no second try, and no longer wait than a stop may take.
func (f *follower) noteSteps(ctx context.Context) {
	h, now := f.hold, f.progress()
	if f.life.State != attemptRunning || now == f.steps {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, noteTimeout)
	defer cancel()
	err := h.studio.queries.AttemptProgress(ctx, db.AttemptProgressParams{
		ServerID: h.server.ID, Owner: h.lease.owner, Fence: h.lease.fence, PromptID: f.prompt,
		StepsDone: int32(now.done), StepsPlanned: int32(now.planned), Overall: int16(now.overall), //nolint:gosec // steps
	})
	if err != nil {
		h.logger.Debug("could not keep how far a prompt is", "prompt_id", f.promptID, "err", err)
		return
	}
	f.steps = now
}

const noteTimeout = time.Second

// leaveWord keeps, for whoever comes after us, what is known here alone: that the prompt has begun, and how far it is.
func (f *follower) leaveWord(ctx context.Context) {
	s, ok := f.hold.tracker.Snapshot(f.promptID)
	if ok && !f.running.Load() && s.Phase != comfy.PhaseQueued && !s.StartedAt.IsZero() {
		ctx, cancel := context.WithTimeout(ctx, noteTimeout)
		defer cancel()
		f.life.State = attemptRunning
		if err := f.storeRunning(ctx); err != nil {
			f.hold.logger.Debug("could not leave word that a prompt has begun", "prompt_id", f.promptID, "err", err)
		}
	}
	f.noteSteps(ctx) // even so: what the end cut short may have been stored
}
