package comfy

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const promptID = "3f0e2a68-2f0b-4d5e-9d3b-6a1f0c9f7a11"

// calls is every request that a Client can make.
func calls(c *Client) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Submit": func(ctx context.Context) error {
			_, err := c.Submit(ctx, Submission{PromptID: promptID, ClientID: "easel"})
			return err
		},
		"Lookup":      func(ctx context.Context) error { _, err := c.Lookup(ctx, promptID); return err },
		"Queue":       func(ctx context.Context) error { _, err := c.Queue(ctx); return err },
		"history":     func(ctx context.Context) error { _, err := c.history(ctx, promptID); return err },
		"Cancel":      func(ctx context.Context) error { return c.Cancel(ctx, promptID) },
		"ObjectInfo":  func(ctx context.Context) error { _, err := c.ObjectInfo(ctx); return err },
		"SystemStats": func(ctx context.Context) error { _, err := c.SystemStats(ctx); return err },
		"Features":    func(ctx context.Context) error { _, err := c.Features(ctx); return err },
		"Free":        c.Free,
		"View": func(ctx context.Context) error {
			d, err := c.View(ctx, OutputFile{Filename: "a.png", Type: "output"})
			if err == nil {
				_, err = io.Copy(io.Discard, d)
				_ = d.Close()
			}
			return err
		},
		"Upload": func(ctx context.Context) error {
			_, err := c.Upload(ctx, Upload{Name: "a.png", Content: strings.NewReader("x"), Size: 1})
			return err
		},
	}
}

func TestALoginPageIsNoComfyUI(t *testing.T) {
	for _, contentType := range []string{"text/html; charset=utf-8", "application/json"} {
		for _, status := range []int{http.StatusOK, http.StatusForbidden} {
			c := fake(t, ClientOptions{}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", contentType)
				w.WriteHeader(status)
				_, _ = io.WriteString(w, "\n<!doctype html><title>Log in</title>")
			})
			for name, call := range calls(c) {
				if name == "View" && status == http.StatusOK && contentType == "application/json" {
					continue // a file may begin with < and have any type
				}
				if err := call(t.Context()); !errors.Is(err, ErrNotComfyUI) {
					t.Errorf("%s, a page with status %d as %s: error %v, want ErrNotComfyUI", name, status, contentType, err)
				}
			}
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	var requests atomic.Int32
	c := fake(t, ClientOptions{}, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, r.URL.String(), http.StatusFound)
	})
	for name, call := range calls(c) {
		requests.Store(0)
		if err := call(t.Context()); !errors.Is(err, ErrNotComfyUI) {
			t.Errorf("%s: error %v, want ErrNotComfyUI", name, err)
		}
		if n := requests.Load(); n != 1 {
			t.Errorf("%s: %d requests, want 1", name, n)
		}
	}
}

func TestAGzipBombIsBoundedByWhatItInflatesTo(t *testing.T) {
	var member bytes.Buffer // of 1 MiB; a gzip stream may have any number of them
	z := gzip.NewWriter(&member)
	_, _ = io.CopyN(z, zeros{}, 1<<20)
	_ = z.Close()
	for name, limit := range map[string]int{"Submit": maxSmallBody, "SystemStats": maxStats, "Queue": maxBody} {
		bomb := bytes.Repeat(member.Bytes(), limit>>20+1)
		c := fake(t, ClientOptions{APITimeout: 2 * time.Minute}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(bomb)
		})
		if err := calls(c)[name](t.Context()); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s, %d bytes that become more than %d: error %v, want ErrTooLarge", name, len(bomb), limit, err)
		}
	}
}

// zeros reads as text without end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '0'
	}
	return len(b), nil
}

func TestCompressedDownloadsAreRefused(t *testing.T) {
	c := fake(t, ClientOptions{}, func(w http.ResponseWriter, r *http.Request) {
		if e := r.Header.Get("Accept-Encoding"); e != "identity" {
			t.Errorf("Accept-Encoding = %q, want identity", e)
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, "bomb")
	})
	if err := calls(c)["View"](t.Context()); !errors.Is(err, ErrNotComfyUI) {
		t.Errorf("error %v, want ErrNotComfyUI", err)
	}
}

func TestEndlessJSONIsBounded(t *testing.T) {
	ended := make(chan struct{}, 16)
	c := fake(t, ClientOptions{MaxDownload: 1 << 20}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"prompt_id": "`)
		_, _ = io.Copy(w, zeros{}) // until the client hangs up
		ended <- struct{}{}
	})
	for _, name := range []string{"Submit", "SystemStats", "Features", "Free", "Upload", "View"} {
		err := calls(c)[name](t.Context())
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: error %v, want ErrTooLarge", name, err)
		}
		if name == "Submit" && !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("%s: error %v, want ErrUnknownOutcome too", name, err)
		}
		await(t, "the server's end", ended) // the connection was given up, not drained
	}
}

func TestATricklingAnswerEndsWithTheTimeout(t *testing.T) {
	c := fake(t, ClientOptions{APITimeout: 50 * time.Millisecond, TransferTimeout: 50 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for _, name := range []string{"SystemStats", "Queue", "Upload", "View", "ObjectInfo"} {
		if err := calls(c)[name](t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: error %v, want ErrUnavailable", name, err)
		}
	}
}

func TestForeignJSONIsNeverAbsence(t *testing.T) {
	for _, body := range []string{``, `null`, `[]`, `"no"`, `0`, `{`, `{"error": "gateway"}`, `{} {}`} {
		c := fake(t, ClientOptions{}, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/api/jobs/") {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, body)
		})
		for _, name := range []string{"Lookup", "Queue", "history", "SystemStats"} {
			if err := calls(c)[name](t.Context()); !errors.Is(err, ErrNotComfyUI) {
				t.Errorf("%s of %s: error %v, want ErrNotComfyUI", name, body, err)
			}
		}
	}
	// An empty queue says so with two lists; an empty history is an empty object.
	c := fake(t, ClientOptions{}, routes(map[string]string{"GET /queue": `{}`, "GET /history/" + promptID: `{}`}))
	if _, err := c.Lookup(t.Context(), promptID); !errors.Is(err, ErrNotComfyUI) {
		t.Errorf("queue {}: error %v, want ErrNotComfyUI", err)
	}
}

func TestAReplyUnderAnotherID(t *testing.T) {
	c := fake(t, ClientOptions{}, routes(map[string]string{"POST /prompt": `{"prompt_id": "other", "number": 1, "node_errors": {}}`}))
	_, err := c.Submit(t.Context(), Submission{PromptID: promptID, ClientID: "easel"})
	var mismatch *IDMismatchError
	if !errors.As(err, &mismatch) || mismatch.Got != "other" || mismatch.Sent != promptID {
		t.Errorf("error %v, want *IDMismatchError with other", err)
	}
}

func TestUnsafeNames(t *testing.T) {
	var requests atomic.Int32
	c := fake(t, ClientOptions{}, func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	for _, name := range []string{"", "a\nb.png", "a\r\nSet-Cookie: x", "a\x00.png", "\xff.png", "a\u0085.png"} {
		if _, err := c.View(t.Context(), OutputFile{Filename: name, Type: "output"}); !errors.Is(err, ErrUnsafeName) {
			t.Errorf("View of %q: error %v, want ErrUnsafeName", name, err)
		}
		if _, err := c.Upload(t.Context(), Upload{Name: name, Content: strings.NewReader("")}); !errors.Is(err, ErrUnsafeName) {
			t.Errorf("Upload of %q: error %v, want ErrUnsafeName", name, err)
		}
	}
	if _, err := c.View(t.Context(), OutputFile{Filename: "a.png", Subfolder: "x\ny"}); !errors.Is(err, ErrUnsafeName) {
		t.Errorf("View with a newline in the folder: error %v, want ErrUnsafeName", err)
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests were made, want none", n)
	}
}
