package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// rows are the prompts of a list on the page of the queue, in their order.
const rows = `[...document.querySelectorAll('.waiting-row bdi.clip')].map(e => e.textContent).join()`

// lined is a site whose ComfyUI is at one generation, with one inside, and so many waiting.
func lined(t *testing.T, waiting int) *site {
	t.Helper()
	s := open(t, siteOptions{led: true})
	s.generate(ask{Prompt: "runs", Settings: small()})
	s.atNode("CheckpointLoaderSimple")
	for i := range waiting {
		s.generate(ask{Prompt: fmt.Sprintf("w%d", i+1), Settings: small()})
	}
	return s
}

// Who puts the queue in order by keyboard keeps the focus, and everybody sees the new order.
func TestPeoplePutTheQueueInOrder(t *testing.T) {
	t.Parallel()
	s := lined(t, 5)
	tab, other := Open(t, s.URL, TabOptions{}), Open(t, s.URL, TabOptions{Width: 390, Height: 844, Dark: true})
	for _, viewer := range []*Tab{tab, other} {
		viewer.Goto("/queue")
		viewer.Wait(rows + ` === 'w1,w2,w3,w4,w5'`)
		viewer.WaitText("#queue-count", "6")
	}
	press := func(row, button string) {
		t.Helper()
		Eval[bool](tab, fmt.Sprintf(`(([...document.querySelectorAll('.waiting-row')].find(e => e.querySelector('bdi').textContent === %s)
			.querySelector('[value=%s]')).focus(), true)`, quote(row), button))
		tab.Keys(kb.Enter)
	}
	press("w4", "up")
	for _, viewer := range []*Tab{tab, other} {
		viewer.Wait(rows + ` === 'w1,w2,w4,w3,w5'`)
	}
	const focus = `document.activeElement.value + ' ' + document.activeElement.closest('li')?.querySelector('bdi').textContent`
	if at := Eval[string](tab, focus); at != "up w4" {
		t.Errorf("the focus is on %q, want it on the button that was pressed", at)
	}
	const idle = `[...document.querySelectorAll('.waiting-row')].map(row => [...row.querySelectorAll('.move')]
		.map(b => b.ariaDisabled === 'true' ? '-' : '+').join('')).join(' ')` // up, down, front; the first is inside ComfyUI
	if ends := Eval[string](tab, idle); ends != " -+- +++ +++ +-+" {
		t.Errorf("what can move is %s", ends)
	}
	press("w5", "high")
	for _, viewer := range []*Tab{tab, other} {
		viewer.Wait(rows + ` === 'w1,w5,w2,w4,w3'`)
	}
	if at := Eval[string](tab, focus); at != "normal w5" {
		t.Errorf("the focus is on %q, want it on the button that was pressed", at)
	}
	press("w2", "hold")
	other.WaitText("#held-title", "1")
	press("w2", "release")
	other.Wait(`!document.querySelector('#held-title')`)
	tab.picture("queue")
	other.picture("queue-phone-dark")
	tab.Press("Pause the queue")
	other.WaitText(".paused", "The queue is paused.")
	tab.picture("queue-paused")
	other.Press("Resume the queue")
	tab.Wait(`!document.querySelector('.paused')`)
	if wide := Eval[int](other, `document.documentElement.scrollWidth`); wide > 390 {
		t.Errorf("the page is %d wide on a phone", wide)
	}
	for _, viewer := range []*Tab{tab, other} {
		judge(t, viewer, axeScript(t), "/queue")
	}
	tab.Press("Cancel all mine")
	tab.WaitText("#ask-cancel-all form", "Cancel all 6 generations?")
	tab.picture("queue-ask")
	tab.Click("#ask-cancel-all .danger")
	s.lead.Open()
	other.WaitText("#queue-lists", "Nothing waits.")
	tab.WaitText("#queue-lists", "Nothing waits.")
	tab.picture("queue-empty")
	tab.NoComplaints()
	other.NoComplaints()
}

// picture keeps what the tab shows where EASEL_PICTURES says.
func (tab *Tab) picture(name string) {
	if dir := os.Getenv("EASEL_PICTURES"); dir != "" {
		tab.Screenshot(filepath.Join(dir, name+".png"))
	}
}

// Without scripts the queue is put in order by plain forms, which lead back to the row.
func TestPeoplePutTheQueueInOrderWithoutScripts(t *testing.T) {
	t.Parallel()
	s := lined(t, 4)
	tab := Open(t, s.URL, TabOptions{NoScript: true})
	tab.Goto("/queue")
	tab.Wait(rows + ` === 'w1,w2,w3,w4'`)
	tab.Click(`.waiting-row:nth-child(3) [value="up"]`)
	tab.Wait(rows + ` === 'w1,w3,w2,w4'`)
	if path := Eval[string](tab, `location.pathname + location.hash`); !strings.HasPrefix(path, "/queue#queue-") {
		t.Errorf("it leads back to %s", path)
	}
	tab.Click(`.waiting-row:nth-child(4) [value="hold"]`)
	tab.WaitText("#held-title", "1")
	tab.Click("#queue-flow")
	tab.WaitText(".paused", "The queue is paused.")
	tab.Click("#queue-flow")
	tab.Wait(`!document.querySelector('.paused')`)
	tab.Click("#ask-cancel-all summary")
	tab.Click("#ask-cancel-all .danger")
	s.lead.Open()
	tab.WaitText("#queue-lists", "Nothing waits.")
}
