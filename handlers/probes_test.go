package handlers

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"easel/studio"
)

func TestProbes(t *testing.T) {
	f := newStrict()
	var log bytes.Buffer
	s := newSite(t, f, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	if text := bodyOf(t, call(t, s, "GET", "/healthz", "")); text != "ok\n" {
		t.Errorf("/healthz = %q", text)
	}
	ready := decode[readiness](t, call(t, s, "GET", "/readyz", ""), 200)
	if diff := cmp.Diff(readiness{Ready: true, Reasons: []string{}, Servers: map[string]string{"workbench": "up"}, Storage: "up"}, ready); diff != "" {
		t.Error(diff)
	}
	f.fails(errors.New("dial tcp 10.0.0.1:5432: refused"))
	if res := call(t, s, "GET", "/healthz", ""); res.StatusCode != 200 {
		t.Errorf("/healthz without a database = %d", res.StatusCode)
	}
	ready = decode[readiness](t, call(t, s, "GET", "/readyz", ""), 503)
	if ready.Ready || ready.Storage != "down" || len(ready.Reasons) != 1 || strings.Contains(ready.Reasons[0], "10.0.0.1") {
		t.Errorf("readiness = %+v", ready)
	}
	// ComfyUI down is not unready: work is taken and waits.
	f.fails(nil)
	f.servers[0].State = studio.ServerDown
	f.publish()
	if ready = decode[readiness](t, call(t, s, "GET", "/readyz", ""), 200); ready.Servers["workbench"] != "down" {
		t.Errorf("readiness = %+v", ready)
	}
	if version := decode[map[string]string](t, call(t, s, "GET", "/version", ""), 200); version["version"] != "test" || !strings.HasPrefix(version["go"], "go1.") {
		t.Errorf("version = %v", version)
	}
	if log.Len() > 0 {
		t.Errorf("probes are logged at info:\n%s", log.String())
	}
}

// counted is a Metrics that remembers.
type counted struct {
	noMetrics
	routes []string
}

func (c *counted) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("figures"))
}

func (c *counted) Requested(route, method string, status int, _ time.Duration) {
	c.routes = append(c.routes, method+" "+route+" "+http.StatusText(status))
}

func TestMetricsAreForThisMachine(t *testing.T) {
	figures := &counted{}
	s := newSite(t, newStrict(), func(c *Config) { c.Metrics = figures })
	for _, test := range []struct {
		remote, forwarded string
		status            int
	}{
		{"127.0.0.1:1234", "", 200},
		{"[::1]:1234", "", 200},
		{"127.0.0.1:1234", "192.0.2.7", 404},
		{"192.0.2.7:1234", "", 404},
		{"192.0.2.7:1234", "127.0.0.1", 404},
		{"", "", 404},
	} {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.Host, r.RemoteAddr = "localhost", test.remote
		if test.forwarded != "" {
			r.Header.Set("X-Forwarded-For", test.forwarded)
		}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		if rec.Code != test.status {
			t.Errorf("from %q (forwarded %q) = %d, want %d", test.remote, test.forwarded, rec.Code, test.status)
		}
	}
	figures.routes = nil
	call(t, s, "GET", "/api/generations/secret-text", "")
	call(t, s, "GET", "/nothing/secret-text", "")
	if diff := cmp.Diff([]string{"GET GET /api/generations/{id} Not Found", "GET  Not Found"}, figures.routes); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
}
