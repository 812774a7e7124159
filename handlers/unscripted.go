package handlers

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"

	"easel/studio"
	"easel/views"
)

// A page that is written slowly ends after so many parts or so long, even if its generation has
// not; the page around it is then loaded again, and begins another.
const (
	slowEvery = 500 * time.Millisecond // between two parts: each is a piece of page that stays
	slowParts = 1200
	slowLife  = 10 * time.Minute
)

// showUnscripted is the live part of a generation's page where there are no scripts.
func (s *Server) showUnscripted(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	watch, err := s.studio.Watch(r.Context(), id)
	if err != nil {
		return err
	}
	defer watch.Close()
	page, err := html(views.UnscriptedPage(s.page(r, "", "Progress")))
	if err != nil {
		return err
	}
	const end = "</main>"
	head, _, _ := strings.Cut(page, end)
	slow := &slowPage{server: s, watch: watch, tail: page[len(head):]}
	h := w.Header()
	h.Set("Content-Security-Policy", framedPolicy(s.pagePolicy))
	h.Set("Content-Type", "text/html; charset=utf-8")
	st, err := s.openStream(w, r)
	if busy, ok := errors.AsType[*UserError](err); ok && busy.Status == http.StatusServiceUnavailable {
		h.Set("Cache-Control", "no-store")
		_, _ = w.Write(append(append([]byte(head), slow.next(watch.Latest())...), slow.tail...)) // what there is now; the page around asks again
		return nil
	}
	if err != nil {
		return err
	}
	defer st.Close()
	if err := st.Send([]byte(head)); err != nil {
		return err
	}
	return slow.write(st)
}

// slowPage is one page that is being written.
type slowPage struct {
	server *Server
	watch  *studio.Watch[*studio.State]
	tail   string

	shot, words []byte // of the state that was written last, as the pages with scripts get it
	spoken      string
}

// write goes on until the generation, the process or the page's own time ends, always in good
// order: the page around the frame waits for the end of this one.
func (p *slowPage) write(st *Stream) error {
	over := make(chan struct{})
	defer time.AfterFunc(slowLife, func() { close(over) }).Stop()
	for range slowParts {
		more, err := st.await(p.watch.Changed(), over, []byte("<!-- still here -->\n"))
		if err != nil {
			return err
		}
		state := p.watch.Latest()
		if err := st.Send(p.next(state)); err != nil {
			return err
		}
		if !more || state.Generation.Status.Ended() {
			break
		}
		if more, err = st.pause(slowEvery); err != nil {
			return err
		} else if !more {
			break
		}
	}
	return st.Send([]byte(p.tail))
}

// next is the parts of state that differ from those written last.
func (p *slowPage) next(state *studio.State) []byte {
	s := p.server
	work := s.workParts(state)
	g := s.stateView(state)
	var out bytes.Buffer
	if shot := work[0].events; !bytes.Equal(shot, p.shot) {
		p.shot = shot
		p.render(&out, views.UnscriptedShot(s.embedSite(), g, state.Rev))
	}
	if words := work[1].events; !bytes.Equal(words, p.words) {
		p.words = words
		spoken := g.Spoken()
		if spoken == p.spoken {
			spoken = ""
		} else {
			p.spoken = spoken
		}
		p.render(&out, views.UnscriptedWords(s.embedSite(), g, state.Rev, spoken))
	}
	return out.Bytes()
}

func (p *slowPage) render(out *bytes.Buffer, c templ.Component) {
	if err := c.Render(context.Background(), out); err != nil { // only where a template does, which is ours
		p.server.logger.Error("part of a page could not be rendered", "err", err)
	}
}
