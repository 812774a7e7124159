package studio_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"strings"
	"testing"

	"github.com/google/uuid"

	"easel/comfy/simulator"
	"easel/comfy/workflow"
	"easel/studio"
)

// painted is a PNG of one colour.
func painted(t *testing.T, w, h int, c color.Color) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{c})); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// upload gives a picture.
func (w *workshop) upload(data []byte) studio.Upload {
	w.t.Helper()
	u, err := w.studio.Upload(w.t.Context(), studio.LocalUser, bytes.NewReader(data))
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

// changing asks for a picture made from an upload.
func changing(sum string) studio.Request {
	r := request("changed")
	r.Workflow = workflow.ImageToImage
	r.Settings["image"] = json.RawMessage(`"` + sum + `"`)
	return r
}

// A picture that is given reaches the server once, whatever is made of it, and again when the server has lost it.
func TestGenerationsBeginWithUploads(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.awaitServer(studio.ServerUp)
	blue := painted(t, 96, 48, color.RGBA{B: 0xff, A: 0xff})
	given := w.upload(blue)
	if again := w.upload(blue); again.SHA256 != given.SHA256 || given.Width != 96 || given.Height != 48 || given.MIME != "image/png" {
		t.Errorf("upload = %+v, again %+v", given, again)
	}
	sent := func() int { return w.comfy.Ledger().Requests()["POST /upload/image"] }

	first := w.awaitStatus(w.create(changing(given.SHA256)).ID, studio.Complete)
	data, _ := w.content(first.Generation.ID, 1, 0, false)
	if picture, err := png.Decode(bytes.NewReader(data)); err != nil || picture.Bounds().Dx() != 64 {
		t.Errorf("the picture that was made: %v", err)
	}
	r := changing(given.SHA256)
	r.TotalImages = 3
	w.awaitStatus(w.create(r).ID, studio.Complete)
	if n := sent(); n != 1 {
		t.Errorf("the picture was sent %d times, want once", n)
	}
	w.comfy.Faults().ClearInputs()
	lost := w.awaitStatus(w.create(changing(given.SHA256)).ID, studio.Complete)
	if n := sent(); n != 2 {
		t.Errorf("after the server lost it, the picture was sent %d times, want twice", n)
	}
	if attempts := lost.Generation.Images[0].Attempts; attempts != 2 {
		t.Errorf("%d attempts, want 2", attempts)
	}
	w.once()

	// An output becomes an input, and a retry begins with the same.
	output, err := w.studio.UploadOutput(t.Context(), studio.LocalUser, first.Generation.ID, 1, 0)
	if err != nil || output.SHA256 == given.SHA256 {
		t.Fatalf("UploadOutput() = %+v, %v", output, err)
	}
	of := w.awaitStatus(w.create(changing(output.SHA256)).ID, studio.Complete)
	retried, err := w.studio.Retry(t.Context(), of.Generation.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := w.awaitStatus(retried.ID, studio.Complete).Generation.Settings.Text("image"); again != output.SHA256 {
		t.Errorf("the retry begins with %s", again)
	}
}

// What nothing was made of goes after a day, with its files; what a generation begins with stays as long as it does.
func TestUploadsAreForgotten(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.awaitServer(studio.ServerUp)
	used, unused := w.upload(painted(t, 64, 64, color.White)), w.upload(painted(t, 64, 64, color.Black))
	g := w.awaitStatus(w.create(changing(used.SHA256)).ID, studio.Complete).Generation
	fresh := w.upload(painted(t, 64, 32, color.Black))
	there := func(u studio.Upload) bool {
		t.Helper()
		var kept []byte
		for _, thumbnail := range []bool{false, true} {
			file, err := w.studio.UploadFile(t.Context(), u.SHA256, thumbnail)
			if errors.Is(err, studio.ErrNoUpload) {
				_, err := w.blobs.Stat(t.Context(), u.SHA256)
				return err == nil
			}
			if err != nil {
				t.Fatal(err)
			}
			kept, err = io.ReadAll(file.Body)
			_ = file.Body.Close()
			if err != nil || len(kept) == 0 {
				t.Fatalf("%d bytes, %v", len(kept), err)
			}
		}
		return true
	}
	age := func(except studio.Upload) {
		w.exec("UPDATE uploads SET wanted_at = now() - interval '25 hours' WHERE sha256 <> '" + except.SHA256 + "'")
		w.chore("deliveries")
	}
	age(fresh)
	w.eventually("the unused one is forgotten", func() bool { return !there(unused) })
	if !there(used) || !there(fresh) {
		t.Error("one that is used, or was just given, is gone")
	}
	if err := w.studio.Delete(t.Context(), g.ID); err != nil {
		t.Fatal(err)
	}
	age(fresh)
	w.eventually("the used one is forgotten with its generation", func() bool { return !there(used) })
}

// What cannot be begun with is said before anything is stored.
func TestUploadsRefused(t *testing.T) {
	t.Parallel()
	w := open(t, func(w *workshop, _ *simulator.Config) { w.unserved = true })
	for _, sum := range []string{strings.Repeat("0", 64), "nonsense"} {
		_, _, err := w.studio.Create(t.Context(), changing(sum))
		invalid, ok := errors.AsType[*studio.InvalidError](err)
		if !ok || len(invalid.Fields) != 1 || invalid.Fields[0].Field != "settings.image" {
			t.Errorf("beginning with %s: %v", sum, err)
		}
	}
	r := changing("")
	delete(r.Settings, "image")
	if _, _, err := w.studio.Create(t.Context(), r); err == nil || !strings.Contains(err.Error(), "settings.image") {
		t.Errorf("beginning with nothing: %v", err)
	}
	given := w.upload(painted(t, 64, 64, color.White))
	r = changing(given.SHA256)
	r.UserID = uuid.New()
	if _, _, err := w.studio.Create(t.Context(), r); err == nil || !strings.Contains(err.Error(), "settings.image") {
		t.Errorf("beginning with another user's: %v", err)
	}
	huge := io.MultiReader(bytes.NewReader(painted(t, 64, 64, color.White)), io.LimitReader(zeros{}, studio.MaxUploadBytes))
	if _, err := w.studio.Upload(t.Context(), studio.LocalUser, huge); !errors.Is(err, studio.ErrUploadTooLarge) {
		t.Errorf("more than can be taken: %v", err)
	}
	w.exec(fmt.Sprintf("UPDATE uploads SET size = %d", int64(4)<<30))
	_, err := w.studio.Upload(t.Context(), studio.LocalUser, bytes.NewReader(painted(t, 32, 32, color.White)))
	if invalid, ok := errors.AsType[*studio.InvalidError](err); !ok || invalid.Fields[0].Field != "file" {
		t.Errorf("beyond what one user may leave unused: %v", err)
	}
	w.upload(painted(t, 64, 64, color.White)) // which is there already
	if n := w.count("SELECT count(*) FROM generations"); n != 0 {
		t.Errorf("%d generations were stored", n)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
