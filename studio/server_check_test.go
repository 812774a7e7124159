package studio_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"easel/comfy/simulator"
	"easel/studio"
)

// verdicts is a report by the names of its checks.
func verdicts(r studio.ServerReport) map[string]studio.ServerCheck {
	found := map[string]studio.ServerCheck{}
	for _, c := range r.Checks {
		found[c.Name] = c
	}
	return found
}

func check(t *testing.T, address string) (studio.ServerReport, map[string]studio.ServerCheck) {
	t.Helper()
	report, err := studio.CheckServer(t.Context(), address)
	if err != nil {
		t.Fatalf("CheckServer(%s): %v", address, err)
	}
	if strings.Contains(report.URL, "secret") {
		t.Errorf("the report names the password: %s", report.URL)
	}
	return report, verdicts(report)
}

func TestCheckServer(t *testing.T) {
	t.Parallel()
	well, err := simulator.Start("127.0.0.1:0", simulator.Config{Models: []string{"a.safetensors", "b.safetensors"}})
	if err != nil {
		t.Fatal(err)
	}
	defer well.Close()
	report, found := check(t, strings.Replace(well.URL(), "http://", "me:secret@", 1))
	if !report.Usable || report.URL != well.URL() {
		t.Errorf("a ComfyUI that is well: %+v", report)
	}
	for name, want := range map[string]string{
		"Answers": "It is a ComfyUI", "Version": "0.3.64, which takes prompt ids", "Devices": "free",
		"Events": "opens and answers", "Nodes and models": "2 checkpoints", "Queue": "Nothing waits",
	} {
		if c := found[name]; !strings.Contains(c.Words, want) || c.Verdict == studio.VerdictBad {
			t.Errorf("%s: %+v, want words with %q", name, c, want)
		}
	}
	if posts := well.Ledger().Requests()["POST /prompt"]; posts != 0 {
		t.Errorf("a test has posted %d prompts", posts)
	}

	old, err := simulator.Start("127.0.0.1:0", simulator.Config{Version: "0.3.10"})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if report, found = check(t, old.URL()); !report.Usable || found["Version"].Verdict != studio.VerdictWarn || !strings.Contains(found["Version"].Words, "older than 0.3.64") {
		t.Errorf("an old ComfyUI: %+v", report)
	}
	old.Faults().HTML(true)
	if report, found = check(t, old.URL()); report.Usable || !strings.Contains(found["Answers"].Words, "not a ComfyUI") {
		t.Errorf("a page of HTML: %+v", report)
	}
	address := old.URL()
	old.Close()
	if report, found = check(t, address); report.Usable || !strings.Contains(found["Answers"].Words, "refused") {
		t.Errorf("nobody there: %+v", report)
	}
}

// Whatever answers, it is bounded, and no other address is asked.
func TestCheckServerOfStrangers(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed to %s", r.URL)
	}))
	defer elsewhere.Close()
	stats := `{"system": {"comfyui_version": "0.4.0\u0000\u202e` + strings.Repeat("9", 5000) + `"}, "devices": []}`
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		check   string
		words   string
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		}, "Answers", "not a ComfyUI"},
		"login": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
		}, "Answers", "asks for a login (status 401)"},
		"foreign JSON": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"ok": true}`))
		}, "Answers", "not a ComfyUI"},
		"an endless answer": {func(w http.ResponseWriter, _ *http.Request) {
			for part := []byte(strings.Repeat("x", 1<<20)); ; {
				if _, err := w.Write(part); err != nil {
					return
				}
			}
		}, "Answers", "too large"},
		"no WebSocket": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/system_stats" {
				_, _ = w.Write([]byte(stats))
				return
			}
			w.WriteHeader(http.StatusNotFound)
		}, "Events", "/ws) is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stranger := httptest.NewServer(c.handler)
			defer stranger.Close()
			report, found := check(t, stranger.URL)
			if report.Usable || !strings.Contains(found[c.check].Words, c.words) {
				t.Errorf("report = %+v, want %q at %s", report, c.words, c.check)
			}
			for _, check := range report.Checks {
				if len(check.Words) > 1000 || strings.ContainsAny(check.Words, "\x00\u202e") {
					t.Errorf("%s is told in %d bytes, as it came: %.60q", check.Name, len(check.Words), check.Words)
				}
			}
		})
	}
}

func TestCheckServerRefuses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"":                           "needed",
		"ftp://host":                 "not an http or https",
		"http://169.254.169.254":     "link-local",
		"http://a,http://b":          "One address at a time",
		"http://a\x00b":              "not an http or https",
		strings.Repeat("a", 1<<20):   "too long",
		"http://host/?token=secret":  "without query",
		"http://me:secret@host:port": "not an http or https",
	} {
		report, err := studio.CheckServer(t.Context(), address)
		complaints(t, err, "url", want)
		if len(report.Checks) != 0 {
			t.Errorf("%.40q was asked all the same", address)
		}
	}
}
