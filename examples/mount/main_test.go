//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"easel"
	"easel/comfy/simulator"
	"easel/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// start runs the whole program and gives the address of its site; it ends with the test.
func start(t *testing.T) string {
	t.Helper()
	comfy, err := simulator.Start("127.0.0.1:0", simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(comfy.Close)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, listener, easel.Config{
			BasePath:    studioPath,
			DataDir:     t.TempDir(),
			DatabaseURL: easel.Secret(dbtest.URL(t)),
			ComfyUIURLs: []easel.Secret{easel.Secret(comfy.URL())},
			Logger:      slog.New(slog.DiscardHandler),
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run() = %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return "http://" + listener.Addr().String()
}

// visit is a client that shows redirects instead of following them.
var visit = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       time.Minute, // the first request waits until the program has opened its database
}

func get(t *testing.T, address string, header ...string) (*http.Response, []byte) {
	t.Helper()
	return send(t, http.MethodGet, address, "", header...)
}

func send(t *testing.T, method, address, body string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := visit.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	return resp, got
}

// A picture is made through the mounted site, and nothing that the site says leads out of its prefix.
func TestMounted(t *testing.T) {
	base := start(t)
	visit := &visitor{t: t, base: base, seen: map[string]string{}}

	if resp, body := get(t, base+"/"); resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("belongs to the outer program")) {
		t.Fatalf("the outer site's page: %s\n%s", resp.Status, body)
	}
	if resp, _ := get(t, base+"/gallery"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("/gallery beside the prefix: %s, want 404 of the outer site", resp.Status)
	}
	if resp, _ := get(t, base+studioPath); resp.StatusCode/100 != 3 || resp.Header.Get("Location") != studioPath+"/" {
		t.Errorf("%s: %s to %q, want a redirect to %s/", studioPath, resp.Status, resp.Header.Get("Location"), studioPath)
	}

	resp, body := send(t, http.MethodPost, base+studioPath+"/api/generate",
		`{"prompt":"a lighthouse","totalImages":2,"settings":{"steps":3,"width":64,"height":64,"seed":18446744073709551615}}`,
		"Content-Type", "application/json")
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("POST /api/generate: %s\n%s", resp.Status, body)
	}
	visit.inside("Location", resp.Header.Get("Location"))
	id := generationID(t, body)
	follow(t, base+studioPath+"/api/generate/progress?promptId="+id)

	resp, body = get(t, base+resp.Header.Get("Location"))
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the generation: %s\n%s", resp.Status, body)
	}
	visit.json(body)

	visit.page(studioPath + "/")
	visit.page(studioPath + "/gallery")
	visit.page(studioPath + "/generations/" + id)
	visit.page(studioPath + "/?from=" + id)
	visit.page(studioPath + "/embed/gallery")
	visit.page(studioPath + "/embed/generations/" + id)
	visit.page(studioPath + "/no-such-page")
	visit.crawl()

	resp, body = send(t, http.MethodPost, base+studioPath+"/generations", url.Values{"prompt": {"a boat"}, "width": {"64"}, "height": {"64"}, "steps": {"2"}}.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html")
	if resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the plain form: %s, want 303\n%s", resp.Status, body)
	}
	visit.inside("Location of the plain form", resp.Header.Get("Location"))
	follow(t, base+studioPath+"/api/generate/progress?promptId="+strings.TrimPrefix(resp.Header.Get("Location"), studioPath+"/generations/"))
}

func generationID(t *testing.T, body []byte) string {
	t.Helper()
	var g struct{ ID string }
	if err := json.Unmarshal(body, &g); err != nil || g.ID == "" {
		t.Fatalf("no id in %s (%v)", body, err)
	}
	return g.ID
}

// follow reads a progress stream to its end, which must be "complete".
func follow(t *testing.T, address string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := visit.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		t.Fatalf("%s: %s, %s", address, resp.Status, resp.Header.Get("Content-Type"))
	}
	last := ""
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			last = data
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	var event struct{ Type string }
	if err := json.Unmarshal([]byte(last), &event); err != nil || event.Type != "complete" {
		t.Fatalf("%s ended with %s", address, last)
	}
}

// visitor loads pages and collects every address in them.
type visitor struct {
	t    *testing.T
	base string
	open []string          // paths found and not yet loaded
	seen map[string]string // every path that was met, and where
}

// inside reports an address that leads out of the prefix, and keeps one that does not.
func (v *visitor) inside(where, address string) {
	v.t.Helper()
	address = strings.TrimSpace(address)
	u, err := url.Parse(address)
	switch {
	case err != nil:
		v.t.Errorf("%s: address %q: %v", where, address, err)
	case u.Scheme == "data" || address == "" || strings.HasPrefix(address, "#"):
	case u.Scheme != "" || u.Host != "":
		if got := u.Scheme + "://" + u.Host; got != v.base {
			v.elsewhere(where, u)
			return
		}
		fallthrough
	case strings.HasPrefix(u.Path, studioPath+"/"):
		if !strings.HasPrefix(u.Path, studioPath+"/") {
			v.t.Errorf("%s: %s is outside of %s/", where, address, studioPath)
			return
		}
		if path := u.RequestURI(); v.seen[path] == "" {
			v.seen[path] = where
			v.open = append(v.open, path)
		}
	case u.Path == "" && u.RawQuery != "":
	default:
		v.t.Errorf("%s: %s is outside of %s/", where, address, studioPath)
	}
}

// elsewhere allows links to other sites (the footer's documentation) and nothing that a browser
// would load from them.
func (v *visitor) elsewhere(where string, u *url.URL) {
	v.t.Helper()
	if u.Scheme != "https" || !strings.HasSuffix(where, " a[href]") {
		v.t.Errorf("%s: %s is on another host", where, u)
	}
}

// attributes hold addresses. Live pages keep theirs in data-url and data-path.
var attributes = []string{"href", "src", "action", "formaction", "poster", "data-url", "data-path", "data-src"}

// page loads a page and looks at each address in it.
func (v *visitor) page(path string) {
	v.t.Helper()
	v.seen[path] = "the test"
	resp, body := get(v.t, v.base+path, "Accept", "text/html")
	v.look(path, resp, body)
}

func (v *visitor) look(path string, resp *http.Response, body []byte) {
	v.t.Helper()
	if location := resp.Header.Get("Location"); location != "" {
		v.inside(path+" Location", location)
	}
	for _, cookie := range resp.Cookies() {
		if cookie.Path != studioPath && cookie.Path != studioPath+"/" {
			v.t.Errorf("%s: cookie %s has path %q, want the prefix", path, cookie.Name, cookie.Path)
		}
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil && len(body) > 0 {
		v.t.Errorf("%s: content type %q: %v", path, resp.Header.Get("Content-Type"), err)
	}
	switch kind {
	case "text/html":
		v.html(path, body)
	case "text/css":
		for _, found := range cssURL.FindAllStringSubmatch(string(body), -1) {
			if !strings.HasPrefix(found[1], "data:") && strings.HasPrefix(found[1], "/") {
				v.inside(path+" url()", found[1])
			}
		}
	case "application/json":
		v.json(body)
	}
}

var (
	cssURL  = regexp.MustCompile(`url\(["']?([^"')]+)`)
	refresh = regexp.MustCompile(`(?i)url=(.+)$`)
)

func (v *visitor) html(path string, body []byte) {
	v.t.Helper()
	doc, err := goquery.NewDocumentFromReader(bytes.NewReader(body))
	if err != nil {
		v.t.Fatalf("%s: %v", path, err)
	}
	for _, name := range attributes {
		doc.Find("[" + name + "]").Each(func(_ int, s *goquery.Selection) {
			address, _ := s.Attr(name)
			if goquery.NodeName(s) == "form" && strings.EqualFold(s.AttrOr("method", "get"), "post") {
				if !strings.HasPrefix(address, studioPath+"/") {
					v.t.Errorf("%s: a form posts to %s", path, address)
				}
				return // not to be loaded
			}
			v.inside(fmt.Sprintf("%s %s[%s]", path, goquery.NodeName(s), name), address)
		})
	}
	doc.Find("[srcset]").Each(func(_ int, s *goquery.Selection) {
		for candidate := range strings.SplitSeq(s.AttrOr("srcset", ""), ",") {
			address, _, _ := strings.Cut(strings.TrimSpace(candidate), " ")
			v.inside(path+" srcset", address)
		}
	})
	doc.Find("meta[http-equiv=refresh]").Each(func(_ int, s *goquery.Selection) {
		if found := refresh.FindStringSubmatch(s.AttrOr("content", "")); found != nil {
			v.inside(path+" refresh", found[1])
		}
	})
}

// json looks at every text that is an address by its key.
func (v *visitor) json(body []byte) {
	v.t.Helper()
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		v.t.Fatalf("%s: %v", body, err)
	}
	var walk func(key string, value any)
	walk = func(key string, value any) {
		switch value := value.(type) {
		case map[string]any:
			for key, inner := range value {
				walk(key, inner)
			}
		case []any:
			for _, inner := range value {
				walk(key, inner)
			}
		case string:
			if key == "thumbnailUrl" || key == "url" && strings.HasPrefix(value, "/") {
				v.inside("JSON "+key, value)
			}
		}
	}
	walk("", value)
}

// crawl loads everything that was found, and what is found in that.
func (v *visitor) crawl() {
	v.t.Helper()
	const most = 300
	kinds := map[string]int{}
	for loaded := 0; len(v.open) > 0; loaded++ {
		if loaded == most {
			v.t.Fatalf("%d addresses and no end, the next is %s", most, v.open[0])
		}
		path := v.open[0]
		v.open = v.open[1:]
		resp, body := get(v.t, v.base+path, "Accept", "text/html,image/*,*/*;q=0.8")
		// A live preview that a page named may be gone by now: the picture has come.
		gone := resp.StatusCode == http.StatusNotFound && strings.HasSuffix(resp.Request.URL.Path, "/preview")
		if resp.StatusCode >= 400 && !gone {
			v.t.Errorf("%s, found at %s: %s", path, v.seen[path], resp.Status)
		}
		kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		kinds[kind]++
		v.look(path, resp, body)
	}
	for _, kind := range []string{"text/html", "text/css", "text/javascript", "image/png", "image/jpeg", "image/svg+xml"} {
		if kinds[kind] == 0 {
			v.t.Errorf("no %s was found; there were %v", kind, kinds)
		}
	}
}
