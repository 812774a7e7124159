package handlers

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"

	"easel/studio"
	"easel/views"
)

// galleryPart is how many generations one part of the gallery holds.
const galleryPart = 48

// galleryQuery is what the gallery's URL says.
type galleryQuery struct {
	text, status, cursor string
	since                string // id of the newest generation that the page shows
	live                 bool   // the page's stream is asked for
}

// searchRunes is how much of a search text is looked at.
const searchRunes = 500

func readGalleryQuery(r *http.Request) galleryQuery {
	query := r.URL.Query()
	q := galleryQuery{cursor: query.Get("cursor"), live: query.Get("live") == "1"}
	text := []rune(strings.ReplaceAll(strings.ToValidUTF8(query.Get("q"), ""), "\x00", ""))
	q.text = strings.TrimSpace(string(text[:min(len(text), searchRunes)]))
	for _, filter := range views.GalleryFilters {
		if filter.Status == query.Get("status") {
			q.status = filter.Status
		}
	}
	if id, ok := canonicalID(query.Get("since")); ok {
		q.since = id.String()
	}
	return q
}

func (q galleryQuery) filter() studio.Filter {
	return studio.Filter{Query: q.text, Status: studio.Status(q.status), Cursor: q.cursor, Limit: galleryPart}
}

// with is the gallery's query with further names and values.
func (q galleryQuery) with(more ...string) url.Values {
	values := url.Values{}
	if q.text != "" {
		values.Set("q", q.text)
	}
	if q.status != "" {
		values.Set("status", q.status)
	}
	for i := 0; i+1 < len(more); i += 2 {
		values.Set(more[i], more[i+1])
	}
	return values
}

// liveURL is the stream of a page whose newest generation is since.
func (q galleryQuery) liveURL(paths views.Paths, since string) string {
	return paths.Gallery(q.with("live", "1", "since", since))
}

// showGallery is everything that was made, newest first, or what of it matches.
func (s *Server) showGallery(w http.ResponseWriter, r *http.Request) error {
	q := readGalleryQuery(r)
	gallery, err := s.galleryView(r, q)
	if err != nil {
		return err
	}
	page := s.page(r, "gallery", "Gallery")
	page.Live = q.liveURL(s.paths, newest(gallery.Cards, q))
	return render(w, r, http.StatusOK, views.GalleryPage(page, gallery))
}

// newest is the id of the first card. An older part of the list has no place for what is new.
func newest(cards []views.Generation, q galleryQuery) string {
	if q.cursor != "" {
		return lastID
	}
	if len(cards) == 0 {
		return ""
	}
	return cards[0].ID
}

// lastID sorts after every id.
const lastID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

// galleryView reads one part of the list.
func (s *Server) galleryView(r *http.Request, q galleryQuery) (views.Gallery, error) {
	list, err := s.studio.List(r.Context(), q.filter())
	if err != nil {
		return views.Gallery{}, err
	}
	gallery := views.Gallery{Query: q.text, Status: q.status, Now: time.Now()}
	live := liveByID(s.studio.Overview())
	for i := range list.Generations {
		gallery.Cards = append(gallery.Cards, s.listView(&list.Generations[i], live))
	}
	// Each part's link has an id of its own, named after the part that it stands under.
	gallery.OlderID = "older-" + newest(gallery.Cards, galleryQuery{})
	if list.Next != "" {
		gallery.Older = s.paths.Gallery(q.with("cursor", list.Next))
	}
	return gallery, nil
}

func liveByID(o *studio.Overview) map[string]*studio.State {
	live := make(map[string]*studio.State, len(o.Live))
	for _, state := range o.Live {
		live[state.Generation.ID.String()] = state
	}
	return live
}

// updateGallery answers the gallery's own script: with the stream, with what came since, or with
// the older part that it has scrolled to.
func (s *Server) updateGallery(w http.ResponseWriter, r *http.Request) error {
	q := readGalleryQuery(r)
	switch {
	case q.live:
		return s.streamGallery(w, r, q)
	case q.cursor != "":
		return s.appendOlder(w, r, q)
	}
	return s.prependFresh(w, r, q)
}

// appendOlder puts the older part under the cards, and the link to the next one in place of the
// link that was followed: that one's id is asked for by its place, as the page's only one.
func (s *Server) appendOlder(w http.ResponseWriter, r *http.Request, q galleryQuery) error {
	gallery, err := s.galleryView(r, q)
	if err != nil {
		return err
	}
	cards, err := s.cardsHTML(gallery)
	if err != nil {
		return err
	}
	older, err := html(views.Older(gallery))
	if err != nil {
		return err
	}
	var events []byte
	if cards != "" {
		events = Patch("", "#cards", "append", cards)
	}
	events = append(events, Patch("", ".older", "replace", older)...)
	return answerPatches(w, events)
}

// prependFresh puts what came since on top, and opens the stream anew from there.
func (s *Server) prependFresh(w http.ResponseWriter, r *http.Request, q galleryQuery) error {
	gallery, err := s.galleryView(r, q)
	if err != nil {
		return err
	}
	all := gallery
	for i, card := range gallery.Cards {
		if card.ID <= q.since {
			gallery.Cards = gallery.Cards[:i]
			break
		}
	}
	var events []byte
	mode := "prepend"
	if len(gallery.Cards) == galleryPart { // there may be a gap: begin the list anew
		mode = "inner"
		older, err := html(views.Older(all))
		if err != nil {
			return err
		}
		events = Patch("", ".older", "replace", older)
	}
	cards, err := s.cardsHTML(gallery)
	if err != nil {
		return err
	}
	if cards != "" {
		events = append(events, Patch("", "#cards", mode, cards)...)
		if q.since == "" {
			events = append(events, Patch("", "#none", "remove", "")...)
		}
	}
	pill, err := patch(views.FreshPill(s.pages.site, views.Fresh{}))
	if err != nil {
		return err
	}
	events = append(events, pill...)
	since := max(q.since, newest(all.Cards, q))
	if since != q.since {
		live, err := html(views.Live(q.liveURL(s.paths, since)))
		if err != nil {
			return err
		}
		events = append(events, Patch("", ".live", "replace", live)...)
	}
	return answerPatches(w, events)
}

func (s *Server) cardsHTML(gallery views.Gallery) (string, error) {
	cards := make([]templ.Component, 0, len(gallery.Cards))
	for _, card := range gallery.Cards {
		cards = append(cards, views.Card(s.pages.site, card, gallery.Now))
	}
	return html(templ.Join(cards...))
}
