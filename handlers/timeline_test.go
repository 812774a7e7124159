package handlers

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"easel/comfy"
	"easel/studio"
	"easel/views"
)

// madeState is a complete generation of so many images, with its attempts.
func madeState(f *fakeStudio, images int) *studio.State {
	state := f.put(newState(f, "A mill", studio.Complete, images))
	f.attempts[state.Generation.ID] = fakeAttempts(state)
	return state
}

// Two clocks tell of a run; what they say is put in line, and each part is of its kind.
func TestImageTimeline(t *testing.T) {
	const s = time.Second
	accepted := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time {
		moment := accepted.Add(d)
		return &moment
	}
	elsewhere := accepted.Add(-time.Hour) // the clock of the instance is an hour behind
	line := studio.Timeline{
		ImageIndex: 2, Number: 2, Server: "attic", State: "succeeded", AcceptedAt: accepted, CreatedAt: *at(s), SubmittedAt: at(2 * s), RunningAt: at(10 * s),
		FinalizingAt: at(30 * s), FinishedAt: at(33 * s), Fetch: s, Store: s / 2, StartedAt: &elsewhere, Whole: true,
		Nodes: []comfy.NodeTime{
			{Node: "4", Class: "Loader", End: 3 * s},
			{Node: "3", Title: "Base", Start: 3 * s, End: 10 * s, Passes: []comfy.PassTime{
				{Start: 5 * s, First: 1, End: 8 * s, Steps: 4}, {Start: 9 * s, First: 2, End: 9 * s, Steps: 2},
			}},
			{Node: "5", Title: "Upscale", Start: 10 * s, End: 12 * s},
			{Node: "6", Title: "Refiner", Start: 12 * s, End: 18 * s, Passes: []comfy.PassTime{{Start: 12 * s, First: 3, End: 18 * s, Steps: 4}}},
			{Node: "8", Start: 18 * s},
			{Node: "7", Title: "Prompt", Cached: true},
		},
	}
	usual := studio.Usual{Runs: 3, Took: 20 * s, Nodes: map[string]studio.UsualNode{"4": {Took: 2 * s, Cached: true}}}
	got := imageTimeline(&line, usual)
	want := []views.Span{
		{Name: "Queue and earlier attempts", Kind: views.SpanWait, Start: -10 * s, End: -8 * s},
		{Name: "Queue of attic", Kind: views.SpanWait, Start: -8 * s},
		{Name: "Loader", Node: "4", Kind: views.SpanSetup, End: 3 * s, Usual: 2 * s, Rare: true},
		{Name: "Base", Node: "3", Kind: views.SpanSample, Start: 3 * s, End: 10 * s, Passes: []views.Pass{{Start: 4 * s, End: 8 * s, Steps: 4}, {Start: 9 * s, End: 9 * s, Steps: 2}}},
		{Name: "Upscale", Node: "5", Kind: views.SpanFinish, Start: 10 * s, End: 12 * s},
		{Name: "Refiner", Node: "6", Kind: views.SpanSample, Start: 12 * s, End: 18 * s, Passes: []views.Pass{{Start: 12 * s, End: 18 * s, Steps: 4}}},
		{Name: "8", Node: "8", Kind: views.SpanFinish, Start: 18 * s, End: 18 * s},
		{Name: "Before the transfer", Kind: views.SpanStore, Start: 18 * s, End: 21*s + s/2},
		{Name: "Transfer", Kind: views.SpanStore, Start: 21*s + s/2, End: 22*s + s/2},
		{Name: "Storage", Kind: views.SpanStore, Start: 22*s + s/2, End: 23 * s},
		{Name: "Prompt", Node: "7", Kind: views.SpanSetup, Cached: true},
	}
	if got.Index != 2 || got.Offset != 10*s || got.Usual != 20*s || len(got.Spans) != len(want) {
		t.Fatalf("imageTimeline() = %+v", got)
	}
	for i := range want {
		if a, b := got.Spans[i], want[i]; !slices.Equal(a.Passes, b.Passes) || a.Name != b.Name || a.Node != b.Node || a.Kind != b.Kind ||
			a.Start != b.Start || a.End != b.End || a.Cached != b.Cached || a.Usual != b.Usual || a.Rare != b.Rare {
			t.Errorf("span %d\n got %+v\nwant %+v", i, a, b)
		}
	}
	line.State = "failed"
	if got := imageTimeline(&line, usual); got.Usual != 0 || got.Spans[2].Usual != 0 {
		t.Error("a run that failed is held against what is usual")
	}
}

// The page of an ended generation says where its time went before any script runs; that of a live one not yet, and
// it comes over the page's stream with the end.
func TestTimelineOnThePage(t *testing.T) {
	f := newFake()
	one, four := madeState(f, 1), madeState(f, 4)
	running := f.put(newState(f, "Waiting", studio.Pending, 1))
	_, ts := serve(t, f)
	s := newSite(t, f)
	doc, _ := page(t, s, "/generations/"+one.Generation.ID.String(), http.StatusOK)
	if got := words(doc.Find("#timeline > p").First()); !strings.Contains(got, "42.0 s in all:") || !strings.Contains(got, "longer than usual, mostly by KSampler") {
		t.Errorf("sentence = %q", got)
	}
	if n := doc.Find("#timeline svg.chart text.name").Length(); n != 9 {
		t.Errorf("%d parts are drawn, want 9", n)
	}
	doc, _ = page(t, s, "/generations/"+four.Generation.ID.String(), http.StatusOK)
	if n := doc.Find("#timeline svg.many text.name").Length(); n != 4 || doc.Find("#timeline table").Length() != 4 {
		t.Errorf("%d images are drawn, with %d tables; want 4 of each", n, doc.Find("#timeline table").Length())
	}
	if got := words(doc.Find("#timeline > p").Last()); !strings.Contains(got, "was 2.5 points off on average (calibration)") {
		t.Errorf("the page says of its progress: %q", got)
	}
	id := running.Generation.ID
	doc, _ = page(t, s, "/generations/"+id.String(), http.StatusOK)
	if doc.Find("section#timeline[hidden]").Length() != 1 {
		t.Error("a generation that waits has a timeline")
	}
	events := liveEvents(t, ts.URL+"/generations/"+id.String())
	patched(t, events, `id="banner"`) // the last part of the first
	f.mu.Lock()
	f.attempts[id] = fakeAttempts(running)
	f.mu.Unlock()
	f.update(id, func(state *studio.State) {
		end := state.Generation.CreatedAt.Add(42 * time.Second)
		state.Generation.Status, state.Generation.FinishedAt = studio.Complete, &end
		state.Progress = progressOf(studio.Complete, 1)
		finish(state, 0)
	})
	ids, last := patched(t, events, "Where the time went")
	if !has(ids, "timeline") || !strings.Contains(last, "<svg") {
		t.Errorf("the end patches %v", ids)
	}
}

func TestTimelineJSON(t *testing.T) {
	f := newFake()
	id := madeState(f, 2).Generation.ID.String()
	s := newSite(t, f)
	var got timelineJSON
	res := call(t, s, "GET", "/api/generations/"+id+"/timeline", "")
	if text := bodyOf(t, res); res.StatusCode != http.StatusOK || json.Unmarshal([]byte(text), &got) != nil {
		t.Fatalf("%d: %s", res.StatusCode, text)
	}
	if got.GenerationID.String() != id || got.Status != studio.Complete || got.Usual == nil || got.Usual.Seconds != 30 || len(got.Images) != 2 {
		t.Fatalf("timeline = %+v", got)
	}
	image := got.Images[1]
	if image.ImageIndex != 2 || *image.FetchSeconds != 0.4 || image.StartedAt == nil || len(image.Nodes) != 5 {
		t.Errorf("image = %+v", image)
	}
	if n := image.Nodes[1]; *n.StartSeconds != 4 || *n.EndSeconds != 36 || *n.UsualSeconds != 25 || len(n.Passes) != 1 || n.Passes[0].Steps != 20 {
		t.Errorf("sampler = %+v", n)
	}
	if n := image.Nodes[4]; !n.Cached || n.StartSeconds != nil || !n.UsuallyCached {
		t.Errorf("cached node = %+v", n)
	}
	if res := call(t, s, "GET", "/api/generations/00000000-0000-7000-8000-0000000000ff/timeline", ""); res.StatusCode != http.StatusNotFound {
		t.Errorf("of an unknown generation: %d", res.StatusCode)
	}
}
