package browser

import (
	"testing"

	"easel/db/dbtest"
	"easel/studio"
	"easel/test/harness"
)

// On a fresh machine without a ComfyUI: the built-in demo draws, at a pace that one can watch, and
// every page says that it is the demo.
func TestPeopleTryTheDemo(t *testing.T) {
	t.Parallel()
	easel := harness.Start(t, harness.Options{Env: []string{
		"EASEL_LOG_LEVEL=info", "DATABASE_URL=" + dbtest.URL(t, dbtest.With("river", studio.Migrate)),
	}})
	tab := Open(t, easel.URL, TabOptions{})
	for _, path := range []string{"/gallery", "/servers", "/settings", "/nowhere", "/"} {
		tab.Goto(path)
		tab.WaitText("#banner", "Demo server.")
		tab.WaitText("#banner", "COMFYUI_URL=")
	}
	tab.mark()
	tab.Press("A small harbour") // the empty studio offers a prompt to begin with
	if tab.value(prompt) == "" {
		t.Fatal("the example does not fill the form")
	}
	tab.Wait(`document.querySelectorAll('[name="settings.model"] option').length > 0`)
	tab.Press("Generate")
	tab.WaitText("#stage .badge", "Connected")
	tab.WaitText("#stage .badge", "Inferencing")
	tab.Wait(`(i => i?.complete && i.naturalWidth > 0)(document.querySelector('#stage img[data-preview]'))`)
	tab.WaitText("#stage .progress .eta", "remaining")
	tab.WaitText("#stage .badge", "Complete")
	tab.Wait(`(i => i?.complete && i.naturalWidth === 768)(document.querySelector('#stage a img'))`)
	tab.WaitText("#recent", "All pictures")
	tab.sameDocument()
	tab.NoComplaints()
}
