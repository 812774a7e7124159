package handlers

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"easel/studio"
)

// pushAPIRoutes are for browsers that want to be told of ends while no page is open. Who knows a
// subscription's id may end it; the endpoint itself is told to nobody.
func (s *Server) pushAPIRoutes() {
	s.route("GET /api/push", s.apiPushKey)
	s.route("POST /api/push/subscriptions", s.apiSubscribe)
	s.route("GET /api/push/subscriptions/{id}", s.apiSubscription)
	s.route("DELETE /api/push/subscriptions/{id}", s.apiUnsubscribe)
	s.route("POST /api/push/subscriptions/{id}/test", s.apiTestPush)
	s.route("DELETE /api/push/subscriptions/{id}/generations/{generation}", s.apiUnwishPush)
}

// apiPushKey is what a browser needs for a subscription.
func (s *Server) apiPushKey(w http.ResponseWriter, _ *http.Request) error {
	return answerJSON(w, http.StatusOK, map[string]string{"publicKey": s.studio.PushKey()})
}

type subscriptionJSON struct {
	ID          uuid.UUID   `json:"id"`
	Every       bool        `json:"every"`
	Generations []uuid.UUID `json:"generations"`
}

func newSubscriptionJSON(wanted studio.PushWanted) subscriptionJSON {
	return subscriptionJSON{ID: wanted.ID, Every: wanted.Every, Generations: append([]uuid.UUID{}, wanted.Generations...)}
}

// subscribeFields are the members of a subscription's object: those of PushSubscription.toJSON() in a browser, and
// what it wants to hear of, or the endpoint that it had before.
var subscribeFields = []string{"endpoint", "expirationTime", "keys", "every", "generation", "replaces"}

// subscribeRequest is a browser that wants to be told.
type subscribeRequest struct {
	browser    studio.Browser
	every      bool
	generation uuid.UUID // uuid.Nil: no single one
}

// parseSubscribe reads the body of POST /api/push/subscriptions. What an endpoint may be is the studio's to say.
func parseSubscribe(body []byte) (*subscribeRequest, error) {
	object, problems, err := strictObject(body)
	if err != nil {
		return nil, err
	}
	for name := range object {
		if !slices.Contains(subscribeFields, name) {
			problems = append(problems, studio.FieldError{Field: name, Message: "is not a field of this request; those are " + strings.Join(subscribeFields, ", ")})
		}
	}
	read := func(name string, into any, complaint string) {
		if raw, ok := object[name]; ok && json.Unmarshal(raw, into) != nil {
			problems = append(problems, studio.FieldError{Field: name, Message: complaint})
		}
	}
	var request subscribeRequest
	var keys struct{ P256dh, Auth string }
	var generation string
	read("endpoint", &request.browser.Endpoint, "must be text")
	read("replaces", &request.browser.Replaces, "must be text")
	read("keys", &keys, "must hold the texts p256dh and auth")
	read("every", &request.every, "must be true or false")
	read("generation", &generation, "must be the id of a generation")
	if generation != "" {
		id, ok := canonicalID(generation)
		if !ok {
			problems = append(problems, studio.FieldError{Field: "generation", Message: "must be the id of a generation"})
		}
		request.generation = id
	}
	if len(problems) > 0 {
		return nil, &studio.InvalidError{Fields: problems[:min(len(problems), mostProblems)]}
	}
	request.browser.PublicKey, request.browser.Auth = unbase64(keys.P256dh), unbase64(keys.Auth)
	return &request, nil
}

// unbase64 reads either alphabet, padded or not; nothing for what is neither, which is no key.
func unbase64(text string) []byte {
	text = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "="))
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return decoded
}

// apiSubscribe stores a browser, or renews what is known of it, and notes what it wants to hear of.
func (s *Server) apiSubscribe(w http.ResponseWriter, r *http.Request) error {
	body, err := readJSON(r, false)
	if err != nil {
		return err
	}
	request, err := parseSubscribe(body)
	if err != nil {
		return err
	}
	wanted, err := s.studio.Subscribe(r.Context(), studio.LocalUser, request.browser, request.every)
	if err != nil {
		return err
	}
	if request.generation != uuid.Nil {
		if err := s.studio.WishPush(r.Context(), wanted.ID, request.generation, true); err != nil {
			return err
		}
		if wanted, err = s.studio.Subscription(r.Context(), wanted.ID); err != nil {
			return err
		}
	}
	return answerJSON(w, http.StatusCreated, newSubscriptionJSON(wanted))
}

// subscriptionID is the one in the path; what cannot be one is as unknown as one that has ended.
func subscriptionID(r *http.Request) (uuid.UUID, error) {
	id, ok := canonicalID(r.PathValue("id"))
	if !ok {
		return uuid.Nil, studio.ErrNoSubscription
	}
	return id, nil
}

// apiSubscription is what a browser has asked for.
func (s *Server) apiSubscription(w http.ResponseWriter, r *http.Request) error {
	id, err := subscriptionID(r)
	if err != nil {
		return err
	}
	wanted, err := s.studio.Subscription(r.Context(), id)
	if err != nil {
		return err
	}
	return answerJSON(w, http.StatusOK, newSubscriptionJSON(wanted))
}

// apiUnsubscribe forgets a browser.
func (s *Server) apiUnsubscribe(w http.ResponseWriter, r *http.Request) error {
	id, err := subscriptionID(r)
	if err != nil {
		return err
	}
	if err := s.studio.Unsubscribe(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// apiTestPush sends a message about nothing.
func (s *Server) apiTestPush(w http.ResponseWriter, r *http.Request) error {
	id, err := subscriptionID(r)
	if err != nil {
		return err
	}
	if err := s.studio.TestPush(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// apiUnwishPush takes back that a browser wants to hear of one generation.
func (s *Server) apiUnwishPush(w http.ResponseWriter, r *http.Request) error {
	id, err := subscriptionID(r)
	if err != nil {
		return err
	}
	generation, ok := canonicalID(r.PathValue("generation"))
	if !ok {
		return errNoGeneration
	}
	if err := s.studio.WishPush(r.Context(), id, generation, false); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
