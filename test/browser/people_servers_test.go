package browser

import (
	"net/http"
	"strings"
	"testing"

	"easel/comfy/simulator"
)

// atticModel is a model that only the second ComfyUI has.
const atticModel = "attic.safetensors"

// another starts a second ComfyUI, whose worker goes on only as the test leads it.
func another(t *testing.T) (*simulator.Running, *simulator.Stepper) {
	t.Helper()
	lead := simulator.NewStepper()
	comfy, err := simulator.Start("127.0.0.1:0", simulator.Config{
		Models: append([]string{atticModel}, models...), PreviewSize: 128, Gate: lead.Pass,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(comfy.Close)
	return comfy, lead
}

// server is what a test looks at of a server in JSON.
type server struct {
	ID, Name, State, Mode, Source string
	Inside                        int
}

func (s *site) servers() []server {
	s.t.Helper()
	var list struct{ Servers []server }
	s.json("GET", "/api/servers", nil, &list)
	return list.Servers
}

// server waits until there is a server of that name as ok wants it.
func (s *site) server(name, what string, ok func(server) bool) server {
	s.t.Helper()
	var found server
	s.eventually(name+" to be "+what, func() bool {
		for _, found = range s.servers() {
			if found.Name == name && ok(found) {
				return true
			}
		}
		return false
	})
	return found
}

func isUp(s server) bool { return s.State == "up" && s.Mode == "active" }

// onCard is the selector of something on a server's card.
func onCard(s server, selector string) string { return "#server-" + s.ID + " " + selector }

// People add a server that they have tested, let one rest so that the other works, and take one away
// with work inside: the work goes on elsewhere.
func TestPeopleTendServers(t *testing.T) {
	t.Parallel()
	axe := axeScript(t)
	s := open(t, siteOptions{led: true})
	second, _ := another(t)
	tab := Open(t, s.URL, TabOptions{})
	phone := Open(t, s.URL, TabOptions{Width: 390, Height: 844, Dark: true})
	tab.Goto("/servers")
	tab.mark()
	addByHand(t, tab, second.URL())
	attic := s.server("Attic", "up", isUp)
	tab.WaitText(onCard(attic, ".state"), "Up")
	big := s.server("big", "up", isUp)
	if text := tab.Text(onCard(big, ".server-actions")); !strings.Contains(text, "Named by COMFYUI_URL") || tab.Count(onCard(big, "[value=remove]")) != 0 {
		t.Errorf("a server of the configuration can be removed: %s", text)
	}

	tab.Click(onCard(big, "[value=pause]"))
	tab.WaitText(onCard(big, ".state"), "Paused")
	g := s.generate(ask{Prompt: "A boat for the attic", Settings: small()})
	tab.WaitText(onCard(attic, ".server-run"), "A boat for the attic")
	tab.Click(onCard(attic, "[value=test]"))
	tab.WaitText(onCard(attic, ".report"), "This server can be used")
	tab.Click(onCard(attic, "details:last-of-type summary"))
	tab.WaitText(onCard(attic, "details[open]"), "1 picture")
	judge(t, tab, axe, "servers, with a report and a question, in light")
	phone.Goto("/servers")
	phone.WaitText(onCard(attic, ".server-run"), "A boat for the attic")
	judge(t, phone, axe, "servers on a phone in dark")
	if wide := Eval[int](phone, `document.documentElement.scrollWidth`); wide > 390 {
		t.Errorf("on a phone the page is %d pixels wide", wide)
	}

	tab.Click(onCard(attic, "[value=remove]"))
	tab.Wait(`!document.getElementById('server-` + attic.ID + `')`)
	tab.Click(onCard(big, "[value=resume]"))
	tab.WaitText(onCard(big, ".server-run"), "A boat for the attic")
	tab.Click(onCard(big, "[value=drain]"))
	tab.WaitText(onCard(big, ".state"), "Draining")
	s.lead.Open()
	if done := s.ended(g.ID); done.Status != "complete" {
		t.Errorf("the generation ended as %s", done.Status)
	}
	tab.WaitText(onCard(big, ".state"), "Off")
	tab.Click(onCard(big, "[value=resume]"))
	tab.WaitText(onCard(big, ".state"), "Up")
	if done := s.made(ask{Prompt: "After the rest", Settings: small()}); done.Status != "complete" {
		t.Errorf("after the rest a generation ended as %s", done.Status)
	}
	tab.sameDocument()
	tab.NoComplaints()
	phone.NoComplaints()
}

// addByHand adds a server after two mistakes; what was typed stays.
func addByHand(t *testing.T, tab *Tab, address string) {
	t.Helper()
	tab.fill("#url", "ftp://attic")
	tab.fill("#name", "Attic")
	tab.Press("Test and add")
	tab.Wait(`document.querySelector('#url').getAttribute('aria-invalid') === 'true'`)
	if got := tab.Text("#url-error"); !strings.Contains(got, "not an http or https address") {
		t.Errorf("at the address stands %q", got)
	}
	if url, name := tab.value("#url"), tab.value("#name"); url != "ftp://attic" || name != "Attic" {
		t.Errorf("the form holds %q and %q", url, name)
	}
	tab.fill("#url", "127.0.0.1:1")
	tab.Press("Test and add")
	tab.WaitText("#add .report", "the connection was refused")
	tab.Wait(`[...document.querySelectorAll('#add button')].some(b => b.textContent.includes('Add it anyway'))`)
	tab.fill("#url", strings.TrimPrefix(address, "http://")+"/")
	tab.Press("Only test")
	tab.WaitText("#add .report", "This server can be used")
	tab.Press("Test and add")
	tab.WaitText("#add", "The server was added")
	tab.WaitText("#servers", "Attic")
	if url := tab.value("#url"); url != "" {
		t.Errorf("after adding the form holds %q", url)
	}
}

// The same without scripts.
func TestPeopleTendServersWithoutScripts(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{})
	second, lead := another(t)
	lead.Open()
	tab := Open(t, s.URL, TabOptions{NoScript: true})
	status := `performance.getEntriesByType('navigation')[0].responseStatus`
	tab.Goto("/servers")
	tab.fill("#url", "http://169.254.169.254")
	tab.fill("#name", "Attic")
	tab.Press("Test and add")
	tab.WaitText("#url-error", "link-local")
	if got := Eval[int](tab, status); got != http.StatusUnprocessableEntity || tab.value("#name") != "Attic" {
		t.Errorf("status %d, the name is %q", got, tab.value("#name"))
	}
	tab.fill("#url", second.URL())
	tab.Press("Test and add")
	tab.Wait(`location.hash.startsWith('#server-')`)
	attic := s.server("Attic", "up", isUp)
	tab.Click(onCard(attic, "[value=test]"))
	tab.WaitText(onCard(attic, ".report"), "This server can be used")
	tab.Click(onCard(attic, "[value=pause]"))
	tab.WaitText(onCard(attic, ".state"), "Paused")
	modelAway(t, tab)
	tab.Goto("/servers")
	tab.Click(onCard(attic, "[value=resume]"))
	tab.WaitText(onCard(attic, ".state"), "Up")
	tab.Click(onCard(attic, "details:first-of-type summary"))
	tab.fill(onCard(attic, "[name=name]"), "big")
	tab.Click(onCard(attic, "[value=rename]"))
	tab.WaitText(onCard(attic, ".error"), "Another server has this name")
	tab.fill(onCard(attic, "[name=name]"), "Cellar")
	tab.Click(onCard(attic, "[value=rename]"))
	tab.WaitText(onCard(attic, "h2"), "Cellar")
	tab.Click(onCard(attic, "details:last-of-type summary"))
	tab.Click(onCard(attic, "[value=remove]"))
	tab.Wait(`document.readyState === 'complete' && !document.getElementById('server-` + attic.ID + `')`)
	tab.NoComplaints()
}

// modelAway: the form says of a model that only a resting server has it, when that model is chosen.
func modelAway(t *testing.T, tab *Tab) {
	t.Helper()
	tab.Goto("/")
	for model, want := range map[string]bool{models[0]: false, atticModel: true} {
		seen := Eval[bool](tab, `(() => {
			const field = document.getElementById('settings.model').closest('.field');
			field.querySelector('select').value = '`+model+`';
			return field.querySelector('.away').checkVisibility();
		})()`)
		if seen != want {
			t.Errorf("with %s chosen, the warning is seen: %v, want %v", model, seen, want)
		}
	}
	tab.picture("model-away")
}
