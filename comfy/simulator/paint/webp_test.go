package paint

import (
	"bytes"
	"encoding/binary"
	"image"
	"testing"

	"golang.org/x/image/webp"
)

// Each frame is a picture that a decoder of others reads as it was.
func TestAnimatedWebP(t *testing.T) {
	var frames []*image.RGBA
	for i := range 3 {
		frames = append(frames, Paint(Scene{Text: "a boat", Index: i}, 37, 21))
	}
	film := AnimatedWebP(frames, 100)
	if !bytes.HasPrefix(film, []byte("RIFF")) || int(binary.LittleEndian.Uint32(film[4:]))+8 != len(film) {
		t.Fatalf("the file begins with %q and has %d bytes", film[:16], len(film))
	}
	found := 0
	for rest := film[12:]; len(rest) >= 8; {
		size := int(binary.LittleEndian.Uint32(rest[4:]))
		if string(rest[:4]) == "ANMF" {
			const header = 16
			still := append([]byte("WEBP"), rest[8+header:8+size]...)
			got, err := webp.Decode(bytes.NewReader(chunk("RIFF", still)))
			if err != nil {
				t.Fatal(err)
			}
			if pixels := RGBA(got).Pix; !bytes.Equal(pixels, frames[found].Pix) {
				t.Errorf("frame %d came back with other pixels", found)
			}
			found++
		}
		rest = rest[8+size+size%2:]
	}
	if found != len(frames) {
		t.Errorf("%d frames, want %d", found, len(frames))
	}
}
