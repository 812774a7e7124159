package handlers

import (
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"easel/studio"
	"easel/views"
)

// A terminal's line is drawn anew at most five times a second, and must fit: one that wraps would
// not be drawn over.
const (
	terminalEvery = 200 * time.Millisecond
	terminalCells = 79
	barCells      = 20
)

// plainGeneration is the plain-text face of a generation: a bar for a terminal that is drawn over
// itself until the end, and then the addresses. With ?once=1 it is what there is now.
func (s *Server) plainGeneration(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if r.URL.Query().Get("once") != "" {
		state, err := s.studio.State(r.Context(), id)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte(terminalLine(state) + "\n" + s.addresses(s.origin(r), state)))
		return nil
	}
	watch, err := s.studio.Watch(r.Context(), id)
	if err != nil {
		return err
	}
	defer watch.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	st, err := s.openStream(w, r)
	if err != nil {
		return err
	}
	defer st.Close()
	return s.drawBar(st, watch, s.origin(r))
}

// drawBar follows a generation on a terminal. The visitor's own words stand above the bar.
func (s *Server) drawBar(st *Stream, watch *studio.Watch[*studio.State], origin string) error {
	line, before := "", clipCells(printable(watch.Latest().Generation.Prompt), terminalCells)+"\n"
	for {
		more, err := st.await(watch.Changed(), nil, []byte("\r"+line))
		if err != nil {
			return err
		}
		state := watch.Latest()
		next := string(state.Frame("terminal", func(state *studio.State) []byte { return []byte(terminalLine(state)) }))
		if next != line || before != "" {
			blanks := strings.Repeat(" ", max(0, cells(line)-cells(next))) // over the rest of the one before
			line = next
			if err := st.Send([]byte(before + "\r" + line + blanks)); err != nil {
				return err
			}
			before = ""
		}
		switch {
		case state.Generation.Status.Ended():
			return st.Send([]byte("\n" + s.addresses(origin, state)))
		case more:
			more, err = st.pause(terminalEvery)
		}
		if err != nil {
			return err
		}
		if !more {
			return st.Send([]byte("\nThe server is stopping. The generation goes on; ask again for its progress.\n"))
		}
	}
}

// terminalLine is a state in one line: the bar, the number, and what happens.
func terminalLine(state *studio.State) string {
	p := progressView(state.Progress)
	full, number := 0, "    "
	if p.Known {
		full, number = p.Percent*barCells/100, strings.Repeat(" ", 3-len(strconv.Itoa(p.Percent)))+strconv.Itoa(p.Percent)+"%"
	}
	says := p.Line
	if p.Pass != "" {
		says += ", " + p.Pass
	}
	if p.ETA != "" {
		says += ", " + p.ETA
	}
	if at := state.Generation.FinishedAt; at != nil && state.Generation.Status == studio.Complete {
		says = "Complete, made in " + views.Took(at.Sub(state.Generation.CreatedAt))
	}
	line := "[" + strings.Repeat("█", full) + strings.Repeat("░", barCells-full) + "] " + number + "  " + printable(says)
	return clipCells(line, terminalCells)
}

// addresses is what a generation gave, or why it gave nothing, and where its page is.
func (s *Server) addresses(origin string, state *studio.State) string {
	g := &state.Generation
	var b strings.Builder
	if g.ErrorMessage != "" {
		b.WriteString(printable(g.ErrorMessage) + "\n")
	}
	b.WriteString(origin + s.paths.Generation(g.ID.String()) + "\n")
	for i := range g.Images {
		for _, o := range g.Images[i].Outputs {
			b.WriteString(origin + s.paths.Output(g.ID.String(), g.Images[i].Index, o.Index) + "\n")
		}
	}
	return b.String()
}

// printable is text without what a terminal would obey: every control character is a blank, and
// marks that turn the direction of writing are left out.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case unicode.Is(unicode.Bidi_Control, c):
			return -1
		case unicode.IsControl(c), c == '\u2028', c == '\u2029':
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
}

// cells is about how many columns text takes: from Hangul on, most signs are two wide.
func cells(text string) int {
	n := 0
	for _, c := range text {
		n += cellsOf(c)
	}
	return n
}

func cellsOf(c rune) int {
	switch {
	case unicode.In(c, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case c >= 0x1100 && (c < 0x2000 || c >= 0x2E80):
		return 2
	}
	return 1
}

// clipCells cuts text that is too wide, and says so.
func clipCells(text string, most int) string {
	if cells(text) <= most {
		return text
	}
	n := 0
	for i, c := range text {
		if n += cellsOf(c); n > most-1 {
			return text[:i] + "…"
		}
	}
	return text
}
