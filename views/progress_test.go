package views

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
)

func sampled() Generation {
	p := Progress{Phase: "inference", Line: "Step 5 of 20", Known: true, Percent: 43, Reach: 45.5, Pace: "400", ETA: "~45 seconds remaining", Steps: "25%", Pass: "pass 1 of 2", Node: "Base sampler"}
	return Generation{
		ID: "g1", Prompt: "a lamp", Status: "generating", Width: 1216, Height: 832, Progress: p, Created: time.Unix(0, 0),
		Images: []Image{{Index: 1, Status: "generating", Width: 1216, Height: 832, Preview: "/p?rev=5", Progress: p}},
	}
}

func TestProgressCardWhileSampling(t *testing.T) {
	doc := parsed(t, ProgressCard(testSite(t), sampled()))
	bar := doc.Find("#progress-g1 progress")
	for name, want := range map[string]string{
		"max": "100", "value": "43", "aria-label": "Progress", "aria-valuetext": "43 percent, Step 5 of 20, about 45 seconds remaining",
	} {
		if got := bar.AttrOr(name, "-"); got != want {
			t.Errorf("progress %s = %q, want %q", name, got, want)
		}
	}
	if reach := bar.Parent().Find("rect"); reach.AttrOr("width", "") != "45.5%" || bar.Parent().AttrOr("data-pace", "") != "400" {
		t.Errorf("the bar is on its way to %q in %q", reach.AttrOr("width", ""), bar.Parent().AttrOr("data-pace", ""))
	}
	for selector, want := range map[string]string{".line": "Step 5 of 20", ".steps": "25%", ".pass": "pass 1 of 2", ".node": "Base sampler"} {
		if got := text(t, doc, selector); got != want {
			t.Errorf("%s = %q, want %q", selector, got, want)
		}
	}
	if got, want := text(t, doc, ".percent"), "43%"; got != want {
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
	if width := doc.Find(".reach rect").AttrOr("width", ""); width != "0%" {
		t.Errorf("the bar moves to %q, of nobody knows what", width)
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
	said := func(images int) (all []string) {
		g := Generation{Images: make([]Image, images)}
		for percent := range 100 {
			phase := "setup"
			switch at := percent % (100 / images); { // every image has all phases
			case at*images > 90:
				phase = "finishing"
			case at*images > 30:
				phase = "inference"
			}
			g.Progress = Progress{Phase: phase, Known: percent > 0, Percent: percent}
			if words := g.Spoken(); len(all) == 0 || all[len(all)-1] != words {
				all = append(all, words)
			}
		}
		return all
	}
	one := []string{"Connected", "Connected, 25 percent", "Inferencing, 25 percent", "Inferencing, 50 percent", "Inferencing, 75 percent", "Finishing, 75 percent"}
	if got := said(1); !slices.Equal(got, one) {
		t.Errorf("of one image: %q, want %q", got, one)
	}
	many := []string{"Connected", "Generating", "Generating, 25 percent", "Generating, 50 percent", "Generating, 75 percent"}
	if got := said(10); !slices.Equal(got, many) {
		t.Errorf("of ten images: %q, want %q", got, many)
	}
	for _, quiet := range []Progress{{Phase: "queued", Known: true, Percent: 50}, {Phase: "complete", Known: true, Percent: 100}} {
		if words := (Generation{Progress: quiet}).Spoken(); strings.Contains(words, "percent") {
			t.Errorf("%s is spoken as %q", quiet.Phase, words)
		}
	}
}

func TestStillBarsStandWhereTheyAre(t *testing.T) {
	g := sampled()
	still := g.Still()
	if still.Progress.Reach != 43 || still.Images[0].Progress.Reach != 43 || g.Images[0].Progress.Reach != 45.5 {
		t.Errorf("still at %v and %v, before %v", still.Progress.Reach, still.Images[0].Progress.Reach, g.Images[0].Progress.Reach)
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
	if bar := doc.Find("#figure-g1-1 progress"); bar.AttrOr("aria-label", "") != "Image 1" || bar.AttrOr("value", "") != "43" {
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
