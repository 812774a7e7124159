package paint

import (
	"encoding/binary"
	"image"
	"math/bits"
)

// AnimatedWebP writes pictures of one size as a film that goes on for ever, each picture for so
// many milliseconds. Its frames are lossless WebP in the simplest form there is, every channel in
// codes of 8 bits, so it is large and quick. Source: the WebP container and WebP lossless
// bitstream specifications.
func AnimatedWebP(pictures []*image.RGBA, milliseconds int) []byte {
	size := image.Point{X: 1, Y: 1}
	if len(pictures) > 0 {
		size = pictures[0].Bounds().Size()
	}
	header := make([]byte, 4, 10)
	header[0] = 1 << 1 // it is animated
	header = append24(append24(header, size.X-1), size.Y-1)
	body := append([]byte("WEBP"), chunk("VP8X", header)...)
	body = append(body, chunk("ANIM", make([]byte, 6))...) // no background; it repeats
	for _, p := range pictures {
		frame := append24(append24(nil, 0), 0)
		frame = append24(append24(frame, size.X-1), size.Y-1)
		frame = append(append24(frame, milliseconds), 1<<1) // each replaces the one before
		body = append(body, chunk("ANMF", append(frame, chunk("VP8L", lossless(p))...))...)
	}
	return chunk("RIFF", body)
}

func append24(b []byte, n int) []byte { return append(b, byte(n), byte(n>>8), byte(n>>16)) }

func chunk(name string, data []byte) []byte {
	c := binary.LittleEndian.AppendUint32([]byte(name), uint32(len(data)))
	c = append(c, data...)
	if len(data)%2 == 1 {
		c = append(c, 0)
	}
	return c
}

// lossless is the bitstream of a VP8L chunk, without transforms and without an alpha channel.
func lossless(p *image.RGBA) []byte {
	size := p.Bounds().Size()
	w := bitWriter{bytes: []byte{0x2f}}
	w.write(uint32(size.X-1), 14)
	w.write(uint32(size.Y-1), 14)
	w.write(0, 1+3)   // no alpha, version 0
	w.write(0, 1+1+1) // no transform, no cache of colours, one set of codes for all
	for range 3 {     // green, red, blue
		w.flatCode()
	}
	w.write(0b101, 3) // alpha: a simple code, of one symbol, in 8 bits:
	w.write(255, 8)
	w.write(0b0001, 4) // distances, which do not occur: a simple code, of one symbol, in 1 bit: 0
	for y := range size.Y {
		row := p.Pix[y*p.Stride:][:size.X*4]
		for x := 0; x < len(row); x += 4 {
			for _, channel := range []byte{row[x+1], row[x], row[x+2]} {
				w.write(uint32(bits.Reverse8(channel)), 8) // codes go out from their top
			}
		}
	}
	return w.finished()
}

// flatCode describes a code in which each of the values 0 to 255 has 8 bits.
func (w *bitWriter) flatCode() {
	w.write(0, 1)    // no simple code: one length a symbol, in a code of their own
	w.write(12-4, 4) // which itself is described by 12 lengths, in this order:
	for _, symbol := range []int{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8} {
		if symbol == 8 {
			w.write(1, 3) // the only one: it takes no bits at all
		} else {
			w.write(0, 3)
		}
	}
	w.write(1, 1) // fewer symbols than there could be:
	w.write(3, 3) // in 8 bits,
	w.write(256-2, 8)
}

// bitWriter fills bytes from their lowest bit.
type bitWriter struct {
	bytes []byte
	held  uint64
	count int
}

func (w *bitWriter) write(value uint32, count int) {
	w.held |= uint64(value) << w.count
	w.count += count
	for w.count >= 8 {
		w.bytes = append(w.bytes, byte(w.held))
		w.held >>= 8
		w.count -= 8
	}
}

func (w *bitWriter) finished() []byte {
	if w.count > 0 {
		w.bytes = append(w.bytes, byte(w.held))
	}
	return w.bytes
}
