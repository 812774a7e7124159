package studio_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"image/jpeg"
	"image/png"
	"testing"

	"easel/comfy"
	"easel/studio"
)

// From a prompt to a stored picture: what is shown, what is stored, and that both are the same.
func TestWholeLife(t *testing.T) {
	t.Parallel()
	w := open(t)
	g := w.create(request("a heron at dawn"))
	if g.Status != studio.Pending || len(g.Images) != 1 || g.Rev != 1 {
		t.Fatalf("Create() = %+v", g)
	}
	state := w.awaitStatus(g.ID, studio.Complete)
	got := state.Generation
	if p := state.Progress; p.Phase != comfy.PhaseComplete || p.Percentage != 100 || p.Overall != 100 || p.CurrentStep != 4 || p.TotalSteps != 4 {
		t.Errorf("progress of a complete generation = %+v", p)
	}
	if len(got.Images) != 1 || len(got.Images[0].Outputs) != 1 {
		t.Fatalf("images = %+v", got.Images)
	}
	image := got.Images[0]
	if image.Seed != got.Settings["seed"] || image.PromptID == "" || image.Server != "easel-1" || image.AttemptState != "succeeded" {
		t.Errorf("image = %+v, seed setting %v", image, got.Settings["seed"])
	}
	data, file := w.content(g.ID, 1, 0, false)
	sum := sha256.Sum256(data)
	if hex.EncodeToString(sum[:]) != image.Outputs[0].SHA256 || file.MIME != "image/png" || file.Size != int64(len(data)) {
		t.Errorf("file = %+v, of %d bytes", file, len(data))
	}
	if decoded, err := png.Decode(bytes.NewReader(data)); err != nil || decoded.Bounds().Dx() != 64 {
		t.Errorf("stored picture: %v", err)
	}
	small, _ := w.content(g.ID, 1, 0, true)
	if _, err := jpeg.Decode(bytes.NewReader(small)); err != nil {
		t.Errorf("thumbnail: %v", err)
	}
	stored := w.stored(g.ID)
	if stored.Rev != got.Rev || stored.Status != got.Status || stored.Images[0].Outputs[0] != image.Outputs[0] {
		t.Errorf("memory and database differ:\n%+v\n%+v", got, stored)
	}
	attempts, err := w.studio.Attempts(t.Context(), g.ID)
	if err != nil || len(attempts) != 1 {
		t.Fatalf("Attempts() = %d, %v", len(attempts), err)
	}
	a := attempts[0]
	if a.SubmittedAt == nil || a.RunningAt == nil || a.FinalizingAt == nil || a.FinishedAt == nil || len(a.Graph) == 0 {
		t.Errorf("times of an attempt = %+v", a)
	}
	id, index, err := w.studio.Resolve(t.Context(), image.PromptID)
	if err != nil || id != g.ID || index != 1 {
		t.Errorf("Resolve() = %s, %d, %v", id, index, err)
	}
}
