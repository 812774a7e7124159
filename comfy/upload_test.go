package comfy

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestUploadUsesTheReturnedName(t *testing.T) {
	for _, test := range []struct{ reply, want string }{
		{`{"name": "pic (1).png", "subfolder": "", "type": "input"}`, "pic (1).png"},
		{`{"name": "pic.png", "subfolder": "easel/x", "type": "input"}`, "easel/x/pic.png"},
	} {
		c := fake(t, ClientOptions{}, func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength <= 0 {
				t.Errorf("Content-Length = %d, want it announced", r.ContentLength)
			}
			if err := r.ParseMultipartForm(1 << 20); err != nil {
				t.Error(err)
				return
			}
			f, h, err := r.FormFile("image")
			if err != nil {
				t.Error(err)
				return
			}
			b, _ := io.ReadAll(f)
			if string(b) != "content" || h.Filename != `pi"c.png` || r.FormValue("subfolder") != "easel" || r.FormValue("overwrite") != "true" || r.FormValue("type") != "input" {
				t.Errorf("form %+v with %q of %q", r.MultipartForm.Value, b, h.Filename)
			}
			_, _ = io.WriteString(w, test.reply)
		})
		name, err := c.Upload(t.Context(), Upload{Name: `pi"c.png`, Subfolder: "easel", Overwrite: true, Content: strings.NewReader("content"), Size: 7})
		if err != nil || name != test.want {
			t.Errorf("Upload = %q, %v, want %q", name, err, test.want)
		}
	}
}

func TestUploadRefusals(t *testing.T) {
	status := http.StatusOK
	c := fake(t, ClientOptions{}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"name": "a\r\nb.png"}`)
	})
	u := func() Upload { return Upload{Name: "a.png", Content: strings.NewReader("x"), Size: 1} }
	if name, err := c.Upload(t.Context(), u()); !errors.Is(err, ErrUnsafeName) {
		t.Errorf("a returned name with a newline: %q, %v, want ErrUnsafeName", name, err)
	}
	status = http.StatusRequestEntityTooLarge
	if _, err := c.Upload(t.Context(), u()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("413: error %v, want ErrTooLarge", err)
	}
	if _, err := c.Upload(t.Context(), Upload{Name: "a.png", Size: maxUpload + 1}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("over the cap: error %v, want ErrTooLarge", err)
	}
	if _, err := c.Upload(t.Context(), Upload{Name: "a.png", Content: strings.NewReader("x"), Size: 5}); err == nil {
		t.Error("content shorter than its size was taken")
	}
}
