package browser

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"easel/test/harness"
)

// A graph that somebody has becomes a form, which its owner makes their own, and pictures come of it.
func TestPeopleBringWorkflows(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{})
	axe := axeScript(t)
	graph := filepath.Join(harness.Root(), "comfy", "workflow", "testdata", "stock", "hires-fix.json")
	text, err := os.ReadFile(graph)
	if err != nil {
		t.Fatal(err)
	}

	tab := Open(t, s.URL, TabOptions{})
	tab.Goto("/workflows")
	tab.do("choose the file", chromedp.SetUploadFiles(`#file`, []string{graph})) // which sends it
	tab.waitPath("/workflows/hires-fix")
	tab.WaitText("h1", "Hires fix")
	judge(t, tab, axe, "a workflow that was brought")
	if tab.Count(`#workflow-preview [name="settings.steps"]`) != 1 {
		t.Error("the preview has no steps")
	}

	// The form follows what is typed before anything is saved.
	Eval[bool](tab, `document.querySelector('#field-steps details').open = true`)
	tab.fill(`[name="label.steps"]`, "How often")
	tab.WaitText("#workflow-preview", "How often")
	tab.Click(`[name="show.guidance"]`)
	tab.Wait(`!document.querySelector('#workflow-preview [name="settings.guidance"]')`)
	tab.Click(`#workflow-editor .actions button[value=save]`)
	tab.WaitText("#workflow-editor", "Saved.")
	judge(t, tab, axe, "a workflow that was changed")

	tab.Press("Use it")
	tab.WaitText(".workflow-choice", "Hires fix")
	tab.fill(prompt, "A mill at dusk")
	tab.Click(generateHere)
	tab.Wait(`document.querySelector('#stage .badge')?.textContent.includes('Complete')`)
	tab.NoComplaints()

	// The same by pasting, and without scripts by a plain form.
	tab.Goto("/workflows")
	Eval[bool](tab, `(() => {
		const data = new DataTransfer();
		data.setData('text/plain', `+quote(string(text))+`);
		document.body.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}));
		return true;
	})()`)
	tab.waitPath("/workflows/untitled")
	plain := Open(t, s.URL, TabOptions{NoScript: true, Width: 390, Height: 844})
	plain.Goto("/workflows")
	plain.do("choose the file", chromedp.SetUploadFiles(`#file`, []string{graph}))
	plain.Click(`form[data-bring] .button.primary`)
	plain.waitPath("/workflows/hires-fix-2")
}
