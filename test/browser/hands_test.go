package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// sitePages are the paths of all pages of a site with a generation.
func sitePages(id string) []string {
	return []string{
		"/", "/?from=" + id, "/gallery", "/gallery?status=failed", "/gallery?q=nothing", "/generations/" + id, "/generations/" + id + "/delete",
		"/queue", "/servers", "/settings", "/calibration", "/nowhere", "/embed/generations/" + id, "/embed/gallery",
	}
}

// A phone shows the same, one thing under the other, with Generate in reach of the thumb.
func TestPeopleWithAPhone(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{led: true})
	tab := Open(t, s.URL, TabOptions{Width: 390, Height: 844})
	tab.Goto("/")
	fits := func() {
		t.Helper()
		if got := Eval[string](tab, `document.documentElement.scrollWidth <= 390 ? '' : [...document.querySelectorAll('body *')]
			.filter(e => e.getBoundingClientRect().right > 390.5).slice(0, 5).map(e => e.outerHTML.slice(0, 120)).join('\n')`); got != "" {
			t.Errorf("%s is wider than the phone:\n%s", tab.path(), got)
		}
	}
	fits()
	reach := `(b => b.top >= 0 && b.bottom <= innerHeight && b.height >= 40)(document.querySelector('#composer .go button').getBoundingClientRect())`
	if !Eval[bool](tab, reach) {
		t.Error("Generate is out of reach before anything was made")
	}
	tab.fill(prompt, strings.Repeat("Averylongwordwithoutanyspace", 20)+" and a long prompt. "+strings.Repeat("Mist over the water. ", 60))
	tab.Press("Generate")
	g := s.newest(0)
	s.atNode("CheckpointLoaderSimple")
	tab.waitProgress(shown{Badge: "🔗 Connected", Line: "Loading checkpoint"})
	fits()
	if !Eval[bool](tab, reach) {
		t.Error("Generate is out of reach while a run goes on")
	}
	if !Eval[bool](tab, `document.querySelector('#stage').getBoundingClientRect().top < document.querySelector('#composer').getBoundingClientRect().top`) {
		t.Error("the stage does not come first")
	}
	Eval[bool](tab, `(window.scrollTo(0, 0), true)`)
	tab.watchShifts()
	s.afterStep(5)
	tab.waitProgress(shown{Badge: "⚙️ Inferencing", Line: "Step 5 of 20", Steps: "25%"})
	s.afterStep(12)
	tab.waitProgress(shown{Badge: "⚙️ Inferencing", Line: "Step 12 of 20", Steps: "60%"})
	fits()
	if shift, moved := tab.shifts(); shift > 0.002 {
		t.Errorf("the page moved by %.4f while the run went on: %s", shift, moved)
	}
	s.lead.Open()
	tab.WaitText(".progress .badge", "✅ Complete")
	tab.Wait(`(i => i?.complete && i.naturalWidth > 0)(document.querySelector('.frame a img'))`)
	if _, moved := tab.shifts(); strings.Contains(moved, "row") || strings.Contains(moved, "caption") || strings.Contains(moved, "frame") {
		t.Errorf("the stage moved when the run ended: %s", moved)
	}
	tab.seesShifts()
	for _, path := range sitePages(g.ID) {
		tab.Goto(path)
		fits()
		small := Eval[[]string](tab, `[...document.querySelectorAll('a.button, button, summary, select')].filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 24)
			.map(e => e.outerHTML.slice(0, 90))`)
		if len(small) > 0 {
			t.Errorf("%s: too small for a finger: %q", path, small)
		}
	}
	tab.Goto("/generations/" + g.ID)
	tab.Press("Delete")
	tab.Wait(`document.querySelector('#actions details[open] form button').checkVisibility()`)
	fits()
	tab.NoComplaints()
}

// focused describes what has the focus, and whether one can see that.
func (tab *Tab) focused() (what string, seen bool) {
	tab.t.Helper()
	got := Eval[[]string](tab, `(e => {
		const name = e.getAttribute('aria-label') ?? e.labels?.[0]?.textContent ?? e.title ?? '';
		const style = s => s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2;
		let ring = style(getComputedStyle(e));
		for (let p = e.parentElement; !ring && p && p !== document.body; p = p.parentElement) ring = p.matches(':has(:focus-visible)') && style(getComputedStyle(p));
		return [(e.name || e.textContent.trim() || name).replace(/\s+/g, ' ').slice(0, 40), String(ring), e.tagName];
	})(document.activeElement)`)
	return got[0], got[1] == "true" || got[2] == "BODY"
}

// With the keyboard alone: everything can be reached in reading order, and one always sees where one is.
func TestPeopleWithTheKeyboard(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{})
	var made []generation
	for i := range 3 {
		made = append(made, s.made(ask{Prompt: fmt.Sprintf("Picture %d", i+1), Settings: small()}))
	}
	tab := Open(t, s.URL, TabOptions{})
	tab.Goto("/")
	var order []string
	for range 80 {
		tab.Keys(kb.Tab)
		what, seen := tab.focused()
		if !seen {
			t.Errorf("one does not see that %q has the focus", what)
		}
		if len(order) > 0 && what == order[0] {
			break
		}
		order = append(order, what)
	}
	at := 0
	for _, want := range []string{"Skip to the content", "Easel", "Studio", "Gallery", "Servers", "theme"} {
		for at < len(order) && !strings.HasPrefix(order[at], want) {
			at++
		}
		if at == len(order) {
			t.Fatalf("%q cannot be reached in its order: %q", want, order)
		}
	}
	for _, want := range []string{"prompt", "shape", "totalImages", "settings.model", "More settings", "Generate", "Use these settings", "Open", "All pictures", "Settings", "Keys"} {
		found := false
		for _, what := range order {
			found = found || strings.HasPrefix(what, want)
		}
		if !found {
			t.Errorf("%q cannot be reached: %q", want, order)
		}
	}
	keysOfTheForm(t, s, tab)
	keysEverywhere(t, tab, made)
	themeIsRemembered(t, s, tab)
	tab.NoComplaints()
}

// keysOfTheForm: a picture without a mouse.
func keysOfTheForm(t *testing.T, s *site, tab *Tab) {
	t.Helper()
	before := len(s.all())
	tab.Goto("/")
	tab.Keys(kb.Tab)
	tab.Keys(kb.Enter) // skip to the content
	tabTo := func(name string) {
		t.Helper()
		for range 60 {
			tab.Keys(kb.Tab)
			if what, _ := tab.focused(); strings.HasPrefix(what, name) {
				return
			}
		}
		t.Fatalf("%q cannot be reached", name)
	}
	tabTo("prompt")
	tab.Keys("By hand, j k / ?")
	tabTo("shape")
	tab.Keys(kb.ArrowDown)
	tabTo("More settings")
	tab.Keys(" ")
	tab.Wait(`document.querySelector('details.more').open`)
	tabTo("settings.steps")
	tab.Keys("a", chromedp.KeyModifiers(chromedp.ModifierCtrl))
	tab.Keys("2")
	tabTo("Generate")
	tab.Keys(kb.Enter)
	g := s.newest(before)
	if g.Prompt != "By hand, j k / ?" || g.Settings.Steps != 2 || g.Settings.Width == g.Settings.Height {
		t.Errorf("generation = %+v", g)
	}
	s.ended(g.ID)
}

// keysEverywhere: / searches, ? lists the keys, j and k walk, Escape closes what is open.
func keysEverywhere(t *testing.T, tab *Tab, made []generation) {
	t.Helper()
	tab.Goto("/gallery")
	tab.Shortcut("/")
	if what, _ := tab.focused(); what != "q" {
		t.Errorf("/ leads to %q", what)
	}
	tab.Keys("Picture 2" + kb.Enter)
	tab.waitPath("/gallery?q=Picture")
	tab.Wait(`document.querySelectorAll('#cards > li').length === 1`)
	tab.Goto("/generations/" + made[1].ID)
	tab.Shortcut("j")
	tab.waitPath("/generations/" + made[0].ID)
	tab.Shortcut("k")
	tab.waitPath("/generations/" + made[1].ID)
	tab.Keys(kb.ArrowLeft)
	tab.waitPath("/generations/" + made[2].ID)
	tab.Shortcut("?")
	tab.Wait(`document.querySelector('#keys').open`)
	tab.Keys(kb.Escape)
	tab.Wait(`!document.querySelector('#keys').open`)
	tab.Press("Delete")
	tab.Wait(`document.querySelector('#actions details').open`)
	tab.Keys(kb.Escape)
	tab.Wait(`!document.querySelector('#actions details').open`)
	if what, _ := tab.focused(); what != "Delete" {
		t.Errorf("after Escape the focus is at %q", what)
	}
}

// themeIsRemembered: at once, without a load, and in the first HTML of every page that follows.
func themeIsRemembered(t *testing.T, s *site, tab *Tab) {
	t.Helper()
	tab.Goto("/servers")
	tab.mark()
	for _, theme := range []string{"dark", "light", "auto", "dark"} {
		Eval[bool](tab, `(document.querySelector('.theme button[value=`+theme+`]').focus(), true)`)
		tab.Keys(" ")
		tab.Wait(`document.documentElement.dataset.theme === ` + quote(theme) + ` && document.querySelector('.theme button[value=` + theme + `]').ariaPressed === 'true'`)
	}
	tab.sameDocument()
	tab.Goto("/gallery")
	if got := Eval[string](tab, `fetch(location.href).then(r => r.text()).then(html => html.match(/data-theme="(\w+)"/)[1])`); got != "dark" {
		t.Errorf("the next page comes in %q", got)
	}
	if got := s.html("/gallery").Find("html").AttrOr("data-theme", ""); got != "auto" {
		t.Errorf("another visitor gets %q", got)
	}
}
