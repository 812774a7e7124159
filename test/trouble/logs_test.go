package trouble

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// A run with everything in it that must not be told: no prompt, no cookie, no password is in any line
// of the log or on any page (P26), and each line is one record, whatever visitors put into theirs.
func TestLogsTellNothing(t *testing.T) {
	t.Parallel()
	const (
		prompt   = "PROMPT-SENTINEL\n{\"level\":\"ERROR\",\"msg\":\"forged record\"}\r\n2026-01-01 ERR forged"
		cookie   = "COOKIE-SENTINEL"
		comfyKey = "COMFYUI-SENTINEL"
		query    = "QUERY-SENTINEL"
	)
	dir := harness.DataDir(t)
	postgres := startPostgres(t, dir)
	t.Cleanup(func() { _ = postgres.Stop(context.Background()) })
	dsn, err := url.Parse(postgres.URL())
	if err != nil {
		t.Fatal(err)
	}
	password, _ := dsn.User.Password()
	if len(password) < 10 {
		t.Fatalf("the database has no password to keep: %q", password)
	}
	secrets := []string{"PROMPT-SENTINEL", "forged", cookie, comfyKey, query, password}

	comfy := startComfyUI(t, simulator.Config{PreviewSize: 64})
	behindLogin := "http://easel:" + comfyKey + "@" + loginProxy(t, comfy.URL(), comfyKey)
	for _, format := range []string{"json", "text"} {
		e := harness.Start(t, harness.Options{ComfyUI: behindLogin, Env: []string{
			"DATABASE_URL=" + postgres.URL(), "EASEL_LOG_FORMAT=" + format,
		}})
		id := e.Generate(harness.Ask{Prompt: prompt, Steps: 3})
		e.AwaitStatus(id, "complete")
		comfy.Faults().OutOfMemory(100) // it is tried again, and what was left of the other format may run too
		e.AwaitStatus(e.Generate(harness.Ask{Prompt: prompt + " too large", Steps: 3}), "failed")
		comfy.Faults().OutOfMemory(0)
		comfy.Faults().TruncateViews(1)
		e.AwaitStatus(e.Generate(harness.Ask{Prompt: prompt + " cut", Steps: 3}), "complete")
		for _, bad := range []string{`{"prompt":"PROMPT-SENTINEL`, `{"prompt":"x","settings":{"steps":"PROMPT-SENTINEL"}}`, `{"PROMPT-SENTINEL":1}`} {
			post(t, e, "application/json", bad, cookie)
		}
		post(t, e, "application/x-www-form-urlencoded", "prompt=PROMPT-SENTINEL&steps=none", cookie)
		for _, path := range []string{"/gallery?q=" + query, "/?from=" + query, "/api/generations?cursor=" + query} {
			visit(t, e, path, cookie)
		}
		for _, path := range []string{"/", "/settings", "/servers", "/generations/" + id, "/api/servers", "/metrics", "/readyz"} {
			for _, secret := range []string{password, comfyKey} {
				if page := visit(t, e, path, cookie); contains(page, secret) {
					t.Errorf("%s shows a password", path)
				}
			}
		}
		if err := comfy.Restart(); err != nil { // lines about the connection
			t.Fatal(err)
		}
		harness.Eventually(t, "is the loss of the socket told", func() bool { return contains(e.Log(), "retry_in") })
		awaitServer(t, e, "up")
		e.Stop()
		checkLog(t, format, e.Log(), secrets)
	}
}

// checkLog looks at every line of a log.
func checkLog(t *testing.T, format, written string, secrets []string) {
	t.Helper()
	text := regexp.MustCompile(`^\d\d:\d\d:\d\d (DBG|INF|WRN|ERR) `)
	records := 0
	for line := range strings.Lines(written) {
		for _, secret := range secrets {
			if contains(line, secret) {
				t.Errorf("the %s log tells %s: %s", format, secret, line)
			}
		}
		switch {
		case strings.HasPrefix(line, "Easel "): // where it is, for people
		case format == "json" && !json.Valid([]byte(line)), format == "text" && !text.MatchString(line):
			t.Errorf("a line of the %s log is no record: %q", format, line)
		default:
			records++
		}
	}
	if records < 50 {
		t.Errorf("the %s log has %d records only", format, records)
	}
}

// loginProxy passes on to target what comes with the right password, and gives its host and port.
func loginProxy(t *testing.T, target, password string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(u)
	pass.ErrorLog = log.New(io.Discard, "", 0) // ComfyUI is away for a moment
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, given, ok := r.BasicAuth(); !ok || given != password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func post(t *testing.T, e *harness.Easel, kind, body, cookie string) {
	t.Helper()
	path := "/api/generate"
	if kind != "application/json" {
		path = "/generations"
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", kind)
	send(t, request, cookie)
}

func visit(t *testing.T, e *harness.Easel, path, cookie string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, request, cookie)
}

func send(t *testing.T, request *http.Request, cookie string) string {
	t.Helper()
	request.Header.Set("Cookie", "easel_theme="+cookie+"; session="+cookie)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode >= 500 {
		t.Errorf("%s %s: %d\n%s", request.Method, request.URL.Path, response.StatusCode, body)
	}
	return string(body)
}
