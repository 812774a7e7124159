package handlers

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"easel/studio"
)

// webhookAPIRoutes are the log of webhooks as programs see it.
func (s *Server) webhookAPIRoutes() {
	s.route("GET /api/webhooks/deliveries", s.apiDeliveries)
	s.route("POST /api/webhooks/deliveries/{id}/redeliver", s.apiRedeliver)
}

type deliveryJSON struct {
	ID           uuid.UUID            `json:"id"` // Easel-Delivery
	Event        string               `json:"event"`
	GenerationID *uuid.UUID           `json:"generationId"` // null: a test
	URL          string               `json:"url"`
	State        studio.DeliveryState `json:"state"`
	Tries        []deliveryTryJSON    `json:"tries"`
	CreatedAt    string               `json:"createdAt"`
	NextTryAt    *string              `json:"nextTryAt"`
	EndedAt      *string              `json:"endedAt"`
}

type deliveryTryJSON struct {
	Number     int     `json:"number"`
	At         string  `json:"at"`
	DurationMS int64   `json:"durationMs"`
	Status     *int    `json:"status"` // of HTTP; null: no answer came
	Error      *string `json:"error"`
	Response   string  `json:"response"` // how the answer's body began
}

func newDeliveryJSON(d *studio.Delivery) deliveryJSON {
	shown := deliveryJSON{
		ID: d.ID, Event: d.Event, GenerationID: known(d.Generation), URL: d.URL, State: d.State,
		Tries: make([]deliveryTryJSON, len(d.Tries)), CreatedAt: timeText(d.CreatedAt),
		NextTryAt: timeTextOf(d.NextTryAt), EndedAt: timeTextOf(d.EndedAt),
	}
	for i, try := range d.Tries {
		shown.Tries[i] = deliveryTryJSON{
			Number: try.Number, At: timeText(try.BeganAt), DurationMS: try.Took.Milliseconds(),
			Status: known(try.Status), Error: known(try.Error), Response: try.Response,
		}
	}
	return shown
}

func timeTextOf(t *time.Time) *string {
	if t == nil {
		return nil
	}
	text := timeText(*t)
	return &text
}

// apiDeliveries pages through the log, newest first, of all or of one generation.
func (s *Server) apiDeliveries(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	filter := studio.DeliveryFilter{Cursor: query.Get("cursor")}
	if text := query.Get("generation"); text != "" {
		id, ok := canonicalID(text)
		if !ok {
			return errNoGeneration
		}
		filter.Generation = id
	}
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return badRequest("limit", "must be a whole number")
		}
		filter.Limit = min(max(n, 1), maxLimit)
	}
	page, err := s.studio.Deliveries(r.Context(), filter)
	if err != nil {
		return err
	}
	list := struct {
		Deliveries []deliveryJSON `json:"deliveries"`
		NextCursor *string        `json:"nextCursor"`
	}{Deliveries: make([]deliveryJSON, len(page.Deliveries)), NextCursor: known(page.Next)}
	for i := range page.Deliveries {
		list.Deliveries[i] = newDeliveryJSON(&page.Deliveries[i])
	}
	return answerJSON(w, http.StatusOK, list)
}

// apiRedeliver has a delivery made again.
func (s *Server) apiRedeliver(w http.ResponseWriter, r *http.Request) error {
	id, ok := canonicalID(r.PathValue("id"))
	if !ok {
		return studio.ErrNoDelivery
	}
	d, err := s.studio.Redeliver(r.Context(), id)
	if err != nil {
		return err
	}
	return answerJSON(w, http.StatusAccepted, newDeliveryJSON(&d))
}
