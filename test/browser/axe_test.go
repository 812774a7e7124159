package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// axeScript is axe-core, which judges how accessible a page is; `tools/need axe` fetches it.
func axeScript(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(harness.Root(), "test", ".cache", "axe", "*", "axe.min.js"))
	if err != nil || len(found) == 0 {
		t.Fatalf("axe-core is not there (%v): run tools/need axe", err)
	}
	script, err := os.ReadFile(found[len(found)-1])
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// judge fails the test for every rule that the page breaks, and for two that axe does not know:
// a native progress bar without a name, and an empty aria-busy.
func judge(t *testing.T, tab *Tab, axe, what string) {
	t.Helper()
	Eval[bool](tab, axe+`;true`)
	type violation struct {
		ID, Help string
		Nodes    []struct{ HTML, FailureSummary string }
	}
	for _, v := range Eval[[]violation](tab, `axe.run(document, {resultTypes: ['violations']}).then(r =>
		r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => ({html: n.html.slice(0, 300), failureSummary: n.failureSummary}))})))`) {
		t.Errorf("%s: %s (%s)", what, v.Help, v.ID)
		for _, n := range v.Nodes {
			t.Errorf("  %s\n  %s", n.HTML, strings.ReplaceAll(n.FailureSummary, "\n", "\n  "))
		}
	}
	for _, bad := range Eval[[]string](tab, `[...document.querySelectorAll('progress')].filter(e => !(e.getAttribute('aria-label') || e.labels.length ||
		document.getElementById(e.getAttribute('aria-labelledby')))).concat([...document.querySelectorAll('[aria-busy=""]')]).map(e => e.outerHTML)`) {
		t.Errorf("%s: a bar without a name or an empty aria-busy: %s", what, bad)
	}
}

// Every page in light and in dark: empty, with pictures, with complaints, failed, and while a run
// goes on.
func TestPagesAreAccessible(t *testing.T) {
	t.Parallel()
	axe := axeScript(t)
	s := open(t, siteOptions{led: true})
	light := Open(t, s.URL, TabOptions{})
	dark := Open(t, s.URL, TabOptions{Dark: true})
	phone := Open(t, s.URL, TabOptions{Width: 390, Height: 844, Dark: true})
	look := func(what, path string, ready string) {
		t.Helper()
		tabs := map[string]*Tab{"light": light, "dark": dark}
		if what == "with pictures" {
			tabs["dark on a phone"] = phone
		}
		for name, tab := range tabs {
			tab.Goto(path)
			tab.Wait(ready)
			judge(t, tab, axe, fmt.Sprintf("%s, %s, in %s", path, what, name))
		}
	}
	for _, path := range []string{"/", "/gallery", "/queue", "/servers", "/workflows", "/workflows/text-to-image", "/settings", "/calibration", "/nowhere", "/embed/gallery"} {
		look("empty", path, `true`)
	}
	running := s.generate(ask{Prompt: "A mill", TotalImages: 2, Settings: map[string]any{"width": 64, "height": 64}})
	s.generate(ask{Prompt: "Another mill", NegativePrompt: "wind", Settings: small()})
	s.atNode("CheckpointLoaderSimple")
	look("in set-up", "/generations/"+running.ID, `document.querySelector('.progress .badge').textContent.includes('Connected')`)
	s.afterStep(5)
	sampling := `document.querySelector('.progress').textContent.includes('Step 5 of 20') || document.querySelector('#cards img, .frame img[data-preview]')`
	for _, path := range []string{"/", "/generations/" + running.ID, "/embed/generations/" + running.ID} {
		look("while a run goes on", path, sampling)
	}
	look("while a run goes on", "/gallery", `document.querySelector('#cards').textContent.includes('Inferencing')`)
	look("while a run goes on", "/servers", `true`)
	look("while a run goes on", "/queue", `document.querySelector('.waiting-row')`)
	cancelWhileJudged(t, s, axe, light, running.ID)

	s.comfy.Faults().OutOfMemory(100)
	failed := s.made(ask{Prompt: "Too much", Settings: small()})
	s.comfy.Faults().Reset()
	done := s.made(ask{Prompt: "A finished mill", NegativePrompt: "wind", Settings: small()})
	look("failed", "/generations/"+failed.ID, `true`)
	for _, path := range sitePages(done.ID) {
		look("with pictures", path, `true`)
	}
	for _, tab := range []*Tab{light, dark} {
		formAndDialogsJudged(t, tab, axe, done.ID)
		tab.NoComplaints()
	}
}

func cancelWhileJudged(t *testing.T, s *site, axe string, tab *Tab, id string) {
	t.Helper()
	tab.Goto("/generations/" + id)
	tab.Press("Cancel")
	tab.WaitText(".progress .badge", "Cancelling")
	judge(t, tab, axe, "while cancelling")
	s.until("the end", func(p simulator.Point) bool { return p.Stage == simulator.StageFinish })
	s.lead.Open()
	if g := s.ended(id); g.Status != "cancelled" {
		t.Errorf("status = %s", g.Status)
	}
	tab.WaitText(".progress .badge", "Cancelled")
	judge(t, tab, axe, "cancelled")
}

// formAndDialogsJudged looks at what opens only on a press.
func formAndDialogsJudged(t *testing.T, tab *Tab, axe, id string) {
	t.Helper()
	tab.Goto("/")
	tab.Press("More settings")
	tab.Click(`[name=shape][value=free]`)
	for _, control := range []string{"settings.width", "settings.steps", "settings.seed", "totalImages"} {
		tab.fill(`[name="`+control+`"]`, "-5")
	}
	tab.fill(`[name="settings.seed"]`, "none")
	tab.Press("Generate")
	tab.Wait(`document.querySelectorAll('#composer [aria-invalid=true]').length >= 4`)
	judge(t, tab, axe, "a form with complaints")
	tab.Press("Keys")
	tab.Wait(`document.querySelector('#keys').open`)
	judge(t, tab, axe, "the list of keys")
	tab.Goto("/generations/" + id)
	tab.Press("Delete")
	tab.Press("The graph that was sent")
	tab.Wait(`document.querySelectorAll('details[open]').length === 2`)
	judge(t, tab, axe, "before a deletion")
}
