package browser

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"easel/comfy/simulator"
)

// Everything again with JavaScript off: forms post, pages reload themselves while something runs.
func TestPeopleWithoutScripts(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{led: true})
	tab := Open(t, s.URL, TabOptions{NoScript: true})
	tab.Goto("/")
	if n := tab.Count(".needs-script"); n == 0 || Eval[bool](tab, `[...document.querySelectorAll('.needs-script')].some(e => e.checkVisibility())`) {
		t.Error("controls are shown that do nothing without scripts")
	}
	noscriptRefusal(t, tab)
	id := noscriptRun(t, s, tab)
	noscriptCancel(t, s, tab)
	noscriptBrowse(t, s, tab, id)
	noscriptTheme(t, tab)
	tab.NoComplaints()
}

// noscriptRefusal: the page comes back with 422, the reason at the field and all that was typed.
func noscriptRefusal(t *testing.T, tab *Tab) {
	t.Helper()
	tab.Press("More settings")
	tab.fill(prompt, "A fox\nin the snow")
	tab.fill(`[name=negativePrompt]`, "<b>dogs</b>")
	tab.fill(`[name="settings.steps"]`, "0")
	tab.Press("Generate")
	tab.waitPath("/generations")
	tab.Wait(`document.querySelector('[name="settings.steps"]').getAttribute('aria-invalid') === 'true'`)
	if got := Eval[int](tab, `performance.getEntriesByType('navigation')[0].responseStatus`); got != http.StatusUnprocessableEntity {
		t.Errorf("a form that was refused is answered with %d, want 422", got)
	}
	if got := tab.complaint("settings.steps"); !strings.Contains(got, "Steps") {
		t.Errorf("at steps stands %q", got)
	}
	for control, typed := range map[string]string{prompt: "A fox\nin the snow", "[name=negativePrompt]": "<b>dogs</b>", `[name="settings.steps"]`: "0"} {
		if got := tab.value(control); got != typed {
			t.Errorf("%s holds %q, %q was typed", control, got, typed)
		}
	}
}

// noscriptRun: 303 to a page that goes on by itself.
func noscriptRun(t *testing.T, s *site, tab *Tab) (id string) {
	t.Helper()
	tab.fill(`[name="settings.steps"]`, "20")
	tab.Click(`[name=shape][value=free]`)
	tab.fill(`[name="settings.width"]`, "64")
	tab.fill(`[name="settings.height"]`, "64")
	tab.Press("Generate")
	tab.waitPath("/generations/")
	id = strings.TrimPrefix(tab.path(), "/generations/")
	before := Eval[float64](tab, `performance.timeOrigin`)
	live := tab.Frame(s.URL + "/generations/" + id + "/live")
	s.atNode("CheckpointLoaderSimple")
	live.waitWritten(shown{Badge: "🔗 Connected", Line: "Loading checkpoint"})
	if Eval[bool](tab, `[...document.querySelectorAll('.stage > .pictures, .stage > .progress')].some(e => e.checkVisibility({visibilityProperty: true}))`) {
		t.Error("beside the live part stands one that is not")
	}
	for _, step := range []int{5, 12} {
		s.afterStep(step)
		live.waitWritten(shown{Badge: "⚙️ Inferencing", Line: fmt.Sprintf("Step %d of 20", step), Steps: fmt.Sprintf("%d%%", step*5)})
		live.Wait(`(i => i?.complete && i.naturalWidth > 0)([...document.querySelectorAll('.frame img[data-preview]')].at(-1))`)
	}
	if Eval[float64](tab, `performance.timeOrigin`) != before {
		t.Error("the page was loaded again while its live part went on")
	}
	if !Eval[bool](live, `document.documentElement.scrollHeight <= innerHeight`) {
		t.Error("the live part does not fit its frame")
	}
	s.until("the end", func(p simulator.Point) bool { return p.Stage == simulator.StageFinish })
	s.lead.Release()
	tab.WaitText(".progress .badge", "✅ Complete")
	tab.Wait(`(i => i?.complete && i.naturalWidth === 64)(document.querySelector('.frame a img'))`)
	if tab.Count(`meta[http-equiv=refresh]`) != 0 {
		t.Error("the page of an ended generation still reloads itself")
	}
	return id
}

// waitWritten waits until of all that was written into a page one state is seen, and that it is want.
func (tab *Tab) waitWritten(want shown) {
	tab.t.Helper()
	encoded, err := json.Marshal(want)
	if err != nil {
		tab.t.Fatal(err)
	}
	tab.Wait(`(want => {
		const seen = [...document.querySelectorAll('.words')].filter(e => e.checkVisibility());
		const text = s => (seen[0]?.querySelector(s)?.textContent ?? '').trim().replace(/\s+/g, ' ');
		return seen.length === 1 && text('.badge') === want.Badge && text('.line') === want.Line && text('.steps') === want.Steps;
	})(` + string(encoded) + `)`)
}

func noscriptCancel(t *testing.T, s *site, tab *Tab) {
	t.Helper()
	tab.Press("Use these settings")
	tab.waitPath("/?from=")
	tab.fill(`[name="settings.seed"]`, "") // with the same one there would be nothing to do
	tab.Press("Generate")
	tab.waitPath("/generations/")
	s.afterStep(3)
	tab.Frame(s.URL + tab.path() + "/live").waitWritten(shown{Badge: "⚙️ Inferencing", Line: "Step 3 of 20", Steps: "15%"})
	tab.Press("Cancel")
	tab.WaitText(".progress .badge", "Cancelling")
	s.until("the end", func(p simulator.Point) bool { return p.Stage == simulator.StageFinish })
	s.lead.Open()
	tab.WaitText(".progress .badge", "Cancelled")
	tab.Press("Retry")
	tab.WaitText(".progress .badge", "✅ Complete")
	tab.WaitText("#record", "an earlier generation")
}

func noscriptBrowse(t *testing.T, s *site, tab *Tab, id string) {
	t.Helper()
	tab.Press("Gallery")
	tab.waitPath("/gallery")
	if n := tab.Count("#cards > li"); n != 3 {
		t.Errorf("the gallery has %d cards, want 3", n)
	}
	tab.Press("Cancelled")
	tab.waitPath("/gallery?status=cancelled")
	if n := tab.Count("#cards > li"); n != 1 {
		t.Errorf("%d cards of cancelled ones, want 1", n)
	}
	tab.Press("All")
	tab.Wait(`document.readyState === 'complete' && location.search === ''`)
	tab.fill("#q", "fox snow")
	tab.Press("Search")
	tab.Wait(`document.readyState === 'complete' && new URLSearchParams(location.search).get('q') === 'fox snow'`)
	if n := tab.Count("#cards > li"); n != 3 {
		t.Errorf("%d cards for the words, want 3", n)
	}
	tab.Goto("/generations/" + id)
	tab.Press("Delete") // a details element: it asks in place
	tab.Wait(`document.querySelector('#actions details[open] form button').checkVisibility()`)
	tab.Click("#actions details[open] form button")
	tab.waitPath("/gallery")
	if n := tab.Count("#cards > li"); n != 2 {
		t.Errorf("%d cards after deleting one of three", n)
	}
	left := s.ids()[0]
	tab.Goto("/generations/" + left + "/delete") // a link may lead to the question, too
	tab.WaitText("h1", "Delete this generation?")
	tab.Press("Keep it")
	tab.waitPath("/generations/" + left)
}

func noscriptTheme(t *testing.T, tab *Tab) {
	t.Helper()
	ground := `getComputedStyle(document.body).backgroundColor`
	light := Eval[string](tab, ground)
	tab.Click(`.theme button[value=dark]`)
	tab.Wait(`document.readyState === 'complete' && document.documentElement.dataset.theme === 'dark'`)
	if dark := Eval[string](tab, ground); dark == light {
		t.Errorf("dark and light have the same ground %s", dark)
	}
	tab.Goto("/servers")
	if got := Eval[string](tab, `document.documentElement.dataset.theme`); got != "dark" {
		t.Errorf("on the next page the theme is %q", got)
	}
}
