package studio

import (
	"bytes"
	"encoding/binary"
	"image"
	"testing"

	"easel/comfy/simulator/paint"
)

// A film that is an animated WebP has its first picture's size, colour and thumbnail; the ways in which one
// can be broken end in words.
func TestExamineFilm(t *testing.T) {
	t.Parallel()
	slots := make(chan struct{}, 1)
	film := paint.AnimatedWebP([]*image.RGBA{paint.Flat(40, 30, 0xc8, 0x10, 0x20), paint.Flat(40, 30, 0, 0, 0xff)}, 100)
	p, err := examine(t.Context(), bytes.NewReader(film), slots)
	if err != nil {
		t.Fatal(err)
	}
	if p.MIME != "image/webp" || p.Width != 40 || p.Height != 30 || p.Color != "#c81020" {
		t.Errorf("examine() = %s, %d x %d, %s", p.MIME, p.Width, p.Height, p.Color)
	}
	small, _, err := image.Decode(bytes.NewReader(p.Thumbnail))
	if err != nil {
		t.Fatal(err)
	}
	if r, _, b, _ := small.At(20, 15).RGBA(); r < b {
		t.Errorf("the thumbnail is %v, want the first frame's red", small.At(20, 15))
	}

	// A still in the same container is left to the decoder.
	frames := bytes.Index(film, []byte("VP8L"))
	length := int(binary.LittleEndian.Uint32(film[frames+4:]))
	single := append([]byte("RIFF\x00\x00\x00\x00WEBP"), film[frames:frames+8+length+length%2]...)
	binary.LittleEndian.PutUint32(single[4:], uint32(len(single)-8))
	if p, err = examine(t.Context(), bytes.NewReader(single), slots); err != nil || p.Color != "#c81020" {
		t.Errorf("a still: %+v, %v", p, err)
	}

	for at := range film[:frames+64] {
		if _, err := examine(t.Context(), bytes.NewReader(film[:at]), slots); err == nil {
			t.Errorf("the first %d bytes were taken for a picture", at)
		}
		broken := bytes.Clone(film)
		broken[at] ^= 0xff
		_, _ = examine(t.Context(), bytes.NewReader(broken), slots) // no panic, whatever the byte means
	}
	huge := bytes.Clone(film)
	binary.LittleEndian.PutUint32(huge[frames+9:], 0x3fff|0x3fff<<14) // 16,384 x 16,384 pixels
	if _, err := examine(t.Context(), bytes.NewReader(huge), slots); err == nil {
		t.Error("a frame of 268 megapixels was taken")
	}
}
