package handlers

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"
)

// html renders a component. The context is a fresh one: what is rendered may be shared by all
// watchers and must not depend on one request.
func html(c templ.Component) (string, error) {
	var b strings.Builder
	if err := c.Render(context.Background(), &b); err != nil {
		return "", err
	}
	return b.String(), nil
}

// patch is the event that puts a component in the place of the element with its id.
func patch(c templ.Component) ([]byte, error) {
	text, err := html(c)
	if err != nil {
		return nil, err
	}
	return Patch("", "", "", text), nil
}

// patchAs is patch in another mode: "replace" puts a new element there, which keeps nothing of what was typed.
func patchAs(mode string, c templ.Component) ([]byte, error) {
	text, err := html(c)
	if err != nil {
		return nil, err
	}
	return Patch("", "", mode, text), nil
}

// answerPatches answers an action of an open page.
func answerPatches(w http.ResponseWriter, events []byte) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(events) // a visitor who left is nobody's error
	return nil
}

// part is what one patch target of a page should show now: whole events, shared by all watchers.
type part struct {
	target string
	events []byte
	every  time.Duration // least time after the one before; what comes sooner waits, the last is never lost
}

// sent is what one page has got, by target. A target that shows the same again is left out, so a
// step of a sampler costs a page the bar and the preview, and not the page.
type sent map[string]delivery

type delivery struct {
	events []byte
	at     time.Time // zero: inside another part
}

// changed returns the events of the parts that differ from what was sent, and remembers them. early
// is true when a part has changed too soon after it was sent last: ask again, changed or not.
func (s sent) changed(parts []part, now time.Time) (events []byte, early bool) {
	for _, p := range parts {
		last := s[p.target]
		switch {
		case len(p.events) == 0 || bytes.Equal(last.events, p.events):
		case now.Sub(last.at) < p.every:
			early = true
		default:
			s[p.target] = delivery{p.events, now}
			events = append(events, p.events...)
		}
	}
	return events, early
}

// holds remembers parts that the page has got inside another one.
func (s sent) holds(parts []part) {
	for _, p := range parts {
		s[p.target] = delivery{events: p.events}
	}
}
