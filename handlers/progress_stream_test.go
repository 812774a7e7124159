package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"easel/studio"
)

// streamPatience is how long a test reads one stream at most: what it waits for may never come.
const streamPatience = 2 * time.Minute

// follow opens a progress stream; header holds names and values in turn.
func follow(t *testing.T, url string, header ...string) (*http.Response, *eventReader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), streamPatience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = res.Body.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return res, newEventReader(res)
}

// expect reads the next event that is no comment, and gives its JSON.
func expect(t *testing.T, events *eventReader, kind string) (id string, data map[string]any) {
	t.Helper()
	for {
		event, ok := events.next()
		if !ok {
			t.Fatalf("the stream ended, want %s", kind)
		}
		if event.Data == "" {
			continue
		}
		if err := json.Unmarshal([]byte(event.Data), &data); err != nil {
			t.Fatalf("%v in %q", err, event.Data)
		}
		if data["type"] != kind {
			t.Fatalf("event = %s, want %s", event.Data, kind)
		}
		if event.ID == "" || event.Name != "" {
			t.Errorf("event = %+v, want an id and no name", event)
		}
		return event.ID, data
	}
}

func expectEnd(t *testing.T, events *eventReader) {
	t.Helper()
	if event, ok := events.next(); ok {
		t.Fatalf("after the end came %+v", event)
	}
}

func TestProgressFromQueuedToComplete(t *testing.T) { bothWays(t, testProgressFromQueuedToComplete) }

func testProgressFromQueuedToComplete(t *testing.T, serve serving) {
	f := newStrict()
	_, ts := serve(t, f)
	id := f.add("a", 1)
	res, events := follow(t, ts.URL+"/api/generate/progress?promptId="+id.String()+"&imageIndex=1&totalImages=1")
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	_, connected := expect(t, events, "connected")
	if connected["promptId"] != id.String() {
		t.Errorf("connected = %v", connected)
	}
	_, first := expect(t, events, "progress")
	if first["phase"] != "queued" || first["percentage"] != 0.0 {
		t.Errorf("first = %v, want queued", first)
	}
	seen := map[string]bool{}
	for n := 1; n <= 20; n++ {
		f.step(id, n, 20)
		eventID, p := expect(t, events, "progress")
		if p["currentStep"] != float64(n) || p["totalSteps"] != 20.0 || p["status"] != fmt.Sprintf("Step %d of 20", n) || p["node"] != "3" || p["phase"] != "inference" {
			t.Errorf("step %d: %v", n, p)
		}
		if p["etaSeconds"] != float64(20-n)/2 || p["imageIndex"] != 1.0 || p["totalImages"] != 1.0 || p["queuePosition"] != nil {
			t.Errorf("step %d: %v", n, p)
		}
		if seen[eventID] {
			t.Errorf("step %d has the id of another event", n)
		}
		seen[eventID] = true
	}
	f.end(id, studio.Complete, "")
	last, complete := expect(t, events, "complete")
	if diff := cmp.Diff(map[string]any{"type": "complete", "percentage": 100.0}, complete); diff != "" {
		t.Error(diff)
	}
	expectEnd(t, events)

	// Who comes back with the id of the end is told to stay away; all others get the end again.
	target := ts.URL + "/api/generate/progress?promptId=" + id.String() + "&imageIndex=1"
	if res, _ := follow(t, target, "Last-Event-ID", last); res.StatusCode != http.StatusNoContent {
		t.Errorf("a reconnect with the last id got %d, want 204", res.StatusCode)
	}
	_, events = follow(t, target, "Last-Event-ID", strings.TrimSuffix(last, "1"))
	expect(t, events, "connected")
	expect(t, events, "complete")
	expectEnd(t, events)
}

func TestProgressEnds(t *testing.T) { bothWays(t, testProgressEnds) }

func testProgressEnds(t *testing.T, serve serving) {
	for _, test := range []struct {
		status  studio.Status
		message string
		want    map[string]any
	}{
		{studio.Cancelled, "", map[string]any{"type": "cancelled"}},
		{studio.Failed, "Out of memory.", map[string]any{"type": "error", "message": "Out of memory.", "status": "failed"}},
		{studio.Failed, "", map[string]any{"type": "error", "message": "The generation failed.", "status": "failed"}},
		{studio.Complete, "", map[string]any{"type": "complete", "percentage": 100.0}},
	} {
		f := newStrict()
		_, ts := serve(t, f)
		id := f.add("a", 2)
		_, before := follow(t, ts.URL+"/api/generate/progress?promptId="+id.String())
		expect(t, before, "connected")
		expect(t, before, "progress")
		f.end(id, test.status, test.message)
		_, data := expect(t, before, test.want["type"].(string))
		if diff := cmp.Diff(test.want, data); diff != "" {
			t.Error(diff)
		}
		expectEnd(t, before)
		_, after := follow(t, ts.URL+"/generations/"+id.String(), "Accept", "text/event-stream")
		expect(t, after, "connected")
		_, data = expect(t, after, test.want["type"].(string))
		if diff := cmp.Diff(test.want, data); diff != "" {
			t.Error(diff)
		}
		expectEnd(t, after)
	}
}

// One image ends while another goes on: its followers are done, those of the whole are not, and a
// move of the one is no event for the other.
func TestProgressOfOneImage(t *testing.T) { bothWays(t, testProgressOfOneImage) }

func testProgressOfOneImage(t *testing.T, serve serving) {
	f := newStrict()
	_, ts := serve(t, f)
	id := f.add("a", 2)
	f.step(id, 3, 20)
	at := ts.URL + "/api/generate/progress?promptId="
	_, whole := follow(t, at+id.String())
	_, first := follow(t, at+promptID(id, 1)) // ComfyUI's id means the image that it makes
	_, second := follow(t, at+promptID(id, 1)+"&imageIndex=2")
	for _, events := range []*eventReader{whole, first, second} {
		_, c := expect(t, events, "connected")
		if c["promptId"] != id.String() {
			t.Errorf("connected = %v", c)
		}
	}
	if _, p := expect(t, first, "progress"); p["currentStep"] != 3.0 {
		t.Errorf("first image: %v", p)
	}
	if _, p := expect(t, second, "progress"); p["phase"] != "queued" {
		t.Errorf("second image: %v", p)
	}
	expect(t, whole, "progress")
	f.step(id, 4, 20)
	expect(t, first, "progress")
	expect(t, whole, "progress")
	f.update(id, func(s *studio.State) { s.Generation.Images[0].Status = studio.Complete })
	expect(t, first, "complete")
	expectEnd(t, first)
	f.end(id, studio.Cancelled, "")
	expect(t, second, "cancelled") // nothing came between: step 4 was not its own
	expect(t, whole, "cancelled")
}

// Row 36: whatever a reader says it saw last, it gets the present state.
func TestLastEventIDIsOnlyAHint(t *testing.T) { bothWays(t, testLastEventIDIsOnlyAHint) }

func testLastEventIDIsOnlyAHint(t *testing.T, serve serving) {
	f := newStrict()
	_, ts := serve(t, f)
	id := f.add("a", 1)
	f.step(id, 7, 20)
	for _, last := range []string{"text", "1180591620717411303424", "99999999", "-1", "\xff", scope{id: id}.lastEvent(), scope{id: uuid.New()}.lastEvent(), strings.Repeat("9", 5000)} {
		_, events := follow(t, ts.URL+"/api/generate/progress?promptId="+id.String(), "Last-Event-ID", last)
		expect(t, events, "connected")
		if _, p := expect(t, events, "progress"); p["currentStep"] != 7.0 {
			t.Errorf("Last-Event-ID %q: %v", last, p)
		}
	}
}

func TestProgressRefusals(t *testing.T) {
	f := newStrict()
	s := newSite(t, f)
	id := f.add("a", 2).String()
	for query, status := range map[string]int{
		"":                                 400,
		"promptId=":                        400,
		"promptId=" + uuid.NewString():     404,
		"promptId=x":                       404,
		"promptId=" + id + "&imageIndex=0": 400, "promptId=" + id + "&imageIndex=3": 400, "promptId=" + id + "&imageIndex=x": 400,
		"promptId=" + id + "&totalImages=-1": 400,
	} {
		decode[problem](t, call(t, s, "GET", "/api/generate/progress?"+query, ""), status)
	}
	f.fails(studio.ErrUnavailable)
	decode[problem](t, call(t, s, "GET", "/api/generate/progress?promptId="+id, ""), 503)
}

func TestFacesOfAGeneration(t *testing.T) {
	f := newStrict()
	s := newSite(t, f)
	id := f.add("a", 1)
	f.step(id, 5, 20)
	at := "/generations/" + id.String()
	for _, test := range []struct{ accept, kind string }{
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"},
		{"*/*", "text/html; charset=utf-8"},
		{"", "text/html; charset=utf-8"},
		{"image/avif", "text/html; charset=utf-8"},
		{"application/json", "application/json"},
		{"application/json, text/html;q=0.9", "application/json"},
		{"text/plain", "text/plain; charset=utf-8"},
		{"text/plain;q=0.5, application/json;q=0.4", "text/plain; charset=utf-8"},
		{"text/html;q=0, */*", "application/json"},
	} {
		res := call(t, s, "GET", at+"?once=1", "", "Accept", test.accept)
		if got := res.Header.Get("Content-Type"); got != test.kind {
			t.Errorf("Accept %q got %q, want %q", test.accept, got, test.kind)
		}
		if vary := res.Header.Get("Vary"); !strings.Contains(vary, "Accept") || !strings.Contains(vary, "Datastar-Request") {
			t.Errorf("Vary = %q", vary)
		}
	}
	for agent, kind := range map[string]string{"curl/8.5.0": "text/plain; charset=utf-8", "Mozilla/5.0 (like curl/8)": "text/html; charset=utf-8"} {
		res := call(t, s, "GET", at+"?once=1", "", "Accept", "*/*", "User-Agent", agent)
		if got := res.Header.Get("Content-Type"); got != kind {
			t.Errorf("%s takes anything and got %q, want %q", agent, got, kind)
		}
		if vary := res.Header.Get("Vary"); !strings.Contains(vary, "User-Agent") {
			t.Errorf("Vary = %q", vary)
		}
	}
	if got := call(t, s, "GET", at, "", "Accept", "text/html", "User-Agent", "curl/8.5.0").Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("curl asked for HTML and got %q", got)
	}
	if got := call(t, s, "GET", "/gallery", "", "Accept", "*/*", "User-Agent", "curl/8.5.0").Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("a page without a plain face is %q", got)
	}
	for accept, kind := range map[string]string{"application/json": "application/problem+json", "text/plain": "text/plain; charset=utf-8", "text/html": "text/html; charset=utf-8"} {
		res := call(t, s, "GET", "/generations/"+uuid.NewString(), "", "Accept", accept)
		if got := res.Header.Get("Content-Type"); got != kind || res.StatusCode != 404 {
			t.Errorf("404 for %q: %d %q, want %q", accept, res.StatusCode, got, kind)
		}
	}
}
