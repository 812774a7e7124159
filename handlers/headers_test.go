package handlers

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// everyRoute is a request for each route, with the status that it gets.
func everyRoute(f *strictStudio) map[string]int {
	id := f.add("a prompt", 1)
	f.picture(id, "image/png", "easel.png", []byte("\x89PNG"))
	at := "/generations/" + id.String()
	return map[string]int{
		"GET /": 200, "GET /gallery": 200, "GET " + at: 200, "GET /servers": 200, "GET /settings": 200, "GET " + at + "/delete": 409,
		"GET " + at + "/images/1/0": 200, "GET " + at + "/images/1/0/thumbnail": 200, "GET " + at + "/images/1/preview": 404,
		"GET /embed" + at: 200, "GET /embed/gallery": 200, "GET /embed" + at + "/images/1/0": 200,
		"HEAD /embed" + at + "/live": 200, "GET /embed/generations/x": 404,
		"GET /static/app.css": 200, "GET /static/none.css": 404,
		"GET /api/generations": 200, "GET /api/generations/" + id.String(): 200, "GET /api/servers": 200, "GET /api/workflows": 200, "GET /api/models": 200,
		"HEAD /api/generate/progress?promptId=" + id.String(): 200, "POST /api/generate": 415, "DELETE /api/generations/" + uuid.NewString(): 404,
		"GET /healthz": 200, "GET /livez": 200, "GET /readyz": 200, "GET /version": 200, "GET /robots.txt": 200, "GET /favicon.ico": 302,
		"GET /none": 404, "PUT /gallery": 405, "GET /metrics": 404,
	}
}

func TestHeadersOfEveryRoute(t *testing.T) {
	f := newStrict()
	s := newSite(t, f, func(c *Config) { c.EmbedOrigins = []string{"https://example.com", "http://localhost:9000"} })
	for request, status := range everyRoute(f) {
		method, target, _ := strings.Cut(request, " ")
		res := call(t, s, method, target, "")
		if res.StatusCode != status {
			t.Errorf("%s = %d, want %d", request, res.StatusCode, status)
		}
		h := res.Header
		csp := h.Get("Content-Security-Policy")
		for _, forbidden := range []string{"unsafe-eval", "unsafe-hashes", "*", "data:"} {
			if strings.Contains(csp, forbidden) {
				t.Errorf("%s: %q in %q", request, forbidden, csp)
			}
		}
		framers := "frame-ancestors 'none'"
		if strings.HasPrefix(target, "/embed/") && !strings.Contains(target, "/images/") {
			framers = "frame-ancestors 'self' https://example.com http://localhost:9000"
		}
		if !strings.HasSuffix(csp, framers) || !strings.HasPrefix(csp, "default-src 'none'; ") {
			t.Errorf("%s: policy %q, want it to end in %q", request, csp, framers)
		}
		isFile := strings.Contains(target, "/images/") && status == 200
		if isFile != strings.Contains(csp, "; sandbox;") || isFile == strings.Contains(csp, "require-trusted-types-for 'script'; trusted-types default") {
			t.Errorf("%s: policy %q", request, csp)
		}
		resource := "same-origin"
		if strings.HasPrefix(target, "/embed/") {
			resource = "cross-origin"
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Resource-Policy": resource} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s = %q, want %q", request, name, got, want)
			}
		}
		if h.Get("Permissions-Policy") == "" || len(h.Get("X-Request-Id")) < 16 {
			t.Errorf("%s: headers %v", request, h)
		}
		if len(h.Values("Set-Cookie")) > 0 {
			t.Errorf("%s sets a cookie", request)
		}
		if strings.HasPrefix(target, "/api/") && status >= 400 && h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: Content-Type %q", request, h.Get("Content-Type"))
		}
	}
}

func TestMethodNotAllowed(t *testing.T) {
	s := newSite(t, newStrict())
	res := call(t, s, "PUT", "/api/generations/"+uuid.NewString(), "{}")
	if allow := res.Header.Get("Allow"); res.StatusCode != 405 || allow != "DELETE, GET, HEAD" {
		t.Errorf("PUT = %d, Allow %q", res.StatusCode, allow)
	}
}

func TestBasePath(t *testing.T) {
	f := newStrict()
	id := f.add("a", 1)
	s := newSite(t, f, func(c *Config) { c.BasePath = "/studio" })
	for target, want := range map[string]string{
		"/studio": "/studio/", "/studio/gallery/": "/studio/gallery", "/studio/api/generations/?limit=3": "/studio/api/generations?limit=3",
		"/studio?x=1": "/studio/?x=1",
	} {
		res := call(t, s, "GET", target, "")
		if got := res.Header.Get("Location"); res.StatusCode/100 != 3 || got != want {
			t.Errorf("GET %s = %d to %q, want a redirect to %q", target, res.StatusCode, got, want)
		}
	}
	for _, target := range []string{"/", "/gallery", "/api/generations", "/studiogallery", "/studio/studio/"} {
		if res := call(t, s, "GET", target, ""); res.StatusCode != 404 {
			t.Errorf("GET %s = %d, want 404", target, res.StatusCode)
		}
	}
	for _, target := range []string{"/studio/", "/studio/generations/" + id.String(), "/studio/gallery", "/studio/embed/gallery", "/studio/settings"} {
		text := bodyOf(t, call(t, s, "GET", target, ""))
		for _, attribute := range []string{`href="/`, `src="/`, `action="/`, `data-url="/`} {
			for _, rest := range strings.Split(text, attribute)[1:] {
				if !strings.HasPrefix(rest, "studio/") {
					t.Errorf("%s has %s%.40s", target, attribute, rest)
				}
			}
		}
	}
	// A path that looks like a host must not become one in a redirect.
	if res := call(t, newSite(t, f), "GET", "//evil.example/gallery/", ""); strings.HasPrefix(res.Header.Get("Location"), "//") {
		t.Errorf("redirected to %q", res.Header.Get("Location"))
	}
	for _, base := range []string{"studio", "/studio/", "/a b", "/a//b", "/{x}", "/a?b"} {
		if _, err := New(Config{Studio: f, BasePath: base, DatastarJS: []byte("//")}); err == nil {
			t.Errorf("base path %q was taken", base)
		}
	}
}

func TestBadConfiguration(t *testing.T) {
	f := newStrict()
	for name, c := range map[string]Config{
		"no studio":             {},
		"origin with a path":    {Studio: f, EmbedOrigins: []string{"https://example.com/x"}},
		"origin without host":   {Studio: f, EmbedOrigins: []string{"https://"}},
		"any origin":            {Studio: f, EmbedOrigins: []string{"*"}},
		"a directive sneaks in": {Studio: f, EmbedOrigins: []string{"https://a; script-src *"}},
		"host with a scheme":    {Studio: f, AllowedHosts: []string{"https://example.com"}},
		"base URL of a file":    {Studio: f, BaseURL: "file:///x"},
	} {
		c.DatastarJS = []byte("//")
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Row 37.
func TestHosts(t *testing.T) {
	_, ts := serve(t, newStrict(), func(c *Config) {
		c.AllowedHosts = []string{"Easel.example.com", "other.example:8443"}
		c.BaseURL = "https://public.example/x"
	})
	address := ts.Listener.Addr().String()
	get := func(lines string) int {
		return exchange(t, address, strings.NewReader(lines+"Connection: close\r\n\r\n")).StatusCode
	}
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:1234": 200, "localhost.": 200, "127.0.0.1": 200, "127.9.9.9:80": 200, "[::1]": 200, "[::1]:99": 200, "[::ffff:127.0.0.1]": 200,
		"easel.example.com": 200, "easel.example.com:9999": 200, "EASEL.EXAMPLE.COM.": 200, "other.example:8443": 200, "public.example": 200,
		"other.example": 421, "other.example:80": 421, "evil": 421, "evil.example": 421, "localhost.evil.com": 421, "127.0.0.1.evil.com": 421, "easel.example.com.evil.com": 421,
		"192.0.2.1": 421, "10.0.0.7:8188": 421, // came over loopback
		"localhost:": 200, "localhost:x": 421, "localhost:'(x)": 421, "127.0.0.1:8080:80": 421, // no port
		"[::1%evil.example]": 421, "[[127.0.0.1]]": 421, "[::1]x": 421, // no address
		"": 400,
	} {
		if got := get("GET /healthz HTTP/1.1\r\nHost: " + host + "\r\n"); got != want {
			t.Errorf("Host: %q = %d, want %d", host, got, want)
		}
	}
	for request, want := range map[string]int{
		"GET /healthz HTTP/1.1\r\n":                                          400, // none
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n":    400,
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n":         400,
		"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n":    421,
		"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n":       200,
		"GET http://u:p@localhost/healthz HTTP/1.1\r\nHost: localhost\r\n":   400,
		"GET /healthz HTTP/1.0\r\n":                                          400,
		"POST /api/generate HTTP/1.1\r\nHost: evil\r\nContent-Length: 0\r\n": 421,
	} {
		if got := get(request); got != want {
			t.Errorf("%q = %d, want %d", request, got, want)
		}
	}
}

// An address as Host is fine where the request arrived at one that is not loopback.
func TestHostIsAnAddressOfTheNetwork(t *testing.T) {
	s := newSite(t, newStrict())
	for local, want := range map[string]int{"192.0.2.1": 200, "127.0.0.1": 421} {
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.Host = "192.0.2.1:8080"
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP(local), Port: 8080})))
		if rec.Code != want {
			t.Errorf("at %s: %d, want %d", local, rec.Code, want)
		}
	}
}

// The matrix of where a request may come from. What is refused has changed nothing.
func TestCrossOrigin(t *testing.T) {
	for _, test := range []struct {
		fetchSite, origin string
		allowed           bool
	}{
		{"", "", true}, // a program
		{"same-origin", "", true},
		{"same-origin", "http://localhost", true},
		{"none", "", true},
		{"same-site", "", false},
		{"cross-site", "", false},
		{"cross-site", "https://evil.example", false},
		{"same-site", "http://sub.localhost", false},
		{"", "http://localhost", true},
		{"", "http://localhost:81", false},
		{"", "https://evil.example", false},
		{"", "null", false},
		{"cross-site", "null", false},
		{"", "https://public.example", true},
		{"cross-site", "https://public.example", true}, // behind a proxy that changes Host
	} {
		f := newStrict()
		s := newSite(t, f, func(c *Config) { c.BaseURL = "https://public.example" })
		for _, target := range []string{"/api/generate", "/generations"} {
			header := []string{"Sec-Fetch-Site", test.fetchSite, "Origin", test.origin}
			if test.fetchSite == "" {
				header = header[2:]
			}
			if test.origin == "" {
				header = header[:len(header)-2]
			}
			res := call(t, s, "POST", target, `{"prompt":"x"}`, header...)
			if refused := res.StatusCode == http.StatusForbidden; refused == test.allowed {
				t.Errorf("POST %s with Sec-Fetch-Site %q and Origin %q = %d", target, test.fetchSite, test.origin, res.StatusCode)
			}
			if made := len(f.states) > 0; made && !test.allowed {
				t.Errorf("Sec-Fetch-Site %q and Origin %q made a generation", test.fetchSite, test.origin)
			}
			// Reading is for everybody who can send a request at all.
			if res := call(t, s, "GET", "/gallery", "", header...); res.StatusCode != http.StatusOK {
				t.Errorf("GET with Sec-Fetch-Site %q and Origin %q = %d", test.fetchSite, test.origin, res.StatusCode)
			}
		}
	}
}

// Row 38: what strangers say about themselves changes nothing, here or in the log.
func TestForwardedHeadersAreIgnored(t *testing.T) {
	f := newStrict()
	var log bytes.Buffer
	s := newSite(t, f, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	id := f.add("a", 1)
	forged := []string{
		"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https", "Forwarded", "host=evil.example",
		"Remote-User", "admin", "X-Real-IP", "6.6.6.6", "X-Request-Id", "forged\tid", "X-Forwarded-Prefix", "/evil", "X-HTTP-Method-Override", "DELETE",
	}
	for _, target := range []string{"/generations/" + id.String(), "/embed/generations/" + id.String() + "?fragment=1", "/api/generations/" + id.String(), "/gallery/"} {
		res := call(t, s, "GET", target, "", forged...)
		text := bodyOf(t, res) + fmt.Sprint(res.Header)
		for _, trace := range []string{"evil", "6.6.6.6", "forged", "https://localhost"} {
			if strings.Contains(text, trace) {
				t.Errorf("%s: the answer holds %q", target, trace)
			}
		}
	}
	if text := log.String(); strings.Contains(text, "evil") || strings.Contains(text, "6.6.6.6") || strings.Contains(text, "admin") {
		t.Errorf("the log holds what strangers said: %s", text)
	}
}

// Row 8, of the log: one record a request, and no prompt in any.
func TestLogHasNoPrompts(t *testing.T) {
	var log bytes.Buffer
	s := newSite(t, newStrict(), func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	call(t, s, "POST", "/api/generate", `{"prompt":"secret wish\nlevel=ERROR msg=forged"}`)
	call(t, s, "GET", "/gallery?q=secret+wish", "")
	call(t, s, "GET", "/x%0alevel=ERROR%20msg=forged", "")
	if lines := strings.Count(log.String(), "\n"); lines != 3 {
		t.Errorf("3 requests gave %d records:\n%s", lines, log.String())
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the log holds a prompt:\n%s", log.String())
	}
}

func TestPanics(t *testing.T) {
	f := newStrict()
	s := newSite(t, f)
	s.route("GET /api/panic", func(http.ResponseWriter, *http.Request) error { panic("a bug") })
	s.route("GET /api/half", func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = io.WriteString(w, "half an answ")
		panic("a bug")
	})
	res := call(t, s, "GET", "/api/panic", "")
	if p := decode[problem](t, res, 500); p.RequestID == "" || strings.Contains(p.Detail, "bug") {
		t.Errorf("problem = %+v", p)
	}
	ts := httptest.NewServer(s)
	defer ts.Close()
	plain, err := net.Dial("tcp", ts.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if _, err := io.WriteString(plain, "GET /api/half HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	half, err := http.ReadResponse(bufio.NewReader(plain), nil)
	if err == nil {
		_, err = io.ReadAll(half.Body)
	}
	if err == nil {
		t.Error("half an answer looks whole")
	}
}
