package studio

import (
	"context"
	"maps"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/db"
)

const (
	previewEvery    = 500 * time.Millisecond // between two previews of a prompt on a bus that carries them
	previewRowEvery = time.Second            // the same through the table
	previewBytes    = 512 << 10              // of a preview that others are sent; larger ones are seen on the follower alone
	previewTidy     = 5 * time.Second        // between two looks for prompts that are over
	previewWait     = 5 * time.Second        // for one statement
	mostFetched     = 100
)

// shown is a preview that the others were sent.
type shown struct {
	rev    uint64
	at     time.Time
	stored bool // there is a row
}

// carryPreviews sends the previews that are watched elsewhere, and fetches those of others that are in the table, until
// ctx ends.
func (r *relay) carryPreviews(ctx context.Context) error {
	timer := time.NewTimer(previewTidy)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			r.dropPreviews(context.WithoutCancel(ctx), nil)
			return nil
		case <-r.look:
		case <-timer.C:
		}
		next := r.fetchPreviews(ctx)
		timer.Reset(min(next, r.sendPreviews(ctx, time.Now())))
	}
}

// sendPreviews sends each new preview that somebody watches elsewhere, as often as its way allows.
func (r *relay) sendPreviews(ctx context.Context, now time.Time) (next time.Duration) {
	next = previewTidy
	watched := r.watchedElsewhere()
	var prompts []string
	if len(watched) > 0 || len(r.shown) > 0 {
		prompts = r.hub.prompts()
	}
	if r.resend.Swap(false) {
		for _, p := range r.shown {
			p.rev = 0
		}
	}
	live := make(map[string]bool, len(prompts))
	for _, p := range r.hub.ours(prompts) {
		live[p.Progress.PromptID] = true
		preview := p.Progress.Preview
		if _, ok := watched[p.Generation]; !ok || preview == nil || len(preview.Bytes) > previewBytes {
			continue
		}
		last := r.shown[p.Progress.PromptID]
		if last == nil {
			last = &shown{}
			r.shown[p.Progress.PromptID] = last
		}
		if last.rev == preview.Rev {
			continue
		}
		byBus := len(preview.Bytes)+batchBytes <= r.bus.MaxBytes()
		every := previewRowEvery
		if byBus {
			every = previewEvery
		}
		if wait := every - now.Sub(last.at); wait > 0 {
			next = min(next, wait)
			continue
		}
		last.at = now
		if r.sendPreview(ctx, p, byBus, last) {
			last.rev = preview.Rev
		} else {
			next = min(next, every) // it may be the last that this prompt has for long
		}
	}
	r.dropPreviews(ctx, live)
	return next
}

// sendPreview is true if the preview was sent.
func (r *relay) sendPreview(ctx context.Context, p relayed, byBus bool, last *shown) bool {
	m := message{notice: notice{Kind: kindPreview}, Preview: &relayedPreview{
		Generation: p.Generation, PromptID: p.Progress.PromptID, Rev: p.Progress.Preview.Rev, MIME: p.Progress.Preview.MIME,
	}}
	if byBus {
		m.bytes = p.Progress.Preview.Bytes
	} else if err := r.storePreview(ctx, m.Preview, p.Progress.Preview.Bytes); err != nil {
		r.logger.DebugContext(ctx, "could not store a preview", "prompt_id", p.Progress.PromptID, "err", err)
		return false
	} else {
		last.stored = true
	}
	p.Progress.Preview = nil
	p.shorten()
	progress := message{notice: notice{Kind: kindProgress}, Progress: []relayed{p}}
	if err := r.send(ctx, progress, m); err != nil { // who has not heard of the prompt has no place for its preview
		r.logger.DebugContext(ctx, "could not send a preview", "prompt_id", p.Progress.PromptID, "err", err)
		return false
	}
	return true
}

func (r *relay) storePreview(ctx context.Context, p *relayedPreview, bytes []byte) error {
	prompt, err := uuid.Parse(p.PromptID)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, previewWait)
	defer cancel()
	return r.queries.PreviewPut(ctx, db.PreviewPutParams{PromptID: prompt, Rev: int64(p.Rev), MIME: p.MIME, Bytes: bytes}) //nolint:gosec // counts previews
}

// dropPreviews forgets the previews of prompts that are not live any more; nil: of all.
func (r *relay) dropPreviews(ctx context.Context, live map[string]bool) {
	for promptID, p := range r.shown {
		if live[promptID] {
			continue
		}
		delete(r.shown, promptID)
		if prompt, err := uuid.Parse(promptID); p.stored && err == nil {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			if err := r.queries.PreviewDelete(ctx, prompt); err != nil {
				r.logger.DebugContext(ctx, "could not delete a preview", "prompt_id", promptID, "err", err) // the tidy job does
			}
			cancel()
		}
	}
}

func (r *relay) watchedElsewhere() map[uuid.UUID]struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	watched := make(map[uuid.UUID]struct{})
	for _, p := range r.peers {
		for id := range p.watched {
			watched[id] = struct{}{}
		}
	}
	return watched
}

// previewed takes in a preview of a prompt that is followed elsewhere.
func (r *relay) previewed(m *message) {
	p := m.Preview
	switch {
	case p == nil || len(m.bytes) > previewBytes:
	case len(m.bytes) > 0:
		r.hub.previewed(p.Generation, p.PromptID, &comfy.Preview{MIME: p.MIME, Bytes: m.bytes, Rev: p.Rev})
	default:
		prompt, err := uuid.Parse(p.PromptID)
		if err != nil || !r.hub.watches(p.Generation) && !r.wants(p.Generation) {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.fetch) < mostFetched {
			r.fetch[prompt] = p.Generation
			ring(r.look)
		}
	}
}

func (r *relay) wants(generation uuid.UUID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.wanted[generation]
	return ok
}

// fetchPreviews reads the previews that were announced and did not fit the bus. next is when to try again.
func (r *relay) fetchPreviews(ctx context.Context) (next time.Duration) {
	r.mu.Lock()
	fetch := r.fetch
	r.fetch = make(map[uuid.UUID]uuid.UUID)
	r.mu.Unlock()
	if len(fetch) == 0 {
		return previewTidy
	}
	prompts := make([]uuid.UUID, 0, len(fetch))
	for prompt := range fetch {
		prompts = append(prompts, prompt)
	}
	ctx, cancel := context.WithTimeout(ctx, previewWait)
	defer cancel()
	rows, err := r.queries.PreviewsOf(ctx, prompts)
	if err != nil {
		r.logger.DebugContext(ctx, "could not read previews", "err", err)
		r.mu.Lock()
		defer r.mu.Unlock()
		maps.Copy(r.fetch, fetch)
		return previewRowEvery
	}
	for _, row := range rows {
		r.hub.previewed(fetch[row.PromptID], row.PromptID.String(),
			&comfy.Preview{MIME: row.MIME, Bytes: row.Bytes, Rev: uint64(row.Rev)}) //nolint:gosec // above 0
	}
	return previewTidy
}
