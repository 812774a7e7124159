package handlers

import (
	"mime"
	"net/http"
	"strings"
	"testing"

	"easel/comfy"
)

func TestFilesAreServedForKeeps(t *testing.T) {
	f := newStrict()
	s := newSite(t, f)
	id := f.add("a", 1)
	body := strings.Repeat("0123456789", 100)
	f.picture(id, "image/png", "easel.png", []byte(body))
	at := "/generations/" + id.String() + "/images/1/0"
	res := call(t, s, "GET", at, "")
	if text := bodyOf(t, res); text != body || res.Header.Get("Content-Type") != "image/png" || !strings.HasPrefix(res.Header.Get("Content-Disposition"), "inline;") {
		t.Errorf("%d bytes, headers %v", len(text), res.Header)
	}
	etag := res.Header.Get("ETag")
	if len(etag) != 66 || res.Header.Get("Cache-Control") != "private, max-age=31536000, immutable" {
		t.Errorf("ETag %q, Cache-Control %q", etag, res.Header.Get("Cache-Control"))
	}
	if res := call(t, s, "GET", at, "", "If-None-Match", etag); res.StatusCode != http.StatusNotModified {
		t.Errorf("with the ETag = %d", res.StatusCode)
	}
	res = call(t, s, "GET", at, "", "Range", "bytes=5-9")
	if text := bodyOf(t, res); res.StatusCode != http.StatusPartialContent || text != "56789" || res.Header.Get("Content-Range") != "bytes 5-9/1000" {
		t.Errorf("a range = %d %q %q", res.StatusCode, text, res.Header.Get("Content-Range"))
	}
	if res := call(t, s, "GET", at, "", "Range", "bytes=2000-"); res.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a range beyond the end = %d", res.StatusCode)
	}
	res = call(t, s, "GET", at+"?download=1", "")
	if got := res.Header.Get("Content-Disposition"); got != "attachment; filename=easel.png" {
		t.Errorf("Content-Disposition = %q", got)
	}
	res = call(t, s, "GET", at+"/thumbnail", "")
	if res.StatusCode != 200 || !strings.Contains(res.Header.Get("Content-Disposition"), "thumbnail-") {
		t.Errorf("thumbnail: %d %v", res.StatusCode, res.Header)
	}
	for _, wrong := range []string{"/images/0/0", "/images/2/0", "/images/1/1", "/images/01/0", "/images/1/-1", "/images/x/0", "/images/1/99999999999999999999", "/images/1/0/x", "/images/1/..%2f..%2fetc"} {
		if res := call(t, s, "GET", "/generations/"+id.String()+wrong, ""); res.StatusCode != 404 {
			t.Errorf("%s = %d", wrong, res.StatusCode)
		}
	}
}

// What is not a picture of the four kinds is never shown by a browser as anything.
func TestOtherTypesAreAttachments(t *testing.T) {
	f := newStrict()
	s := newSite(t, f)
	id := f.add("a", 1)
	for i, kind := range []string{"image/svg+xml", "text/html", "image/tiff", "application/pdf", "", "video/mp4"} {
		f.picture(id, kind, "easel.bin", []byte("<script>alert(1)</script>"))
		res := call(t, s, "GET", "/generations/"+id.String()+"/images/1/"+string(rune('0'+i)), "")
		if got := res.Header.Get("Content-Type"); got != "application/octet-stream" || !strings.HasPrefix(res.Header.Get("Content-Disposition"), "attachment") {
			t.Errorf("%q: Content-Type %q, Content-Disposition %q", kind, got, res.Header.Get("Content-Disposition"))
		}
	}
}

func TestPreview(t *testing.T) {
	f := newStrict()
	s := newSite(t, f)
	id := f.add("a", 1)
	at := "/generations/" + id.String() + "/images/1/preview"
	if res := call(t, s, "GET", at, ""); res.StatusCode != 404 {
		t.Errorf("without one = %d", res.StatusCode)
	}
	f.previews[id] = &comfy.Preview{MIME: "image/jpeg", Bytes: []byte("jpeg"), Rev: 4}
	res := call(t, s, "GET", at+"?rev=4", "")
	if text := bodyOf(t, res); text != "jpeg" || res.Header.Get("Content-Type") != "image/jpeg" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%q, headers %v", text, res.Header)
	}
	if res := call(t, s, "GET", at+"?rev=4", "", "If-None-Match", res.Header.Get("ETag")); res.StatusCode != http.StatusNotModified {
		t.Errorf("with the ETag = %d", res.StatusCode)
	}
	// Without a rev a copy may be kept, and is asked about: it is good as long as the bytes are the same.
	plain := call(t, s, "GET", at, "")
	if got := plain.Header.Get("Cache-Control"); got != "private, no-cache" {
		t.Errorf("without a rev: Cache-Control %q", got)
	}
	f.previews[id] = &comfy.Preview{MIME: "image/jpeg", Bytes: []byte("the next attempt's"), Rev: 4}
	if res := call(t, s, "GET", at, "", "If-None-Match", plain.Header.Get("ETag")); res.StatusCode != http.StatusOK || bodyOf(t, res) != "the next attempt's" {
		t.Errorf("another picture with the ETag of the one before = %d", res.StatusCode)
	}
	f.previews[id] = &comfy.Preview{MIME: "text/html", Bytes: []byte("<script>"), Rev: 5}
	if res := call(t, s, "GET", at+"?rev=5", ""); res.StatusCode != 404 {
		t.Errorf("a preview that is HTML = %d", res.StatusCode)
	}
}

// Row 33, of downloads.
func TestContentDisposition(t *testing.T) {
	for name, want := range map[string]string{
		"easel.png":                "attachment; filename=easel.png",
		"a b.png":                  `attachment; filename="a b.png"`,
		"../../etc/passwd":         "attachment; filename=_.._etc_passwd",
		`..\x.png`:                 "attachment; filename=_x.png",
		"a\r\nSet-Cookie: x=1.png": `attachment; filename="a__Set-Cookie_ x=1.png"`,
		"a\x00b.png":               "attachment; filename=a_b.png",
		"CON":                      "attachment; filename=_CON",
		"com1.png":                 "attachment; filename=_com1.png",
		"":                         "attachment; filename=easel",
		".png":                     "attachment; filename=png",
		"\u202egnp.exe":            "attachment; filename=_gnp.exe",
		`a"b.png`:                  "attachment; filename=a_b.png",
		"bär.png":                  "attachment; filename=b_r.png; filename*=UTF-8''b%C3%A4r.png",
		"\xff.png":                 "attachment; filename=_.png",
	} {
		got := contentDisposition("attachment", name)
		if got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
		if _, _, err := mime.ParseMediaType(got); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	if long := contentDisposition("inline", strings.Repeat("ü", 300)+".png"); len(long) > 1200 || !strings.HasSuffix(long, ".png") {
		t.Errorf("a long name became %q", long)
	}
}

func FuzzContentDisposition(f *testing.F) {
	for _, seed := range []string{"a.png", "a\r\nX: y", "\"; filename=evil.exe", "..", "\xff\xfe", "a%0d%0ab"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := contentDisposition("attachment", name)
		kind, params, err := mime.ParseMediaType(got)
		if err != nil || kind != "attachment" || params["filename"] == "" {
			t.Fatalf("%q: %q: %v", name, got, err)
		}
		if strings.ContainsAny(got, "\r\n\x00/\\") || strings.ContainsAny(params["filename"], "/\\") {
			t.Errorf("%q: %q", name, got)
		}
	})
}
