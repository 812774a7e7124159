package views

import (
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
)

func sampled() Generation {
	p := Progress{Phase: "inference", Line: "Step 5 of 20", Known: true, Percent: 25, ETA: "about 45 seconds left", Pass: "pass 1 of 2", Pace: "400"}
	return Generation{
		ID: "g1", Prompt: "a lamp", Status: "generating", Width: 1216, Height: 832, Progress: p, Created: time.Unix(0, 0),
		Images: []Image{{Index: 1, Status: "generating", Width: 1216, Height: 832, Preview: "/p?rev=5", Progress: p}},
	}
}

func TestProgressCardWhileSampling(t *testing.T) {
	doc := parsed(t, ProgressCard(testSite(t), sampled()))
	bar := doc.Find("#progress-g1 progress")
	for name, want := range map[string]string{
		"max": "100", "value": "25", "aria-label": "Progress", "aria-valuetext": "25 percent, Step 5 of 20", "data-pace": "400",
	} {
		if got := bar.AttrOr(name, "-"); got != want {
			t.Errorf("progress %s = %q, want %q", name, got, want)
		}
	}
	if got, want := text(t, doc, ".line"), "Step 5 of 20 pass 1 of 2"; got != want {
		t.Errorf("line = %q, want %q", got, want)
	}
	if got, want := text(t, doc, ".percent"), "25%"; got != want {
		t.Errorf("percent = %q, want %q", got, want)
	}
	if got, want := text(t, doc, ".badge"), "⚙️ Inferencing"; got != want {
		t.Errorf("badge = %q, want %q", got, want)
	}
	if doc.Find("[role=status], [aria-live]").Length() != 0 {
		t.Error("the card is a live region: it would talk ten times a second")
	}
	form := doc.Find("form.cancel")
	if form.AttrOr("method", "") != "post" || form.AttrOr("action", "") != "/studio/generations/g1/cancel" || form.Find("button:not([disabled])").Length() != 1 {
		t.Errorf("cancelling is not a plain form: %v", form.Nodes)
	}
}

func TestProgressCardBreathesWithoutANumber(t *testing.T) {
	g := sampled()
	g.Progress = Progress{Phase: "setup", Line: "Loading checkpoint"}
	doc := parsed(t, ProgressCard(testSite(t), g))
	if bar := doc.Find("progress"); bar.Length() != 1 || bar.Is("[value]") || bar.AttrOr("aria-valuetext", "") != "Loading checkpoint" {
		t.Error("in set-up the bar must have no value, and the line as its text")
	}
	if doc.Find(".percent").Length() != 0 {
		t.Error("in set-up there is no percentage")
	}
	if got, want := text(t, doc, ".badge"), "🔗 Connected"; got != want {
		t.Errorf("badge = %q, want %q", got, want)
	}
}

func TestBadges(t *testing.T) {
	for _, test := range []struct {
		progress   Progress
		sign, word string
	}{
		{Progress{Phase: "queued"}, "", "Queued"},
		{Progress{Phase: "setup"}, "🔗", "Connected"},
		{Progress{Phase: "inference"}, "⚙️", "Inferencing"},
		{Progress{Phase: "finishing"}, "⚙️", "Finishing"},
		{Progress{Phase: "complete"}, "✅", "Complete"},
		{Progress{Phase: "failed"}, "", "Failed"},
		{Progress{Phase: "cancelled"}, "", "Cancelled"},
		{Progress{Phase: "cancelled", Cancelling: true}, "", "Cancelled"},
		{Progress{Phase: "inference", Cancelling: true}, "", "Cancelling"},
	} {
		if sign, word := test.progress.Badge(); sign != test.sign || word != test.word {
			t.Errorf("%+v: badge %q %q, want %q %q", test.progress, sign, word, test.sign, test.word)
		}
	}
}

func TestCancellingCanOnlyBeAskedOnce(t *testing.T) {
	g := sampled()
	g.Progress.Cancelling = true
	doc := parsed(t, ProgressCard(testSite(t), g))
	if got, want := text(t, doc, "form.cancel button[disabled]"), "Cancelling…"; got != want {
		t.Errorf("button = %q, want %q", got, want)
	}
}

func TestSpokenChangesSeldom(t *testing.T) {
	p := Progress{Phase: "inference"}
	var said []string
	for p.Percent = 0; p.Percent < 100; p.Percent++ {
		if words := p.Spoken(); len(said) == 0 || said[len(said)-1] != words {
			said = append(said, words)
		}
	}
	if len(said) != 4 || said[1] != "Inferencing, 25 percent" {
		t.Errorf("said %q, want one sentence each 25 percent", said)
	}
}

// The box of a picture is the same before the preview, with it, and with the picture.
func TestBoxIsReserved(t *testing.T) {
	site := testSite(t)
	box := func(g Generation) (string, *goquery.Document) {
		doc := parsed(t, Pictures(site, g))
		return doc.Find("#figure-g1-1 > svg").AttrOr("viewbox", doc.Find("#figure-g1-1 > svg").AttrOr("viewBox", "-")), doc
	}
	g := sampled()
	g.Images[0].Preview = ""
	empty, doc := box(g)
	if empty != "0 0 1216 832" || doc.Find("img").Length() != 0 {
		t.Errorf("before the preview: box %q, %d images", empty, doc.Find("img").Length())
	}
	g.Images[0].Preview = "/p?rev=5"
	with, doc := box(g)
	if img := doc.Find("#picture-g1-1"); with != empty || img.AttrOr("src", "") != "/p?rev=5" || img.AttrOr("width", "") != "1216" || img.AttrOr("height", "") != "832" {
		t.Errorf("with the preview: box %q", with)
	}
	g.Images[0].URL = "/u"
	done, doc := box(g)
	if img := doc.Find("#picture-g1-1"); done != empty || img.AttrOr("src", "") != "/u" {
		t.Errorf("with the picture: box %q", done)
	}
}

func TestEachOfSeveralImagesHasItsOwnState(t *testing.T) {
	g := sampled()
	g.Images = append(g.Images,
		Image{Index: 2, Status: "complete", Width: 8, Height: 8, URL: "/u", Progress: Progress{Phase: "complete", Line: "Complete"}},
		Image{Index: 3, Status: "failed", Width: 8, Height: 8, Error: "Out of memory.", Progress: Progress{Phase: "failed", Line: "Failed"}})
	doc := parsed(t, Pictures(testSite(t), g))
	if bar := doc.Find("#figure-g1-1 progress"); bar.AttrOr("aria-label", "") != "Image 1" || bar.AttrOr("value", "") != "25" {
		t.Error("the first image has no bar of its own")
	}
	if doc.Find("#figure-g1-2 progress, #figure-g1-3 progress").Length() != 0 {
		t.Error("ended images must have no bar")
	}
	if got, want := text(t, doc, "#figure-g1-3 .hush span"), "Out of memory."; got != want {
		t.Errorf("failed image says %q, want %q", got, want)
	}
}

func TestEmbedHasNoForms(t *testing.T) {
	site := testSite(t)
	site.ReadOnly, site.Base = true, "/studio/embed"
	doc := parsed(t, EmbedGeneration(site, sampled(), "/studio/generations/g1"))
	if doc.Find("form, button").Length() != 0 {
		t.Error("an embed must not ask for anything")
	}
	if top := doc.Find("body > *"); top.Length() != 1 {
		t.Errorf("%d top elements, want one tree", top.Length())
	}
}

// Datastar applies attributes in their order, and data-init of the pill clicks at once.
func TestPillListensBeforeItClicks(t *testing.T) {
	html := rendered(t, FreshPill(testSite(t), Fresh{Count: 3, URL: "/u", Plain: "/p"}))
	listens, clicks := strings.Index(html, "data-on:click__prevent="), strings.Index(html, "data-init=")
	if listens < 0 || clicks < listens {
		t.Errorf("data-on at %d, data-init at %d: the click would leave the page", listens, clicks)
	}
}

// All pictures of a generation are in sight: as many columns as show them largest.
func TestLayout(t *testing.T) {
	for _, c := range []struct{ images, width, height, columns, rows int }{
		{1, 1024, 1024, 1, 1},
		{2, 768, 768, 2, 1},
		{2, 2048, 512, 1, 2},
		{4, 768, 768, 2, 2},
		{8, 640, 896, 4, 2},
		{8, 1536, 512, 2, 4},
		{64, 1024, 1024, 8, 8},
		{0, 1, 1, 1, 1},
	} {
		g := Generation{Width: c.width, Height: c.height, Images: make([]Image, c.images)}
		if columns, rows := g.Layout(); columns != c.columns || rows != c.rows {
			t.Errorf("%d of %d x %d: %d columns and %d rows, want %d and %d", c.images, c.width, c.height, columns, rows, c.columns, c.rows)
		}
	}
}
