package handlers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"easel/studio"
	"easel/test/browser"
)

// withDatastar gives a site the real bundle, out of the module cache.
func withDatastar(t *testing.T) func(*Config) {
	t.Helper()
	told, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "github.com/starfederation/datastar@v1.0.2").Output()
	if err != nil {
		t.Fatalf("go mod download: %v\n%s", err, told)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(told, &module); err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile(filepath.Join(module.Dir, "bundles", "datastar.js"))
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) { c.DatastarJS = bundle }
}

// Text that would be events of its own, if a bare CR ended a line, is text: in the page of a
// generation and in every patch that follows.
func TestPromptsForgeNoEvents(t *testing.T) {
	f := newStrict()
	_, ts := serve(t, f, withDatastar(t))
	const attack = "innocent\r\revent: datastar-patch-elements\rdata: selector body\rdata: mode append\rdata: elements <p id=\"forged\" data-init=\"window.ran=1\">x</p>\r\r"
	id := f.add(attack, 1)
	f.step(id, 1, 20)
	tab := browser.Open(t, ts.URL, browser.TabOptions{})
	for _, path := range []string{"/generations/" + id.String(), "/", "/embed/generations/" + id.String()} {
		tab.Goto(path)
		f.step(id, 2, 20)
		tab.Wait("document.body.textContent.includes('Step 2 of 20')")
		f.update(id, func(s *studio.State) { s.Progress.Status = "Working on " + attack })
		tab.Wait("document.body.textContent.includes('Working on innocent')")
		f.step(id, 3, 20)
		tab.Wait("document.body.textContent.includes('Step 3 of 20')")
		if n := tab.Count("#forged"); n != 0 || browser.Eval[bool](tab, "!!window.ran") {
			t.Errorf("%s: %d forged elements", path, n)
		}
	}
	tab.NoComplaints()
}

// A page of an allowed origin frames an embed, which stays live there; others get nothing.
func TestEmbedsInFrames(t *testing.T) {
	f := newStrict()
	id := f.add("A lighthouse", 1)
	f.step(id, 4, 20)
	var address string
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<!doctype html><title>t</title><iframe src="%s/embed/generations/%s" width="400" height="500"></iframe>`, address, id)
	}))
	t.Cleanup(host.Close)
	_, ts := serve(t, f, withDatastar(t), func(c *Config) { c.EmbedOrigins = []string{host.URL} })
	address = ts.URL

	tab := browser.Open(t, host.URL, browser.TabOptions{})
	tab.Goto("/")
	// The stream of the frame is the one that watches: the host's page cannot look into it.
	waitFor(t, func() bool {
		f.mu.Lock()
		topic := f.topics[id]
		f.mu.Unlock()
		return topic != nil && topic.Watching() == 1
	})
	tab.NoComplaints()

	// The same page under a name that was not allowed: the frame stays empty.
	other := browser.Open(t, strings.Replace(host.URL, "127.0.0.1", "localhost", 1), browser.TabOptions{})
	other.Goto("/")
	refused := func() bool {
		for _, complaint := range other.Complaints() {
			if strings.Contains(complaint, "frame-ancestors") {
				return true
			}
		}
		return false
	}
	waitFor(t, refused)
}
