package handlers

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"easel/studio"
)

// attic is a studio with a server of the configuration and one that was added.
func attic(t *testing.T) (f *fakeStudio, s *Server, added string) {
	t.Helper()
	f = newFake()
	f.servers[0].Source, f.servers[0].Mode = studio.SourceConfig, studio.ModeActive
	id, err := f.AddServer(t.Context(), "attic", "http://well")
	if err != nil {
		t.Fatal(err)
	}
	return f, newSite(t, f), id.String()
}

func (f *fakeStudio) named(name string) (studio.Server, bool) {
	for _, server := range f.Overview().Servers {
		if server.Name == name {
			return server, true
		}
	}
	return studio.Server{}, false
}

func TestAddServerForm(t *testing.T) {
	f, s, _ := attic(t)
	for name, c := range map[string]struct {
		form   url.Values
		status int
		field  string
		want   string
	}{
		"no address":    {url.Values{"url": {"<b>"}, "name": {"x"}, "do": {"add"}}, 422, "#url-error", "not an http or https"},
		"not well":      {url.Values{"url": {"http://ill"}, "name": {"x"}, "do": {"add"}}, 422, "#add .report", "Nothing listens there"},
		"name is taken": {url.Values{"url": {"http://well2"}, "name": {"attic"}, "do": {"add"}}, 422, "#name-error", "has this name"},
		"only a test":   {url.Values{"url": {"http://well2"}, "name": {"x"}, "do": {"test"}}, 200, "#add .report", "can be used"},
	} {
		t.Run(name, func(t *testing.T) {
			doc := pageDocument(t, post(t, s, "/servers", c.form), c.status)
			if got := words(doc.Find(c.field)); !strings.Contains(got, c.want) {
				t.Errorf("%s says %q, want %q", c.field, got, c.want)
			}
			for _, control := range []string{"url", "name"} {
				if got := doc.Find("#"+control).AttrOr("value", ""); got != c.form.Get(control) {
					t.Errorf("%s holds %q, %q was typed", control, got, c.form.Get(control))
				}
			}
			if anyway := doc.Find("#add [value=anyway]").Length() == 1; anyway != (name == "not well") {
				t.Errorf("it can be added anyway: %t", anyway)
			}
			if got := patches(t, s, "/servers", c.form); !strings.Contains(got, c.want) || !strings.Contains(got, `id="add"`) {
				t.Errorf("an open page gets %s", got)
			}
		})
	}
	if n := len(f.Overview().Servers); n != 2 {
		t.Fatalf("%d servers, want 2: something was added", n)
	}
	res := post(t, s, "/servers", url.Values{"url": {"http://ill"}, "name": {"cellar"}, "do": {"anyway"}})
	if server, ok := f.named("cellar"); res.StatusCode != 303 || !ok || res.Header.Get("Location") != "/servers#server-"+server.ID.String() {
		t.Errorf("status %d, to %s, added %t", res.StatusCode, res.Header.Get("Location"), ok)
	}
	if got := patches(t, s, "/servers", url.Values{"url": {"http://well3"}, "name": {"shed"}, "do": {"add"}}); !strings.Contains(got, "The server was added") {
		t.Errorf("an open page gets %s", got)
	}
}

func TestServerButtons(t *testing.T) {
	f, s, id := attic(t)
	press := func(form url.Values, status int) *http.Response {
		t.Helper()
		res := post(t, s, "/servers/"+id, form)
		if res.StatusCode != status {
			t.Errorf("%v: status %d, want %d", form, res.StatusCode, status)
		}
		return res
	}
	for _, c := range []struct {
		do   string
		mode studio.ServerMode
	}{{"pause", studio.ModePaused}, {"drain", studio.ModeDraining}, {"off", studio.ModeOff}, {"resume", studio.ModeActive}} {
		press(url.Values{"do": {c.do}}, 303)
		if server, _ := f.named("attic"); server.Mode != c.mode {
			t.Errorf("after %s the mode is %s", c.do, server.Mode)
		}
	}
	doc := pageDocument(t, press(url.Values{"do": {"test"}}, 200), 200)
	if got := words(doc.Find("#server-" + id + "-report")); !strings.Contains(got, "Take note: It is old.") {
		t.Errorf("the report says %q", got)
	}
	if got := patches(t, s, "/servers/"+id, url.Values{"do": {"test"}}); !strings.Contains(got, `class="report"`) {
		t.Errorf("an open page gets %s", got)
	}
	doc = pageDocument(t, press(url.Values{"do": {"rename"}, "name": {" "}}, 422), 422)
	if doc.Find("#server-"+id+" details[open] .error").Length() != 1 {
		t.Error("a refused name opens no form with the reason")
	}
	press(url.Values{"do": {"rename"}, "name": {" loft "}}, 303)
	if _, ok := f.named("loft"); !ok {
		t.Error("the server has not got its new name")
	}
	press(url.Values{"do": {"explode"}}, 422)
	locked := f.servers[0].ID.String()
	if res := post(t, s, "/servers/"+locked, url.Values{"do": {"remove"}}); res.StatusCode != 409 {
		t.Errorf("removing a server of the configuration: %d", res.StatusCode)
	}
	press(url.Values{"do": {"remove"}}, 303)
	press(url.Values{"do": {"pause"}}, 404)
	if res := post(t, s, "/servers/nonsense", url.Values{"do": {"pause"}}); res.StatusCode != 404 {
		t.Errorf("a server without an id: %d", res.StatusCode)
	}
}

func TestServersAPI(t *testing.T) {
	f, s, id := attic(t)
	added := call(t, s, "POST", "/api/servers", `{"url": "http://me:secret@well4", "name": "shed"}`)
	shed := decode[serverJSON](t, added, 201)
	if added.Header.Get("Location") != "/api/servers/"+shed.ID.String() || shed.Name != "shed" || shed.Mode != studio.ModeActive || shed.Source != studio.SourceAdded {
		t.Errorf("added %+v at %s", shed, added.Header.Get("Location"))
	}
	if got := decode[serverJSON](t, call(t, s, "GET", "/api/servers/"+id, ""), 200); got.Name != "attic" || got.Devices == nil {
		t.Errorf("one server: %+v", got)
	}
	if got := decode[serverJSON](t, call(t, s, "PATCH", "/api/servers/"+id, `{"name": "loft", "mode": "paused"}`), 200); got.Name != "loft" || got.Mode != studio.ModePaused {
		t.Errorf("changed to %+v", got)
	}
	for word, mode := range serverModes {
		if got := decode[serverJSON](t, call(t, s, "POST", "/api/servers/"+id+"/"+word, ""), 200); got.Mode != mode {
			t.Errorf("after %s the mode is %s", word, got.Mode)
		}
	}
	for _, target := range []string{"/api/servers/" + id + "/test", "/api/servers/test"} {
		if got := decode[reportJSON](t, call(t, s, "POST", target, `{"url": "http://well"}`), 200); !got.Usable || len(got.Checks) != 2 || got.Checks[1].Verdict != studio.VerdictWarn {
			t.Errorf("%s: %+v", target, got)
		}
	}
	for _, c := range []struct {
		method, target, body string
		status               int
		field                string
	}{
		{"POST", "/api/servers", `{"url": "ftp://x"}`, 422, "url"},
		{"POST", "/api/servers", `{"url": 7}`, 422, "url"},
		{"POST", "/api/servers", `{"url": "http://x", "colour": "red"}`, 422, "colour"},
		{"POST", "/api/servers", `{"url": "http://x", "url": "http://y"}`, 400, ""},
		{"POST", "/api/servers", `[]`, 400, ""},
		{"POST", "/api/servers/test", `{"url": "x"}`, 422, "url"},
		{"PATCH", "/api/servers/" + id, `{"mode": "asleep"}`, 422, "mode"},
		{"PATCH", "/api/servers/" + id, `{"mode": ""}`, 422, "mode"},
		{"PATCH", "/api/servers/" + f.servers[0].ID.String(), `{"name": "mine"}`, 409, ""},
		{"DELETE", "/api/servers/" + f.servers[0].ID.String(), "", 409, ""},
		{"DELETE", "/api/servers/00000000-0000-7000-8000-0000000000ff", "", 404, ""},
		{"GET", "/api/servers/none", "", 404, ""},
	} {
		got := decode[problem](t, call(t, s, c.method, c.target, c.body), c.status)
		if c.field != "" && (len(got.Errors) != 1 || got.Errors[0].Field != c.field) {
			t.Errorf("%s %s %s: %+v", c.method, c.target, c.body, got)
		}
	}
	if res := call(t, s, "DELETE", "/api/servers/"+id, ""); res.StatusCode != 204 {
		t.Errorf("DELETE: %d", res.StatusCode)
	}
	if _, ok := f.named("loft"); ok {
		t.Error("it is there after its removal")
	}
}

// What a server makes is shown beside it, and a paused or draining one says what becomes of that.
func TestServerCards(t *testing.T) {
	f, _, running := full(t)
	f.update(running.Generation.ID, func(s *studio.State) { // sent there before the server was renamed
		image := &s.Generation.Images[0]
		image.Server, image.ServerID, image.AttemptState = "shed", f.servers[0].ID, "running"
	})
	f.mu.Lock()
	f.servers[0].Mode, f.servers[0].Held = studio.ModeDraining, true
	f.mu.Unlock()
	f.publish()
	s := newSite(t, f)
	doc, _ := page(t, s, "/servers", http.StatusOK)
	card := words(doc.Find("#servers li"))
	for _, want := range []string{"Draining", "A glasshouse at night", "Step 9 of 20", "1 of ours", "another instance", "1 picture of ours", "Switch off now"} {
		if !strings.Contains(card, want) {
			t.Errorf("the card says %q, want %q in it", card, want)
		}
	}
	if got := doc.Find("#servers progress").AttrOr("value", ""); got != "36" {
		t.Errorf("the bar is at %q", got)
	}
	if got := words(doc.Find("#health")); !strings.Contains(got, "All servers are paused") {
		t.Errorf("the header says %q", got)
	}
}
