package handlers

import (
	"context"
	"net/http"

	"easel/studio"
	"easel/views"
)

// streamGallery keeps an open gallery up to date: its header, the cards of what still runs, and
// the pill that says how many came in since the page was made.
func (s *Server) streamGallery(w http.ResponseWriter, r *http.Request, q galleryQuery) error {
	overview := s.studio.WatchOverview()
	defer overview.Close()
	st, err := s.openStream(w, r)
	if err != nil {
		return err
	}
	onPage := &openCards{server: s, query: q, live: map[string]bool{}}
	return s.follow(st, overview.Changed(), nil, func(sent) []part {
		o := overview.Latest()
		parts := append(s.statusParts(o), onPage.parts(r.Context(), o)...)
		return append(parts, s.pillPart(o, q))
	})
}

// openCards are the cards of one open gallery that may still change. A search has none: whether a
// generation matches is for the database to say.
type openCards struct {
	server *Server
	query  galleryQuery
	begun  bool
	live   map[string]bool // ids of generations that run and whose cards the page has
}

// parts are the cards that changed. The first time also what ended a moment ago is sent: it may
// have done so between the page and its stream.
func (c *openCards) parts(ctx context.Context, o *studio.Overview) []part {
	if c.query.text != "" || c.query.cursor != "" || c.query.since == lastID {
		return nil
	}
	var parts []part
	now := liveByID(o)
	for id, state := range now {
		has := c.live[id] || !c.begun && id <= c.query.since &&
			(c.query.status == "" || c.query.status == string(state.Generation.Status))
		if has {
			c.live[id] = true
			parts = append(parts, c.card(state))
		}
	}
	for _, state := range o.Recent {
		id := state.Generation.ID.String()
		if c.live[id] && now[id] == nil || !c.begun && c.query.status == "" && id <= c.query.since {
			parts = append(parts, c.card(state))
			delete(c.live, id)
		}
	}
	for id := range c.live {
		if now[id] != nil {
			continue
		}
		delete(c.live, id) // it ended without a picture: its record says how
		if parsed, ok := canonicalID(id); ok {
			if state, err := c.server.studio.State(ctx, parsed); err == nil {
				parts = append(parts, c.card(state))
			}
		}
	}
	c.begun = true
	return parts
}

func (c *openCards) card(state *studio.State) part {
	id := state.Generation.ID.String()
	return part{target: "card-" + id, events: state.Frame("card", func(state *studio.State) []byte {
		return c.server.shared(views.Card(c.server.pages.site, c.server.stateView(state), state.Generation.CreatedAt))
	})}
}

// pillPart counts what came in since the page was made.
func (s *Server) pillPart(o *studio.Overview, q galleryQuery) part {
	fresh := views.Fresh{Plain: s.paths.Gallery(q.with())}
	if q.text == "" {
		counted := map[string]bool{}
		for _, states := range [][]*studio.State{o.Live, o.Recent} {
			for _, state := range states {
				id := state.Generation.ID.String()
				if id > q.since && (q.status == "" || q.status == string(state.Generation.Status)) {
					counted[id] = true
				}
			}
		}
		fresh.Count = len(counted)
	}
	values := q.with("since", q.since)
	fresh.URL = s.paths.Gallery(values)
	return part{target: "fresh", events: s.shared(views.FreshPill(s.pages.site, fresh))}
}
