package handlers

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"easel/studio"
	"easel/views"
)

// Pictures in an embedded gallery.
const (
	embedDefault = 24
	embedMost    = 96
)

// embedRoutes are what other sites show: read-only, without cookies, and framable by those that
// were allowed. Pictures under /embed/ are among the files.
func (s *Server) embedRoutes() {
	s.route("GET /embed/generations/{id}", s.embed(s.embedGeneration))
	s.route("GET /embed/generations/{id}/live", s.embed(s.streamEmbed))
	s.route("GET /embed/gallery", s.embed(s.embedGallery))
}

// embed puts the headers of an embed on f's answer, and on the errors that come of it.
func (s *Server) embed(f func(http.ResponseWriter, *http.Request) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		h := w.Header()
		h.Set("Content-Security-Policy", s.embedPolicy)
		h.Set("Cross-Origin-Resource-Policy", "cross-origin") // a framing page may ask for it (COEP)
		h.Del("Cross-Origin-Opener-Policy")                   // of no effect in a frame; pages opened from here need no opener
		return f(w, r)
	}
}

// embedPage is the frame of an embedded page. No cookie is read for it: the URL says the theme.
func (s *Server) embedPage(r *http.Request, title string) views.Page {
	page := views.Page{Site: s.embedSite(), Title: title, Theme: views.ThemeAuto}
	if asked := r.URL.Query().Get("theme"); asked == views.ThemeLight || asked == views.ThemeDark {
		page.Theme = asked
	}
	return page
}

// embedSite is the site for those who may only look.
func (s *Server) embedSite() views.Site {
	site := s.pages.site
	site.ReadOnly = true
	return site
}

// fragment reports whether one element is asked for, to be put into a page by that page's server.
func fragment(r *http.Request) bool { return r.URL.Query().Get("fragment") == "1" }

// embedItem is a generation with whole URLs, for a page of another origin. Its pictures are asked
// for under /embed/, where other origins may.
func (s *Server) embedItem(origin string, g views.Generation) views.EmbedItem {
	under := func(url *string) {
		if *url != "" {
			*url = origin + s.paths.Join("/embed"+strings.TrimPrefix(*url, s.paths.Base))
		}
	}
	for i := range g.Images {
		image := &g.Images[i]
		under(&image.URL)
		under(&image.Thumbnail)
		under(&image.Preview)
	}
	return views.EmbedItem{Generation: g, Page: origin + s.paths.Generation(g.ID)}
}

// embedGeneration is one generation, live in a frame.
func (s *Server) embedGeneration(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	state, err := s.studio.State(r.Context(), id)
	if err != nil {
		return err
	}
	g := s.stateView(state)
	if fragment(r) {
		return render(w, r, http.StatusOK, views.FragmentGeneration(s.embedItem(s.origin(r), g)))
	}
	page := s.embedPage(r, pageName(g))
	if !g.Ended() { // one that has ended needs no stream
		page.Live = s.paths.EmbedGeneration(g.ID) + "/live"
		page.Refresh = noscriptRefresh
	}
	return renderEmbed(w, r, page, views.EmbedGeneration(page.Site, g.Still(), s.paths.Generation(g.ID)))
}

// streamEmbed keeps an embedded generation up to date; its end ends the stream for good.
func (s *Server) streamEmbed(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	watch, err := s.studio.Watch(r.Context(), id)
	if err != nil {
		return err
	}
	lastID := "end-" + id.String()
	if watch.Latest().Generation.Status.Ended() && r.Header.Get("Last-Event-ID") == lastID {
		watch.Close()
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	last, err := signalsWithID(lastID)
	if err != nil {
		watch.Close()
		return err
	}
	parts := func(sent) []part { return s.embedParts(watch.Latest()) }
	return s.followShared(w, r, sharedPage{
		key: pageKey{page: "embed", id: id}, first: watch.Changed(), close: watch.Close,
		parts: func() func(sent) []part { return parts },
		last: func() []byte {
			if !watch.Latest().Generation.Status.Ended() {
				return nil
			}
			return last
		},
	})
}

// signalsWithID moves Last-Event-ID and nothing else.
func signalsWithID(id string) ([]byte, error) { return Signals(id, map[string]int{"_hb": 1}) }

// embedParts are what moves in an embedded generation.
func (s *Server) embedParts(state *studio.State) []part {
	return []part{
		s.picturesPart(state),
		s.ofState(state, "embed-progress", func(_ views.Site, g views.Generation) templ.Component {
			return views.ProgressCard(s.embedSite(), g)
		}),
		s.ofState(state, "embed-title", func(_ views.Site, g views.Generation) templ.Component { return views.Title(pageName(g)) }),
	}
}

// embedGallery is the newest pictures; limit says how many.
func (s *Server) embedGallery(w http.ResponseWriter, r *http.Request) error {
	limit := embedDefault
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return badRequest("limit", "must be a whole number from 1")
		}
		limit = min(n, embedMost)
	}
	list, err := s.studio.List(r.Context(), studio.Filter{Status: studio.Complete, Pictures: true, Limit: limit})
	if err != nil {
		return err
	}
	shown := make([]views.Generation, 0, len(list.Generations))
	for i := range list.Generations {
		g := &list.Generations[i]
		shown = append(shown, s.recordView(g, studio.RecordProgress(g)))
	}
	if fragment(r) {
		items := make([]views.EmbedItem, 0, len(shown))
		for _, g := range shown {
			items = append(items, s.embedItem(s.origin(r), g))
		}
		return render(w, r, http.StatusOK, views.FragmentGallery(items))
	}
	links := make([]string, 0, len(shown))
	for _, g := range shown {
		links = append(links, s.paths.Generation(g.ID))
	}
	page := s.embedPage(r, "Gallery")
	return renderEmbed(w, r, page, views.EmbedGallery(page.Site, shown, links))
}

// renderEmbed answers with content in the frame of an embedded page.
func renderEmbed(w http.ResponseWriter, r *http.Request, page views.Page, content templ.Component) error {
	framed := templ.ComponentFunc(func(ctx context.Context, out io.Writer) error {
		return views.EmbedPage(page).Render(templ.WithChildren(ctx, content), out)
	})
	return render(w, r, http.StatusOK, framed)
}
