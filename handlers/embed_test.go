package handlers

import (
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"easel/studio"
)

func document(t *testing.T, text string) *goquery.Document {
	t.Helper()
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// An embed shows and does nothing else: no form, no button, no link that replaces the frame.
func TestEmbedsAreReadOnly(t *testing.T) {
	f := newStrict()
	s := newSite(t, f, func(c *Config) { c.BasePath = "/studio" })
	live := f.add("<b>in work</b>", 2)
	f.step(live, 5, 20)
	done := f.add("done & dusted", 1)
	f.picture(done, "image/png", "easel.png", []byte("x"))
	f.end(done, studio.Complete, "")
	for _, target := range []string{"/studio/embed/generations/" + live.String(), "/studio/embed/generations/" + done.String(), "/studio/embed/gallery"} {
		for _, query := range []string{"", "?fragment=1", "?theme=dark"} {
			res := call(t, s, "GET", target+query, "", "Cookie", "easel_theme=light; session=x")
			text := bodyOf(t, res)
			doc := document(t, text)
			if res.StatusCode != 200 || len(res.Cookies()) > 0 {
				t.Fatalf("%s%s = %d, cookies %v", target, query, res.StatusCode, res.Cookies())
			}
			if n := doc.Find("form, button, input, select, textarea, iframe, [style], script:not([src])").Length(); n > 0 {
				t.Errorf("%s%s has %d controls, inline styles or scripts", target, query, n)
			}
			if strings.Contains(text, "light") && strings.Contains(text, `data-theme="light"`) {
				t.Errorf("%s%s reads a cookie", target, query)
			}
			newTab := doc.Find(`base[target="_blank"]`).Length() == 1
			doc.Find("a[href]").Each(func(_ int, a *goquery.Selection) {
				if target, _ := a.Attr("target"); target != "_blank" && !newTab {
					t.Errorf("%s%s has a link that stays in the frame: %s", target, query, a.Text())
				}
			})
		}
	}
	if theme, _ := document(t, bodyOf(t, call(t, s, "GET", "/studio/embed/gallery?theme=dark", ""))).Find("html").Attr("data-theme"); theme != "dark" {
		t.Errorf("theme = %q", theme)
	}
}

// A fragment is one element, and every URL in it is whole and may be loaded from elsewhere.
func TestFragments(t *testing.T) {
	f := newStrict()
	id := f.add(`a "quoted" <script>alert(1)</script>`, 1)
	f.picture(id, "image/png", "easel.png", []byte("x"))
	f.end(id, studio.Complete, "")
	for base, origin := range map[string]string{"": "http://localhost", "https://pictures.example/studio": "https://pictures.example"} {
		s := newSite(t, f, func(c *Config) { c.BaseURL, c.BasePath = base, "/studio" })
		for _, target := range []string{"/studio/embed/generations/" + id.String(), "/studio/embed/gallery"} {
			text := bodyOf(t, call(t, s, "GET", target+"?fragment=1", ""))
			if strings.Contains(text, "<html") || strings.Contains(text, "<head") || strings.Contains(text, "<script>") || strings.Contains(text, "<link") {
				t.Errorf("%s: %s", target, text)
			}
			doc := document(t, text)
			if n := doc.Find("body > *").Length(); n != 1 {
				t.Errorf("%s has %d elements at the top", target, n)
			}
			doc.Find("[href], [src]").Each(func(_ int, e *goquery.Selection) {
				for _, name := range []string{"href", "src"} {
					if url, ok := e.Attr(name); ok && !strings.HasPrefix(url, origin+"/studio/") {
						t.Errorf("%s: %s = %q, want it under %s", target, name, url, origin)
					}
				}
			})
			src, ok := doc.Find("img").Attr("src")
			if !ok {
				t.Fatalf("%s has no picture: %s", target, text)
			}
			res := call(t, s, "GET", strings.TrimPrefix(src, origin), "")
			if res.StatusCode != 200 || res.Header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
				t.Errorf("picture %s = %d, CORP %q", src, res.StatusCode, res.Header.Get("Cross-Origin-Resource-Policy"))
			}
		}
	}
}

func TestEmbedStream(t *testing.T) {
	f := newStrict()
	_, ts := serve(t, f)
	id := f.add("a", 1)
	f.step(id, 5, 20)
	page := bodyOf(t, call(t, newSite(t, f), "GET", "/embed/generations/"+id.String(), ""))
	url, ok := document(t, page).Find("[data-url]").Attr("data-url")
	if !ok {
		t.Fatal("the page has no stream")
	}
	_, events := follow(t, ts.URL+url, "Datastar-Request", "true")
	next := func(want string) parsedEvent {
		t.Helper()
		for {
			event, ok := events.next()
			if !ok {
				t.Fatalf("the stream ended before %q", want)
			}
			if strings.Contains(event.Data, want) {
				return event
			}
		}
	}
	first := next("Step 5 of 20")
	if strings.Contains(first.Data, "<form") || !strings.Contains(first.Data, `id="progress-`+id.String()) {
		t.Errorf("patch = %s", first.Data)
	}
	f.step(id, 6, 20)
	next("Step 6 of 20")
	f.end(id, studio.Complete, "")
	next("Complete")
	last := next("_hb")
	expectEnd(t, events)
	if res, _ := follow(t, ts.URL+url, "Datastar-Request", "true", "Last-Event-ID", last.ID); last.ID == "" || res.StatusCode != 204 {
		t.Errorf("after the end (%q) = %d, want 204", last.ID, res.StatusCode)
	}
	ended := bodyOf(t, call(t, newSite(t, f), "GET", "/embed/generations/"+id.String(), ""))
	if document(t, ended).Find("[data-url]").Length() != 0 {
		t.Error("the page of an ended generation opens a stream")
	}
}

func TestEmbedGalleryLimit(t *testing.T) {
	f := newStrict()
	s := newSite(t, f)
	for range 3 {
		id := f.add("a", 1)
		f.picture(id, "image/png", "easel.png", []byte("x"))
		f.end(id, studio.Complete, "")
	}
	for query, want := range map[string]int{"": 3, "?limit=2": 2, "?limit=1000000": 3} {
		doc := document(t, bodyOf(t, call(t, s, "GET", "/embed/gallery"+query, "")))
		if n := doc.Find("img").Length(); n != want {
			t.Errorf("%q shows %d pictures, want %d", query, n, want)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=x", "?limit=-5"} {
		if res := call(t, s, "GET", "/embed/gallery"+query, ""); res.StatusCode != 400 {
			t.Errorf("%q = %d", query, res.StatusCode)
		}
	}
}
