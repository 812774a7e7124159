package paint

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everyMotif names a text for each motif.
var everyMotif = []string{
	"sunset over the mountains", "a quiet lake", "ocean waves", "forest in the morning mist", "desert dunes",
	"a garden of flowers", "neon city at night", "a nebula in space", "a photo of a cat", "northern lights over a fjord",
}

func TestPaintIsDeterministic(t *testing.T) {
	for _, text := range everyMotif {
		scene := Scene{Text: text, Seed: 18446744073709551615, Guidance: 7}
		first := Paint(scene, 96, 64)
		if got := first.Bounds().Size(); got != image.Pt(96, 64) {
			t.Fatalf("%q: size %v, want 96 x 64", text, got)
		}
		if !bytes.Equal(first.Pix, Paint(scene, 96, 64).Pix) {
			t.Errorf("%q: painted twice, two pictures", text)
		}
		for name, other := range map[string]Scene{
			"seed":   {Text: text, Seed: 2, Guidance: 7},
			"index":  {Text: text, Seed: scene.Seed, Index: 1, Guidance: 7},
			"accent": {Text: text + " please", Seed: scene.Seed, Guidance: 7},
		} {
			if distance(first, Paint(other, 96, 64)) < 2 {
				t.Errorf("%q: another %s gives the same picture", text, name)
			}
		}
	}
}

// A picture has light and dark, colour, and no holes.
func TestPicturesAreNotFlat(t *testing.T) {
	for _, text := range everyMotif {
		for seed := range uint64(3) {
			p := Paint(Scene{Text: text, Seed: seed}, 96, 96)
			lightest, darkest := 0, 255
			for i := 0; i < len(p.Pix); i += 4 {
				luma := (int(p.Pix[i])*30 + int(p.Pix[i+1])*59 + int(p.Pix[i+2])*11) / 100
				lightest, darkest = max(lightest, luma), min(darkest, luma)
				if p.Pix[i+3] != 255 {
					t.Fatalf("%q: a transparent pixel", text)
				}
			}
			if lightest-darkest < 70 {
				t.Errorf("%q, seed %d: luma from %d to %d, want a wider range", text, seed, darkest, lightest)
			}
		}
	}
}

func TestWordsChooseTheMood(t *testing.T) {
	average := func(text, avoid string) (r, g, b float64) {
		const seeds = 4
		for seed := range uint64(seeds) {
			p := Paint(Scene{Text: text, Avoid: avoid, Seed: seed}, 48, 48)
			for i := 0; i < len(p.Pix); i += 4 {
				r, g, b = r+float64(p.Pix[i]), g+float64(p.Pix[i+1]), b+float64(p.Pix[i+2])
			}
		}
		return r / (seeds * 48 * 48), g / (seeds * 48 * 48), b / (seeds * 48 * 48)
	}
	dayR, dayG, dayB := average("mountains by day", "")
	nightR, nightG, nightB := average("mountains at night", "")
	if nightR+nightG+nightB > (dayR+dayG+dayB)/2 {
		t.Errorf("night %.0f is not darker than half of day %.0f", nightR+nightG+nightB, dayR+dayG+dayB)
	}
	if r, _, b := average("sunset", ""); r <= b {
		t.Errorf("a sunset with red %.0f, blue %.0f", r, b)
	}
	if r, _, b := average("ocean", ""); b <= r {
		t.Errorf("an ocean with red %.0f, blue %.0f", r, b)
	}
	if r, _, _ := average("ocean sunset", "sunset"); r >= 150 {
		t.Errorf("a sunset to be avoided came: red %.0f", r)
	}
}

// A larger picture shows the same as a smaller one.
func TestSizeDoesNotChangeThePicture(t *testing.T) {
	for _, text := range []string{"sunset over the mountains", "a quiet lake", "a photo of a cat"} {
		scene := Scene{Text: text, Seed: 5}
		small, large := Paint(scene, 64, 64), Scaled(Paint(scene, 192, 192), 64, 64)
		if d := distance(small, large); d > 16 {
			t.Errorf("%q: 64 and 192 pixels differ by %.1f of 255", text, d)
		}
	}
}

func TestPreviewEmerges(t *testing.T) {
	final := Paint(Scene{Text: "sunset over the mountains", Seed: 5}, 96, 64)
	e := NewEmerging(final, 192, 128, 5)
	last := 256.0
	for _, fraction := range []float64{0.1, 0.4, 0.7, 1} {
		preview := e.JPEG(fraction)
		if preview.MIME != "image/jpeg" {
			t.Fatalf("MIME = %q", preview.MIME)
		}
		decoded, err := jpeg.Decode(bytes.NewReader(preview.Bytes))
		if err != nil {
			t.Fatal(err)
		}
		if got := decoded.Bounds().Size(); got != image.Pt(192, 128) {
			t.Fatalf("size %v, want 192 x 128", got)
		}
		d := distance(Scaled(RGBA(decoded), 96, 64), final)
		if d >= last {
			t.Errorf("at %.1f the preview is %.1f away from the picture, before it was %.1f", fraction, d, last)
		}
		last = d
	}
	if last > 8 {
		t.Errorf("the last preview is %.1f away from the picture", last)
	}
}

func TestPNGCarriesTexts(t *testing.T) {
	data, err := PNG(Flat(8, 4, 1, 2, 3), []Text{{"prompt", `{"3": {}}`}, {"workflow", "{}"}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := png.Decode(bytes.NewReader(data)) // checks the chunks' sums
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Bounds().Size(); got != image.Pt(8, 4) {
		t.Errorf("size %v, want 8 x 4", got)
	}
	for _, want := range []string{"tEXtprompt\x00{\"3\": {}}", "tEXtworkflow\x00{}"} {
		if !bytes.Contains(data, []byte(want)) {
			t.Errorf("no chunk %q", want)
		}
	}
}

// distance is the mean difference of two pictures' bytes.
func distance(a, b *image.RGBA) float64 {
	sum := 0
	for i := range a.Pix {
		sum += max(int(a.Pix[i])-int(b.Pix[i]), int(b.Pix[i])-int(a.Pix[i]))
	}
	return float64(sum) / float64(len(a.Pix))
}

func BenchmarkPaint(b *testing.B) {
	for _, text := range everyMotif {
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				Paint(Scene{Text: text, Seed: 7}, 512, 512)
			}
		})
	}
}
