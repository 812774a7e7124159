package static

import (
	"errors"
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
