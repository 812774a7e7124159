package handlers

import (
	"bytes"
	"errors"
	"hash/fnv"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/uuid"

	"easel/handlers/fanout"
	"easel/studio"
)

// scope is what a progress stream tells of: one image, or with image 0 the whole generation.
type scope struct {
	id    uuid.UUID
	image int
}

// lastEvent is the id of the event that ends a scope's stream. It depends on nothing that a
// restart would change, so a reader that comes back with it can be told, by 204, to stay away.
func (c scope) lastEvent() string { return "end-" + c.id.String() + "-" + strconv.Itoa(c.image) }

// apiProgress follows a generation by its id, or by a ComfyUI prompt_id, which means the image
// that it makes.
func (s *Server) apiProgress(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	c := scope{}
	var err error
	if c.image, err = queryCount(query, "imageIndex"); err != nil {
		return err
	}
	if _, err = queryCount(query, "totalImages"); err != nil { // how many there are is in every event
		return err
	}
	promptID := query.Get("promptId")
	if promptID == "" {
		return badRequest("promptId", "is missing: give the id of a generation")
	}
	id, ok := canonicalID(promptID)
	if !ok {
		return errNoGeneration
	}
	c.id = id
	err = s.streamScope(w, r, c)
	if !errors.Is(err, studio.ErrNotFound) {
		return err
	}
	of, image, err := s.studio.Resolve(r.Context(), promptID)
	if err != nil {
		return err
	}
	c.id = of
	if c.image == 0 {
		c.image = image
	}
	return s.streamScope(w, r, c)
}

// queryCount reads a number that counts from 1; 0 when it is absent.
func queryCount(query url.Values, name string) (int, error) {
	text := query.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, badRequest(name, "must be a whole number from 1")
	}
	return n, nil
}

// followGeneration is the event-stream face of a generation's own URL.
func (s *Server) followGeneration(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	return s.streamScope(w, r, scope{id: id})
}

// streamScope sends connected, then the present state and each later one, then the end. What a
// reader missed while it was away is not sent again: the present state says all of it.
func (s *Server) streamScope(w http.ResponseWriter, r *http.Request, c scope) error {
	watch, err := s.studio.Watch(r.Context(), c.id)
	if err != nil {
		return err
	}
	own := true // of watch
	defer func() {
		if own {
			watch.Close()
		}
	}()
	state := watch.Latest()
	if c.image > len(state.Images) {
		return badRequest("imageIndex", "must be at most "+strconv.Itoa(len(state.Images)))
	}
	if r.Header.Get("Last-Event-ID") == c.lastEvent() && c.ended(state) {
		w.WriteHeader(http.StatusNoContent) // it has the end already
		return nil
	}
	if s.fanout.Takes(r) {
		w.Header().Set("Connection", "close") // net/http does not get it back
	}
	stream, err := s.openStream(w, r)
	if err != nil {
		return err
	}
	defer stream.Close()
	connected, err := Data("connected-"+c.id.String(), struct {
		Type     string    `json:"type"`
		PromptID uuid.UUID `json:"promptId"`
	}{"connected", c.id})
	if err != nil {
		return err
	}
	shows := &scopeSource{scope: c, key: "events-" + strconv.Itoa(c.image), Watch: watch}
	sent, ended := shows.now()
	if err := stream.Send(append(connected, sent...)); err != nil || ended {
		return err
	}
	if stream.handOver(c, shows, sent) {
		own = false
		return nil
	}
	for !ended {
		if _, err := stream.Wait(watch.Changed(), nil); err != nil {
			return err
		}
		var event []byte
		if event, ended = shows.now(); !bytes.Equal(event, sent) {
			if err := stream.Send(event); err != nil {
				return err
			}
			sent = event
		}
	}
	return nil
}

// scopeSource is a scope as its streams show it: each state is one event, rendered once for all. States that look alike
// from here (another image moved) are equal.
type scopeSource struct {
	scope
	key string // of the frame
	*studio.Watch[*studio.State]
	before []byte // what Events gave last
}

// now is the present state of the scope; last: it has ended.
func (s *scopeSource) now() (event []byte, last bool) {
	state := s.Latest()
	return state.Frame(s.key, s.event), s.ended(state)
}

// Events is part of fanout.Source: each change says all.
func (s *scopeSource) Events() (fanout.State, bool) {
	event, last := s.now()
	another := last || !bytes.Equal(event, s.before)
	s.before = event
	return fanout.State{Change: event, Whole: event, Last: last}, another
}

// Again is part of fanout.Source.
func (*scopeSource) Again() bool { return false }

// progress is the progress of the scope in state.
func (c scope) progress(state *studio.State) studio.Progress {
	if c.image == 0 {
		return state.Progress
	}
	return state.Images[c.image-1].Progress
}

// status is the state of the scope, and why it failed.
func (c scope) status(state *studio.State) (studio.Status, string) {
	if c.image == 0 {
		return state.Generation.Status, state.Generation.ErrorMessage
	}
	image := &state.Generation.Images[c.image-1]
	return image.Status, image.ErrorMessage
}

func (c scope) ended(state *studio.State) bool {
	status, _ := c.status(state)
	return status.Ended()
}

// event is the state of the scope as one event: progress while it runs, else how it ended.
func (c scope) event(state *studio.State) []byte {
	status, message := c.status(state)
	var v any
	id := c.lastEvent()
	switch status {
	case studio.Complete:
		v = struct {
			Type       string `json:"type"`
			Percentage int    `json:"percentage"`
		}{"complete", 100}
	case studio.Cancelled:
		v = struct {
			Type string `json:"type"`
		}{"cancelled"}
	case studio.Failed:
		if message == "" {
			message = "The generation failed."
		}
		v = struct {
			Type    string        `json:"type"`
			Message string        `json:"message"`
			Status  studio.Status `json:"status"`
		}{"error", message, status}
	default:
		shown := newProgressJSON(c.progress(state))
		v, id = struct {
			Type string `json:"type"`
			progressJSON
		}{"progress", shown}, ""
	}
	event, err := Data(id, v)
	if err != nil { // no value here can fail to marshal; a reader would rather have the next state
		return nil
	}
	if id == "" {
		event = append([]byte("id: "+contentID(event)+"\n"), event...)
	}
	return event
}

// contentID names an event by what it says: the same in every process.
func contentID(event []byte) string {
	hash := fnv.New64a()
	_, _ = hash.Write(event) // a hash never fails
	return strconv.FormatUint(hash.Sum64(), 36)
}
