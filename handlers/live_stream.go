package handlers

import (
	"net/http"
	"time"
)

// patchEvery is the shortest time between two patches of one page: ten a second are as many as an
// eye follows, and a browser's time for each stays below a fiftieth.
const patchEvery = 100 * time.Millisecond

// unset is a stage that no page shows, so that the first patch holds all of it.
const unset = "-"

// follow keeps a page up to date until it closes: with every part at once, and then with those
// that changed, whenever one of the two topics (either may be nil) says so.
func (s *Server) follow(st *Stream, first, second <-chan struct{}, parts func(sent) []part) error {
	return s.followEvery(st, patchEvery, first, second, parts)
}

// followEvery is follow with another least time between two patches.
func (s *Server) followEvery(st *Stream, every time.Duration, first, second <-chan struct{}, parts func(sent) []part) error {
	defer st.Close()
	beat, err := Signals("", map[string]int{"_hb": 1})
	if err != nil {
		return err
	}
	st.Heartbeat = beat // an event, not a comment: the page's watchdog must see it
	seen := sent{}
	for early := false; ; {
		if !early { // else the next look is at the end of the rest
			if _, err := st.Wait(first, second); err != nil {
				return err
			}
		}
		var events []byte
		events, early = seen.changed(parts(seen), time.Now())
		if err := st.Send(events); err != nil {
			return err
		}
		if err := rest(st, every); err != nil {
			return err
		}
	}
}

// rest lets changes gather for d.
func rest(st *Stream, d time.Duration) error {
	over := make(chan struct{})
	timer := time.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	_, err := st.Wait(over, nil)
	return err
}

// streamStudio keeps the first page up to date.
func (s *Server) streamStudio(w http.ResponseWriter, r *http.Request) error {
	if asksForTab(r) {
		return answerTab(w, s.stageTabParts(s.studio.Overview()))
	}
	overview := s.studio.WatchOverview()
	defer overview.Close()
	st, err := s.openStream(w, r)
	if err != nil {
		return err
	}
	stage := unset
	return s.follow(st, overview.Changed(), nil, func(seen sent) []part {
		o := overview.Latest()
		parts := append(s.statusParts(o), s.stageParts(o, seen, &stage)...)
		return append(parts, s.stripParts(o)...)
	})
}

// streamGeneration keeps the page of a generation up to date.
func (s *Server) streamGeneration(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if asksForTab(r) {
		state, err := s.studio.State(r.Context(), id)
		if err != nil {
			return err
		}
		return answerTab(w, s.tabParts(state))
	}
	watch, err := s.studio.Watch(r.Context(), id)
	if err != nil {
		return err
	}
	defer watch.Close()
	overview := s.studio.WatchOverview()
	defer overview.Close()
	st, err := s.openStream(w, r)
	if err != nil {
		return err
	}
	return s.follow(st, watch.Changed(), overview.Changed(), func(sent) []part {
		return append(s.generationParts(watch.Latest()), s.statusParts(overview.Latest())...)
	})
}
