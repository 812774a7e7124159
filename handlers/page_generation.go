package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/google/uuid"

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
	record, err := s.record(r.Context(), &state.Generation)
	if err != nil {
		return err
	}
	timeline, err := s.timeline(r.Context(), &state.Generation)
	if err != nil {
		return err
	}
	form, err := s.studio.FormOf(r.Context(), &state.Generation)
	if err != nil && !errors.Is(err, studio.ErrNoWorkflow) {
		return err
	}
	g := s.stateView(state)
	page := s.page(r, "", tabTitle(g, pageName(g)))
	page.Live = s.paths.Generation(g.ID)
	page.Icon, page.Tab = g.Progress.Icon(), tabURL(g, page.Live)
	if !g.Ended() {
		page.Refresh = noscriptRefresh
	}
	if page.Previous, page.Next, err = s.neighbours(r.Context(), id); err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.GenerationPage(page, views.GenerationView{
		Generation: g.Still(),
		Workflow:   s.workflowTitle(g.Workflow),
		Settings:   settingsView(form, &state.Generation),
		Record:     record,
		Timeline:   timeline,
		RetryNonce: uuid.NewString(),
	}))
}

// workflowTitle is what a workflow is called; empty: there is none of that id any more.
func (s *Server) workflowTitle(id string) string {
	for _, head := range s.studio.Workflows() {
		if head.ID == id {
			return head.Title
		}
	}
	return ""
}

// record reads how a generation went, and who was told of its end.
func (s *Server) record(ctx context.Context, g *studio.Generation) (views.Record, error) {
	attempts, err := s.studio.Attempts(ctx, g.ID)
	if err != nil {
		return views.Record{}, err
	}
	record := recordOf(attempts)
	if g.Webhook == "" {
		return record, nil
	}
	page, err := s.studio.Deliveries(ctx, studio.DeliveryFilter{Generation: g.ID})
	record.Deliveries = deliveryViews(page.Deliveries)
	return record, err
}

// pageName is what a generation's page is called.
func pageName(g views.Generation) string {
	if name := views.Short(g.Prompt, 60); name != "" {
		return name
	}
	return "Generation"
}

// neighbours are the pages of the next newer and the next older generation, empty at the ends.
func (s *Server) neighbours(ctx context.Context, id uuid.UUID) (newer, older string, err error) {
	above, below, err := s.studio.Neighbours(ctx, id)
	if err != nil {
		return "", "", err
	}
	if above != uuid.Nil {
		newer = s.paths.Generation(above.String())
	}
	if below != uuid.Nil {
		older = s.paths.Generation(below.String())
	}
	return newer, older, nil
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
