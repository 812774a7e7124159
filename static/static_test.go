package static

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) *Files {
	t.Helper()
	f, err := Open([]byte("export {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func get(f *Files, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

func TestHashedNameIsKeptForEver(t *testing.T) {
	f := open(t)
	name := f.URLName("app.css")
	if !regexp.MustCompile(`^app-[0-9a-f]{12}\.css$`).MatchString(name) {
		t.Fatalf("URLName(app.css) = %q", name)
	}
	w := get(f, "/studio/static/"+name)
	if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" ||
		w.Header().Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(w.Body.String(), "--accent") {
		t.Errorf("%s: %d, %v", name, w.Code, w.Header())
	}
}

func TestPlainNameIsCheckedEachTime(t *testing.T) {
	f := open(t)
	w := get(f, "/static/favicon.svg")
	if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-cache" {
		t.Fatalf("favicon.svg: %d, %v", w.Code, w.Header())
	}
	w = get(f, "/static/favicon.svg", "If-None-Match", w.Header().Get("ETag"))
	if w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("again: %d with %d bytes, want 304 and none", w.Code, w.Body.Len())
	}
}

func TestUnknownNames(t *testing.T) {
	f := open(t)
	for _, path := range []string{"/static/", "/static/app-000000000000.css", "/static/static.go", "/static/../static.go", "/static/none.js"} {
		if w := get(f, path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, w.Code)
		}
	}
}

func TestGivenDatastarTakesThePlaceOfTheEmbedded(t *testing.T) {
	f := open(t)
	w := get(f, "/static/"+f.URLName(Datastar))
	if w.Body.String() != "export {}\n" || w.Header().Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("datastar.js = %q, %v", w.Body, w.Header())
	}
	served := 0
	for _, plain := range f.byURL {
		if plain == Datastar {
			served++
		}
	}
	if served != 1 {
		t.Errorf("datastar.js has %d hashed names, want 1", served)
	}
}

// Whether the bundle is there depends on `make generate`; without it the error says so.
func TestMissingDatastarIsAClearError(t *testing.T) {
	_, missing := fs.Stat(embedded, Datastar)
	_, err := Open(nil)
	if got, want := errors.Is(err, ErrNoDatastar), missing != nil; got != want {
		t.Errorf("Open(nil) = %v with the bundle missing: %v", err, missing)
	}
	if !strings.Contains(ErrNoDatastar.Error(), "make generate") {
		t.Errorf("%q does not say what to do", ErrNoDatastar)
	}
}

// Every icon that a template names must be drawn in the sprite.
func TestEveryIconIsInTheSprite(t *testing.T) {
	sprite, err := embedded.ReadFile("icons.svg")
	if err != nil {
		t.Fatal(err)
	}
	templates, err := os.ReadDir("../views")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`@icon\([^,]+, "([^"]+)"\)`)
	found := 0
	for _, entry := range templates {
		if !strings.HasSuffix(entry.Name(), ".templ") {
			continue
		}
		text, err := os.ReadFile("../views/" + entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range named.FindAllSubmatch(text, -1) {
			found++
			if !strings.Contains(string(sprite), `id="`+string(match[1])+`"`) {
				t.Errorf("%s: the sprite has no icon %q", entry.Name(), match[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("found %d icons in the templates: the pattern does not fit them any more", found)
	}
}

func TestCompression(t *testing.T) {
	f := open(t)
	path := "/static/" + f.URLName("app.css")
	plain, packed := get(f, path), get(f, path, "Accept-Encoding", "br, gzip;q=0.8")
	if plain.Header().Get("Content-Encoding") != "" || plain.Header().Get("Vary") != "Accept-Encoding" {
		t.Errorf("without Accept-Encoding: %v", plain.Header())
	}
	if packed.Header().Get("Content-Encoding") != "gzip" || 2*packed.Body.Len() > plain.Body.Len() {
		t.Fatalf("Content-Encoding %q, %d of %d bytes", packed.Header().Get("Content-Encoding"), packed.Body.Len(), plain.Body.Len())
	}
	reader, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(reader)
	if err != nil || !bytes.Equal(unpacked, plain.Body.Bytes()) {
		t.Errorf("unpacked, the file differs (%v)", err)
	}
	tag := packed.Header().Get("ETag")
	if tag == plain.Header().Get("ETag") {
		t.Errorf("both codings have the ETag %s", tag)
	}
	if again := get(f, path, "Accept-Encoding", "gzip", "If-None-Match", tag); again.Code != http.StatusNotModified || again.Header().Get("Content-Encoding") != "" {
		t.Errorf("If-None-Match: %d %v, want 304", again.Code, again.Header())
	}
}

func TestTakesGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "gzip": true, "br, gzip": true, "GZIP": true, "gzip;q=0": false, "gzip; q=0.5": true,
		"*": true, "*;q=0": false, "identity": false, "gzip;q=0, *": false, "gzip;q=x": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept-Encoding", header)
		if got := TakesGzip(r); got != want {
			t.Errorf("TakesGzip(%q) = %v, want %v", header, got, want)
		}
	}
}
