package handlers

import (
	"cmp"
	"context"
	"time"

	"easel/comfy"
	"easel/studio"
	"easel/views"
)

// timeline is where the time of a generation went. While it lives there is nothing to show yet.
func (s *Server) timeline(ctx context.Context, g *studio.Generation) (views.Timeline, error) {
	if !g.Status.Ended() {
		return views.Timeline{}, nil
	}
	lines, usual, err := s.timelines(ctx, g)
	if err != nil {
		return views.Timeline{}, err
	}
	shown := views.Timeline{Runs: usual.Runs, URL: s.paths.APITimeline(g.ID.String())}
	if g.FinishedAt != nil {
		shown.Total = g.FinishedAt.Sub(g.CreatedAt)
	}
	var first time.Time
	for i := range lines {
		line := &lines[i]
		if line.RunningAt == nil {
			continue // it never ran
		}
		if first.IsZero() || line.RunningAt.Before(first) {
			first = *line.RunningAt
		}
		shown.Images = append(shown.Images, imageTimeline(line, usual))
		if c := line.Calibration; c != nil {
			shown.Measured++
			shown.Error += c.Errors.Overall
		}
	}
	shown.Error /= float64(max(1, shown.Measured))
	for i := range shown.Images {
		shown.Images[i].Offset -= first.Sub(g.CreatedAt)
	}
	return shown, nil
}

// timelines reads when the images of g came how far, and what is usual for such.
func (s *Server) timelines(ctx context.Context, g *studio.Generation) ([]studio.Timeline, studio.Usual, error) {
	lines, err := s.studio.Timelines(ctx, g.ID)
	if err != nil || len(lines) == 0 {
		return nil, studio.Usual{}, err
	}
	usual, err := s.studio.Usual(ctx, g.ID)
	return lines, usual, err
}

// worthASpan is how long a wait must be to be shown by itself.
const worthASpan = 250 * time.Millisecond

// imageTimeline is t, which has run, with its times since then. Its Offset is that beginning, since the
// generation was accepted.
//
// Two clocks told of it: the database's of its states, this or another instance's of its nodes. Each counts
// from its own idea of the beginning, so that they need not agree.
func imageTimeline(t *studio.Timeline, usual studio.Usual) views.ImageTimeline {
	began := *t.RunningAt
	shown := views.ImageTimeline{Index: t.ImageIndex, Offset: began.Sub(t.AcceptedAt)}
	if t.Succeeded() {
		shown.Usual = usual.Took
	} else {
		usual = studio.Usual{}
	}
	shown.Spans = waits(t)
	var last time.Duration
	var cached []views.Span
	sampled := false
	for _, n := range t.Nodes {
		span := nodeSpan(n, usual.Nodes[n.Node])
		sampled = sampled || span.Kind == views.SpanSample
		switch {
		case n.Cached:
			cached = append(cached, span)
			continue
		case sampled && span.Kind != views.SpanSample:
			span.Kind = views.SpanFinish
		}
		shown.Spans = append(shown.Spans, span)
		last = max(last, span.End)
	}
	shown.Spans = append(append(shown.Spans, stores(t, last)...), cached...)
	return shown
}

// waits are the spans before ComfyUI began: Easel's queue, and that inside the server.
func waits(t *studio.Timeline) []views.Span {
	name := "Queue"
	if t.Number > 1 {
		name = "Queue and earlier attempts"
	}
	whole := t.RunningAt.Sub(t.AcceptedAt)
	inside := time.Duration(0)
	if t.SubmittedAt != nil {
		inside = max(0, t.RunningAt.Sub(*t.SubmittedAt))
	}
	if inside < worthASpan {
		inside = 0
	}
	spans := []views.Span{{Name: name, Kind: views.SpanWait, Start: -max(whole, 0), End: -inside}}
	if inside > 0 {
		spans = append(spans, views.Span{Name: "Queue of " + t.Server, Kind: views.SpanWait, Start: -inside})
	}
	return spans
}

// nodeSpan is a node; those before the first sampler are set-up.
func nodeSpan(n comfy.NodeTime, usual studio.UsualNode) views.Span {
	span := views.Span{
		Name: cmp.Or(n.Title, n.Class, n.Node), Node: n.Node, Kind: views.SpanSetup, Cached: n.Cached,
		Start: n.Start, End: max(n.End, n.Start), Usual: usual.Took, Rare: usual.Cached,
	}
	before := n.Start
	for _, p := range n.Passes {
		span.Kind = views.SpanSample
		pass := views.Pass{Start: p.Start, End: p.End, Steps: p.Steps}
		// A step is seen when it is done: the first ones began about as long before as each of the others took.
		if others := p.Steps - p.First; others > 0 {
			pass.Start = max(before, p.Start-(p.End-p.Start)/time.Duration(others)*time.Duration(p.First))
		}
		before = p.End
		span.Passes = append(span.Passes, pass)
	}
	return span
}

// stores are the spans after ComfyUI was done with the last node.
func stores(t *studio.Timeline, last time.Duration) []views.Span {
	if t.FinishedAt == nil || t.Fetch+t.Store == 0 {
		return nil
	}
	stored := max(last+t.Fetch+t.Store, t.FinishedAt.Sub(*t.RunningAt))
	fetched := stored - t.Store
	fetch := fetched - t.Fetch
	var spans []views.Span
	if fetch-last >= worthASpan {
		spans = append(spans, views.Span{Name: "Before the transfer", Kind: views.SpanStore, Start: last, End: fetch})
	}
	return append(spans,
		views.Span{Name: "Transfer", Kind: views.SpanStore, Start: fetch, End: fetched},
		views.Span{Name: "Storage", Kind: views.SpanStore, Start: fetched, End: stored})
}

// endedTimeline reads the timeline of a generation once it has ended, for all its watchers.
func (s *Server) endedTimeline(state *studio.State) []byte {
	ctx, cancel := context.WithTimeout(context.Background(), recordWait)
	defer cancel()
	timeline, err := s.timeline(ctx, &state.Generation)
	if err != nil {
		s.logger.Warn("timeline could not be read for its watchers", "err", err)
		return nil
	}
	return s.shared(views.TimelineSection(s.pages.site, timeline))
}
