package browser

import (
	"strings"
	"testing"

	"easel/comfy/simulator"
)

// hide makes a page believe that its tab is hidden or shown, as switching tabs does.
func (tab *Tab) hide(hidden bool) {
	tab.t.Helper()
	Eval[bool](tab, `(hidden => {
		Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
		Object.defineProperty(document, 'visibilityState', {value: hidden ? 'hidden' : 'visible', configurable: true});
		document.dispatchEvent(new Event('visibilitychange'));
		return true;
	})(`+map[bool]string{true: "true", false: "false"}[hidden]+`)`)
}

// Browsers give plain HTTP six connections a host, and each visible page holds one open for its
// stream. Hidden ones hold none, so the seventh tab of a window loads, and is live.
func TestSevenTabs(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{led: true})
	g := s.generate(ask{Prompt: "Seen in seven tabs", Settings: map[string]any{"width": 64, "height": 64, "steps": 20}})
	s.afterStep(2)
	pages := []string{"/", "/gallery", "/generations/" + g.ID, "/servers", "/settings", "/", "/generations/" + g.ID}
	var tabs []*Tab
	for i, path := range pages {
		o := TabOptions{SameWindow: true}
		if i > 0 {
			o.SameVisitor = tabs[i-1] // in front of it
		}
		tab := Open(t, s.URL, o)
		tab.Goto(path)
		tab.WaitText("h1, .studio", "")
		tabs = append(tabs, tab)
	}
	for i, tab := range tabs[:6] {
		if !Eval[bool](tab, `document.hidden`) {
			t.Errorf("tab %d is not hidden behind the others", i+1)
		}
	}
	last, first := tabs[6], tabs[0]
	last.waitProgress(shown{Badge: "⚙️ Inferencing", Line: "Step 2 of 20", Steps: "10%"})
	s.afterStep(5)
	last.waitProgress(shown{Badge: "⚙️ Inferencing", Line: "Step 5 of 20", Steps: "25%"})
	if got := first.progress().Line; got != "Step 2 of 20" {
		t.Errorf("a hidden tab has gone on to %q: it holds a connection", got)
	}
	// Whoever comes back to a tab sees the present state.
	first.Show()
	first.waitProgress(shown{Badge: "⚙️ Inferencing", Line: "Step 5 of 20", Steps: "25%"})
	s.lead.Open()
	first.WaitText(".progress .badge", "Complete")
	for _, tab := range tabs {
		tab.NoComplaints()
	}
}

// A page that was opened in the background, and one that is hidden and shown again in the middle of
// a run, is live once it is seen.
func TestHiddenPagesWakeUp(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{led: true})
	g := s.generate(ask{Prompt: "Looked at now and then", Settings: map[string]any{"width": 64, "height": 64, "steps": 20}})
	s.afterStep(2)
	tab := Open(t, s.URL, TabOptions{})
	tab.Goto("/generations/" + g.ID)
	tab.waitProgress(shown{Badge: "⚙️ Inferencing", Line: "Step 2 of 20", Steps: "10%"})
	for _, step := range []struct {
		n    int
		want shown
	}{
		{5, shown{Badge: "⚙️ Inferencing", Line: "Step 5 of 20", Steps: "25%"}},
		{10, shown{Badge: "⚙️ Inferencing", Line: "Step 10 of 20", Steps: "50%"}},
	} {
		before := Eval[string](tab, `document.title`)
		tab.hide(true)
		s.afterStep(step.n)
		// Not seen, the page has no stream; its title and its icon go on.
		tab.Wait(`/^\d+% · Looked/.test(document.title) && document.title !== ` + quote(before))
		if got := Eval[string](tab, `document.querySelector('link[rel=icon]').href`); !strings.Contains(got, "/static/progress-") {
			t.Errorf("the icon of a tab that is not seen is %s", got)
		}
		tab.hide(false)
		tab.waitProgress(step.want)
		if Eval[bool](tab, `document.querySelector('.lost').checkVisibility()`) {
			t.Error("coming back to a tab is called a lost connection")
		}
	}
	s.until("the end", func(p simulator.Point) bool { return p.Stage == simulator.StageFinish })
	s.lead.Open()
	tab.WaitText(".progress .badge", "Complete")
	tab.NoComplaints()
}
