package studio_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"easel/studio"
)

// Files that no further try would make better end the image at once, with a sentence that says
// what they are: nothing is made again, and nobody reads that they were gone.
func TestFilesThatCannotBeTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path   string // of the answers that are changed
		change func(body []byte) []byte
		says   string
	}{
		"a picture of 65535 x 65535 pixels": {"/view", func([]byte) []byte { return hugePNG() }, "more than 64 million pixels"},
		"10,000 files":                      {"", manyFiles, "more than 256 files"},
		"a name with a line in it": {"", func(body []byte) []byte {
			return bytes.ReplaceAll(body, []byte(`_00001_.png"`), []byte(`\r\nSet-Cookie: x=1.png"`))
		}, "a name that cannot be used"},
		"a name with NUL": {"", func(body []byte) []byte {
			return bytes.ReplaceAll(body, []byte(`_00001_.png"`), []byte(`\u0000.png"`))
		}, "a name that cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			w.between(func(path string, body []byte) []byte {
				if strings.HasSuffix(path, c.path) && (c.path != "" || strings.Contains(path, "/history") || strings.Contains(path, "/jobs")) {
					return c.change(body)
				}
				return body
			})
			g := w.create(request(name))
			state := w.awaitStatus(g.ID, studio.Failed)
			got := state.Generation
			if got.ErrorCode != "outputs_unfit" || !strings.Contains(got.ErrorMessage, c.says) || strings.Contains(got.ErrorMessage, "Cookie") {
				t.Errorf("failed as %q: %q, want it to say %q", got.ErrorCode, got.ErrorMessage, c.says)
			}
			if n := got.Images[0].Attempts; n != 1 {
				t.Errorf("made %d times, want once", n)
			}
		})
	}
}

// A server that says odd things about itself is used all the same, and its state is stored.
func TestOddServer(t *testing.T) {
	t.Parallel()
	w := open(t)
	device := regexp.MustCompile(`"(name|vram_total|vram_free)": ?("[^"]*"|-?[0-9]+)`)
	w.between(func(path string, body []byte) []byte {
		if !strings.HasSuffix(path, "/system_stats") {
			return body
		}
		return device.ReplaceAllFunc(body, func(m []byte) []byte {
			name, _, _ := bytes.Cut(m, []byte(":"))
			if string(name) == `"name"` {
				return []byte(`"name": "card\u0000\r\n\u202e"`)
			}
			return append(name, ": -7"...)
		})
	})
	w.awaitStatus(w.create(request("odd")).ID, studio.Complete)
	w.awaitServer(studio.ServerUp)
	server := w.studio.Overview().Servers[0]
	if server.Device != "card\uFFFD " || server.VRAMTotal != 0 || server.VRAMFree != 0 {
		t.Errorf("the server is shown as %+v", server)
	}
	if n := w.count("SELECT count(*) FROM servers WHERE vram_total = 0 AND state = 'up'"); n != 1 {
		t.Errorf("%d servers are stored as up, want 1", n)
	}
}

// between starts the studio anew with a server in front of ComfyUI that changes its answers.
func (w *workshop) between(change func(path string, body []byte) []byte) {
	w.t.Helper()
	w.stop()
	target, err := url.Parse(w.comfy.URL())
	if err != nil {
		w.t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode != http.StatusOK || r.Header.Get("Content-Encoding") != "" {
				return nil
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			body = change(r.Request.URL.Path, body)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			r.Header.Set("Content-Length", strconv.Itoa(len(body)))
			return nil
		},
	}
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept-Encoding")
		proxy.ServeHTTP(rw, r)
	}))
	w.servers = []studio.ServerConfig{{Name: "easel-1", URL: front.URL}}
	w.start()
	w.t.Cleanup(func() { w.stop(); front.Close() })
}

// hugePNG is a header alone.
func hugePNG() []byte {
	header := []byte("IHDR\x00\x00\xff\xff\x00\x00\xff\xff\x08\x06\x00\x00\x00")
	png := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), header...)
	return binary.BigEndian.AppendUint32(png, crc32.ChecksumIEEE(header))
}

// manyFiles has every list of pictures in body name its first 10,000 times.
func manyFiles(body []byte) []byte {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return body
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, each := range v {
				walk(each)
			}
		case map[string]any:
			if images, ok := v["images"].([]any); ok && len(images) > 0 {
				v["images"] = slices.Repeat(images[:1], 10_000)
			}
			for _, each := range v {
				walk(each)
			}
		}
	}
	walk(v)
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // it came from JSON
	}
	return body
}
