package handlers

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"easel/studio"
)

// slowly opens the page that is written slowly.
func slowly(t *testing.T, target string) *http.Response {
	t.Helper()
	res, _ := follow(t, target, "Accept", "text/html")
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/html; charset=utf-8" || res.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s: %d, %v", target, res.StatusCode, res.Header)
	}
	if policy := res.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors 'self'") {
		t.Fatalf("our own page may not frame it: %s", policy)
	}
	return res
}

// seen reads on until want has come, and gives all that came.
func seen(t *testing.T, body io.Reader, before, want string) string {
	t.Helper()
	piece := make([]byte, 4096)
	for !strings.Contains(before, want) {
		n, err := body.Read(piece)
		before += string(piece[:n])
		if err != nil && !strings.Contains(before, want) {
			t.Fatalf("waiting for %q after %q: %v", want, before, err)
		}
	}
	return before
}

func TestPageIsWrittenSlowly(t *testing.T) {
	f := newStrict()
	_, ts := serve(t, f)
	id := f.add("A <b>lamp</b>", 1)
	around := document(t, bodyOf(t, call(t, newSite(t, f), "GET", "/generations/"+id.String(), "")))
	scriptless, err := goquery.NewDocumentFromReader(strings.NewReader(around.Find(".stage > noscript").Text()))
	if err != nil {
		t.Fatal(err)
	}
	frame := scriptless.Find("iframe")
	if frame.AttrOr("title", "") == "" || scriptless.Find("form.cancel").Length() != 1 {
		t.Error("the frame has no title, or nothing can be cancelled beside it")
	}
	res := slowly(t, ts.URL+frame.AttrOr("src", ""))
	all := seen(t, res.Body, "", "Position 2 in the queue")
	f.step(id, 5, 20)
	all = seen(t, res.Body, all, "Step 5 of 20")
	f.step(id, 6, 20)
	all = seen(t, res.Body, all, "Step 6 of 20")
	f.picture(id, "image/png", "easel.png", []byte("x"))
	f.end(id, studio.Complete, "")
	rest, err := io.ReadAll(res.Body)
	if err != nil || !strings.HasSuffix(all+string(rest), "</main></body></html>") {
		t.Fatalf("the page ends with %q, %v", rest, err)
	}
	page := document(t, all+string(rest))
	words := page.Find("main > .words")
	if n := words.Length(); n != 4 || !strings.Contains(words.Last().Text(), "Complete") {
		t.Errorf("%d states were written, the last is %q", n, words.Last().Text())
	}
	if src := page.Find("main > .shot").Last().Find("img").AttrOr("src", ""); src != "/generations/"+id.String()+"/images/1/0" {
		t.Errorf("the last picture is %q", src)
	}
	if page.Find("form, script").Length() > 0 {
		t.Error("a page that is written over must not ask for anything")
	}
	ids := map[string]bool{}
	page.Find("[id]").Each(func(_ int, el *goquery.Selection) {
		if ids[el.AttrOr("id", "")] {
			t.Errorf("two elements are called %s", el.AttrOr("id", ""))
		}
		ids[el.AttrOr("id", "")] = true
	})
	var spoken []string
	page.Find("[role=status]").Each(func(_ int, el *goquery.Selection) { spoken = append(spoken, el.Text()) })
	if got := strings.Join(spoken, "; "); got != "Queued; Inferencing; Inferencing, 25 percent; Complete" {
		t.Errorf("spoken: %s", got)
	}
	if doc := document(t, bodyOf(t, call(t, newSite(t, f), "GET", "/generations/"+id.String(), ""))); doc.Find(".stage > noscript").Length() > 0 {
		t.Error("the page of an ended generation has a live part")
	}
}

// A stop, and too many streams, end the page in good order: the page around it is loaded again.
func TestSlowPagesEnd(t *testing.T) {
	f := newStrict()
	s, ts := serve(t, f)
	s.maxStreams = 1
	at := ts.URL + "/generations/" + f.add("A lamp", 1).String() + "/live"
	first := slowly(t, at)
	seen(t, first.Body, "", "Position 2 in the queue")
	second, err := io.ReadAll(slowly(t, at).Body)
	if err != nil || !strings.Contains(string(second), "Position 2 in the queue") || !strings.HasSuffix(string(second), "</html>") {
		t.Errorf("beyond the limit: %q, %v", second, err)
	}
	s.Drain()
	if rest, err := io.ReadAll(first.Body); err != nil || !strings.HasSuffix(string(rest), "</html>") {
		t.Errorf("at the stop: %q, %v", rest, err)
	}
}
