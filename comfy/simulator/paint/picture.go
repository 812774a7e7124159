package paint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/draw"
	"image/png"

	xdraw "golang.org/x/image/draw"
)

// Encoded is an encoded picture.
type Encoded struct {
	MIME  string // image/jpeg or image/png
	Bytes []byte
}

// Text is one tEXt chunk of a PNG; both parts are ASCII.
type Text struct{ Key, Value string }

// Flat returns a picture of one colour.
func Flat(width, height int, r, g, b byte) *image.RGBA {
	p := image.NewRGBA(image.Rect(0, 0, width, height))
	for at := 0; at < len(p.Pix); at += 4 {
		p.Pix[at], p.Pix[at+1], p.Pix[at+2], p.Pix[at+3] = r, g, b, 255
	}
	return p
}

// RGBA returns a copy of any picture in this package's form, its corner at the origin.
func RGBA(p image.Image) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, p.Bounds().Dx(), p.Bounds().Dy()))
	draw.Draw(out, out.Rect, p, p.Bounds().Min, draw.Src)
	return out
}

// Scaled returns p in another size, smoothly.
func Scaled(p *image.RGBA, width, height int) *image.RGBA {
	if p.Bounds().Dx() == width && p.Bounds().Dy() == height {
		return p
	}
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	xdraw.ApproxBiLinear.Scale(out, out.Rect, p, p.Bounds(), draw.Src, nil)
	return out
}

// Mix returns a with b laid over it: strength 0 is a, 1 is b. Both have the same size.
func Mix(a, b *image.RGBA, strength float64) *image.RGBA {
	out := image.NewRGBA(a.Rect)
	w := int(strength * 256)
	for i := range out.Pix {
		out.Pix[i] = byte((int(a.Pix[i])*(256-w) + int(b.Pix[i])*w) >> 8)
	}
	return out
}

// PNG encodes p with texts as tEXt chunks after the header, where ComfyUI puts them.
func PNG(p *image.RGBA, texts []Text) ([]byte, error) {
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(&out, p); err != nil {
		return nil, fmt.Errorf("encode PNG: %w", err)
	}
	const header = 8 + 8 + 13 + 4 // signature, IHDR's length and type, its data, its sum
	data := out.Bytes()
	var chunks []byte
	for _, t := range texts {
		body := append(append([]byte("tEXt"+t.Key), 0), t.Value...)
		chunks = binary.BigEndian.AppendUint32(chunks, uint32(len(body)-4))
		chunks = append(chunks, body...)
		chunks = binary.BigEndian.AppendUint32(chunks, crc32.ChecksumIEEE(body))
	}
	return append(append(append([]byte{}, data[:header]...), chunks...), data[header:]...), nil
}
