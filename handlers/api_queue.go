package handlers

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"easel/studio"
)

// queueAPIRoutes are the JSON interface of the queue.
func (s *Server) queueAPIRoutes() {
	s.route("GET /api/queue", s.apiQueue)
	s.route("POST /api/queue/pause", func(w http.ResponseWriter, r *http.Request) error { return s.apiPause(w, r, true) })
	s.route("POST /api/queue/resume", func(w http.ResponseWriter, r *http.Request) error { return s.apiPause(w, r, false) })
	s.route("POST /api/queue/cancel", s.apiCancelAll)
	s.route("POST /api/generations/{id}/move", s.apiMove)
	s.route("POST /api/generations/{id}/priority", s.apiPriority)
	s.route("POST /api/generations/{id}/hold", func(w http.ResponseWriter, r *http.Request) error { return s.apiHold(w, r, true) })
	s.route("POST /api/generations/{id}/release", func(w http.ResponseWriter, r *http.Request) error { return s.apiHold(w, r, false) })
}

// queueJSON is the queue as programs read it.
type queueJSON struct {
	Paused     bool             `json:"paused"`
	Running    []generationJSON `json:"running"`
	Waiting    []generationJSON `json:"waiting"` // in their order, what is held back last
	NextCursor *string          `json:"nextCursor"`
	Counts     queueCounts      `json:"counts"`
}

type queueCounts struct {
	Running int `json:"running"`
	Waiting int `json:"waiting"`
	Held    int `json:"held"`
}

// apiQueue is what runs, and a portion of what waits. The cursor is the number of those that were
// shown: the queue moves on, and a place in it is all that lasts.
func (s *Server) apiQueue(w http.ResponseWriter, r *http.Request) error {
	limit, skip := defaultLimit, 0
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return badRequest("limit", "must be a whole number")
		}
		limit = min(max(n, 1), maxLimit)
	}
	if text := r.URL.Query().Get("cursor"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return studio.ErrBadCursor
		}
		skip = n
	}
	o := s.studio.Overview()
	queue := queueOf(o)
	shown := queueJSON{
		Paused: o.QueuePaused, Running: []generationJSON{}, Waiting: []generationJSON{},
		Counts: queueCounts{Running: len(queue.running), Waiting: len(queue.waiting), Held: len(queue.held)},
	}
	for _, state := range queue.running[:min(len(queue.running), maxLimit)] {
		shown.Running = append(shown.Running, s.stateJSON(state))
	}
	rest := slices.Concat(queue.waiting, queue.held)
	skip = min(skip, len(rest))
	end := min(skip+limit, len(rest))
	for _, state := range rest[skip:end] {
		shown.Waiting = append(shown.Waiting, s.stateJSON(state))
	}
	if end < len(rest) {
		next := strconv.Itoa(end)
		shown.NextCursor = &next
	}
	return answerJSON(w, http.StatusOK, shown)
}

// queueParts are the live generations in three lists.
type queueParts struct{ running, waiting, held []*studio.State }

func queueOf(o *studio.Overview) queueParts {
	var q queueParts
	for _, state := range o.Live {
		switch {
		case state.Progress.QueuePosition > 0:
			q.waiting = append(q.waiting, state)
		case state.Generation.HeldAt != nil && state.Progress.Phase == phaseOf(studio.Pending):
			q.held = append(q.held, state)
		default:
			q.running = append(q.running, state)
		}
	}
	return q
}

func (s *Server) apiPause(w http.ResponseWriter, r *http.Request, paused bool) error {
	if err := s.studio.SetQueuePaused(r.Context(), paused); err != nil {
		return err
	}
	return answerJSON(w, http.StatusOK, map[string]bool{"paused": paused})
}

// apiCancelAll asks for the end of everything that the caller has asked for.
func (s *Server) apiCancelAll(w http.ResponseWriter, r *http.Request) error {
	counts, err := s.studio.CancelAll(r.Context(), studio.LocalUser)
	if err != nil {
		return err
	}
	return answerJSON(w, http.StatusAccepted, map[string]int{"cancelled": counts.Cancelled, "cancelling": counts.Cancelling})
}

// moveWords are the ways to move, in the words of a request.
var moveWords = []studio.MoveTo{studio.MoveFront, studio.MoveBack, studio.MoveUp, studio.MoveDown}

func (s *Server) apiMove(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	fields, err := textFields(r, "to", "before")
	if err != nil {
		return err
	}
	move := studio.Move{To: studio.MoveTo(fields["to"])}
	before, isMove := fields["before"], slices.Contains(moveWords, move.To)
	if (before != "") == (move.To != "") || move.To != "" && !isMove {
		return &studio.InvalidError{Fields: []studio.FieldError{{
			Field: "to", Message: "must be front, back, up or down; or before names a generation that waits",
		}}}
	}
	if before != "" {
		var ok bool
		if move.Before, ok = canonicalID(before); !ok {
			return &studio.InvalidError{Fields: []studio.FieldError{{Field: "before", Message: "is no id of a generation"}}}
		}
	}
	g, err := s.studio.Move(r.Context(), studio.LocalUser, id, move)
	return s.answerQueued(w, &g, err)
}

func (s *Server) apiPriority(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	fields, err := textFields(r, "priority")
	if err != nil {
		return err
	}
	priority, ok := studio.ParsePriority(fields["priority"])
	if !ok {
		return &studio.InvalidError{Fields: []studio.FieldError{badPriority}}
	}
	g, err := s.studio.Prioritise(r.Context(), studio.LocalUser, id, priority)
	return s.answerQueued(w, &g, err)
}

// badPriority is the complaint about a priority that is none.
var badPriority = studio.FieldError{Field: "priority", Message: "must be low, normal or high"}

func (s *Server) apiHold(w http.ResponseWriter, r *http.Request, held bool) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	g, err := s.studio.Hold(r.Context(), studio.LocalUser, id, held)
	return s.answerQueued(w, &g, err)
}

func (s *Server) answerQueued(w http.ResponseWriter, g *studio.Generation, err error) error {
	if err != nil {
		return err
	}
	return answerJSON(w, http.StatusOK, s.recordJSON(g, map[uuid.UUID]*studio.State{}))
}
