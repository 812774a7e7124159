package studio

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Four quarters in four colours: whatever way it is turned can be told.
var quarters = []color.NRGBA{{R: 0xf0, A: 0xff}, {G: 0xf0, A: 0xff}, {B: 0xf0, A: 0xff}, {R: 0xf0, G: 0xf0, A: 0xff}}

func quartered(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i, c := range quarters {
		at := image.Rect(i%2*w/2, i/2*h/2, w/2+i%2*w/2, h/2+i/2*h/2)
		draw.Draw(img, at, image.NewUniform(c), image.Point{}, draw.Src)
	}
	return img
}

// corners are the places of the colours in the four quarters of a picture, row by row.
func corners(img image.Image) string {
	b := img.Bounds()
	var text strings.Builder
	for i := range quarters {
		r, g, bl, _ := img.At(b.Min.X+b.Dx()/4+i%2*b.Dx()/2, b.Min.Y+b.Dy()/4+i/2*b.Dy()/2).RGBA()
		for n, c := range quarters {
			if near(r>>8, uint32(c.R)) && near(g>>8, uint32(c.G)) && near(bl>>8, uint32(c.B)) {
				text.WriteByte("abcd"[n])
			}
		}
	}
	return text.String()
}

func near(a, b uint32) bool { return max(a, b)-min(a, b) < 40 }

// exif is a block that says how a picture is turned.
func exif(order binary.AppendByteOrder, turn uint16) []byte {
	b := []byte("II*\x00")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		b = []byte("MM\x00*")
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	for _, entry := range [][2]uint16{{0x10f, 1}, {0x112, turn}} { // the maker of the camera stands before it
		b = order.AppendUint32(order.AppendUint16(order.AppendUint16(b, entry[0]), 3), 1)
		b = append(order.AppendUint16(b, entry[1]), 0, 0)
	}
	return append(b, 0, 0, 0, 0)
}

// secret stands in every place of a file that is no pixel.
const secret = "<script>GPS 52.5N"

func jpegWith(t testing.TB, img image.Image, segments ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	out := []byte{0xff, 0xd8}
	for _, s := range segments {
		out = append(binary.BigEndian.AppendUint16(append(out, 0xff, s[0]), uint16(len(s)+1)), s[1:]...)
	}
	return append(append(out, b.Bytes()[2:]...), secret...)
}

func pngWith(t testing.TB, img image.Image, name string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	const head = 8 + 25 // signature and IHDR
	chunk := append([]byte(name), data...)
	out := binary.BigEndian.AppendUint32(bytes.Clone(b.Bytes()[:head]), uint32(len(data)))
	out = binary.BigEndian.AppendUint32(append(out, chunk...), crc32.ChecksumIEEE(chunk))
	return append(append(out, b.Bytes()[head:]...), secret...)
}

// plainOf runs plain over a file in memory.
func plainOf(t testing.TB, data []byte) (picture, []byte, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "given")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var out bytes.Buffer
	p, err := plain(t.Context(), file, &out, make(chan struct{}, 1))
	return p, out.Bytes(), err
}

// What is kept of a picture: its pixels, upright, and nothing that stood beside them.
func TestPlainPictures(t *testing.T) {
	t.Parallel()
	img := quartered(64, 32)
	app1 := func(block []byte) []byte { return append([]byte{0xe1}, append([]byte("Exif\x00\x00"), block...)...) }
	text := []byte("Comment\x00" + secret)
	var frames gif.GIF
	for i := range 3 {
		frame := image.NewPaletted(image.Rect(16*i, 0, 64, 32), color.Palette{quarters[i], color.White})
		frames.Image, frames.Delay = append(frames.Image, frame), append(frames.Delay, 5)
	}
	var moving bytes.Buffer
	if err := gif.EncodeAll(&moving, &frames); err != nil {
		t.Fatal(err)
	}
	webp, err := base64.StdEncoding.DecodeString("UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoBAAEAAQAcJaQAA3AA/v3AgAA=")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, mime, corners string
		w, h                int
		data                []byte
	}{
		{"jpeg", "image/jpeg", "abcd", 64, 32, jpegWith(t, img, append([]byte{0xfe}, secret...), append([]byte{0xe2}, secret...), app1(exif(binary.LittleEndian, 1)))},
		{"jpeg mirrored", "image/jpeg", "badc", 64, 32, jpegWith(t, img, app1(exif(binary.LittleEndian, 2)))},
		{"jpeg on its head", "image/jpeg", "dcba", 64, 32, jpegWith(t, img, app1(exif(binary.BigEndian, 3)))},
		{"jpeg upside down", "image/jpeg", "cdab", 64, 32, jpegWith(t, img, app1(exif(binary.LittleEndian, 4)))},
		{"jpeg transposed", "image/jpeg", "acbd", 32, 64, jpegWith(t, img, app1(exif(binary.LittleEndian, 5)))},
		{"jpeg of a phone held upright", "image/jpeg", "cadb", 32, 64, jpegWith(t, img, app1(exif(binary.BigEndian, 6)))},
		{"jpeg transversed", "image/jpeg", "dbca", 32, 64, jpegWith(t, img, app1(exif(binary.LittleEndian, 7)))},
		{"jpeg on its other side", "image/jpeg", "bdac", 32, 64, jpegWith(t, img, app1(exif(binary.LittleEndian, 8)))},
		{"jpeg turned by what is no number", "image/jpeg", "abcd", 64, 32, jpegWith(t, img, app1(exif(binary.LittleEndian, 9)))},
		{"jpeg with half an Exif", "image/jpeg", "abcd", 64, 32, jpegWith(t, img, app1(exif(binary.LittleEndian, 6)[:20]))},
		{"png", "image/png", "abcd", 64, 32, pngWith(t, img, "tEXt", text)},
		{"png turned", "image/png", "cadb", 32, 64, pngWith(t, img, "eXIf", exif(binary.BigEndian, 6))},
		{"gif that moves", "image/png", "aaaa", 64, 32, append(moving.Bytes(), secret...)},
		{"webp", "image/png", "", 1, 1, append(webp, secret...)},
	} {
		p, out, err := plainOf(t, test.data)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		kept, format, err := image.Decode(bytes.NewReader(out))
		if err != nil || "image/"+format != test.mime || p.MIME != test.mime {
			t.Errorf("%s: %s, %s, %v", test.name, p.MIME, format, err)
			continue
		}
		if b := kept.Bounds(); p.Width != test.w || p.Height != test.h || b.Dx() != test.w || b.Dy() != test.h {
			t.Errorf("%s: %d x %d, and %v in the file", test.name, p.Width, p.Height, b)
		}
		if got := corners(kept); test.corners != "" && got != test.corners {
			t.Errorf("%s: corners %s, want %s", test.name, got, test.corners)
		}
		for _, left := range []string{"script", "GPS", "Exif", "eXIf", "tEXt"} {
			if bytes.Contains(out, []byte(left)) {
				t.Errorf("%s: %q is still in it", test.name, left)
			}
		}
		if _, again, err := plainOf(t, out); err != nil || !bytes.Equal(again, out) {
			t.Errorf("%s: kept again it is another file (%v)", test.name, err)
		}
	}
}

// What cannot be used is refused in words that say what to do.
func TestUnusableUploads(t *testing.T) {
	t.Parallel()
	whole := jpegWith(t, quartered(64, 64))
	moving := append([]byte("RIFF\x40\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00"), make([]byte, 40)...)
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "empty"},
		{"text", []byte("no picture at all"), "PNG, JPEG, WebP and GIF are"},
		{"html named .png", []byte("<!DOCTYPE html><script>"), "PNG, JPEG, WebP and GIF are"},
		{"svg", []byte(`<?xml version="1.0"?><svg onload="x()">`), "SVG"},
		{"tiff", []byte("II*\x00\x08\x00\x00\x00"), "TIFF"},
		{"heic", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"), "HEIC"},
		{"animated webp", moving, "animated WebP"},
		{"a jpeg cut short", whole[:len(whole)/2], "cut short or damaged"},
		{"a png that claims 4 gigapixels", bomb(65535, 65535), "64 million"},
		{"a png without pixels", bomb(64, 64), "cut short or damaged"},
	} {
		_, _, err := plainOf(t, test.data)
		if err == nil {
			t.Errorf("%s was taken", test.name)
			continue
		}
		if words := unusable(err, bytes.NewReader(test.data)); !strings.Contains(words, test.want) {
			t.Errorf("%s: %q (%v)", test.name, words, err)
		}
	}
	if words := unusable(errors.New("disk on fire"), nil); words != "" {
		t.Errorf("another error is %q", words)
	}
}

// Whatever is given, what is kept can be decoded and holds nothing but a picture.
func FuzzPlain(f *testing.F) {
	img := quartered(8, 8)
	f.Add(jpegWith(f, img, append([]byte{0xe1}, append([]byte("Exif\x00\x00"), exif(binary.BigEndian, 6)...)...)))
	f.Add(pngWith(f, img, "eXIf", exif(binary.LittleEndian, 8)))
	f.Add([]byte("RIFF\x04\x00\x00\x00WEBP"))
	f.Add([]byte("GIF89a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if config, _, err := image.DecodeConfig(bytes.NewReader(data)); err == nil && config.Width*config.Height > 1<<20 {
			return // they take their time, and have a test of their own
		}
		p, out, err := plainOf(t, data)
		if err != nil {
			return
		}
		kept, _, err := image.DecodeConfig(bytes.NewReader(out))
		if err != nil || kept.Width != p.Width || kept.Height != p.Height {
			t.Errorf("%d x %d is kept as %d x %d, %v", p.Width, p.Height, kept.Width, kept.Height, err)
		}
		if mime, ok := sniff(out); !ok || mime != p.MIME {
			t.Errorf("%s is kept as %s", p.MIME, mime)
		}
	})
}
