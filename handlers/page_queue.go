package handlers

import (
	"net/http"
	"slices"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"easel/studio"
	"easel/views"
)

// Bounds of the page of the queue: a list of ten thousand is neither read nor sent.
const (
	queueShown   = 100                    // generations of each list
	stripShown   = 8                      // in the studio
	queueEvery   = 250 * time.Millisecond // least time between two patches of the page
	queueRefresh = 5                      // seconds, where there are no scripts
)

// queuePageRoutes are the page of the queue, its stream and its forms.
func (s *Server) queuePageRoutes() {
	s.route("GET /queue", negotiate(faces{HTML: s.showQueue, Datastar: s.streamQueue, JSON: s.apiQueue}))
	s.route("POST /queue", s.changeQueue)
	s.route("POST /queue/{id}", s.changeQueued)
}

// showQueue is what runs and what waits.
func (s *Server) showQueue(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "queue", "Queue")
	page.Live = s.paths.Queue()
	o := s.studio.Overview()
	if len(o.Live) > 0 {
		page.Refresh = queueRefresh
	}
	return render(w, r, http.StatusOK, views.QueuePage(page, s.queueView(o)))
}

// streamQueue keeps the page of the queue up to date.
func (s *Server) streamQueue(w http.ResponseWriter, r *http.Request) error {
	overview := s.studio.WatchOverview()
	defer overview.Close()
	st, err := s.openStream(w, r)
	if err != nil {
		return err
	}
	return s.followEvery(st, queueEvery, overview.Changed(), nil, func(sent) []part {
		o := overview.Latest()
		return append(s.statusParts(o),
			s.ofOverview(o, "queue-head", func() templ.Component { return views.QueueHead(s.pages.site, s.queueView(o)) }),
			s.ofOverview(o, "queue-lists", func() templ.Component { return views.QueueLists(s.pages.site, s.queueView(o)) }))
	})
}

// queueView is the queue as its page shows it.
func (s *Server) queueView(o *studio.Overview) views.QueueView {
	q := queueOf(o)
	view := views.QueueView{
		Paused:  o.QueuePaused,
		Running: s.queueList(q.running, o.At), Waiting: s.queueList(q.waiting, o.At), Held: s.queueList(q.held, o.At),
	}
	markEnds(view.Waiting.Shown, q)
	return view
}

// markEnds notes which of what waits can go no further up or down among what its owner can move.
func markEnds(shown []views.Queued, q queueParts) {
	type lane struct {
		user     uuid.UUID
		priority studio.Priority
	}
	of := func(state *studio.State) lane { return lane{state.Generation.UserID, state.Generation.Priority} }
	begun := map[lane]bool{}
	for _, state := range slices.Concat(q.running, q.waiting) {
		if !movable(&state.Generation) && slices.ContainsFunc(state.Generation.Images, func(i studio.Image) bool { return i.Status == studio.Pending }) {
			begun[of(state)] = true
		}
	}
	last := map[lane]int{}
	for i, state := range q.waiting {
		if !movable(&state.Generation) {
			continue
		}
		at := of(state)
		if i < len(shown) {
			_, follows := last[at]
			shown[i].First, shown[i].Foremost = !follows, !begun[at]
		}
		last[at] = i
	}
	for _, i := range last {
		if i < len(shown) {
			shown[i].Last = true
		}
	}
}

// movable reports whether nothing of a generation has begun.
func movable(g *studio.Generation) bool {
	return !slices.ContainsFunc(g.Images, func(i studio.Image) bool {
		return i.Status == studio.Generating || i.Status == studio.Complete
	})
}

func (s *Server) queueList(states []*studio.State, now time.Time) views.QueueList {
	list := views.QueueList{Count: len(states)}
	for _, state := range states[:min(len(states), queueShown)] {
		list.Shown = append(list.Shown, s.queuedView(state, now))
	}
	return list
}

// queuedView is one generation of the queue.
func (s *Server) queuedView(state *studio.State, now time.Time) views.Queued {
	g := &state.Generation
	shown := views.Queued{
		Generation: s.stateView(state), Position: state.Progress.QueuePosition,
		Held: g.HeldAt != nil, Priority: g.Priority.String(),
		Movable: movable(g),
	}
	if start := state.Progress.ExpectedStart; !start.IsZero() {
		shown.Start = views.StartsIn(start.Sub(now))
	}
	return shown
}

// changeQueue does what a button for the whole queue says.
func (s *Server) changeQueue(w http.ResponseWriter, r *http.Request) error {
	values, err := readForm(r)
	if err != nil {
		return err
	}
	switch values.Get("do") {
	case "pause":
		err = s.studio.SetQueuePaused(r.Context(), true)
	case "resume":
		err = s.studio.SetQueuePaused(r.Context(), false)
	case "cancel":
		_, err = s.studio.CancelAll(r.Context(), studio.LocalUser)
	default:
		err = errNoAct
	}
	if err != nil {
		return err
	}
	return s.answerQueue(w, r, s.paths.Queue())
}

// errNoAct answers a button that no page has.
var errNoAct = &UserError{Status: http.StatusUnprocessableEntity, Message: "That is nothing that can be done in the queue."}

// changeQueued does what a button of one generation in the queue says.
func (s *Server) changeQueued(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	values, err := readForm(r)
	if err != nil {
		return err
	}
	if err := s.actOnQueued(r, id, values.Get("do")); err != nil {
		return err
	}
	back := s.paths.Queue() + "#queue-" + id.String()
	if values.Has("back") {
		back = localPath(values.Get("back"), s.paths)
	}
	return s.answerQueue(w, r, back)
}

func (s *Server) actOnQueued(r *http.Request, id uuid.UUID, do string) (err error) {
	ctx, user := r.Context(), studio.LocalUser
	priority, isPriority := studio.ParsePriority(do)
	switch {
	case do == "cancel":
		_, _, err = s.studio.Cancel(ctx, id)
	case do == "hold", do == "release":
		_, err = s.studio.Hold(ctx, user, id, do == "hold")
	case isPriority:
		_, err = s.studio.Prioritise(ctx, user, id, priority)
	case slices.Contains(moveWords, studio.MoveTo(do)):
		_, err = s.studio.Move(ctx, user, id, studio.Move{To: studio.MoveTo(do)})
	default:
		err = errNoAct
	}
	return err
}

// answerQueue ends an action: the page's stream shows what has become of it.
func (s *Server) answerQueue(w http.ResponseWriter, r *http.Request, back string) error {
	w.Header().Add("Vary", "Datastar-Request")
	if !isDatastar(r) {
		http.Redirect(w, r, back, http.StatusSeeOther)
		return nil
	}
	events, err := patch(views.NoNotice())
	if err != nil {
		return err
	}
	return answerPatches(w, events)
}
