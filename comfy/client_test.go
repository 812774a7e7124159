package comfy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a Client of a server with one handler for everything.
func fake(t *testing.T, o ClientOptions, h http.HandlerFunc) *Client {
	t.Helper()
	return clientOf(t, httptest.NewServer(h), o)
}

func clientOf(t *testing.T, s *httptest.Server, o ClientOptions) *Client {
	t.Helper()
	c, err := NewClient(s.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	t.Cleanup(c.Close) // before the server, which waits for connections that are kept
	return c
}

// routes answers by "METHOD /path" with JSON, and 404 as ComfyUI does to everything else.
func routes(answers map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = io.WriteString(w, body)
	}
}

const systemStatsJSON = `{"system": {"comfyui_version": "0.3.64"}, "devices": [{"name": "cpu", "type": "cpu", "index": null}]}`

func TestBaseURLWithPrefixAndLogin(t *testing.T) {
	var seen atomic.Pointer[http.Request]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Clone(context.Background()))
		_, _ = io.WriteString(w, systemStatsJSON)
	}))
	t.Cleanup(s.Close)
	c, err := NewClient(strings.Replace(s.URL, "http://", "http://anna:s3cr%20et@", 1)+"/gpu/1/", ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.SystemStats(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := seen.Load()
	if r.URL.Path != "/gpu/1/system_stats" {
		t.Errorf("path = %s, want /gpu/1/system_stats", r.URL.Path)
	}
	if user, password, _ := r.BasicAuth(); user != "anna" || password != "s3cr et" {
		t.Errorf("login = %s:%s, want anna:s3cr et", user, password)
	}
	if o := r.Header.Values("Origin"); len(o) != 0 {
		t.Errorf("Origin = %q, want none", o)
	}
	s.Close()
	_, err = c.SystemStats(t.Context())
	for _, shown := range []string{c.String(), fmt.Sprintf("%v %+v %#v %s", c, c, c, c), fmt.Sprint(err)} {
		if strings.Contains(shown, "s3cr") || strings.Contains(shown, "anna") {
			t.Errorf("the login is shown in %s", shown)
		}
	}
	if want := s.URL + "/gpu/1"; c.String() != want {
		t.Errorf("String() = %s, want %s", c, want)
	}
}

func TestBadBaseURLsAreRefusedWithoutBeingQuoted(t *testing.T) {
	for _, raw := range []string{
		"", "127.0.0.1:8188", "ftp://127.0.0.1", "http://", "http:///path", "http://:8188",
		"http://anna:s3cret@ho st", "http://anna:s3c/s3cret@host", "http://anna:%s3cret@host", "http://host:s3cret",
		"http://host/?token=s3cret", "http://host/#s3cret", "\x00http://s3cret",
	} {
		c, err := NewClient(raw, ClientOptions{})
		if err == nil {
			t.Errorf("NewClient(%q) = %v, want an error", raw, c)
			continue
		}
		if strings.Contains(err.Error(), "s3c") {
			t.Errorf("NewClient(%q): error quotes the secret: %v", raw, err)
		}
		if err := NewSocket(SocketConfig{URL: raw, ClientID: "a"}).Run(t.Context()); err == nil || strings.Contains(err.Error(), "s3c") {
			t.Errorf("Run with %q = %v, want an error without the secret", raw, err)
		}
	}
}

func TestLinkLocalAddressesAreNotDialled(t *testing.T) {
	for _, url := range []string{"http://169.254.169.254", "http://[fe80::1]:8188", "http://[::ffff:169.254.169.254]"} {
		c, err := NewClient(url, ClientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.SystemStats(t.Context()); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "link-local") {
			t.Errorf("%s: error %v, want one that says link-local", url, err)
		}
	}
}

func TestAtMostFourRequestsAtOnce(t *testing.T) {
	var now, most atomic.Int32
	arrived, release := make(chan struct{}), make(chan struct{})
	c := fake(t, ClientOptions{}, func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		arrived <- struct{}{}
		<-release
		_, _ = io.WriteString(w, systemStatsJSON)
	})
	const total = 20
	results := make(chan error, total)
	for range total {
		go func() {
			_, err := c.SystemStats(context.Background())
			results <- err
		}()
	}
	for range 4 { // as many as there may be wait here together
		await(t, "a request", arrived)
	}
	for i := range total {
		release <- struct{}{}
		if err := await(t, "an answer", results); err != nil {
			t.Fatal(err)
		}
		if i < total-4 {
			await(t, "the next request", arrived)
		}
	}
	if most.Load() != 4 {
		t.Errorf("%d requests at once, want 4", most.Load())
	}
}

func TestDownloadsLeaveASlotForLookups(t *testing.T) {
	c := fake(t, ClientOptions{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/view" {
			_, _ = io.WriteString(w, "picture")
			return
		}
		_, _ = io.WriteString(w, systemStatsJSON)
	})
	picture := OutputFile{Filename: "a.png", Type: "output"}
	var open []*Download
	for range 3 {
		d, err := c.View(t.Context(), picture)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, d)
	}
	brief, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if d, err := c.View(brief, picture); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a fourth download: %v, %v, want it to wait", d, err)
	}
	if _, err := c.SystemStats(t.Context()); err != nil {
		t.Errorf("beside three downloads: %v", err)
	}
	for _, d := range open {
		_ = d.Close()
		_ = d.Close() // once more does no harm
	}
	d, err := c.View(t.Context(), picture)
	if err != nil {
		t.Fatal(err)
	}
	_ = d.Close()
}

func TestSlowServer(t *testing.T) {
	answer := make(chan struct{})
	c := fake(t, ClientOptions{APITimeout: 50 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-answer:
			_, _ = io.WriteString(w, systemStatsJSON)
		}
	})
	_, err := c.SystemStats(t.Context())
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want ErrUnavailable after the timeout", err)
	}
	close(answer) // slow is not dead
	if _, err := c.SystemStats(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTheCallersEndIsNotTheServersFault(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := fake(t, ClientOptions{}, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	calls := map[string]func() error{
		"SystemStats": func() error { _, err := c.SystemStats(ctx); return err },
		"ObjectInfo":  func() error { _, err := c.ObjectInfo(ctx); return err },
		"View":        func() error { _, err := c.View(ctx, OutputFile{Filename: "a.png"}); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: error %v, want context.Canceled alone", name, err)
		}
	}
}

func TestPatienceIsForSilenceNotForSlowness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, p := withPatience(t.Context(), time.Minute)
		defer p.stop()
		r := patientReader{strings.NewReader(strings.Repeat("x", 100)), p}
		for range 100 { // a byte every 50 s, for more than an hour
			time.Sleep(50 * time.Second) // on the bubble's clock
			if _, err := r.Read(make([]byte, 1)); err != nil || ctx.Err() != nil {
				t.Fatalf("while bytes come: %v, %v", err, context.Cause(ctx))
			}
		}
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), errStalled) {
			t.Errorf("cause %v, want errStalled", context.Cause(ctx))
		}
	})
}
