package comfy

import "time"

// Fold returns the state of a prompt after message m, which was read at time at.
//
// It is pure: p and plan stay as they are, and equal arguments give equal results. p is the zero
// value, plan.Start, or what Fold returned for the same plan. A message of another prompt, or one
// that says nothing about progress, returns p unchanged, and so does everything after the end. A
// preview without a prompt_id is taken as p's; its Image is kept as it is, so it must
// not alias a buffer that is used again.
//
// Messages may be missing: what a later one repeats is caught up with, and the verdict at the end
// is the same.
func Fold(plan *Plan, p Progress, m Message, at time.Time) Progress {
	if p.Ended || m.PromptID != "" && p.PromptID != "" && m.PromptID != p.PromptID {
		return p
	}
	q := p
	if q.run == nil {
		q.run = plan.Start(p.PromptID).run
	}
	if q.Phase.Ended() { // only the very last message still says something
		if m.Type == TypeExecuting && m.Node == "" && m.PromptID != "" {
			return stamped(p, plan.finish(q), at)
		}
		return p
	}
	switch m.Type {
	case TypeExecutionStart:
		plan.begin(&q, false, at)
	case TypeExecutionCached:
		plan.begin(&q, true, at)
		plan.markCached(&q, m.Cached)
	case TypeExecuting:
		if m.Node == "" && m.PromptID == "" {
			return p
		}
		plan.begin(&q, true, at)
		if m.Node == "" {
			return stamped(p, plan.finish(q), at)
		}
		plan.enter(&q, m)
	case TypeProgress:
		plan.begin(&q, true, at)
		plan.step(&q, m, at)
	case TypeProgressState:
		plan.begin(&q, true, at)
		plan.takeStates(&q, m.Nodes)
	case TypeExecuted:
		plan.begin(&q, true, at)
		plan.leave(&q, m)
	case TypePreview, TypePreviewWithMetadata:
		plan.begin(&q, true, at)
		q.Preview = &Preview{MIME: m.MIME, Bytes: m.Image, Rev: 1}
		if p.Preview != nil {
			q.Preview.Rev = p.Preview.Rev + 1
		}
	case TypeExecutionSuccess, TypeExecutionError, TypeExecutionInterrupted:
		plan.begin(&q, true, at)
		if m.EndsPrompt() {
			plan.judge(&q, m)
		}
	default:
		return p
	}
	plan.recount(&q)
	return stamped(p, q, at)
}

// finish is the fold of executing without a node: the prompt is over, and history has it.
func (plan *Plan) finish(q Progress) Progress {
	q.Ended = true
	q.setNode(plan, -1)
	plan.recount(&q)
	return q
}

// resume is the fold of what /queue says after a reconnect: the prompt runs. node is what the bare
// executing named, or empty.
func resume(plan *Plan, p Progress, node string, at time.Time) Progress {
	if p.Ended || p.Phase.Ended() {
		return p
	}
	q := p
	if q.run == nil {
		q.run = plan.Start(p.PromptID).run
	}
	plan.begin(&q, true, at)
	if !q.run.gap {
		q.run = q.run.clone()
		q.run.gap = true
	}
	if node != "" {
		plan.enter(&q, Message{Node: node})
	}
	plan.recount(&q)
	return stamped(p, q, at)
}

// stamped returns q, with the times if it is another state than p. A run that is not p's was made by this fold.
func stamped(p, q Progress, at time.Time) Progress {
	if q != p {
		q.UpdatedAt = at
	}
	if q.run != p.run && !q.StartedAt.IsZero() {
		q.run.stamp(p.run, q.momentOf(at), q.Phase.Ended())
	}
	return q
}

// begin notes that the prompt runs. A first message other than execution_start means that some were
// missed.
func (plan *Plan) begin(q *Progress, missed bool, at time.Time) {
	if !q.StartedAt.IsZero() {
		return
	}
	q.StartedAt = at
	q.Phase = PhaseSetup
	if missed {
		q.run = q.run.clone()
		q.run.gap = true
	}
}

// markCached takes execution_cached. It also lists nodes that nobody asked for.
func (plan *Plan) markCached(q *Progress, ids []string) {
	r := q.run.clone()
	for _, id := range ids {
		if i, ok := plan.index[id]; ok && r.status[i] == untouched {
			r.status[i] = cached
		}
	}
	q.run = plan.seal(r)
	q.Reused = len(plan.samplers) > 0
	for _, i := range plan.samplers {
		q.Reused = q.Reused && (r.status[i] == cached || r.status[i] == skipped)
	}
}

// judge takes the verdict. Of a success every step is done, whatever went unheard.
func (plan *Plan) judge(q *Progress, m Message) {
	q.setNode(plan, -1)
	switch m.Type {
	case TypeExecutionError:
		q.Phase = PhaseFailed
		return
	case TypeExecutionInterrupted:
		q.Phase = PhaseCancelled
		return
	}
	r := q.run.clone()
	for i, s := range r.status {
		switch {
		case s == running, s == untouched && r.gap:
			r.status[i] = over
		case s == untouched:
			r.status[i] = skipped // a branch that a lazy node left out
		}
	}
	q.run = plan.seal(r)
	q.Phase = PhaseComplete
}

// recount brings the numbers and the phase in line with the state.
func (plan *Plan) recount(q *Progress) {
	t := plan.tally(q.run, q.bar)
	q.StepsDone = max(q.StepsDone, t.done)
	q.StepsPlanned = max(q.StepsDone, t.planned)
	q.Pass, q.Passes = t.begun, t.passes
	switch {
	case !t.heard && t.open && q.fallback > 0 && q.StepsDone == 0: // no sampler's word yet
		q.Step, q.Steps, q.StepsPlanned = 0, q.fallback, q.fallback
	case q.bar.id == "":
		q.Step, q.Steps = 0, 0
	}
	if !q.Phase.Ended() && !q.StartedAt.IsZero() {
		q.Phase = t.phase()
	}
	q.Percent = max(q.Percent, t.percent(q.Phase))

	fraction := min(plan.fraction(q, t), maxFraction)
	if q.Phase == PhaseComplete {
		fraction = maxFraction
		if q.Ended {
			fraction = 1
		}
	}
	q.Fraction = max(q.Fraction, fraction)
}

// maxFraction is where the time-weighted bar waits for the end.
const maxFraction = 0.99

func (t tally) phase() Phase {
	switch {
	case !t.open: // all samplers have run, or none has to
		return PhaseFinishing
	case t.heard:
		return PhaseInference
	}
	return PhaseSetup
}

// percent is done of planned. The last of them waits until no sampler is at work or to come: one
// that goes on at its last step is not over.
func (t tally) percent(phase Phase) int {
	switch {
	case phase == PhaseComplete:
		return 100
	case t.planned == 0:
		return 0
	}
	percent := 100 * t.done / t.planned
	if t.open || phase.Ended() {
		percent = min(percent, 99)
	}
	return percent
}
