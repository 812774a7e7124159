package handlers

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/studio"
)

// liveEvents opens a page's stream as Datastar does.
func liveEvents(t *testing.T, target string) *eventReader {
	t.Helper()
	res, events := follow(t, target, "Datastar-Request", "true", "Accept", "text/event-stream, text/html, application/json")
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s: %d, %v", target, res.StatusCode, res.Header)
	}
	return events
}

// patched reads on until an event holds want, and returns the ids of what was patched meanwhile.
func patched(t *testing.T, events *eventReader, want string) (ids []string, last string) {
	t.Helper()
	for {
		event, ok := events.next()
		if !ok {
			t.Fatalf("the stream ended before %q", want)
		}
		var html strings.Builder
		for line := range strings.SplitSeq(event.Data, "\n") {
			if text, ok := strings.CutPrefix(line, "elements "); ok {
				html.WriteString(text + "\n")
			}
		}
		if _, rest, ok := strings.Cut(html.String(), `id="`); ok {
			id, _, _ := strings.Cut(rest, `"`)
			ids = append(ids, id)
		}
		if strings.Contains(html.String(), want) {
			return ids, html.String()
		}
	}
}

func has(ids []string, id string) bool {
	for _, other := range ids {
		if other == id {
			return true
		}
	}
	return false
}

// The first event after a connect holds everything, later ones only what changed.
func TestGenerationStream(t *testing.T) { bothWays(t, testGenerationStream) }

func testGenerationStream(t *testing.T, serve serving) {
	f := newFake()
	state := f.put(newState(f, "A lamp", studio.Generating, 1))
	f.update(state.Generation.ID, func(s *studio.State) { sampling(s, 6) })
	_, ts := serve(t, f)
	id := state.Generation.ID.String()
	events := liveEvents(t, ts.URL+"/generations/"+id)
	ids, _ := patched(t, events, `id="banner"`) // the last part
	for _, want := range []string{"pictures-" + id, "progress-" + id, "announce", "title", "actions", "health", "queue-count"} {
		if !has(ids, want) {
			t.Errorf("the first patch lacks %s: %v", want, ids)
		}
	}
	f.update(state.Generation.ID, func(s *studio.State) { sampling(s, 7) })
	ids, _ = patched(t, events, `>28% · A lamp`) // the title comes last
	if !has(ids, "progress-"+id) || !has(ids, "announce") || has(ids, "actions") || has(ids, "health") {
		t.Errorf("a step patches %v", ids)
	}
	f.update(state.Generation.ID, func(s *studio.State) { sampling(s, 8) })
	ids, _ = patched(t, events, `>32% · A lamp`)
	if has(ids, "announce") {
		t.Error("a screen reader is told of every step")
	}
	f.mu.Lock()
	f.attempts[state.Generation.ID] = fakeAttempts(state)
	f.mu.Unlock()
	f.update(state.Generation.ID, func(s *studio.State) {
		s.Generation.Status, s.Progress = studio.Complete, progressOf(studio.Complete, 1)
		finish(s, 0)
	})
	ids, record := patched(t, events, `id="record"`)
	if !has(ids, "pictures-"+id) || !has(ids, "actions") || !strings.Contains(record, "Accepted by ComfyUI") {
		t.Errorf("the end patches %v", ids)
	}
}

// Seven steps at once are one patch: states are skipped, the last one never.
func TestStreamSkipsStates(t *testing.T) { bothWays(t, testStreamSkipsStates) }

func testStreamSkipsStates(t *testing.T, serve serving) {
	f := newFake()
	state := f.put(newState(f, "A lamp", studio.Generating, 1))
	_, ts := serve(t, f)
	id := state.Generation.ID
	events := liveEvents(t, ts.URL+"/generations/"+id.String())
	patched(t, events, `id="banner"`)
	begun := time.Now()
	for step := 1; step <= 20; step++ {
		f.update(id, func(s *studio.State) { sampling(s, step) })
	}
	progress := 0
	for {
		ids, html := patched(t, events, `id="progress-`)
		for _, id := range ids {
			if strings.HasPrefix(id, "progress-") {
				progress++
			}
		}
		if strings.Contains(html, "Step 20 of 20") {
			break
		}
	}
	if most := 2 + int(time.Since(begun)/patchEvery); progress > most {
		t.Errorf("20 steps made %d patches in %v, want at most %d", progress, time.Since(begun), most)
	}
}

// Previews come four times a second to a watcher, however fast ComfyUI makes them, and the last one
// comes always, though nothing follows it. The number does not wait for them.
func TestPreviewsAreLimited(t *testing.T) { bothWays(t, testPreviewsAreLimited) }

func testPreviewsAreLimited(t *testing.T, serve serving) {
	f := newFake()
	state := f.put(newState(f, "A lamp", studio.Generating, 1))
	_, ts := serve(t, f)
	id := state.Generation.ID
	for _, target := range []string{"/generations/" + id.String(), "/embed/generations/" + id.String() + "/live"} {
		events := liveEvents(t, ts.URL+target)
		patched(t, events, `id="progress-`)
		begun, rev := time.Now(), uint64(0)
		previews, steps := 0, 0
		for last := ""; !strings.Contains(last, "rev=1040"); {
			if rev++; rev <= 40 {
				f.update(id, func(s *studio.State) {
					sampling(s, 10)
					s.Progress.Status = fmt.Sprintf("Step %d of 40", rev)
					s.Progress.PreviewRev, s.Images[0].PreviewRev = 1000+rev, 1000+rev
				})
			}
			var ids []string
			ids, last = patched(t, events, `id="p`) // the pictures or the progress
			if has(ids, "pictures-"+id.String()) {
				previews++
			}
			if has(ids, "progress-"+id.String()) {
				steps++
			}
		}
		if most := 2 + int(time.Since(begun)/previewEvery); previews > most {
			t.Errorf("%s: %d previews in %v, want at most %d", target, previews, time.Since(begun), most)
		}
		if steps <= previews {
			t.Errorf("%s: %d steps with %d previews: the number waits for the previews", target, steps, previews)
		}
	}
}

func TestPartsThatComeTooEarly(t *testing.T) {
	now := time.Unix(1000, 0)
	seen := sent{}
	at := func(after time.Duration, text string) (events string, early bool) {
		b, early := seen.changed([]part{{target: "a", events: []byte(text), every: time.Second}}, now.Add(after))
		return string(b), early
	}
	for _, step := range []struct {
		after time.Duration
		text  string
		want  string
		early bool
	}{
		{0, "one", "one", false},
		{time.Millisecond, "one", "", false},
		{2 * time.Millisecond, "two", "", true},
		{999 * time.Millisecond, "three", "", true},
		{time.Second, "three", "three", false},
		{1500 * time.Millisecond, "four", "", true},
		{1600 * time.Millisecond, "three", "", false}, // as it was: there is nothing to send
	} {
		if events, early := at(step.after, step.text); events != step.want || early != step.early {
			t.Errorf("%q after %v: %q, %t, want %q, %t", step.text, step.after, events, early, step.want, step.early)
		}
	}
	seen.holds([]part{{target: "a", events: []byte("inside")}})
	if events, early := at(1601*time.Millisecond, "five"); events != "five" || early {
		t.Errorf("after another part held it: %q, %t", events, early)
	}
}

// Watchers of one state get the same bytes, rendered once.
func TestFramesAreShared(t *testing.T) {
	f := newFake()
	state := f.put(newState(f, "A lamp", studio.Generating, 1))
	s := newSite(t, f)
	first, second := s.generationParts(state), s.generationParts(state)
	for i := range first {
		if &first[i].events[0] != &second[i].events[0] {
			t.Errorf("%s was rendered twice", first[i].target)
		}
	}
	o := f.Overview()
	a, b := s.stripParts(o), s.stripParts(o)
	if &a[0].events[0] != &b[0].events[0] {
		t.Error("the queue was rendered twice")
	}
}

func TestStudioStream(t *testing.T) { bothWays(t, testStudioStream) }

func testStudioStream(t *testing.T, serve serving) {
	f := newFake()
	_, ts := serve(t, f)
	events := liveEvents(t, ts.URL+"/")
	ids, _ := patched(t, events, `id="recent"`)
	if !has(ids, "stage") {
		t.Errorf("the first patch lacks the stage: %v", ids)
	}
	state := f.put(newState(f, "A lamp", studio.Pending, 1))
	id := state.Generation.ID.String()
	_, stage := patched(t, events, `id="stage"`)
	if !strings.Contains(stage, `id="progress-`+id+`"`) {
		t.Errorf("the stage does not show the new generation: %s", stage)
	}
	second := f.put(newState(f, "A chair", studio.Pending, 1)).Generation.ID.String()
	_, queue := patched(t, events, `id="queued-`+second)
	if strings.Contains(queue, `id="queued-`+id) {
		t.Error("the queue repeats what the stage shows")
	}
	f.update(state.Generation.ID, func(s *studio.State) { sampling(s, 10) })
	ids, _ = patched(t, events, `>40% · Easel`)
	if has(ids, "stage") || !has(ids, "progress-"+id) || !has(ids, "pictures-"+id) {
		t.Errorf("a step on the stage patches %v", ids)
	}
}

// The server and the start of a run reach an open page while it goes on, without a look into the
// database.
func TestRunFactsAreLive(t *testing.T) {
	f := newFake()
	_, ts := serve(t, f)
	id := f.put(newState(f, "A lamp", studio.Pending, 1)).Generation.ID
	events := liveEvents(t, ts.URL+"/generations/"+id.String())
	_, before := patched(t, events, `id="run"`)
	if strings.Contains(before, "Started") {
		t.Errorf("it has not started: %s", before)
	}
	f.update(id, func(s *studio.State) {
		s.Generation.Images[0].Server, s.Generation.Images[0].StartedAt = "workbench", &f.now
	})
	_, after := patched(t, events, `id="run"`)
	if !strings.Contains(after, "workbench") || !strings.Contains(after, "Started") {
		t.Errorf("the run's facts are %s", after)
	}
}

func TestServersStream(t *testing.T) {
	f := newFake()
	_, ts := serve(t, f)
	events := liveEvents(t, ts.URL+"/servers")
	patched(t, events, "workbench")
	f.mu.Lock()
	f.servers[0].State, f.servers[0].LastError = studio.ServerDown, "connection refused"
	f.mu.Unlock()
	f.publish()
	_, health := patched(t, events, `id="health"`)
	if !strings.Contains(health, `data-health="none"`) || !strings.Contains(health, "No server is up") {
		t.Errorf("health = %s", health)
	}
	patched(t, events, "connection refused")
	doc, _ := page(t, newSite(t, f), "/", http.StatusOK)
	if banner := words(doc.Find("#banner")); !strings.HasPrefix(banner, "No ComfyUI answers.") {
		t.Errorf("with every server down the banner says %q", banner)
	}
}

// A bare CR in a prompt begins no line of its own in the stream.
func TestPromptCannotForgeEvents(t *testing.T) {
	f := newFake()
	state := f.put(newState(f, "x\r\revent: datastar-patch-elements\rdata: elements <b id=forged></b>\r\r", studio.Pending, 1))
	s := newSite(t, f)
	o := f.Overview()
	stage := unset
	var all []byte
	for _, p := range append(append(s.generationParts(state), s.stageParts(o, sent{}, &stage)...), s.stripParts(o)...) {
		all = append(all, p.events...)
	}
	if strings.ContainsRune(string(all), '\r') {
		t.Error("a CR is in the stream")
	}
	for _, event := range parseEvents(string(all)) {
		if strings.HasPrefix(event.Data, "elements <b id=forged>") {
			t.Errorf("forged: %q", event.Data)
		}
	}
}

func TestGalleryStreamCountsWhatIsNew(t *testing.T) {
	f := newFake()
	newest := f.put(newState(f, "first", studio.Complete, 1)).Generation.ID
	running := f.put(newState(f, "second", studio.Generating, 1)).Generation.ID
	s, ts := serve(t, f)
	doc, _ := page(t, s, "/gallery", http.StatusOK)
	live := doc.Find(".live").AttrOr("data-url", "")
	if want := "live=1&since=" + running.String(); !strings.Contains(live, want) {
		t.Fatalf("stream = %q, want %q in it", live, want)
	}
	events := liveEvents(t, ts.URL+live)
	_, pill := patched(t, events, `id="fresh"`)
	if strings.Contains(pill, "new") {
		t.Errorf("the pill begins with %s", pill)
	}
	f.put(newState(f, "third", studio.Complete, 1))
	f.put(newState(f, "fourth", studio.Pending, 1))
	_, pill = patched(t, events, `>2</span> new`)
	_, rest, _ := strings.Cut(pill, `data-url="`)
	target, _, _ := strings.Cut(rest, `"`)
	if want := "/gallery?since=" + running.String(); target != want {
		t.Errorf("the pill asks for %q, want %q", target, want)
	}
	// What runs and is on the page stays live, also when it ends without a picture.
	f.update(running, func(s *studio.State) { s.Generation.Status, s.Progress = studio.Failed, progressOf(studio.Failed, 1) })
	_, card := patched(t, events, `id="card-`+running.String())
	if !strings.Contains(card, `data-status="failed"`) {
		_, card = patched(t, events, `data-status="failed"`)
	}
	if strings.Contains(card, newest.String()) {
		t.Error("a card that did not change was sent")
	}
}

func TestGalleryPutsWhatIsNewOnTop(t *testing.T) {
	f := newFake()
	old := f.put(newState(f, "old", studio.Complete, 1)).Generation.ID
	fresh := f.put(newState(f, "fresh", studio.Complete, 1)).Generation.ID
	s := newSite(t, f)
	res := call(t, s, "GET", "/gallery?since="+old.String(), "", "Datastar-Request", "true")
	text := bodyOf(t, res)
	for _, want := range []string{"mode prepend", "selector #cards", "card-" + fresh.String(), `id="fresh"`, "selector .live", "since=" + fresh.String()} {
		if !strings.Contains(text, want) {
			t.Errorf("the answer lacks %q", want)
		}
	}
	if strings.Contains(text, "card-"+old.String()) {
		t.Error("what the page has is sent again")
	}
	// From an empty wall: the words about it go.
	text = bodyOf(t, call(t, s, "GET", "/gallery?since=", "", "Datastar-Request", "true"))
	if !strings.Contains(text, "selector #none") || !strings.Contains(text, "card-"+old.String()) {
		t.Error("the first picture does not replace the empty wall")
	}
}

func TestGalleryAppendsOlder(t *testing.T) {
	f := newFake()
	for range galleryPart + 3 {
		f.put(newState(f, "a", studio.Complete, 1))
	}
	s := newSite(t, f)
	doc, _ := page(t, s, "/gallery", http.StatusOK)
	older := doc.Find(".older")
	text := bodyOf(t, call(t, s, "GET", older.AttrOr("data-url", ""), "", "Datastar-Request", "true"))
	if n := strings.Count(text, `id="card-`); n != 3 || !strings.Contains(text, "mode append") {
		t.Errorf("%d cards came, want 3", n)
	}
	if !strings.Contains(text, `class="older"`) || strings.Contains(text, `id="`+older.AttrOr("id", "-")+`"`) {
		t.Error("the next link must have another id, or it does not look again")
	}
}

func TestStreamsOfNothing(t *testing.T) {
	s := newSite(t, newFake())
	for _, target := range []string{"/generations/" + uuid.NewString(), "/generations/x"} {
		res := call(t, s, "GET", target, "", "Datastar-Request", "true")
		if res.StatusCode != http.StatusNoContent { // which tells Datastar to stop asking
			t.Errorf("%s: %d, want 204", target, res.StatusCode)
		}
	}
}

// A page that closes leaves no watcher behind.
func TestClosedPagesLeave(t *testing.T) {
	f := newFake()
	state := f.put(newState(f, "A lamp", studio.Generating, 1))
	_, ts := serve(t, f)
	res, events := follow(t, ts.URL+"/generations/"+state.Generation.ID.String(), "Datastar-Request", "true")
	patched(t, events, `id="banner"`)
	f.mu.Lock()
	topic := f.topics[state.Generation.ID]
	f.mu.Unlock()
	if topic.Watching() != 1 || f.overview.Watching() != 1 {
		t.Errorf("%d and %d watch, want 1 and 1", topic.Watching(), f.overview.Watching())
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return topic.Watching() == 0 && f.overview.Watching() == 0 })
}

func TestProgressViewInWords(t *testing.T) {
	state := newState(newFake(), "A lamp", studio.Generating, 1)
	sampling(state, 5)
	p := state.Progress
	p.Passes, p.Reach, p.ReachIn, p.NodeTitle = 2, 24.5, 900*time.Millisecond, "Base sampler"
	got := progressView(p)
	if !got.Known || got.Percent != 20 || got.Reach != 24.5 || got.Pace != "1200" || got.ETA != "~15 seconds remaining" ||
		got.Steps != "25%" || got.Pass != "pass 1 of 2" || got.Node != "Base sampler" {
		t.Errorf("sampling: %+v", got)
	}
	p.ReachIn = time.Minute
	if got := progressView(p); got.Pace != "10000" {
		t.Errorf("a minute ahead: %+v", got)
	}
	p.Phase, p.Percentage, p.Overall = comfy.PhaseFinishing, 100, 96
	if got := progressView(p); !got.Known || got.Percent != 96 || got.Steps != "" {
		t.Errorf("finishing: %+v", got)
	}
	p.Phase, p.Overall = comfy.PhaseComplete, 100
	if got := progressView(p); got.Percent != 100 || got.Node != "" {
		t.Errorf("complete: %+v", got)
	}
	for _, phase := range []comfy.Phase{comfy.PhaseSetup, comfy.PhaseQueued} {
		p.Phase, p.Overall = phase, 0
		if got := progressView(p); got.Known || got.Steps != "" {
			t.Errorf("nothing is known in %s: %+v", phase, got)
		}
	}
	p.Phase, p.Overall, p.Reused = comfy.PhaseInference, 80, true
	if got := progressView(p); got.Steps != "" || !got.Known {
		t.Errorf("a reused result shows steps that were never made: %+v", got)
	}
	p.Reused, p.Cancelling = false, true
	if got := progressView(p); got.ETA != "" {
		t.Errorf("cancelling: %q", got.ETA)
	}
}

func TestLocalPath(t *testing.T) {
	s := newSite(t, newFake(), func(c *Config) { c.BasePath = "/easel" })
	for target, want := range map[string]string{
		"/easel/gallery?q=a": "/easel/gallery?q=a", "/gallery": "/easel/", "/easel": "/easel/", "//easel/": "/easel/", "/easel/\\x": "/easel/",
	} {
		if got := localPath(target, s.paths); got != want {
			t.Errorf("localPath(%q) = %q, want %q", target, got, want)
		}
	}
	if got := s.paths.Gallery(url.Values{"q": {"a b"}}); got != "/easel/gallery?q=a+b" {
		t.Errorf("gallery = %q", got)
	}
}
