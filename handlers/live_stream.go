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
	var err error
	if st.Heartbeat, err = pageBeat(); err != nil {
		return err
	}
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
	return s.followShared(w, r, sharedPage{
		key: pageKey{page: "studio"}, first: overview.Changed(), close: overview.Close,
		parts: func() func(sent) []part {
			stage := unset
			return func(seen sent) []part {
				o := overview.Latest()
				parts := append(s.statusParts(o), s.stageParts(o, seen, &stage)...)
				return append(parts, s.stripParts(o)...)
			}
		},
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
	overview := s.studio.WatchOverview()
	parts := func(sent) []part {
		return append(s.generationParts(watch.Latest()), s.statusParts(overview.Latest())...)
	}
	return s.followShared(w, r, sharedPage{
		key: pageKey{page: "generation", id: id}, first: watch.Changed(), second: overview.Changed(),
		parts: func() func(sent) []part { return parts },
		close: func() { watch.Close(); overview.Close() },
	})
}
