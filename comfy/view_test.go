package comfy

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func download(t *testing.T, c *Client) (string, error) {
	t.Helper()
	d, err := c.View(t.Context(), OutputFile{Filename: "ä b&c.png", Subfolder: "easel/x", Type: "output"})
	if err != nil {
		return "", err
	}
	defer func() { _ = d.Close() }()
	b, err := io.ReadAll(d)
	return string(b), err
}

func TestViewAsksForTheNameAsItIs(t *testing.T) {
	c := fake(t, ClientOptions{}, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.URL.Path != "/view" || q.Get("filename") != "ä b&c.png" || q.Get("subfolder") != "easel/x" || q.Get("type") != "output" {
			t.Errorf("asked for %s", r.URL)
		}
		w.Header().Set("Content-Type", "image/png")
		_, _ = io.WriteString(w, "whole")
	})
	if b, err := download(t, c); err != nil || b != "whole" {
		t.Errorf("download = %q, %v, want whole", b, err)
	}
}

func TestCutDownloadsAreErrors(t *testing.T) {
	raw := func(head string, reset bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn := hijack(t, w)
			_, _ = io.WriteString(conn, head)
			if reset {
				_ = conn.SetLinger(0)
			}
			_ = conn.Close()
		}
	}
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		want    error
	}{
		{"shorter than announced", raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", false), ErrCutBody},
		{"chunks without an end", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", false), ErrCutBody},
		{"no length at all", raw("HTTP/1.0 200 OK\r\n\r\nshort", false), ErrCutBody},
		{"missing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, ErrNotFound},
		{"longer than the cap", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 101)) }, ErrTooLarge},
		{"longer than the cap, in chunks", func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, strings.Repeat("x", 101))
		}, ErrTooLarge},
		{"a server in trouble", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, ErrUnavailable},
	} {
		c := fake(t, ClientOptions{MaxDownload: 100}, test.handler)
		b, err := download(t, c)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", test.name, err, test.want)
		}
		if len(b) > 100 {
			t.Errorf("%s: %d bytes were handed on, want at most 100", test.name, len(b))
		}
	}
	c := fake(t, ClientOptions{MaxDownload: 100}, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, strings.Repeat("x", 100))
	})
	if b, err := download(t, c); err != nil || len(b) != 100 {
		t.Errorf("exactly the cap: %d bytes, %v", len(b), err)
	}
}

func TestAStalledDownloadEnds(t *testing.T) {
	c := fake(t, ClientOptions{TransferTimeout: 50 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "short")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	if b, err := download(t, c); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errStalled) || b != "short" {
		t.Errorf("download = %q, %v, want short and errStalled", b, err)
	}
}
