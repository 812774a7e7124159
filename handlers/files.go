package handlers

import (
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"easel/studio"
)

// downloadWait is for the largest file over a slow line.
const downloadWait = 15 * time.Minute

// fileRoutes are the stored pictures and the live previews, once for our own pages and once under
// /embed/, where pages of other origins may load them too.
func (s *Server) fileRoutes() {
	for _, at := range []struct{ prefix, policy string }{{"", "same-origin"}, {"/embed", "cross-origin"}} {
		images := "GET " + at.prefix + "/generations/{id}/images/{image}"
		s.route(images+"/{output}", s.file(at.policy, false))
		s.route(images+"/{output}/thumbnail", s.file(at.policy, true))
		s.route(images+"/preview", s.preview(at.policy))
	}
}

// inline are the types that browsers show as pictures and never as documents. All else is an
// attachment.
var inline = map[string]bool{"image/png": true, "image/jpeg": true, "image/webp": true, "image/gif": true}

// file serves an output or its thumbnail.
func (s *Server) file(resourcePolicy string, thumbnail bool) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		id, image, err := imagePath(r)
		if err != nil {
			return err
		}
		output, ok := index(r.PathValue("output"))
		if !ok {
			return errNoPage
		}
		file, err := s.studio.Output(r.Context(), id, image, output, thumbnail)
		if err != nil {
			return err
		}
		defer func() { _ = file.Body.Close() }() // read only
		s.serveFile(w, r, file, resourcePolicy)
		return nil
	}
}

// serveFile answers with a stored file. Its content never changes: its name is its hash.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request, file *studio.File, resourcePolicy string) {
	h := w.Header()
	h.Set("Content-Security-Policy", filePolicy)
	h.Set("Cross-Origin-Resource-Policy", resourcePolicy)
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	h.Set("ETag", strconv.Quote(file.SHA256))
	h.Set("Content-Type", file.MIME)
	disposition := "inline"
	switch {
	case !inline[file.MIME]:
		h.Set("Content-Type", "application/octet-stream")
		disposition = "attachment"
	case r.URL.Query().Get("download") != "":
		disposition = "attachment"
	}
	h.Set("Content-Disposition", contentDisposition(disposition, file.Name))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(downloadWait)) // a recorder in a test has none
	http.ServeContent(w, r, "", file.Time, file.Body)
}

// preview serves the latest live preview of an image while there is one. With a rev, as our pages
// ask for it, the URL is another with each preview, and a copy would never be asked for again;
// without, whoever has a copy asks whether it is still the latest.
func (s *Server) preview(resourcePolicy string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		id, image, err := imagePath(r)
		if err != nil {
			return err
		}
		preview, ok := s.studio.Preview(r.Context(), id, image)
		if !ok || !inline[preview.MIME] {
			return errNoPage
		}
		h := w.Header()
		h.Set("Content-Security-Policy", filePolicy)
		h.Set("Cross-Origin-Resource-Policy", resourcePolicy)
		h.Set("Cache-Control", "private, no-cache")
		if r.URL.Query().Has("rev") {
			h.Set("Cache-Control", "no-store")
		}
		h.Set("Content-Type", preview.MIME)
		h.Set("ETag", strconv.Quote(contentID(preview.Bytes))) // not the rev: that begins anew with each attempt
		if r.Header.Get("If-None-Match") == h.Get("ETag") {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
		h.Set("Content-Length", strconv.Itoa(len(preview.Bytes)))
		_, _ = w.Write(preview.Bytes)
		return nil
	}
}

// imagePath reads the generation and the image, from 1, that a path names.
func imagePath(r *http.Request) (id uuid.UUID, image int, err error) {
	if id, err = pathID(r); err != nil {
		return id, 0, err
	}
	image, ok := index(r.PathValue("image"))
	if !ok || image < 1 {
		return id, 0, errNoPage
	}
	return id, image, nil
}

// index reads a number as we write it into URLs: no sign, no zero in front.
func index(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0 && strconv.Itoa(n) == text
}

// contentDisposition names a file for a download (RFC 6266): plain ASCII for every browser and,
// where that loses something, the whole name in UTF-8.
func contentDisposition(disposition, name string) string {
	name = safeName(name)
	ascii := strings.Map(func(c rune) rune {
		if c > unicode.MaxASCII {
			return '_'
		}
		return c
	}, name)
	header := mime.FormatMediaType(disposition, map[string]string{"filename": ascii})
	if ascii != name {
		header += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
	return header
}

// safeName makes of name one that no system takes for a path, a device or a command.
func safeName(name string) string {
	name = strings.Map(func(c rune) rune {
		switch {
		case unicode.IsControl(c), unicode.Is(unicode.Bidi_Control, c), c == utf8.RuneError, strings.ContainsRune(`/\:*?"<>|;%`, c):
			return '_'
		}
		return c
	}, name)
	name = strings.Trim(name, ". ")
	ext := path.Ext(name)
	if len(ext) > len(".safetensors") { // no extension, but a name with a dot in it
		ext = ""
	}
	stem := strings.TrimSuffix(name, ext)
	if len(stem) > 150 {
		stem = strings.ToValidUTF8(stem[:150], "")
	}
	switch reserved := strings.ToUpper(stem); {
	case stem == "":
		stem = "easel"
	case reserved == "CON", reserved == "PRN", reserved == "AUX", reserved == "NUL",
		len(reserved) == 4 && (strings.HasPrefix(reserved, "COM") || strings.HasPrefix(reserved, "LPT")):
		stem = "_" + stem
	}
	return stem + ext
}
