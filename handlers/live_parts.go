package handlers

import (
	"context"
	"time"

	"github.com/a-h/templ"

	"easel/studio"
	"easel/views"
)

// previewEvery is the least time between two previews for one watcher: four a second show how a
// picture emerges, and are four requests of a browser.
const previewEvery = 250 * time.Millisecond

// recordWait is how long the record of an ended generation may take to read.
const recordWait = 5 * time.Second

// shared renders a component for all watchers. It fails only where a template does, which is ours.
func (s *Server) shared(c templ.Component) []byte {
	events, err := patch(c)
	if err != nil {
		s.logger.Error("patch could not be rendered", "err", err)
		return nil
	}
	return events
}

// ofState is one part of a generation, rendered once for each of its states.
func (s *Server) ofState(state *studio.State, target string, show func(views.Site, views.Generation) templ.Component) part {
	return part{target: target, events: state.Frame(target, func(state *studio.State) []byte {
		return s.shared(show(s.pages.site, s.stateView(state)))
	})}
}

// ofOverview is one part of what every page shows, rendered once for each overview.
func (s *Server) ofOverview(o *studio.Overview, target string, show func() templ.Component) part {
	return part{target: target, events: o.Frame(target, func(*studio.Overview) []byte { return s.shared(show()) })}
}

// statusParts are the header and the banner.
func (s *Server) statusParts(o *studio.Overview) []part {
	return []part{
		s.ofOverview(o, "health", func() templ.Component { return views.Health(status(o)) }),
		s.ofOverview(o, "queue-count", func() templ.Component { return views.QueueCount(status(o)) }),
		s.ofOverview(o, "banner", func() templ.Component { return views.Banner(s.pages.site, status(o)) }),
	}
}

// workParts are what moves while a generation is made: on its own page and on the stage.
func (s *Server) workParts(state *studio.State) []part {
	return []part{
		s.picturesPart(state),
		s.ofState(state, "progress", views.ProgressCard),
		s.ofState(state, "announce", func(_ views.Site, g views.Generation) templ.Component { return views.Announce(g) }),
	}
}

// picturesPart is the pictures with their previews; the finished ones do not wait.
func (s *Server) picturesPart(state *studio.State) part {
	p := s.ofState(state, "pictures", views.Pictures)
	if !state.Generation.Status.Ended() {
		p.every = previewEvery
	}
	return p
}

// generationParts are those of a generation's page.
func (s *Server) generationParts(state *studio.State) []part {
	parts := append(s.workParts(state), s.tabParts(state)...)
	parts = append(parts,
		s.ofState(state, "actions", views.Actions),
		s.ofState(state, "run", views.RunFacts))
	if state.Generation.Status.Ended() {
		parts = append(parts,
			part{target: "record", events: state.Frame("record", s.endedRecord)},
			part{target: "timeline", events: state.Frame("timeline", s.endedTimeline)})
	}
	return parts
}

// endedRecord reads the record of a generation once it has ended: one query for all its watchers.
func (s *Server) endedRecord(state *studio.State) []byte {
	ctx, cancel := context.WithTimeout(context.Background(), recordWait)
	defer cancel()
	record, err := s.record(ctx, &state.Generation)
	if err != nil {
		s.logger.Warn("record could not be read for its watchers", "err", err)
		return nil
	}
	return s.shared(views.RecordFacts(s.pages.site, s.stateView(state), record))
}

// stageParts are the stage as a whole when another generation takes it, else what moves on it.
func (s *Server) stageParts(o *studio.Overview, seen sent, present *string) []part {
	id := ""
	var parts []part
	if o.Stage != nil {
		id = o.Stage.Generation.ID.String()
		parts = append(s.workParts(o.Stage), s.ofState(o.Stage, "caption", views.StageCaption))
	}
	tab := s.stageTabParts(o)
	if *present == id {
		return append(parts, tab...)
	}
	*present = id
	seen.holds(parts)
	whole := part{target: "stage", events: o.Frame("stage", func(o *studio.Overview) []byte {
		return s.shared(views.Stage(s.pages.site, s.stageView(o)))
	})}
	delete(seen, whole.target)
	delete(seen, "announce") // it stands beside the stage
	parts = append(parts, whole)
	return append(parts, tab...)
}

// stripParts are the queue and the newest pictures.
func (s *Server) stripParts(o *studio.Overview) []part {
	return []part{
		s.ofOverview(o, "queue", func() templ.Component { return views.QueueStrip(s.pages.site, s.stripView(o)) }),
		s.ofOverview(o, "recent", func() templ.Component { return views.RecentStrip(s.pages.site, s.stripView(o)) }),
	}
}
