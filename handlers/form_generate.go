package handlers

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/google/uuid"

	"easel/studio"
	"easel/views"
)

// createGeneration takes the studio's form. A plain post is sent on to the generation's page; an
// open page stays, and its stream shows what comes. Whatever is wrong comes back in the form,
// with everything that was typed.
func (s *Server) createGeneration(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Datastar-Request")
	values, refused, err := s.formWithFiles(w, r)
	if err != nil {
		return err
	}
	typed := typedForm(values)
	form, err := s.form(r, typed["workflow"])
	if errors.Is(err, studio.ErrNoWorkflow) {
		return &UserError{Status: http.StatusUnprocessableEntity, Message: "There is no such workflow any more."}
	}
	if err != nil {
		return err
	}
	request := formRequest(form, typed)
	keyed(&request, values)
	if len(refused) > 0 {
		err = &studio.InvalidError{Fields: refused}
	} else {
		var created studio.Generation
		if created, err = s.accept(r, request, typed["retryOf"]); err == nil {
			return s.answerCreated(w, r, values, created)
		}
	}
	composer := s.composer(r, form, typed)
	composer.Nonce = typed["nonce"] // another body under it is another generation
	if _, err := uuid.Parse(composer.Nonce); err != nil {
		composer.Nonce = uuid.NewString()
	}
	if id, ok := canonicalID(typed["retryOf"]); ok {
		composer.RetryOf = id.String()
	}
	return s.answerRejected(w, r, composer, err)
}

// accept stores what was asked for; one that names an older generation is its retry. The form holds
// all the settings, so nothing is taken over from the old one: what was emptied stays empty.
func (s *Server) accept(r *http.Request, request studio.Request, retryOf string) (studio.Generation, error) {
	if id, ok := canonicalID(retryOf); ok {
		switch old, err := s.studio.State(r.Context(), id); {
		case errors.Is(err, studio.ErrNotFound): // deleted meanwhile: no reason to refuse
		case err != nil:
			return studio.Generation{}, err
		case !old.Generation.Status.Ended():
			return studio.Generation{}, studio.ErrLive
		default:
			request.RetryOf = &id
		}
	}
	g, _, err := s.studio.Create(r.Context(), request)
	return g, err
}

func (s *Server) answerCreated(w http.ResponseWriter, r *http.Request, values url.Values, g studio.Generation) error {
	if !isDatastar(r) {
		http.Redirect(w, r, s.paths.Generation(g.ID.String()), http.StatusSeeOther)
		return nil
	}
	clear, err := patch(views.NoNotice())
	if err != nil {
		return err
	}
	// What is in the form stays untouched, so that one can go on writing; only complaints go.
	if values.Get("again") == "" && values.Get("retryOf") == "" {
		nonce, err := patch(views.Nonce(uuid.NewString()))
		if err != nil {
			return err
		}
		return answerPatches(w, append(nonce, clear...))
	}
	typed := typedForm(values)
	form, err := s.form(r, typed["workflow"])
	if err != nil {
		return answerPatches(w, clear)
	}
	composer, err := patch(views.ComposerForm(s.pages.site, s.composer(r, form, typed)))
	if err != nil {
		return err
	}
	return answerPatches(w, append(composer, clear...))
}

// keptStatus are the refusals that come back in the form. All others have a page of their own.
var keptStatus = []int{
	http.StatusConflict, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable,
}

func (s *Server) answerRejected(w http.ResponseWriter, r *http.Request, composer views.Composer, err error) error {
	answer := userError(err)
	if answer == nil || !slices.Contains(keptStatus, answer.Status) {
		return err
	}
	if len(answer.Fields) > 0 {
		complain(&composer, answer.Fields)
	} else {
		composer.Problem = answer.Message
	}
	if !isDatastar(r) {
		return s.renderStudio(w, r, answer.Status, composer)
	}
	events, err := patch(views.ComposerForm(s.pages.site, composer))
	if err != nil {
		return err
	}
	return answerPatches(w, events)
}
