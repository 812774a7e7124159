package handlers

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"easel/studio"
)

// Sizes of one part of a list.
const (
	defaultLimit = 50
	maxLimit     = 200
)

// apiList pages through generations, newest first.
func (s *Server) apiList(w http.ResponseWriter, r *http.Request) error {
	filter, err := listFilter(r)
	if err != nil {
		return err
	}
	page, err := s.studio.List(r.Context(), filter)
	if err != nil {
		return err
	}
	live := s.live()
	list := struct {
		Generations []generationJSON `json:"generations"`
		NextCursor  *string          `json:"nextCursor"`
	}{Generations: make([]generationJSON, 0, len(page.Generations)), NextCursor: known(page.Next)}
	for i := range page.Generations {
		list.Generations = append(list.Generations, s.recordJSON(&page.Generations[i], live))
	}
	return answerJSON(w, http.StatusOK, list)
}

// listFilter reads the query of a list. A limit out of range is clamped; all else that cannot be
// read is a 400 that names it.
func listFilter(r *http.Request) (studio.Filter, error) {
	query := r.URL.Query()
	for _, name := range []string{"q", "status", "model", "workflow", "cursor"} {
		if text := query.Get(name); !utf8.ValidString(text) || strings.ContainsRune(text, 0) || len(text) > 2000 {
			return studio.Filter{}, badRequest(name, "must be text of at most 2,000 bytes")
		}
	}
	f := studio.Filter{
		Query: query.Get("q"), Status: studio.Status(query.Get("status")), Model: query.Get("model"),
		Workflow: query.Get("workflow"), Cursor: query.Get("cursor"), Limit: defaultLimit,
	}
	switch f.Status {
	case "", studio.Pending, studio.Generating, studio.Complete, studio.Failed, studio.Cancelled:
	default:
		return f, badRequest("status", "must be pending, generating, complete, failed or cancelled")
	}
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text) // beyond its range it is the end of it
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return f, badRequest("limit", "must be a whole number")
		}
		f.Limit = min(max(n, 1), maxLimit)
	}
	var err error
	if f.From, err = queryTime(r, "from"); err != nil {
		return f, err
	}
	f.To, err = queryTime(r, "to")
	return f, err
}

type modelJSON struct {
	Name      string   `json:"name"`
	Workflows []string `json:"workflows"` // that take it
}

// apiModels lists the models that the servers offer to the workflows, by name.
func (s *Server) apiModels(w http.ResponseWriter, r *http.Request) error {
	forms, err := s.studio.Forms(r.Context())
	if err != nil {
		return err
	}
	takenBy := map[string][]string{}
	for _, form := range forms {
		if field, ok := form.Field("model"); ok {
			for _, name := range field.Choices {
				takenBy[name] = append(takenBy[name], form.ID)
			}
		}
	}
	list := struct {
		Models []modelJSON `json:"models"`
	}{make([]modelJSON, 0, len(takenBy))}
	for name, workflows := range takenBy {
		list.Models = append(list.Models, modelJSON{Name: name, Workflows: workflows})
	}
	slices.SortFunc(list.Models, func(a, b modelJSON) int { return cmp.Compare(a.Name, b.Name) })
	return answerJSON(w, http.StatusOK, list)
}
