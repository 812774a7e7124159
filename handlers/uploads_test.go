package handlers

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"easel/comfy/workflow"
	"easel/studio"
)

// withImages is a fake whose second workflow begins with a picture, as the one that comes with Easel does.
func withImages(t *testing.T) *fakeStudio {
	t.Helper()
	f := newFake()
	w, ok := workflow.Builtin(workflow.ImageToImage)
	if !ok {
		t.Fatal("there is no workflow that begins with a picture")
	}
	if !slices.ContainsFunc(f.forms, func(form workflow.Form) bool { return form.ID == w.ID }) {
		f.forms = append(f.forms, w.Form())
	}
	return f
}

// parts is a multipart form; a name with a file's is "control/filename".
func parts(t *testing.T, controls ...[2]string) (body, kind string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, c := range controls {
		name, filename, isFile := strings.Cut(c[0], "/")
		create := w.CreateFormField
		if isFile {
			create = func(name string) (io.Writer, error) { return w.CreateFormFile(name, filename) }
		}
		part, err := create(name)
		if err == nil {
			_, err = part.Write([]byte(c[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

func TestUploads(t *testing.T) {
	t.Parallel()
	f := withImages(t)
	s := newSite(t, f)
	form, kind := parts(t, [2]string{"note", "x"}, [2]string{"file/../../etc/x\r\nSet-Cookie: a", "picture one"})
	var first uploadJSON
	for _, given := range []struct{ kind, body string }{{"image/png", "picture one"}, {kind, form}} {
		res := call(t, s, "POST", "/api/uploads", given.body, "Content-Type", given.kind)
		at := res.Header.Get("Location")
		first = decode[uploadJSON](t, res, http.StatusCreated)
		if first.URL != at || first.ThumbnailURL != at+"/thumbnail" || first.MIME != "image/png" || first.Width != 1200 {
			t.Errorf("%s: %+v at %s", given.kind, first, at)
		}
	}
	res := call(t, s, "GET", first.URL, "")
	if text := bodyOf(t, res); text != "picture one" || res.Header.Get("Content-Security-Policy") != filePolicy ||
		!strings.HasPrefix(res.Header.Get("Content-Disposition"), "inline;") || res.Header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
		t.Errorf("%q with %v", text, res.Header)
	}
	if res := call(t, s, "GET", first.ThumbnailURL, ""); res.StatusCode != http.StatusOK {
		t.Errorf("thumbnail: %d", res.StatusCode)
	}
	twoBody, twoKind := parts(t, [2]string{"file/a.png", "picture a"}, [2]string{"file/b.png", "picture b"})
	noneBody, noneKind := parts(t, [2]string{"file", "text"})
	manyBody, manyKind := parts(t, slices.Repeat([][2]string{{"x", "y"}}, mostParts+1)...)
	longBody, longKind := parts(t, [2]string{"x", strings.Repeat("y", maxBodyBytes+1)})
	for _, bad := range []struct {
		kind, body string
		status     int
		words      string
	}{
		{"image/png", "text", 422, "no picture"},
		{"image/png", "", 422, "no picture"},
		{"application/json", "{}", 415, "Content-Type"},
		{"", "picture", 415, "Content-Type"},
		{"multipart/form-data; boundary=x", "--y", 400, "could not be read"},
		{"multipart/form-data", "--y", 400, "could not be read"},
		{twoKind, twoBody, 400, "only once"},
		{noneKind, noneBody, 400, "missing"},
		{manyKind, manyBody, 400, "too many parts"},
		{longKind, longBody, 413, "at once"},
		{"image/png", "picture" + strings.Repeat("x", studio.MaxUploadBytes), 413, "32 MiB"},
		{"image/png", "picture" + strings.Repeat("x", maxUploadBody), 413, "at once"},
	} {
		p := decode[problem](t, call(t, s, "POST", "/api/uploads", bad.body, "Content-Type", bad.kind), bad.status)
		if !strings.Contains(p.Detail+fmt.Sprint(p.Errors), bad.words) {
			t.Errorf("%s %.20q: %+v", bad.kind, bad.body, p)
		}
	}
	for _, sum := range []string{"x", strings.Repeat("0", 64)} {
		if res := call(t, s, "GET", "/uploads/"+sum, ""); res.StatusCode != http.StatusNotFound {
			t.Errorf("upload %s: %d", sum, res.StatusCode)
		}
	}
}

// A form carries a file by itself; what was chosen before stays when it comes back with a complaint.
func TestFormsWithPictures(t *testing.T) {
	t.Parallel()
	f := withImages(t)
	s := newSite(t, f)
	page := document(t, bodyOf(t, call(t, s, "GET", "/?workflow="+workflow.ImageToImage, "", "Accept", "text/html")))
	if page.Find(`#composer[enctype="multipart/form-data"] input[type=file][name="settings.image"]`).Length() != 1 {
		t.Fatal("the form takes no file")
	}
	send := func(face string, controls ...[2]string) *http.Response {
		body, kind := parts(t, append([][2]string{{"workflow", workflow.ImageToImage}, {"prompt", "Changed"}}, controls...)...)
		return call(t, s, "POST", "/generations", body, "Content-Type", kind, "Accept", face)
	}
	last := func() string {
		f.mu.Lock()
		defer f.mu.Unlock()
		return string(f.created[len(f.created)-1].Settings["image"])
	}
	if res := send("text/html", [2]string{"settings.image", ""}, [2]string{"settings.image/a.png", "picture a"}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("with a file: %d %s", res.StatusCode, bodyOf(t, res))
	}
	chosen := strings.Trim(last(), `"`)
	if _, ok := f.uploads[chosen]; !ok {
		t.Fatalf("asked for with %q", chosen)
	}
	if res := send("text/html", [2]string{"settings.image", chosen}, [2]string{"settings.image/", ""}); res.StatusCode != http.StatusSeeOther || strings.Trim(last(), `"`) != chosen {
		t.Errorf("with one that was given before: %d, %s", res.StatusCode, last())
	}
	res := send("text/html", [2]string{"settings.image", chosen}, [2]string{"settings.image/a.txt", "text"}, [2]string{"settings.steps", "7"})
	page = document(t, bodyOf(t, res))
	if said := page.Find(`[id="settings.image-error"]`).Text(); res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(said, "no picture") {
		t.Errorf("what is no picture: %d, %q", res.StatusCode, said)
	}
	if got := page.Find(`[name="settings.steps"]`).AttrOr("value", ""); got != "7" {
		t.Errorf("what was typed is gone: %q", got)
	}
	if res := call(t, s, "POST", "/generations", strings.Repeat("x", maxBodyBytes+1), "Content-Type", formType); res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a long form without files: %d", res.StatusCode)
	}
}

// An output becomes an input at a press, and the form then has its shape.
func TestOutputsAsInputs(t *testing.T) {
	t.Parallel()
	f := withImages(t)
	s := newSite(t, f)
	id := f.put(newState(f, "A lamp", studio.Complete, 1)).Generation.ID.String()
	page := document(t, bodyOf(t, call(t, s, "GET", "/generations/"+id, "", "Accept", "text/html")))
	action := page.Find(".files form").AttrOr("action", "")
	res := post(t, s, action, url.Values{})
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("POST %q: %d", action, res.StatusCode)
	}
	form := document(t, bodyOf(t, call(t, s, "GET", res.Header.Get("Location"), "", "Accept", "text/html")))
	sum := form.Find(`[type=hidden][name="settings.image"]`).AttrOr("value", "")
	if _, ok := f.uploads[sum]; !ok || form.Find(`.given img`).AttrOr("src", "") != "/uploads/"+sum+"/thumbnail" {
		t.Errorf("the form begins with %q", sum)
	}
	if got := form.Find("[name=shape][checked]").Next().Next().Text(); got != "3:2" {
		t.Errorf("the chosen shape is %q", got)
	}
	for path, want := range map[string]int{
		"/generations/" + id + "/images/1/7/use": 404, "/generations/" + id + "/images/1/x/use": 404, "/generations/x/images/1/0/use": 404,
	} {
		if res := post(t, s, path, url.Values{}); res.StatusCode != want {
			t.Errorf("POST %s: %d, want %d", path, res.StatusCode, want)
		}
	}
	if res := call(t, s, "GET", "/?workflow="+workflow.ImageToImage+"&image=x", "", "Accept", "text/html"); res.StatusCode != http.StatusNotFound {
		t.Errorf("beginning with nothing: %d", res.StatusCode)
	}
}
