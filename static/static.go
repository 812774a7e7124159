// Package static holds what browsers get as it is: the stylesheet, the scripts and the icons.
//
// Every file has a URL name with a hash of its content in it, which may be kept for ever, and its
// plain name, which must be asked for again. Datastar's bundle is not part of the repository:
// `make generate` copies it here out of the Go module that ships it.
package static

import (
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed *.css *.js *.svg *.webmanifest
var embedded embed.FS

// Datastar is the name of the browser bundle that `make generate` copies in.
const Datastar = "datastar.js"

// ErrNoDatastar says that the binary was built without the bundle, and that none was given.
var ErrNoDatastar = errors.New("static/datastar.js is missing: run `make generate`, then build again")

// hashChars is how much of a file's SHA-256 its URL name carries; 48 bits tell versions apart.
const hashChars = 12

// file is one static file in memory.
type file struct {
	body   []byte
	packed []byte // by gzip; nil where that gains nothing
	mime   string
	hash   string // hex, hashChars long
}

// Files is the set of static files of one server. It is immutable and serves them as a handler.
type Files struct {
	byName map[string]file   // by plain name, app.css
	byURL  map[string]string // URL name, app-0123456789ab.css, to plain name
}

// Open reads the embedded files. A non-empty datastar takes the place of the embedded bundle;
// with neither the error is ErrNoDatastar.
func Open(datastar []byte) (*Files, error) {
	entries, err := fs.ReadDir(embedded, ".")
	if err != nil {
		return nil, fmt.Errorf("list static files: %w", err)
	}
	f := &Files{byName: map[string]file{}, byURL: map[string]string{}}
	for _, entry := range entries {
		body, err := embedded.ReadFile(entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read static file: %w", err)
		}
		if err := f.add(entry.Name(), body); err != nil {
			return nil, err
		}
	}
	if err := f.addProgressIcons(); err != nil {
		return nil, err
	}
	if len(datastar) > 0 {
		delete(f.byURL, f.URLName(Datastar))
		if err := f.add(Datastar, datastar); err != nil {
			return nil, err
		}
	}
	if len(f.byName[Datastar].body) == 0 {
		return nil, ErrNoDatastar
	}
	return f, nil
}

func (f *Files) add(name string, body []byte) error {
	sum := sha256.Sum256(body)
	added := file{body: body, mime: mimeOf(name), hash: hex.EncodeToString(sum[:])[:hashChars]}
	packed, err := Gzip(body, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("compress %s: %w", name, err)
	}
	if len(packed) < len(body) {
		added.packed = packed
	}
	f.byName[name] = added
	f.byURL[hashedName(name, added.hash)] = name
	return nil
}

// mimeOf does not ask the machine's own table: what a browser is told must not depend on it.
func mimeOf(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".webmanifest":
		return "application/manifest+json"
	}
	return "application/octet-stream"
}

func hashedName(name, hash string) string {
	ext := path.Ext(name)
	return strings.TrimSuffix(name, ext) + "-" + hash + ext
}

// URLName is the name under which pages ask for a file: with the hash of its content. A file
// that does not exist keeps its plain name, and is then not found.
func (f *Files) URLName(name string) string {
	known, ok := f.byName[name]
	if !ok {
		return name
	}
	return hashedName(name, known.hash)
}

// ServeHTTP answers with the file that the last element of the path names. The hashed name may be
// kept for ever; the plain one, by which the manifest finds its icon, is checked each time.
func (f *Files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked := path.Base(r.URL.Path)
	name, hashed := f.byURL[asked]
	if !hashed {
		name = asked
	}
	found, ok := f.byName[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	header := w.Header()
	header.Set("Content-Type", found.mime)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Vary", "Accept-Encoding")
	body, tag := found.body, found.hash
	if found.packed != nil && TakesGzip(r) {
		header.Set("Content-Encoding", "gzip")
		body, tag = found.packed, found.hash+"-gzip"
	}
	header.Set("ETag", strconv.Quote(tag))
	header.Set("Cache-Control", "no-cache")
	if hashed {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if r.Header.Get("If-None-Match") == header.Get("ETag") {
		header.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a browser that left is nobody's error
	}
}
