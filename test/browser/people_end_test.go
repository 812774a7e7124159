package browser

import (
	"slices"
	"strings"
	"testing"

	"easel/comfy/simulator"
)

// A generation that waits is cancelled at once; one that runs says so until ComfyUI has stopped.
// Both are tried again, as they were and with other settings.
func TestPeopleCancelAndRetry(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{led: true})
	running := s.generate(ask{Prompt: "This one runs", Settings: map[string]any{"width": 64, "height": 64, "steps": 20, "seed": 7}})
	s.afterStep(5)
	waiting := s.generate(ask{Prompt: "This one waits", NegativePrompt: "haste", Settings: small()})

	tab := Open(t, s.URL, TabOptions{})
	tab.Goto("/generations/" + waiting.ID)
	tab.mark()
	tab.WaitText(".progress .badge", "Queued")
	tab.Press("Cancel")
	tab.WaitText(".progress .badge", "Cancelled")
	tab.sameDocument()
	if got := s.ended(waiting.ID); got.Status != "cancelled" {
		t.Errorf("status = %s", got.Status)
	}

	other := Open(t, s.URL, TabOptions{})
	other.Goto("/")
	tab.Goto("/generations/" + running.ID)
	tab.mark()
	tab.waitProgress(shown{Badge: "⚙️ Inferencing", Line: "Step 5 of 20", Steps: "25%"})
	tab.Press("Cancel")
	cancelling := func() {
		t.Helper()
		for _, viewer := range []*Tab{tab, other} {
			viewer.WaitText(".progress .badge", "Cancelling")
		}
		if got := progressIn(s.html("/generations/" + running.ID)).Badge; got != "Cancelling" {
			t.Errorf("first HTML says %q", got)
		}
	}
	cancelling()
	promptID := s.read(running.ID).Images[0].ComfyUIPromptID
	s.eventually("ComfyUI to be told", func() bool { return slices.Contains(s.comfy.Ledger().Interrupts(), promptID) })
	cancelling() // ComfyUI was told, and has not stopped: the worker stands where it stood
	if tab.Count(`.progress button:not([disabled])`) != 0 {
		t.Error("cancelling can be asked for twice")
	}
	s.until("the end", func(p simulator.Point) bool { return p.Stage == simulator.StageFinish })
	s.lead.Release()
	for _, viewer := range []*Tab{tab, other} {
		viewer.WaitText(".progress .badge", "Cancelled")
	}
	tab.sameDocument()
	s.lead.Open()
	retryAsItWas(t, s, tab, running)
	retryWithOtherSettings(t, s, tab, waiting)
	tab.NoComplaints()
	other.NoComplaints()
}

func retryAsItWas(t *testing.T, s *site, tab *Tab, old generation) {
	t.Helper()
	tab.Press("Retry")
	tab.Wait(`document.readyState === 'complete' && location.pathname.startsWith('/generations/') && !location.pathname.endsWith(` + quote(old.ID) + `)`)
	tab.WaitText("#record", "an earlier generation")
	tab.WaitText(".progress .badge", "✅ Complete")
	retried := s.all()[0]
	if retried.RetryOf == nil || *retried.RetryOf != old.ID || retried.Settings != old.Settings || retried.Prompt != old.Prompt {
		t.Errorf("the retry is %+v of %+v", retried, old)
	}
	tab.Press("an earlier generation")
	tab.waitPath("/generations/" + old.ID)
}

// What a visitor empties in the form stays empty, and is not filled up from the old generation.
func retryWithOtherSettings(t *testing.T, s *site, tab *Tab, old generation) {
	t.Helper()
	tab.Goto("/generations/" + old.ID)
	tab.Press("Use these settings")
	tab.waitPath("/?from=" + old.ID)
	for control, want := range map[string]string{
		prompt: "This one waits", "[name=negativePrompt]": "haste", `[name="settings.steps"]`: "2", `[name="settings.width"]`: "64",
	} {
		if got := tab.value(control); got != want {
			t.Errorf("%s = %q, want %q", control, got, want)
		}
	}
	if tab.value(`[name="settings.seed"]`) == "" {
		t.Error("the seed was not taken over")
	}
	Eval[bool](tab, `document.querySelector('details.more').open = true`)
	tab.fill(`[name="settings.steps"]`, "3")
	tab.fill(`[name=negativePrompt]`, "")
	before := len(s.all())
	tab.Press("Generate")
	g := s.newest(before)
	if g.RetryOf == nil || *g.RetryOf != old.ID || g.Settings.Steps != 3 || g.NegativePrompt != "" || g.Settings.Seed != old.Settings.Seed {
		t.Errorf("the retry is %+v", g)
	}
	if got := s.ended(g.ID); got.Status != "complete" {
		t.Errorf("status = %s", got.Status)
	}
}

// A failure says what went wrong in words, and in ComfyUI's own for who wants them.
func TestPeopleReadWhyItFailed(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{})
	s.comfy.Faults().OutOfMemory(100)
	tab := Open(t, s.URL, TabOptions{})
	tab.Goto("/")
	tab.smallPicture()
	tab.fill(prompt, "Too large for the card")
	tab.Press("Generate")
	g := s.newest(0)
	tab.WaitText("#stage .badge", "Failed")
	for _, path := range []string{"/", "/generations/" + g.ID} {
		tab.Goto(path)
		if text := tab.Text(".progress .error"); !strings.Contains(text, "memory") {
			t.Errorf("%s gives as the reason: %q", path, text)
		}
	}
	tab.Press("What ComfyUI said")
	tab.Wait(`document.querySelector('#record details[open] pre').checkVisibility()`)
	if text := tab.Text("#record details[open] pre"); !strings.Contains(text, "Allocation on device") {
		t.Errorf("ComfyUI's own words are %q", text)
	}
	s.comfy.Faults().Reset()
	tab.Press("Retry")
	tab.WaitText(".progress .badge", "✅ Complete")
	tab.NoComplaints()
}
