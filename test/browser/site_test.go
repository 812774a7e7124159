package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"easel/comfy/simulator"
	"easel/db/dbtest"
	"easel/studio"
	"easel/test/harness"
)

// models are the checkpoints of the simulated ComfyUI.
var models = []string{"harbour-v2.safetensors", "mist.safetensors"}

// site is one running Easel with a database and a ComfyUI of its own.
type site struct {
	*harness.Easel

	t     *testing.T
	comfy *simulator.Running
	lead  *simulator.Stepper // nil where ComfyUI works by itself
}

// siteOptions of a site. The zero value is one whose ComfyUI works as fast as it can.
type siteOptions struct {
	led  bool           // ComfyUI's worker goes on only as the test leads it
	pace simulator.Pace // how long ComfyUI takes; the zero value: none
	env  []string       // NAME=VALUE for Easel
}

// open starts a site that lives as long as the test, and waits until its ComfyUI is up.
func open(t *testing.T, o siteOptions) *site {
	t.Helper()
	s := &site{t: t}
	config := simulator.Config{Models: models, PreviewSize: 128, Pace: o.pace}
	if o.led {
		s.lead = simulator.NewStepper()
		config.Gate = s.lead.Pass
	}
	var err error
	if s.comfy, err = simulator.Start("127.0.0.1:0", config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.comfy.Close)
	s.Easel = harness.Start(t, harness.Options{
		ComfyUI: "big=" + s.comfy.URL(),
		Env:     append([]string{"EASEL_LOG_LEVEL=info", "DATABASE_URL=" + dbtest.URL(t, dbtest.With("river", studio.Migrate))}, o.env...),
	})
	s.eventually("the server to be up", func() bool { return s.serverState() == "up" })
	return s
}

// in is the site for a part of its test.
func (s *site) in(t *testing.T) *site {
	part := *s
	part.t = t
	return &part
}

// eventually waits for what the program tells by no event.
func (s *site) eventually(what string, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

func (s *site) serverState() string {
	s.t.Helper()
	var list struct{ Servers []struct{ State string } }
	s.json("GET", "/api/servers", nil, &list)
	if len(list.Servers) != 1 {
		return ""
	}
	return list.Servers[0].State
}

// ask is what a test asks for; its JSON is that of the API.
type ask struct {
	Prompt         string         `json:"prompt"`
	NegativePrompt string         `json:"negativePrompt,omitempty"`
	TotalImages    int            `json:"totalImages,omitempty"`
	Settings       map[string]any `json:"settings,omitempty"`
}

// small is the settings of a picture that takes no time.
func small() map[string]any { return map[string]any{"width": 64, "height": 64, "steps": 2} }

// generation is what tests look at in a generation's JSON.
type generation struct {
	ID             string
	Prompt         string
	NegativePrompt string
	Status         string
	ErrorMessage   *string
	RetryOf        *string
	Settings       struct {
		Seed          uint64
		Steps         int
		Guidance      float64
		Width, Height int
		Model         string
		Sampler       string
		Scheduler     string
	}
	Images []struct {
		Status          string
		Seed            uint64
		ComfyUIPromptID string
		URL             string
		ThumbnailURL    string
	}
}

// generate asks for a generation over the API.
func (s *site) generate(a ask) generation {
	s.t.Helper()
	var g generation
	s.json("POST", "/api/generate", a, &g)
	return g
}

// made asks for a generation and waits until it has ended.
func (s *site) made(a ask) generation {
	s.t.Helper()
	return s.ended(s.generate(a).ID)
}

// read is a generation as it is now.
func (s *site) read(id string) generation {
	s.t.Helper()
	var g generation
	s.json("GET", "/api/generations/"+id, nil, &g)
	return g
}

// all are the generations, newest first, at most 200.
func (s *site) all() []generation {
	s.t.Helper()
	var list struct{ Generations []generation }
	s.json("GET", "/api/generations?limit=200", nil, &list)
	return list.Generations
}

// newest waits until there is one generation more than before, and gives it.
func (s *site) newest(before int) generation {
	s.t.Helper()
	var list []generation
	s.eventually("a new generation", func() bool {
		list = s.all()
		return len(list) > before
	})
	if len(list) != before+1 {
		s.t.Fatalf("there are %d generations, want %d", len(list), before+1)
	}
	return list[0]
}

// ended reads a generation's events until the last one.
func (s *site) ended(id string) generation {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	response := s.send(ctx, "GET", "/api/generate/progress?promptId="+id, "", nil)
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		var event struct{ Type string }
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || json.Unmarshal([]byte(data), &event) != nil {
			continue
		}
		if event.Type == "complete" || event.Type == "cancelled" || event.Type == "error" {
			return s.read(id)
		}
	}
	s.t.Fatalf("the events of %s ended without an end of it: %v", id, lines.Err())
	return generation{}
}

// json sends a JSON request, which must succeed, and decodes the answer.
func (s *site) json(method, path string, body, answer any) {
	s.t.Helper()
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			s.t.Fatal(err)
		}
	}
	response := s.send(s.t.Context(), method, path, "application/json", b)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if response.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %s\n%s", method, path, response.Status, data)
	}
	if err := json.Unmarshal(data, answer); err != nil {
		s.t.Fatalf("%s %s: %v\n%s", method, path, err, data)
	}
}

func (s *site) send(ctx context.Context, method, path, kind string, body []byte) *http.Response {
	s.t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	return response
}

// html is a page before any script has run.
func (s *site) html(path string) *goquery.Document {
	s.t.Helper()
	status, body := s.Get(path)
	if status != http.StatusOK {
		s.t.Fatalf("GET %s: %d", path, status)
	}
	document, err := goquery.NewDocumentFromReader(strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	return document
}

// until leads ComfyUI's worker to a point, and leaves it there.
func (s *site) until(what string, want func(simulator.Point) bool) simulator.Point {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	at, err := s.lead.Until(ctx, want)
	if err != nil {
		s.t.Fatalf("lead ComfyUI to %s: %v", what, err)
	}
	return at
}

// atStart leads the worker to the beginning of the next run.
func (s *site) atStart() simulator.Point {
	s.t.Helper()
	return s.until("a start", func(p simulator.Point) bool { return p.Stage == simulator.StageStart })
}

// atNode leads the worker to where a node of that class begins.
func (s *site) atNode(class string) simulator.Point {
	s.t.Helper()
	return s.until(class, func(p simulator.Point) bool { return p.Stage == simulator.StageNode && p.Class == class })
}

// afterStep leads the worker to where it has told of a step and not yet of the next.
func (s *site) afterStep(step int) simulator.Point {
	s.t.Helper()
	return s.until("a step", func(p simulator.Point) bool { return p.Stage == simulator.StageStep && p.Step == step+1 })
}

// shown is what a page says of how far a generation is. The number of the whole is not in it: it
// follows the clock, too.
type shown struct{ Badge, Line, Steps string }

// progress reads it in a tab.
func (tab *Tab) progress() shown {
	tab.t.Helper()
	return shown{
		Badge: tab.Text(".progress .badge"), Line: tab.Text(".progress .line"), Steps: tab.Text(".progress .steps"),
	}
}

// progressIn reads it in a page as it came from the server.
func progressIn(page *goquery.Document) shown {
	text := func(selector string) string {
		return strings.Join(strings.Fields(page.Find(selector).First().Text()), " ")
	}
	return shown{
		Badge: text(".progress .badge"), Line: text(".progress .line"), Steps: text(".progress .steps"),
	}
}

// waitProgress waits until a tab shows want, and a bar that says what the number beside it says.
func (tab *Tab) waitProgress(want shown) {
	tab.t.Helper()
	encoded, err := json.Marshal(want)
	if err != nil {
		tab.t.Fatal(err)
	}
	tab.Wait(`(want => {
		const text = s => (document.querySelector('.progress ' + s)?.textContent ?? '').trim().replace(/\s+/g, ' ');
		const bar = document.querySelector('.progress progress')?.getAttribute('value');
		return text('.badge') === want.Badge && text('.line') === want.Line && text('.steps') === want.Steps
			&& text('.percent') === (bar ? bar + '%' : '');
	})(` + string(encoded) + `)`)
}

// overall is the number of the whole in a tab, -1 while it says none.
func (tab *Tab) overall() int {
	tab.t.Helper()
	return Eval[int](tab, `parseInt(document.querySelector('.progress .percent')?.textContent ?? '-1')`)
}

// mark leaves a trace in the page that a load of another page would wipe away.
func (tab *Tab) mark() {
	tab.t.Helper()
	Eval[bool](tab, `window.marked = true`)
}

// sameDocument fails the test when the page was loaded again since mark.
func (tab *Tab) sameDocument() {
	tab.t.Helper()
	if !Eval[bool](tab, `window.marked === true`) {
		tab.t.Error("the page was loaded again")
	}
}

// fill puts text into a control at once, as pasting does.
func (tab *Tab) fill(selector, text string) {
	tab.t.Helper()
	if !Eval[bool](tab, `(e => {
		if (!e) return false;
		e.value = `+quote(text)+`;
		e.dispatchEvent(new Event('input', {bubbles: true}));
		e.dispatchEvent(new Event('change', {bubbles: true}));
		return true;
	})(document.querySelector(`+quote(selector)+`))`) {
		tab.t.Fatalf("there is no %s to fill", selector)
	}
}

// value is what a control holds.
func (tab *Tab) value(selector string) string {
	tab.t.Helper()
	return Eval[string](tab, `document.querySelector(`+quote(selector)+`)?.value ?? '(none)'`)
}

// path is where the tab is, without the host.
func (tab *Tab) path() string {
	tab.t.Helper()
	return Eval[string](tab, `location.pathname + location.search`)
}

// waitPath waits until the tab has loaded a page whose path begins so. Without scripts one may hold
// a frame that loads as long as a generation runs.
func (tab *Tab) waitPath(begin string) {
	tab.t.Helper()
	ready := `document.readyState === 'complete'`
	if tab.noScript {
		ready = `document.readyState !== 'loading'`
	}
	tab.Wait(ready + ` && (location.pathname + location.search).startsWith(` + quote(begin) + `)`)
}
