package browser

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// sunset is a picture, 3 to 2, in a file of its own.
func sunset(t *testing.T) (path string, data []byte) {
	t.Helper()
	picture := image.NewNRGBA(image.Rect(0, 0, 96, 64))
	for i := range picture.Pix {
		picture.Pix[i] = [4]uint8{0xe0, uint8(i / 96), 0x40, 0xff}[i%4] //nolint:gosec // 0 to 255
	}
	picture.Set(0, 0, color.White)
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "sunset.png")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, b.Bytes()
}

const (
	pictureFile = `input[type=file][name="settings.image"]`
	pictureSum  = `input[type=hidden][name="settings.image"]`
	givenShown  = `(i => i?.complete && i.naturalWidth > 0)(document.querySelector('.picture-field .given img'))`
)

// handed is a script that gives the picture to a target in an event that carries files.
func handed(kind, target string, data []byte) string {
	return `(async () => {
		const bytes = Uint8Array.from(atob(` + quote(base64.StdEncoding.EncodeToString(data)) + `), c => c.charCodeAt(0));
		const carried = new DataTransfer();
		carried.items.add(new File([bytes], 'sunset.png', {type: 'image/png'}));
		const init = {bubbles: true, cancelable: true, dataTransfer: carried, clipboardData: carried};
		const event = new (` + quote(kind) + ` === 'paste' ? ClipboardEvent : DragEvent)(` + quote(kind) + `, init);
		document.querySelector(` + quote(target) + `).dispatchEvent(event);
		return event.defaultPrevented;
	})()`
}

// A picture is chosen, dropped, or pasted, is seen at once, and what is made begins with it; so does what is made of a
// picture that was made here.
func TestPeopleBeginWithAPicture(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{})
	path, data := sunset(t)
	tab := Open(t, s.URL, TabOptions{})
	tab.Goto("/?workflow=image-to-image")
	tab.fill(prompt, "A sunset in oil")
	tab.Press("Generate")
	tab.Wait(`document.querySelector('[id="settings.image-error"]')?.textContent.includes('needs an image')`)

	tab.do("choose a file", chromedp.SetUploadFiles(pictureFile, []string{path}))
	tab.Wait(givenShown)
	first := tab.value(pictureSum)
	if shape := Eval[string](tab, `document.querySelector('[name=shape]:checked').closest('label').textContent`); len(shape) < 3 || shape[:3] != "3:2" {
		t.Errorf("the shape is %q", shape)
	}
	tab.Click(`[data-remove]`)
	tab.Wait(`!document.querySelector('.picture-field .given')`)
	if got := tab.value(pictureSum); got != "" {
		t.Errorf("the form still holds %s", got)
	}
	for _, way := range []struct{ kind, target string }{{"drop", ".picture-field label"}, {"paste", "#prompt"}} {
		if !Eval[bool](tab, handed(way.kind, way.target, data)) {
			t.Errorf("the browser would do something else with a %s", way.kind)
		}
		tab.Wait(givenShown)
		if got := tab.value(pictureSum); got != first {
			t.Errorf("after a %s the form holds %q, want %q", way.kind, got, first)
		}
		tab.Click(`[data-remove]`)
		tab.Wait(`!document.querySelector('.picture-field .given')`)
	}
	if Eval[bool](tab, handed("drop", "#cards, .stage, main", data)) {
		t.Error("a picture that is dropped elsewhere is taken")
	}
	text := path + ".txt"
	if err := os.WriteFile(text, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	tab.do("choose what is none", chromedp.SetUploadFiles(pictureFile, []string{text}))
	tab.WaitText(".picture-field [data-said]", "PNG, JPEG, WebP and GIF are")
	tab.do("choose a file", chromedp.SetUploadFiles(pictureFile, []string{path}))
	tab.Wait(givenShown)
	tab.Press("Generate")
	tab.WaitText(".progress .badge", "✅ Complete")
	made := s.newest(0)
	judge(t, tab, axeScript(t), "a form with a picture")

	tab.Goto("/generations/" + made.ID)
	tab.Wait(`(i => i?.complete && i.naturalWidth > 0)(document.querySelector('.facts .given img'))`)
	tab.Press("Use as input")
	tab.waitPath("/?workflow=image-to-image&image=")
	tab.Wait(givenShown)
	if got := tab.value(pictureSum); got == first || len(got) != 64 {
		t.Errorf("the form begins with %q", got)
	}
	tab.NoComplaints()
}

// The same without scripts: the form carries the file.
func TestPeopleBeginWithAPictureWithoutScripts(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{})
	path, _ := sunset(t)
	tab := Open(t, s.URL, TabOptions{NoScript: true})
	tab.Goto("/?workflow=image-to-image")
	tab.fill(prompt, "")
	tab.do("choose a file", chromedp.SetUploadFiles(pictureFile, []string{path}))
	tab.Press("Generate")
	tab.Wait(givenShown) // what was wrong was the prompt
	tab.fill(prompt, "A sunset in oil")
	tab.Press("Generate")
	tab.waitPath("/generations/")
	tab.WaitText(".progress .badge", "✅ Complete")
	tab.Wait(`(i => i?.complete && i.naturalWidth > 0)(document.querySelector('.facts .given img'))`)
	tab.NoComplaints()
}
