package handlers

import (
	"context"
	"net/http"
	"time"

	"easel/studio"
	"easel/views"
)

// noscriptRefresh is how often a live page without scripts is loaded again.
const noscriptRefresh = 2 // seconds

// showGeneration is the page of one generation: its pictures, and how they came about.
func (s *Server) showGeneration(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	state, err := s.studio.State(r.Context(), id)
	if err != nil {
		return err
	}
	attempts, err := s.studio.Attempts(r.Context(), id)
	if err != nil {
		return err
	}
	g := s.stateView(state)
	page := s.page(r, "", tabTitle(g, pageName(g)))
	page.Live = s.paths.Generation(g.ID)
	if !g.Ended() {
		page.Refresh = noscriptRefresh
	}
	if page.Previous, page.Next, err = s.neighbours(r.Context(), &state.Generation); err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.GenerationPage(page, views.GenerationView{
		Generation: g,
		Settings:   s.settingsView(&state.Generation),
		Record:     recordOf(attempts, time.Now()),
	}))
}

// pageName is what a generation's page is called.
func pageName(g views.Generation) string {
	if name := views.Short(g.Prompt, 60); name != "" {
		return name
	}
	return "Generation"
}

// neighbours are the pages of the next newer and the next older generation, empty at the ends.
// The newer one is looked for among the newest 200 after g; beyond them there is only the gallery.
func (s *Server) neighbours(ctx context.Context, g *studio.Generation) (newer, older string, err error) {
	page, err := s.studio.List(ctx, studio.Filter{From: g.CreatedAt, Limit: 200})
	if err != nil {
		return "", "", err
	}
	for _, other := range page.Generations { // newest first: the last that is newer is next to g
		if other.ID.String() > g.ID.String() && page.Next == "" {
			newer = s.paths.Generation(other.ID.String())
		}
	}
	// To may leave out the moment itself; generations of one moment differ by their ids.
	page, err = s.studio.List(ctx, studio.Filter{To: g.CreatedAt.Add(time.Microsecond), Limit: 3})
	if err != nil {
		return "", "", err
	}
	for _, other := range page.Generations {
		if other.ID.String() < g.ID.String() {
			return newer, s.paths.Generation(other.ID.String()), nil
		}
	}
	return newer, "", nil
}

// askDelete asks before a deletion, for those who come by a link.
func (s *Server) askDelete(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	state, err := s.studio.State(r.Context(), id)
	if err != nil {
		return err
	}
	if !state.Generation.Status.Ended() {
		return studio.ErrLive
	}
	return render(w, r, http.StatusOK, views.DeletePage(s.page(r, "", "Delete"), s.stateView(state)))
}
