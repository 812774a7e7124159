package handlers

import (
	"net/http"

	"github.com/a-h/templ"

	"easel/studio"
	"easel/views"
)

// tabTitle says in the browser's tab how far a generation is; name follows, or stands alone when
// it has ended.
func tabTitle(g views.Generation, name string) string {
	switch {
	case !g.Progress.Live():
		return name
	case name == "":
		return g.Progress.Tab()
	}
	return g.Progress.Tab() + " · " + name
}

// tabURL is where a page that is not seen asks for its title and icon, while g runs.
func tabURL(g views.Generation, page string) string {
	if g.Ended() {
		return ""
	}
	return page + "?tab=1"
}

// asksForTab reports whether title and icon alone are wanted, and no stream.
func asksForTab(r *http.Request) bool { return r.URL.Query().Get("tab") != "" }

// tabParts are the title and the icon of a generation's page, and whether to ask for them when it
// is not seen.
func (s *Server) tabParts(state *studio.State) []part {
	return []part{
		s.ofState(state, "title", func(_ views.Site, g views.Generation) templ.Component {
			return views.Title(tabTitle(g, pageName(g)))
		}),
		s.ofState(state, "icon", func(site views.Site, g views.Generation) templ.Component {
			return views.Icon(site, g.Progress.Icon())
		}),
		s.ofState(state, "tab", func(_ views.Site, g views.Generation) templ.Component {
			return views.Tab(tabURL(g, s.paths.Generation(g.ID)))
		}),
	}
}

// stageTabParts are those of the studio.
func (s *Server) stageTabParts(o *studio.Overview) []part {
	of := func(target string, show func(views.Generation) templ.Component) part {
		return s.ofOverview(o, target, func() templ.Component {
			if stage := s.stageView(o); stage != nil {
				return show(*stage)
			}
			return show(views.Generation{Status: string(studio.Complete), Progress: views.Progress{Phase: "complete"}})
		})
	}
	return []part{
		of("title", func(g views.Generation) templ.Component { return views.Title(tabTitle(g, "")) }),
		of("icon", func(g views.Generation) templ.Component { return views.Icon(s.pages.site, g.Progress.Icon()) }),
		of("tab", func(g views.Generation) templ.Component { return views.Tab(tabURL(g, s.paths.Studio())) }),
	}
}

// answerTab answers a page that is not seen.
func answerTab(w http.ResponseWriter, parts []part) error {
	var events []byte
	for _, p := range parts {
		events = append(events, p.events...)
	}
	return answerPatches(w, events)
}
