package handlers

import (
	"net/http"
	"strings"
	"testing"

	"easel/studio"
)

// The tab tells how far a generation is, by its title and its icon, in the first HTML and for a
// page that is not seen; when it has ended the site's own icon is back, and nothing is asked for.
func TestTabTellsProgress(t *testing.T) {
	f := newFake()
	s := newSite(t, f)
	id := f.put(newState(f, "A lamp", studio.Generating, 1)).Generation.ID
	f.update(id, func(state *studio.State) { sampling(state, 12) })
	for target, title := range map[string]string{"/": "48% · Easel", "/generations/" + id.String(): "48% · A lamp · Easel"} {
		doc, _ := page(t, s, target, http.StatusOK)
		icon := doc.Find("head link#icon").AttrOr("href", "")
		if got := words(doc.Find("title")); got != title || !strings.HasPrefix(icon, "/static/progress-45-") {
			t.Errorf("%s: title %q and icon %q", target, got, icon)
		}
		res := call(t, s, "GET", icon, "")
		if ring := bodyOf(t, res); !strings.Contains(ring, `stroke-dasharray="45 100"`) || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("the icon is %q, %v", ring, res.Header)
		}
		url := doc.Find("#tab").AttrOr("data-url", "")
		res = call(t, s, "GET", url, "", "Datastar-Request", "true")
		if events := bodyOf(t, res); strings.Count(events, "event: ") != 3 || !strings.Contains(events, title[:3]) || !strings.Contains(events, icon) {
			t.Errorf("%s: %d %q", url, res.StatusCode, events)
		}
	}
	f.update(id, func(state *studio.State) {
		state.Generation.Status, state.Progress = studio.Complete, progressOf(studio.Complete, 1)
		finish(state, 0)
	})
	for _, target := range []string{"/", "/generations/" + id.String()} {
		doc, _ := page(t, s, target, http.StatusOK)
		if icon := doc.Find("#icon").AttrOr("href", ""); !strings.HasPrefix(icon, "/static/favicon-") || doc.Find("#tab").Is("[data-url]") {
			t.Errorf("%s: icon %q after the end", target, icon)
		}
		events := bodyOf(t, call(t, s, "GET", target+"?tab=1", "", "Datastar-Request", "true"))
		if !strings.Contains(events, "/static/favicon-") || strings.Contains(events, "data-on-interval") {
			t.Errorf("%s after the end: %s", target, events)
		}
	}
	if res := call(t, s, "GET", "/?tab=1", ""); !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		t.Errorf("without a script: %q", res.Header.Get("Content-Type"))
	}
}
