package browser

import (
	"fmt"
	"strings"
	"testing"

	"easel/comfy/simulator"
)

// One generation from the queue to the picture, as everybody sees it who has it open: the one who
// asked, a second tab, somebody else, and whoever comes in the middle, before any script has run.
func TestPeopleWatchARun(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{led: true})
	// Somebody else's pictures come first, with another model so that nothing is left loaded.
	first := s.generate(ask{Prompt: "Somebody else's", Settings: map[string]any{"width": 64, "height": 64, "steps": 1, "model": models[1]}})
	s.atStart()

	tab := Open(t, s.URL, TabOptions{})
	tab.Goto("/")
	tab.mark()
	tab.watchShifts()
	tab.fill(prompt, "A lighthouse in a storm")
	tab.Click(generateHere)
	g := s.newest(1)
	queued := shown{Badge: "Queued", Line: "Position 1 in the queue"}
	own := Open(t, s.URL, TabOptions{SameVisitor: tab})
	own.Goto("/generations/" + g.ID)
	own.waitProgress(queued)
	if got := progressIn(s.html("/generations/" + g.ID)); got != queued {
		t.Errorf("first HTML while queued: %+v, want %+v", got, queued)
	}
	tab.WaitText("#queue", "A lighthouse in a storm")
	tab.WaitText("#queue-count", "2")

	other := Open(t, s.URL, TabOptions{Dark: true})
	other.Goto("/generations/" + g.ID)
	everywhere := func(want shown) {
		t.Helper()
		for _, viewer := range []*Tab{tab, own, other} {
			viewer.waitProgress(want)
		}
		for _, path := range []string{"/", "/generations/" + g.ID, "/embed/generations/" + g.ID} {
			if got := progressIn(s.html(path)); got != want {
				t.Errorf("first HTML of %s: %+v, want %+v", path, got, want)
			}
		}
	}
	ours := func(stage simulator.Stage, class string) {
		t.Helper()
		s.until(class, func(p simulator.Point) bool { return p.Stage == stage && p.Class == class && s.isOf(p, g.ID) })
	}
	ours(simulator.StageNode, "CheckpointLoaderSimple")
	s.ended(first.ID) // ComfyUI has done with it; storing it may take longer than loading
	everywhere(shown{Badge: "🔗 Connected", Line: "Loading checkpoint"})
	tab.shifts() // the stage has changed from one generation to the other
	ours(simulator.StageNode, "CLIPTextEncode")
	everywhere(shown{Badge: "🔗 Connected", Line: "Encoding the prompt"})
	s.afterStep(5)
	everywhere(shown{Badge: "⚙️ Inferencing", Line: "Step 5 of 20", Steps: "25%"})
	seesStepFive(t, s, g.ID, tab, own, other)

	// A reload in the middle shows the same at once, and goes on by itself.
	own.Reload()
	own.waitProgress(shown{Badge: "⚙️ Inferencing", Line: "Step 5 of 20", Steps: "25%"})
	early := tab.overall()
	s.afterStep(12)
	everywhere(shown{Badge: "⚙️ Inferencing", Line: "Step 12 of 20", Steps: "60%"})
	ours(simulator.StageNode, "VAEDecode")
	everywhere(shown{Badge: "⚙️ Finishing", Line: "Decoding"})
	if late := tab.overall(); early < 1 || late <= early || late > 99 {
		t.Errorf("the number of the whole: %d%% after 5 steps, %d%% after all", early, late)
	}
	if shift, moved := tab.shifts(); shift > 0.002 {
		t.Errorf("the page moved by %.4f while the run went on: %s", shift, moved)
	}
	s.lead.Open()
	for _, viewer := range []*Tab{tab, own, other} {
		viewer.WaitText(".progress .badge", "✅ Complete")
		viewer.Wait(`(i => i?.complete && i.naturalWidth === 768)(document.querySelector('.frame a img'))`)
		if n := viewer.Count(".progress progress, .progress .cancel"); n != 0 {
			t.Error("a bar or a way to cancel is left")
		}
	}
	if title := Eval[string](other, `document.title`); title != "A lighthouse in a storm · Easel" {
		t.Errorf("the title is %q", title)
	}
	other.Wait(`document.querySelector('#record').textContent.includes('Ended')`)
	tab.sameDocument()
	// The line in the queue goes, and what is below it moves up; what one looks at stays.
	if _, moved := tab.shifts(); strings.Contains(moved, "row") || strings.Contains(moved, "caption") || strings.Contains(moved, "frame") {
		t.Errorf("the stage moved when the run ended: %s", moved)
	}
	for _, viewer := range []*Tab{tab, own, other} {
		viewer.NoComplaints()
	}
	tab.seesShifts()
}

// isOf tells whether the worker is at a generation.
func (s *site) isOf(p simulator.Point, id string) bool {
	for _, image := range s.read(id).Images {
		if image.ComfyUIPromptID == p.PromptID {
			return true
		}
	}
	return false
}

// seesStepFive looks at what else there is to see while steps run.
func seesStepFive(t *testing.T, s *site, id string, viewers ...*Tab) {
	t.Helper()
	for _, viewer := range viewers {
		viewer.Wait(`(i => i?.complete && i.naturalWidth > 0)(document.querySelector('.frame img[data-preview]'))`)
		if eta := viewer.Text(".progress .eta"); !strings.HasSuffix(eta, "remaining") {
			t.Errorf("time left: %q", eta)
		}
		viewer.Wait(`document.title.startsWith(document.querySelector('.progress .percent').textContent + (location.pathname === '/' ? ' · Easel' : ' · A light'))`)
		viewer.Wait(`/^Inferencing(, (25|50|75) percent)?$/.test(document.querySelector('#announce').textContent.trim())`)
	}
	page := s.html("/generations/" + id)
	source := page.Find(".frame img[data-preview]").AttrOr("src", "")
	if status, _ := s.Get(source); status != 200 {
		t.Errorf("the preview %q of the first HTML: %d", source, status)
	}
	if eta := strings.TrimSpace(page.Find(".progress .eta").Text()); !strings.HasSuffix(eta, "remaining") {
		t.Errorf("time left in the first HTML: %q", eta)
	}
	if text := page.Find("head noscript").Text() + page.Find("head noscript meta").AttrOr("content", ""); text == "" {
		t.Error("without scripts the page would not go on")
	}
}

// watchShifts notes what moves by itself in the page from now on.
func (tab *Tab) watchShifts() {
	tab.t.Helper()
	Eval[bool](tab, `(() => {
		window.shifts = [];
		new PerformanceObserver(list => {
			for (const e of list.getEntries()) if (!e.hadRecentInput)
				shifts.push({value: e.value, moved: e.sources.map(s => s.node?.id || s.node?.className || s.node?.nodeName).join()});
		}).observe({type: 'layout-shift'});
		return true;
	})()`)
}

// shifts sums up what has moved since it was asked last.
func (tab *Tab) shifts() (value float64, moved string) {
	tab.t.Helper()
	type shift struct {
		Value float64
		Moved string
	}
	for _, s := range Eval[[]shift](tab, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(shifts.splice(0)))))`) {
		value += s.Value
		moved += fmt.Sprintf(" %.4f %s;", s.Value, s.Moved)
	}
	return value, moved
}

// seesShifts shows that the browser does tell: of a page that is moved.
func (tab *Tab) seesShifts() {
	tab.t.Helper()
	Eval[bool](tab, `(() => { const e = document.createElement('p'); e.textContent = 'x '.repeat(2000);
		document.querySelector('main').prepend(e); return true })()`)
	tab.Wait(`shifts.length > 0`)
}
