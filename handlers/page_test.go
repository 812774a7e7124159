package handlers

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"easel/studio"
	"easel/views"
)

// page asks for a page as a browser does, and parses it.
func page(t testing.TB, s http.Handler, target string, status int, header ...string) (*goquery.Document, *http.Response) {
	t.Helper()
	res := call(t, s, "GET", target, "", append([]string{"Accept", "text/html,*/*;q=0.8"}, header...)...)
	return pageDocument(t, res, status), res
}

func pageDocument(t testing.TB, res *http.Response, status int) *goquery.Document {
	t.Helper()
	text := bodyOf(t, res)
	if res.StatusCode != status {
		t.Fatalf("status = %d, want %d: %.300s", res.StatusCode, status, text)
	}
	if got := res.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("Content-Type = %q", got)
	}
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func words(s *goquery.Selection) string { return strings.Join(strings.Fields(s.Text()), " ") }

// full is a studio with everything in it, and a generation at step 9 of 20.
func full(t testing.TB) (*fakeStudio, *Server, *studio.State) {
	t.Helper()
	f := newFake()
	f.populate()
	running := f.put(newState(f, "A glasshouse at night", studio.Generating, 1, 1216, 832))
	f.put(newState(f, "Waiting", studio.Pending, 2))
	running = f.update(running.Generation.ID, func(s *studio.State) { sampling(s, 9) })
	return f, newSite(t, f), running
}

func TestEveryPageHasItsFrame(t *testing.T) {
	_, s, running := full(t)
	for _, target := range []string{"/", "/gallery", s.paths.Generation(running.Generation.ID.String()), "/servers", "/settings", "/calibration", "/nothing-here"} {
		status := http.StatusOK
		if target == "/nothing-here" {
			status = http.StatusNotFound
		}
		doc, _ := page(t, s, target, status)
		for _, once := range []string{"html[lang=en]", "title", "h1", "main#content", "header.head", "footer", "a.skip[href='#content']", "#banner", "#notice[role=alert]", "p.lost[role=status]"} {
			if n := doc.Find(once).Length(); n != 1 {
				t.Errorf("%s: %d of %q, want 1", target, n, once)
			}
		}
		if live := doc.Find(".live").Length(); live != 1 && status == http.StatusOK {
			t.Errorf("%s: %d streams, want 1", target, live)
		}
		ids := map[string]bool{}
		doc.Find("[id]").Each(func(_ int, el *goquery.Selection) {
			if id := el.AttrOr("id", ""); ids[id] {
				t.Errorf("%s: two elements have the id %s", target, id)
			} else {
				ids[id] = true
			}
		})
		doc.Find("[aria-labelledby], [aria-describedby], label[for]").Each(func(_ int, el *goquery.Selection) {
			for _, name := range []string{"aria-labelledby", "aria-describedby", "for"} {
				for _, id := range strings.Fields(el.AttrOr(name, "")) {
					if !ids[id] {
						t.Errorf("%s: %s names %q, which is not there", target, name, id)
					}
				}
			}
		})
		doc.Find("input:not([type=hidden]), select, textarea, progress").Each(func(_ int, el *goquery.Selection) {
			id := el.AttrOr("id", "")
			if el.Is("[aria-label]") || el.Closest("label").Length() == 1 || id != "" && doc.Find("label[for='"+id+"']").Length() == 1 {
				return
			}
			html, _ := goquery.OuterHtml(el)
			t.Errorf("%s: a control without a label: %s", target, html)
		})
		level := 0
		doc.Find("main h1, main h2, main h3").Each(func(_ int, el *goquery.Selection) {
			n := int(goquery.NodeName(el)[1] - '0')
			if n > level+1 {
				t.Errorf("%s: heading %q jumps from level %d to %d", target, words(el), level, n)
			}
			level = n
		})
	}
}

func TestDemoBannerIsOnEveryPage(t *testing.T) {
	f := newFake()
	f.servers[0].Demo = true
	f.publish()
	s := newSite(t, f)
	for _, target := range []string{"/", "/gallery", "/servers", "/settings", "/none"} {
		res := call(t, s, "GET", target, "", "Accept", "text/html")
		if text := bodyOf(t, res); !strings.Contains(text, "COMFYUI_URL=http://127.0.0.1:8188 make run</code>") {
			t.Errorf("%s does not say how to connect a ComfyUI", target)
		}
	}
}

// A reload in the middle shows the same number at once.
func TestFirstHTMLHoldsThePresentState(t *testing.T) {
	_, s, running := full(t)
	id := running.Generation.ID.String()
	for _, target := range []string{"/", "/generations/" + id} {
		doc, _ := page(t, s, target, http.StatusOK)
		card := doc.Find("#progress-" + id)
		if got, want := card.Find("progress").AttrOr("value", ""), "36"; got != want {
			t.Errorf("%s: progress = %q, want %q", target, got, want)
		}
		if got, want := words(card.Find(".line")), "Step 9 of 20"; got != want {
			t.Errorf("%s: line = %q, want %q", target, got, want)
		}
		if got, want := words(card.Find(".steps")), "45%"; got != want {
			t.Errorf("%s: steps = %q, want %q", target, got, want)
		}
		if got, want := card.Find(".reach rect").AttrOr("width", ""), "36.0%"; got != want {
			t.Errorf("%s: before anything moves the bar stands at %q, want %q", target, got, want)
		}
		if got, want := doc.Find("#picture-"+id+"-1").AttrOr("src", ""), "/generations/"+id+"/images/1/preview?rev=9"; got != want {
			t.Errorf("%s: preview = %q, want %q", target, got, want)
		}
		if title := words(doc.Find("title")); !strings.HasPrefix(title, "36% · ") {
			t.Errorf("%s: title = %q", target, title)
		}
	}
}

func TestLivePageReloadsItselfWithoutScripts(t *testing.T) {
	f, s, running := full(t)
	target := "/generations/" + running.Generation.ID.String()
	doc, _ := page(t, s, target, http.StatusOK)
	if noscript := doc.Find("head noscript").Text(); !strings.Contains(noscript, `http-equiv="refresh" content="2"`) {
		t.Errorf("a live page without scripts has %q", noscript)
	}
	f.update(running.Generation.ID, func(state *studio.State) {
		state.Generation.Status = studio.Complete
		state.Progress = progressOf(studio.Complete, 1)
		finish(state, 0)
	})
	doc, _ = page(t, s, target, http.StatusOK)
	if doc.Find("head noscript").Length() != 0 {
		t.Error("an ended generation must not reload itself")
	}
	if doc.Find("form[action='"+target+"/retry']").Length() != 1 || doc.Find("form[action='"+target+"/delete']").Length() != 1 {
		t.Error("an ended generation offers no plain forms for retry and delete")
	}
}

func TestEmptyStudioTeaches(t *testing.T) {
	doc, _ := page(t, newSite(t, newFake()), "/", http.StatusOK)
	if got := words(doc.Find("#stage button.example")); got != views.ExamplePrompt {
		t.Errorf("example = %q", got)
	}
}

// The composer's controls come from the workflow's form, with its bounds and choices.
func TestComposerFollowsTheForm(t *testing.T) {
	doc, _ := page(t, newSite(t, newFake()), "/", http.StatusOK)
	steps := doc.Find("#composer input[name='settings.steps']")
	for name, want := range map[string]string{"type": "number", "min": "1", "max": "150", "step": "1", "value": "20"} {
		if got := steps.AttrOr(name, "-"); got != want {
			t.Errorf("steps: %s = %q, want %q", name, got, want)
		}
	}
	var models []string
	doc.Find("select[name='settings.model'] option").Each(func(_ int, el *goquery.Selection) { models = append(models, el.AttrOr("value", "-")) })
	if want := []string{"", "sd_xl_base_1.0.safetensors", "v1-5-pruned-emaonly.safetensors"}; !slices.Equal(models, want) {
		t.Errorf("models = %q, want %q", models, want)
	}
	var shapes []string
	doc.Find("input[name=shape]").Each(func(_ int, el *goquery.Selection) { shapes = append(shapes, el.AttrOr("value", "-")) })
	if want := []string{"1024x1024", "1280x832", "832x1280", "1344x768", "768x1344", "free"}; !slices.Equal(shapes, want) {
		t.Errorf("shapes = %q, want %q", shapes, want)
	}
	if got := doc.Find("input[name=shape]:checked, input[name=shape][checked]").AttrOr("value", ""); got != "1024x1024" {
		t.Errorf("chosen shape = %q, want the default size", got)
	}
	if nonce := doc.Find("#nonce").AttrOr("value", ""); len(nonce) != 36 {
		t.Errorf("nonce = %q", nonce)
	}
}

func TestMoreSettingsStayAsTheyWereLeft(t *testing.T) {
	s := newSite(t, newFake())
	doc, _ := page(t, s, "/", http.StatusOK)
	if doc.Find("details.more[open]").Length() != 0 {
		t.Error("open without a cookie")
	}
	doc, _ = page(t, s, "/", http.StatusOK, "Cookie", "easel_more=1")
	if doc.Find("details.more[open]").Length() != 1 {
		t.Error("closed although it was left open")
	}
}

func TestUseTheseSettingsFillsTheForm(t *testing.T) {
	f := newFake()
	state := newState(f, "A lamp\nby a window", studio.Failed, 4, 832, 1216)
	state.Generation.NegativePrompt = "people"
	f.put(state)
	doc, _ := page(t, newSite(t, f), "/?from="+state.Generation.ID.String(), http.StatusOK)
	seed, _ := state.Generation.Settings["seed"].(uint64)
	for selector, want := range map[string]string{
		"input[name=totalImages]":                          "4",
		"input[name='settings.seed']":                      strconv.FormatUint(seed, 10),
		"input[name='settings.width']":                     "832",
		"input[name='settings.guidance']":                  "7",
		"input[name=retryOf]":                              state.Generation.ID.String(),
		"select[name='settings.sampler'] option[selected]": "euler",
	} {
		if got := doc.Find(selector).AttrOr("value", "-"); got != want {
			t.Errorf("%s = %q, want %q", selector, got, want)
		}
	}
	if got := doc.Find("textarea[name=prompt]").Text(); strings.TrimSpace(got) != "A lamp\nby a window" {
		t.Errorf("prompt = %q", got)
	}
	if got := strings.TrimSpace(doc.Find("textarea[name=negativePrompt]").Text()); got != "people" {
		t.Errorf("negative prompt = %q", got)
	}
	page(t, newSite(t, f), "/?from=nonsense", http.StatusNotFound)
}

func TestGalleryFiltersAreInTheURL(t *testing.T) {
	f, s, _ := full(t)
	doc, _ := page(t, s, "/gallery?status=failed", http.StatusOK)
	if n := doc.Find("#cards > li[data-status=failed]").Length(); n != 1 || doc.Find("#cards > li").Length() != 1 {
		t.Errorf("%d failed of %d cards, want 1 of 1", n, doc.Find("#cards > li").Length())
	}
	doc, _ = page(t, s, "/gallery?q="+url.QueryEscape("قطة"), http.StatusOK)
	if doc.Find("#cards > li").Length() == 0 || doc.Find("input[name=q]").AttrOr("value", "") != "قطة" {
		t.Error("a search finds nothing, or forgets its words")
	}
	doc, _ = page(t, s, "/gallery?q=nosuchword&status=complete", http.StatusOK)
	if doc.Find("#none").Length() != 1 || doc.Find(".filters a[aria-current=page]").Text() != "Complete" {
		t.Error("an empty result must say so, and keep its filter")
	}
	page(t, s, "/gallery?status=%3Cscript%3E&q=%00%ff", http.StatusOK)
	page(t, s, "/gallery?cursor=nonsense", http.StatusBadRequest)
	for range galleryPart {
		f.put(newState(f, "more", studio.Complete, 1))
	}
	doc, _ = page(t, s, "/gallery", http.StatusOK)
	older, ok := doc.Find(".older a").Attr("href")
	if n := doc.Find("#cards > li").Length(); n != galleryPart || !ok {
		t.Fatalf("%d cards and a link to older ones: %v, want %d and true", n, ok, galleryPart)
	}
	first := map[string]bool{}
	doc.Find("#cards > li").Each(func(_ int, el *goquery.Selection) { first[el.AttrOr("id", "")] = true })
	doc, _ = page(t, s, older, http.StatusOK)
	if doc.Find("#cards > li").Length() == 0 {
		t.Error("the older part is empty")
	}
	doc.Find("#cards > li").Each(func(_ int, el *goquery.Selection) {
		if first[el.AttrOr("id", "")] {
			t.Errorf("%s is in both parts", el.AttrOr("id", ""))
		}
	})
}

func TestThumbnailsKeepTheirPlace(t *testing.T) {
	_, s, _ := full(t)
	doc, _ := page(t, s, "/gallery?status=complete", http.StatusOK)
	doc.Find("#cards > li").Each(func(_ int, el *goquery.Selection) {
		img := el.Find("img")
		if img.AttrOr("loading", "") != "lazy" || img.AttrOr("width", "") == "" || img.AttrOr("height", "") == "" || img.AttrOr("alt", "") == "" {
			t.Errorf("%s: its picture has no size, no text or loads at once", el.AttrOr("id", ""))
		}
		if fill := el.Find("svg.ground rect").AttrOr("fill", ""); len(fill) != 7 {
			t.Errorf("%s: its ground is %q, want a colour", el.AttrOr("id", ""), fill)
		}
	})
}

func TestNeighboursAreReachedByKeys(t *testing.T) {
	f := newFake()
	var ids []string
	for _, prompt := range []string{"oldest", "middle", "newest"} {
		ids = append(ids, f.put(newState(f, prompt, studio.Complete, 1)).Generation.ID.String())
	}
	s := newSite(t, f)
	for i, want := range [][2]string{{ids[1], ""}, {ids[2], ids[0]}, {"", ids[1]}} {
		doc, _ := page(t, s, "/generations/"+ids[i], http.StatusOK)
		for key, id := range map[string]string{"k": want[0], "j": want[1]} {
			got := strings.TrimPrefix(doc.Find("a[data-key="+key+"]").AttrOr("href", ""), "/generations/")
			if got != id {
				t.Errorf("%s of number %d leads to %q, want %q", key, i, got, id)
			}
		}
	}
}

func TestRecordOfAGeneration(t *testing.T) {
	f := newFake()
	f.populate()
	failed := f.newestFirst()[2] // populate puts a long and a cancelled one after it
	doc, _ := page(t, newSite(t, f), "/generations/"+failed.Generation.ID.String(), http.StatusOK)
	record := words(doc.Find(".record"))
	for _, want := range []string{
		"dreamshaper_8.safetensors. Choose another one", "node checkpoint (CheckpointLoaderSimple)", "workbench",
		"18446744073709551615", "Accepted by ComfyUI", failed.Generation.Images[0].PromptID,
	} {
		if !strings.Contains(record, want) {
			t.Errorf("the record does not say %q", want)
		}
	}
	if doc.Find("details.source pre").Length() != 2 {
		t.Error("the graph or ComfyUI's words are missing")
	}
}

func TestErrorPagesSayWhatToDo(t *testing.T) {
	f, s, running := full(t)
	f.mu.Lock()
	f.err = studio.ErrUnavailable
	f.mu.Unlock()
	doc, res := page(t, s, "/gallery", http.StatusServiceUnavailable)
	if text := words(doc.Find("main")); !strings.Contains(text, "Nothing that was accepted is lost") || res.Header.Get("Retry-After") == "" {
		t.Errorf("503 says %q", text)
	}
	if doc.Find("main a[href='/gallery']").First().Text() != "Try again" {
		t.Error("503 offers no way to try again")
	}
	f.mu.Lock()
	f.err = nil
	f.mu.Unlock()
	doc, _ = page(t, s, "/generations/"+running.Generation.ID.String()+"/delete", http.StatusConflict)
	if !strings.Contains(words(doc.Find("main")), "Cancel it first") {
		t.Errorf("409 says %q", words(doc.Find("main")))
	}
	page(t, s, "/generations/"+strings.ToUpper(running.Generation.ID.String()), http.StatusNotFound)
}

func TestPagesLieUnderTheBasePath(t *testing.T) {
	f := newFake()
	f.populate()
	s := newSite(t, f, func(c *Config) { c.BasePath = "/easel" })
	for _, target := range []string{"/easel/", "/easel/gallery", "/easel/servers", "/easel/settings", s.paths.Generation(f.newestFirst()[0].Generation.ID.String())} {
		doc, _ := page(t, s, target, http.StatusOK)
		doc.Find("[href], [src], [action], [data-url], [data-path]").Each(func(_ int, el *goquery.Selection) {
			for _, name := range []string{"href", "src", "action", "data-url", "data-path"} {
				if value, ok := el.Attr(name); ok && !strings.HasPrefix(value, "/easel/") && !strings.HasPrefix(value, "#") {
					t.Errorf("%s: %s=%q leaves the base path", target, name, value)
				}
			}
		})
	}
}

// The first page with its styles and scripts, as gzip would send it, stays under 60 KB.
func TestFirstPageIsLight(t *testing.T) {
	f := newFake()
	f.populate()
	s := newSite(t, f)
	doc, _ := page(t, s, "/", http.StatusOK)
	text, err := doc.Html()
	if err != nil {
		t.Fatal(err)
	}
	total := zipped(t, text)
	const datastar = 13_400 // bytes of the bundle of 1.0.2; a stand-in is served here
	total += datastar
	fetched := map[string]bool{}
	doc.Find("link[href], script[src], use[href]").Each(func(_ int, el *goquery.Selection) {
		target, _, _ := strings.Cut(el.AttrOr("href", el.AttrOr("src", "")), "#")
		if !fetched[target] {
			fetched[target] = true
			total += zipped(t, bodyOf(t, call(t, s, "GET", target, "")))
		}
	})
	if len(fetched) != 8 {
		t.Errorf("the page asks for %d files: %v", len(fetched), fetched)
	}
	if total > 60_000 {
		t.Errorf("the first page weighs %d bytes, want at most 60000", total)
	}
	t.Logf("the first page weighs %d bytes", total)
}

func zipped(t *testing.T, text string) int {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Len()
}
