package handlers

import (
	"net/http"

	"github.com/google/uuid"

	"easel/comfy/workflow"
	"easel/studio"
	"easel/views"
)

// showStudio is the first page. With ?from= the form holds the settings of that generation.
func (s *Server) showStudio(w http.ResponseWriter, r *http.Request) error {
	composer, err := s.newComposer(r)
	if err != nil {
		return err
	}
	return s.renderStudio(w, r, http.StatusOK, composer)
}

// renderStudio answers with the studio as it is now around a form that may be filled.
func (s *Server) renderStudio(w http.ResponseWriter, r *http.Request, code int, composer views.Composer) error {
	o := s.studio.Overview()
	page := s.page(r, "studio", "")
	page.Live = s.paths.Studio()
	page.Pictures = composer.HasPictures()
	view := views.StudioView{Stage: s.stageView(o), Strip: s.stripView(o), Composer: composer}
	if view.Stage != nil {
		page.Title = tabTitle(*view.Stage, "")
		page.Icon, page.Tab = view.Stage.Progress.Icon(), tabURL(*view.Stage, page.Live)
		*view.Stage = view.Stage.Still()
	}
	return render(w, r, code, views.StudioPage(page, view))
}

// stageView is the generation that the studio shows large, or nil.
func (s *Server) stageView(o *studio.Overview) *views.Generation {
	if o.Stage == nil {
		return nil
	}
	g := s.stateView(o.Stage)
	return &g
}

// newComposer is the form as a visitor first meets it: with defaults, or with the settings of the
// generation that ?from= names.
func (s *Server) newComposer(r *http.Request) (views.Composer, error) {
	query := r.URL.Query()
	typed := map[string]string{}
	workflowID := query.Get("workflow")
	retryOf := ""
	if from := query.Get("from"); from != "" {
		id, err := uuid.Parse(from)
		if err != nil {
			return views.Composer{}, errNoGeneration
		}
		state, err := s.studio.State(r.Context(), id)
		if err != nil {
			return views.Composer{}, err
		}
		g := &state.Generation
		workflowID, typed = g.Workflow, typedOf(g)
		if g.Webhook != s.studio.Settings().Webhook {
			typed[webhookControl] = g.Webhook
		}
		if g.Status == studio.Failed || g.Status == studio.Cancelled {
			retryOf = g.ID.String()
		}
	}
	form, err := s.form(r, workflowID)
	if err != nil {
		return views.Composer{}, err
	}
	if sum := query.Get("image"); sum != "" {
		if err := s.beginWith(r.Context(), form, sum, typed); err != nil {
			return views.Composer{}, err
		}
	}
	composer := s.composer(r, form, typed)
	composer.RetryOf = retryOf
	return composer, nil
}

// form is the form of a workflow; without an id that of the first.
func (s *Server) form(r *http.Request, id string) (workflow.Form, error) {
	if id == "" {
		id = workflow.TextToImage
	}
	return s.studio.Form(r.Context(), id)
}
