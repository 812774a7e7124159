package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"easel/comfy/simulator"
)

// A page of an allowed origin frames a generation, which stays live there; a page of another
// origin gets an empty frame. A server may put the fragment into a page of its own.
func TestEmbedsInForeignPages(t *testing.T) {
	t.Parallel()
	var body string
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, `<!doctype html><html lang="en"><title>A foreign page</title>%s`, body)
	}))
	t.Cleanup(foreign.Close)
	s := open(t, siteOptions{led: true, env: []string{"EASEL_EMBED_ALLOWED_ORIGINS=" + foreign.URL}})
	g := s.generate(ask{Prompt: "Shown elsewhere", Settings: map[string]any{"width": 64, "height": 64, "steps": 20}})
	s.afterStep(2)
	body = fmt.Sprintf(`<iframe src="%s/embed/generations/%s" width="500" height="600" title="Easel"></iframe>`, s.URL, g.ID)

	tab := Open(t, foreign.URL, TabOptions{})
	tab.Goto("/")
	frame := tab.Frame(s.URL + "/embed/generations/" + g.ID)
	frame.waitProgress(shown{Badge: "⚙️ Inferencing", Line: "Step 2 of 20", Steps: "10%"})
	s.afterStep(5)
	frame.waitProgress(shown{Badge: "⚙️ Inferencing", Line: "Step 5 of 20", Steps: "25%"})
	if n := frame.Count("form, button, .head"); n != 0 {
		t.Errorf("an embed has %d things to press", n)
	}
	if got := Eval[string](frame, `document.cookie`); got != "" {
		t.Errorf("an embed sets cookies: %q", got)
	}

	refused := Open(t, strings.Replace(foreign.URL, "127.0.0.1", "localhost", 1), TabOptions{})
	refused.Goto("/")
	s.eventually("the browser to refuse the frame", func() bool {
		return strings.Contains(strings.Join(refused.Complaints(), "\n"), "frame-ancestors")
	})

	s.until("the end", func(p simulator.Point) bool { return p.Stage == simulator.StageFinish })
	s.lead.Open()
	frame.WaitText(".progress .badge", "Complete")
	frame.Wait(`(i => i?.complete && i.naturalWidth === 64)(document.querySelector('img'))`)
	for _, path := range []string{"/embed/generations/" + g.ID + "?fragment=1", "/embed/gallery?fragment=1"} {
		_, body = s.Get(path)
		tab.Goto("/")
		tab.Wait(`(i => i?.complete && i.naturalWidth > 0)(document.querySelector('img'))`)
		if links := Eval[bool](tab, `[...document.querySelectorAll('a')].every(a => a.href === `+quote(s.URL+"/generations/"+g.ID)+`)`); !links {
			t.Errorf("%s: its links lead elsewhere", path)
		}
	}
	tab.NoComplaints()
}
