package handlers

import (
	"net/http"

	"github.com/google/uuid"

	"easel/studio"
)

// apiRoutes are the JSON interface.
func (s *Server) apiRoutes() {
	s.route("POST /api/generate", s.apiGenerate)
	s.route("GET /api/generate/progress", s.apiProgress)
	s.route("POST /api/generate/{id}/cancel", s.apiCancel)
	s.route("POST /api/generate/{id}/retry", s.apiRetry)
	s.route("GET /api/generations", s.apiList)
	s.route("GET /api/generations/{id}", s.apiShow)
	s.route("DELETE /api/generations/{id}", s.apiDelete)
	s.route("GET /api/generations/{id}/timeline", s.apiTimeline)
	s.serverAPIRoutes()
	s.queueAPIRoutes()
	s.webhookAPIRoutes()
	s.pushAPIRoutes()
	s.workflowAPIRoutes()
	s.route("GET /api/models", s.apiModels)
}

// pathID is the generation's id in the path. Only the form that we give out is one: lower case,
// with hyphens; all else is as unknown as an id that was never given.
func pathID(r *http.Request) (uuid.UUID, error) {
	id, ok := canonicalID(r.PathValue("id"))
	if !ok {
		return uuid.Nil, errNoGeneration
	}
	return id, nil
}

func canonicalID(text string) (uuid.UUID, bool) {
	id, err := uuid.Parse(text)
	return id, err == nil && id.String() == text
}

// apiShow is one generation.
func (s *Server) apiShow(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	state, err := s.studio.State(r.Context(), id)
	if err != nil {
		return err
	}
	return answerJSON(w, http.StatusOK, s.stateJSON(state))
}

// apiDelete removes an ended generation and its files.
func (s *Server) apiDelete(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := s.studio.Delete(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// apiCancel asks for the end of a generation: 202, or 200 when it had ended.
func (s *Server) apiCancel(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	g, changed, err := s.studio.Cancel(r.Context(), id)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if changed {
		status = http.StatusAccepted
	}
	return answerJSON(w, status, s.recordJSON(&g, s.live()))
}

// apiRetry makes a new generation from an ended one, with the fields of the body over the old. No
// body at all: as it was.
func (s *Server) apiRetry(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	key, err := idempotencyKey(r)
	if err != nil {
		return err
	}
	body, err := readJSON(r, true)
	if err != nil {
		return err
	}
	var changes *studio.Request
	if len(body) > 0 || key != "" {
		if changes, err = parseGenerate(body, true); err != nil {
			return err
		}
		changes.IdempotencyKey, changes.BodyHash, changes.RetryOf = key, bodyHash("retry "+id.String(), body), &id
	}
	g, err := s.studio.Retry(r.Context(), id, changes)
	if err != nil {
		return err
	}
	return s.created(w, &g)
}

// created answers 201 with a generation and where it is found.
func (s *Server) created(w http.ResponseWriter, g *studio.Generation) error {
	w.Header().Set("Location", s.paths.APIGeneration(g.ID.String()))
	return answerJSON(w, http.StatusCreated, s.recordJSON(g, s.live()))
}

// apiGenerate accepts a generation.
func (s *Server) apiGenerate(w http.ResponseWriter, r *http.Request) error {
	key, err := idempotencyKey(r)
	if err != nil {
		return err
	}
	body, err := readJSON(r, false)
	if err != nil {
		return err
	}
	request, err := parseGenerate(body, false)
	if err != nil {
		return err
	}
	request.IdempotencyKey = key
	if key != "" {
		request.BodyHash = bodyHash("generate", body)
	}
	g, created, err := s.studio.Create(r.Context(), *request)
	if err != nil {
		return err
	}
	if !created { // the answer is that of the first time, so that a repeated post need not be treated apart
		w.Header().Set("Idempotent-Replayed", "true")
	}
	return s.created(w, &g)
}
