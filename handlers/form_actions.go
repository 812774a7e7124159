package handlers

import (
	"crypto/sha256"
	"net/http"

	"github.com/google/uuid"

	"easel/studio"
	"easel/views"
)

// cancelGeneration asks for the end of a generation. "Cancelling" stays until ComfyUI has
// confirmed it.
func (s *Server) cancelGeneration(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Datastar-Request")
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if _, _, err := s.studio.Cancel(r.Context(), id); err != nil {
		return err
	}
	if !isDatastar(r) {
		http.Redirect(w, r, s.paths.Generation(id.String()), http.StatusSeeOther)
		return nil
	}
	state, err := s.studio.State(r.Context(), id)
	if err != nil {
		return err
	}
	events, err := patch(views.ProgressCard(s.pages.site, s.stateView(state)))
	if err != nil {
		return err
	}
	return answerPatches(w, events)
}

// retryGeneration makes a new generation from an ended one, as it was, and shows it. The page's
// nonce makes one generation of two quick presses.
func (s *Server) retryGeneration(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	values, err := readForm(r)
	if err != nil {
		return err
	}
	again := &studio.Request{}
	if nonce, err := uuid.Parse(values.Get("nonce")); err == nil {
		same := sha256.Sum256([]byte("retry " + id.String()))
		again.IdempotencyKey, again.BodyHash, again.FormNonce = nonce.String(), same[:], true
	}
	g, err := s.studio.Retry(r.Context(), id, again)
	if err != nil {
		return err
	}
	http.Redirect(w, r, s.paths.Generation(g.ID.String()), http.StatusSeeOther)
	return nil
}

// deleteGeneration removes an ended generation and its files; the question was asked before.
func (s *Server) deleteGeneration(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := s.studio.Delete(r.Context(), id); err != nil {
		return err
	}
	http.Redirect(w, r, s.paths.Gallery(nil), http.StatusSeeOther)
	return nil
}

// setTheme remembers a visitor's theme and goes back to where that was chosen.
func (s *Server) setTheme(w http.ResponseWriter, r *http.Request) error {
	values, err := readForm(r)
	if err != nil {
		return err
	}
	chosen := values.Get("theme")
	if chosen != views.ThemeAuto && chosen != views.ThemeLight && chosen != views.ThemeDark {
		return &UserError{Status: http.StatusUnprocessableEntity, Message: "Themes are auto, light and dark."}
	}
	http.SetCookie(w, &http.Cookie{ // not HttpOnly: scripts write it too
		Name: themeCookie, Value: chosen, Path: s.paths.Studio(), MaxAge: cookieSeconds,
		SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	})
	back := localPath(values.Get("back"), s.paths)
	if back == s.paths.Settings() {
		back += "?saved=1"
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
	return nil
}
