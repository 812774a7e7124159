package browser

import (
	"slices"
	"strings"
	"testing"
)

// galleryPart is how many generations the gallery shows at first.
const galleryPart = 48

// The gallery: everything, newest first, found again by scrolling, filters and words.
func TestPeopleFindPictures(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{})
	fillGallery(s)
	for _, part := range []struct {
		name string
		test func(*testing.T, *site, *Tab)
	}{
		{"newest first, older ones by scrolling", galleryScroll},
		{"filters and words", galleryFilters},
		{"nothing moves under a reader", galleryPill},
	} {
		t.Run(part.name, func(t *testing.T) {
			tab := Open(t, s.URL, TabOptions{})
			tab.Goto("/gallery")
			part.test(t, s.in(t), tab)
			tab.NoComplaints()
		})
	}
	t.Run("older ones by a link, without scripts", func(t *testing.T) { galleryByLinks(t, s.in(t)) })
}

// fillGallery makes more than one part of the gallery: many that were cancelled while ComfyUI was
// away, which takes no time, then pictures and a failure.
func fillGallery(s *site) {
	s.t.Helper()
	s.comfy.Kill()
	s.eventually("the server to be down", func() bool { return s.serverState() == "down" })
	for range galleryPart + 4 {
		g := s.generate(ask{Prompt: "Never made", Settings: small()})
		var cancelled generation
		s.json("POST", "/api/generate/"+g.ID+"/cancel", nil, &cancelled)
		s.ended(g.ID)
	}
	if err := s.comfy.Restart(); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("the server to be up", func() bool { return s.serverState() == "up" })
	s.made(ask{Prompt: "Red kites over hills", Settings: small()})
	s.made(ask{Prompt: "A red boat, a blue kite", Settings: map[string]any{"width": 128, "height": 64, "steps": 1}, TotalImages: 2})
	s.made(ask{Prompt: "Green hills", Settings: small()})
	s.comfy.Faults().OutOfMemory(100)
	if g := s.made(ask{Prompt: "Burnt toast", Settings: small()}); g.Status != "failed" {
		s.t.Fatalf("status = %s, want failed", g.Status)
	}
	s.comfy.Faults().Reset()
}

// cards are the ids of the generations that the tab shows, in order.
func (tab *Tab) cards() []string {
	tab.t.Helper()
	return Eval[[]string](tab, `[...document.querySelectorAll('#cards > li')].map(e => e.id.replace('card-', ''))`)
}

// ids are those of all generations, newest first.
func (s *site) ids() []string {
	s.t.Helper()
	var ids []string
	for _, g := range s.all() {
		ids = append(ids, g.ID)
	}
	return ids
}

func galleryScroll(t *testing.T, s *site, tab *Tab) {
	want := s.ids()
	tab.mark()
	if got := tab.cards(); !slices.Equal(got, want[:galleryPart]) {
		t.Errorf("%d cards at first, not the newest %d in order", len(got), galleryPart)
	}
	tab.Wait(`[...document.querySelectorAll('#cards img')].every(i => i.complete && i.naturalWidth > 0) && document.querySelectorAll('#cards img').length === 3`)
	Eval[bool](tab, `(window.scrollTo(0, document.body.scrollHeight), true)`)
	tab.Wait(`document.querySelectorAll('#cards > li').length > 48`)
	if got := tab.cards(); !slices.Equal(got, want) {
		t.Errorf("%d cards after scrolling, want all %d in order", len(got), len(want))
	}
	tab.Wait(`!document.querySelector('.older a')`)
	tab.sameDocument()
}

func galleryFilters(t *testing.T, s *site, tab *Tab) {
	tab.Press("Failed")
	tab.waitPath("/gallery?status=failed")
	tab.WaitText("#cards", "Burnt toast")
	if n := tab.Count("#cards > li"); n != 1 || tab.Text(`[aria-label="Filter by state"] [aria-current=page]`) != "Failed" {
		t.Errorf("%d cards for failed ones", n)
	}
	tab.Press("Complete")
	tab.waitPath("/gallery?status=complete")
	if n := tab.Count("#cards > li"); n != 3 {
		t.Errorf("%d cards for complete ones, want 3", n)
	}
	tab.Type("#q", "red kit\r")
	tab.waitPath("/gallery?")
	tab.Wait(`new URLSearchParams(location.search).get('q') === 'red kit'`)
	tab.Wait(`document.querySelectorAll('#cards > li').length === 2`) // words in any order, each as a prefix
	if status := Eval[string](tab, `new URLSearchParams(location.search).get('status')`); status != "complete" {
		t.Errorf("a search forgets the filter: %q", status)
	}
	tab.Type("#q", "nothing like it\r")
	tab.WaitText("#none", "Nothing matches.")
	tab.Press("Show everything")
	tab.Wait(`document.querySelectorAll('#cards > li').length === 48`)
	if len(s.ids()) <= galleryPart {
		t.Error("there is no older part")
	}
}

func galleryPill(t *testing.T, s *site, tab *Tab) {
	tab.mark()
	// In the middle of the page: nothing moves, and a pill says what came.
	Eval[bool](tab, `(window.scrollTo(0, 300), true)`)
	tab.Wait(`window.scrollY === 300`)
	before := tab.cards()
	at := `JSON.stringify([...document.querySelectorAll('#cards > li')].slice(0, 20).map(e => e.getBoundingClientRect()))`
	stood := Eval[string](tab, at)
	fresh := s.made(ask{Prompt: "Brand new", Settings: small()})
	tab.WaitText("#fresh", "1 new")
	if !slices.Equal(tab.cards(), before) || Eval[string](tab, at) != stood {
		t.Error("the cards moved under the reader")
	}
	tab.Press("1 new")
	tab.Wait(`document.querySelector('#cards > li').id === ` + quote("card-"+fresh.ID))
	tab.Wait(`window.scrollY === 0 && !document.querySelector('#fresh a')`)
	// At the top it comes in by itself.
	second := s.made(ask{Prompt: "Even newer", Settings: small()})
	tab.Wait(`document.querySelector('#cards > li').id === ` + quote("card-"+second.ID))
	tab.Wait(`(i => i?.complete && i.naturalWidth > 0)(document.querySelector('#cards > li:first-child img'))`)
	tab.sameDocument()
}

func galleryByLinks(t *testing.T, s *site) {
	tab := Open(t, s.URL, TabOptions{NoScript: true})
	tab.Goto("/gallery")
	first := tab.cards()
	tab.Press("Older")
	tab.waitPath("/gallery?cursor=")
	if got := append(first, tab.cards()...); !slices.Equal(got, s.ids()) {
		t.Errorf("two parts hold %d cards, want all %d in order", len(got), len(s.ids()))
	}
	if text := tab.Text(".older"); text != "" {
		t.Errorf("at the end the way to older ones says %q", text)
	}
	if !strings.Contains(tab.Text("#cards"), "Never made") {
		t.Error("cards without a picture do not say what was asked for")
	}
}
