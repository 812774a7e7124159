package handlers

import (
	"net/http"
	"strconv"
	"strings"
)

// face is one form of what a URL shows.
type face int

// The faces, in the order in which they are preferred where a visitor takes several alike.
const (
	faceHTML face = iota
	faceJSON
	faceEvents
	facePlain
	faceDatastar // by its own header, before all others
)

var faceTypes = [...]string{faceHTML: "text/html", faceJSON: "application/json", faceEvents: "text/event-stream", facePlain: "text/plain"}

// faces are the handlers of one URL. HTML is needed; a face that is absent is answered with it.
type faces struct {
	HTML, Datastar, JSON, Events, Plain func(http.ResponseWriter, *http.Request) error
}

// negotiate makes one handler of f: Datastar's header decides first, then Accept.
func negotiate(f faces) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Add("Vary", "Datastar-Request, Accept, User-Agent")
		chosen := f.HTML
		switch wanted := wants(r); {
		case wanted == faceDatastar && f.Datastar != nil:
			chosen = f.Datastar
		case wanted == faceJSON && f.JSON != nil:
			chosen = f.JSON
		case wanted == faceEvents && f.Events != nil:
			chosen = f.Events
		case wanted == facePlain && f.Plain != nil:
			chosen = f.Plain
		}
		return chosen(w, r)
	}
}

// isDatastar reports whether a page's script asks, which understands patches.
func isDatastar(r *http.Request) bool { return r.Header.Get("Datastar-Request") == "true" }

// terminals are the programs, as User-Agent begins, whose */* is read by somebody at a terminal.
var terminals = [...]string{"curl/", "Wget/", "HTTPie/", "xh/"}

// wants is the face that r asks for. */* and whatever we do not have mean HTML, but for a program
// that shows on a terminal what it gets.
func wants(r *http.Request) face {
	if isDatastar(r) {
		return faceDatastar
	}
	best, bestQuality := faceHTML, 0.0
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(accept) == "*/*" {
		for _, name := range terminals {
			if strings.HasPrefix(r.UserAgent(), name) {
				return facePlain
			}
		}
	}
	for f := faceHTML; f <= facePlain; f++ {
		if q := quality(accept, faceTypes[f]); q > bestQuality {
			best, bestQuality = f, q
		}
	}
	return best
}

// quality is how much accept likes media, 0 to 1: the most exact range decides (RFC 9110, 12.5.1).
func quality(accept, media string) float64 {
	best, exactness := 0.0, 0
	kind, _, _ := strings.Cut(media, "/")
	for entry := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(entry, ";")
		exact := 0
		switch strings.ToLower(strings.TrimSpace(name)) {
		case media:
			exact = 3
		case kind + "/*":
			exact = 2
		case "*/*":
			exact = 1
		}
		if media == "application/json" && strings.EqualFold(strings.TrimSpace(name), "application/problem+json") {
			exact = 3
		}
		if exact > exactness {
			best, exactness = weight(params), exact
		}
	}
	return best
}

// weight reads the q of an Accept entry; without one, or with one that is no number, it is 1.
func weight(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && q >= 0 && q <= 1 {
				return q
			}
		}
	}
	return 1
}
