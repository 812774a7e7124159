package studio

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"
	"time"
)

func draft(w, h int, c color.Color) *image.Paletted {
	img := image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{c, color.White})
	return img
}

func encoded(t *testing.T, format string, img *image.Paletted) []byte {
	t.Helper()
	var b bytes.Buffer
	var err error
	switch format {
	case "png":
		err = png.Encode(&b, img)
	case "jpeg":
		err = jpeg.Encode(&b, img, nil)
	case "gif":
		err = gif.Encode(&b, img, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bomb is a PNG header that claims a size, with nothing behind it.
func bomb(w, h uint32) []byte {
	data := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("IHDR"), w), h)
	data = append(data, 8, 6, 0, 0, 0)
	b := append([]byte("\x89PNG\r\n\x1a\n"), 0, 0, 0, 13)
	b = append(b, data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(data))
}

func TestExamine(t *testing.T) {
	t.Parallel()
	slots := make(chan struct{}, decoders)
	red := color.RGBA{R: 0xc8, G: 0x10, B: 0x20, A: 0xff}
	for _, test := range []struct {
		name, format, mime string
		w, h, tw, th       int
	}{
		{"small png", "png", "image/png", 40, 30, 40, 30},
		{"wide png", "png", "image/png", 2048, 512, 512, 128},
		{"thin png", "png", "image/png", 1, 1500, 1, 512},
		{"gif", "gif", "image/gif", 600, 600, 512, 512},
		{"jpeg", "jpeg", "image/jpeg", 1024, 768, 512, 384},
	} {
		p, err := examine(t.Context(), bytes.NewReader(encoded(t, test.format, draft(test.w, test.h, red))), slots)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		small, err := jpeg.DecodeConfig(bytes.NewReader(p.Thumbnail))
		if err != nil || small.Width != test.tw || small.Height != test.th {
			t.Errorf("%s: thumbnail %d x %d, %v", test.name, small.Width, small.Height, err)
		}
		if p.MIME != test.mime || p.Width != test.w || p.Height != test.h || p.Color[:2] != "#c" {
			t.Errorf("%s: %+v", test.name, picture{MIME: p.MIME, Width: p.Width, Height: p.Height, Color: p.Color})
		}
	}
	whole := encoded(t, "png", draft(64, 64, red))
	for _, test := range []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, errNotPicture},
		{"text", []byte("not a picture at all"), errNotPicture},
		{"svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="x"/>`), errNotPicture},
		{"html before a png", append([]byte("<html>"), whole...), errNotPicture},
		{"tiff", []byte("II*\x00aaaaaaaaaaaa"), errNotPicture},
		{"only a signature", whole[:8], errBadPicture},
		{"cut", whole[:len(whole)-20], errBadPicture},
		{"65535 x 65535 pixels", bomb(65535, 65535), errLargePicture},
		{"2^31 pixels wide", bomb(1<<31-1, 1), errLargePicture},
		{"webp with nothing in it", []byte("RIFF\x04\x00\x00\x00WEBP"), errBadPicture},
	} {
		if _, err := examine(t.Context(), bytes.NewReader(test.data), slots); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	if len(slots) != 0 {
		t.Errorf("%d decoders are still taken", len(slots))
	}
}

// A progressive JPEG of 49 megapixels whose every scan of some bytes goes over all of them: hours of
// work in a file of a few megabytes. The time for one picture ends it, or this test does not end.
func TestExamineEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := examine(ctx, bytes.NewReader(manyScans(7000, 7000, 100_000)), make(chan struct{}, 1))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("examine() = %v", err)
	}
}

// manyScans is a grey progressive JPEG in which each scan refines the same coefficient with nothing
// but runs of blocks that have ended.
func manyScans(w, h uint16, scans int) []byte {
	var b bytes.Buffer
	segment := func(marker byte, data []byte) {
		b.Write([]byte{0xff, marker})
		b.Write(binary.BigEndian.AppendUint16(nil, uint16(len(data)+2)))
		b.Write(data)
	}
	b.Write([]byte{0xff, 0xd8})
	segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...))
	size := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{8}, h), w)
	segment(0xc2, append(size, 1, 1, 0x11, 0))
	// One code of one bit: a run of 2^14 and more blocks, its 14 further bits all ones.
	segment(0xc4, append(append([]byte{0x10, 1}, make([]byte, 15)...), 0xe0))
	blocks := (int(w) + 7) / 8 * ((int(h) + 7) / 8)
	runs := blocks/(1<<15-1) + 1
	var bits bytes.Buffer
	acc, n := uint32(0), 0
	for range runs {
		acc, n = acc<<15|0x3fff, n+15
		for n >= 8 {
			c := byte(acc >> (n - 8))
			bits.WriteByte(c)
			if c == 0xff {
				bits.WriteByte(0)
			}
			n -= 8
		}
	}
	bits.WriteByte(byte(acc<<(8-n)) | 0xff>>n)
	bits.WriteByte(0)
	for range scans {
		segment(0xda, []byte{1, 1, 0x00, 1, 1, 0x00})
		b.Write(bits.Bytes())
	}
	b.Write([]byte{0xff, 0xd9})
	return b.Bytes()
}
