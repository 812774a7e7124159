package studio

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"os"
)

// turnedQuality is that of a JPEG which had to be turned, and so encoded again.
const turnedQuality = 95

// plain writes the picture in r to w as uploads are kept: its pixels, upright, and nothing else. No metadata is in it, nor
// is anything that stood behind the picture. A PNG or JPEG that stands upright already keeps its pixels as they were
// compressed; all else becomes a PNG, of an animation the first frame. The same picture gives the same bytes.
func plain(ctx context.Context, r *os.File, w io.Writer, slots chan struct{}) (p picture, err error) {
	err = opened(ctx, r, slots, func(mime string, decoded image.Image, width, height int) error {
		turn, err := orientation(mime, r)
		if err != nil {
			return err
		}
		switch {
		case mime == "image/png" && turn == upright:
			err = plainPNG(w, r)
		case mime == "image/jpeg" && turn == upright:
			err = plainJPEG(w, r)
		case mime == "image/jpeg":
			decoded = turned(decoded, turn)
			err = jpeg.Encode(w, decoded, &jpeg.Options{Quality: turnedQuality})
		default:
			mime = "image/png"
			decoded = turned(onCanvas(decoded, width, height), turn)
			fast := png.Encoder{CompressionLevel: png.BestSpeed} // somebody waits for it
			err = fast.Encode(w, decoded)
		}
		if err != nil {
			return fmt.Errorf("write picture: %w", err)
		}
		p, err = describe(mime, decoded, decoded.Bounds().Dx(), decoded.Bounds().Dy())
		return err
	})
	return p, err
}

// plainChunks are those of a PNG that its pixels need.
var plainChunks = map[string]bool{"IHDR": true, "PLTE": true, "tRNS": true, "IDAT": true, "IEND": true}

// plainPNG copies a PNG that was decoded without its other chunks.
func plainPNG(w io.Writer, r io.ReadSeeker) error {
	if _, err := io.WriteString(w, "\x89PNG\r\n\x1a\n"); err != nil {
		return err
	}
	return eachChunk(r, func(name string, head []byte, data io.Reader) error {
		if !plainChunks[name] {
			return nil
		}
		if _, err := w.Write(head); err != nil {
			return err
		}
		_, err := io.Copy(w, data)
		return err
	})
}

// eachChunk yields the chunks of a PNG up to its end: head is length and name, data the rest with its check sum.
func eachChunk(r io.ReadSeeker, yield func(name string, head []byte, data io.Reader) error) error {
	if _, err := r.Seek(8, io.SeekStart); err != nil {
		return err
	}
	in := bufio.NewReader(r)
	var head [8]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return cut(err)
		}
		name := string(head[4:])
		data := &io.LimitedReader{R: in, N: int64(binary.BigEndian.Uint32(head[:4])) + 4}
		if err := yield(name, head[:], data); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, data); err != nil || data.N > 0 {
			return cut(err)
		}
		if name == "IEND" {
			return nil
		}
	}
}

// cut is the error of a file that ends before its picture does, which decoders may overlook.
func cut(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut short", errBadPicture)
	}
	return err
}

// Markers of a JPEG.
const (
	markerTEM   = 0x01
	markerRST0  = 0xd0
	markerRST7  = 0xd7
	markerEOI   = 0xd9
	markerSOS   = 0xda
	markerAPP0  = 0xe0
	markerAPP1  = 0xe1
	markerAPP14 = 0xee
	markerAPP15 = 0xef
	markerCOM   = 0xfe
)

// plainJPEG copies a JPEG that was decoded without comments and what programs have put into it, but for the two segments
// that say what its colours are.
func plainJPEG(w io.Writer, r io.ReadSeeker) error {
	out := bufio.NewWriter(w)
	if err := eachSegment(r, func(marker byte, data []byte) error {
		switch {
		case marker == markerAPP0 && bytes.HasPrefix(data, []byte("JFIF\x00")) && len(data) >= 14:
			data = append(data[:12:12], 0, 0) // without its thumbnail
		case marker == markerAPP14 && bytes.HasPrefix(data, []byte("Adobe")):
		case marker >= markerAPP0 && marker <= markerAPP15, marker == markerCOM:
			return nil
		}
		_, _ = out.Write([]byte{0xff, marker}) // Flush has the error
		if !alone(marker) {
			_, _ = out.Write(binary.BigEndian.AppendUint16(nil, uint16(len(data)+2))) //nolint:gosec // it came out of one
		}
		_, _ = out.Write(data)
		return nil
	}, out); err != nil {
		return err
	}
	return out.Flush()
}

// alone: a marker that no length follows.
func alone(marker byte) bool {
	return marker == markerTEM || marker >= markerRST0 && marker <= markerEOI
}

// eachSegment yields the segments of a JPEG from its beginning to its end, and copies the data of its scans to scans.
func eachSegment(r io.ReadSeeker, yield func(marker byte, data []byte) error, scans io.ByteWriter) error {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in := bufio.NewReader(r)
	var scan io.ByteWriter // where the bytes before the next marker go; nil: they are none
	for {
		marker, err := nextMarker(in, scan)
		if err != nil {
			return cut(err)
		}
		var data []byte
		if !alone(marker) {
			if data, err = segment(in); err != nil {
				return cut(err)
			}
		}
		if err := yield(marker, data); err != nil || marker == markerEOI {
			return err
		}
		scan = nil
		if marker == markerSOS {
			scan = scans
		}
	}
}

// nextMarker goes on to the next marker. Of a scan the bytes before it are data, in which 0xff is followed by 0 or a
// restart; elsewhere they are none, and left out.
func nextMarker(in *bufio.Reader, scan io.ByteWriter) (byte, error) {
	put := func(bytes ...byte) {
		for _, b := range bytes {
			if scan != nil {
				_ = scan.WriteByte(b) // of a bufio.Writer, whose Flush has the error
			}
		}
	}
	for {
		b, err := in.ReadByte()
		if err != nil {
			return 0, err
		}
		if b != 0xff {
			put(b)
			continue
		}
		for b == 0xff { // any number of them may stand before a marker
			if b, err = in.ReadByte(); err != nil {
				return 0, err
			}
		}
		if b != 0 && (scan == nil || b < markerRST0 || b > markerRST7) {
			return b, nil
		}
		put(0xff, b)
	}
}

// segment reads what follows a marker.
func segment(in *bufio.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(length[:])
	if n < 2 {
		return nil, fmt.Errorf("%w: a segment of %d bytes", errBadPicture, n)
	}
	data := make([]byte, n-2)
	_, err := io.ReadFull(in, data)
	return data, err
}

// upright is the orientation of a picture that is shown as it is stored. The others are those of Exif, 2 to 8.
const upright = 1

// maxExif is how much of a file is looked at for its orientation: cameras write it first.
const maxExif = 64 << 10

// errFound ends a search.
var errFound = errors.New("found")

// orientation is how a picture that was decoded is to be turned, as its Exif says.
func orientation(mime string, r io.ReadSeeker) (int, error) {
	var exif []byte
	var err error
	switch mime {
	case "image/jpeg":
		err = eachSegment(r, func(marker byte, data []byte) error {
			if marker == markerSOS {
				return errFound // it stands before the pixels or nowhere
			}
			if marker == markerAPP1 && bytes.HasPrefix(data, []byte("Exif\x00\x00")) {
				exif = data
				return errFound
			}
			return nil
		}, nil)
	case "image/png":
		err = eachChunk(r, func(name string, _ []byte, data io.Reader) (err error) {
			if name != "eXIf" {
				return nil
			}
			if exif, err = io.ReadAll(io.LimitReader(data, maxExif)); err != nil {
				return err
			}
			return errFound
		})
	case "image/webp":
		exif, err = webpExif(r)
	}
	if err != nil && !errors.Is(err, errFound) {
		return 0, err
	}
	return exifOrientation(bytes.TrimPrefix(exif, []byte("Exif\x00\x00"))), nil
}

// webpExif is the Exif of a WebP; nil: it has none.
func webpExif(r io.ReadSeeker) ([]byte, error) {
	at := int64(12)
	for {
		var head [8]byte
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil, nil //nolint:nilerr // the end, or what no decoder minds
		}
		size := int64(binary.LittleEndian.Uint32(head[4:]))
		if string(head[:4]) == "EXIF" {
			return io.ReadAll(io.LimitReader(r, min(size, maxExif)))
		}
		at += 8 + size + size&1
	}
}

// exifOrientation reads tag 0x112 of the first directory; what cannot be read says nothing.
func exifOrientation(exif []byte) int {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(exif, []byte("II*\x00")):
		order = binary.LittleEndian
	case bytes.HasPrefix(exif, []byte("MM\x00*")):
		order = binary.BigEndian
	default:
		return upright
	}
	if len(exif) < 8 {
		return upright
	}
	at := uint64(order.Uint32(exif[4:]))
	if at+2 > uint64(len(exif)) {
		return upright
	}
	entries := exif[at+2:]
	for range order.Uint16(exif[at:]) {
		if len(entries) < 12 {
			break
		}
		if order.Uint16(entries) == 0x112 {
			if turn := int(order.Uint16(entries[8:])); turn >= upright && turn <= 8 {
				return turn
			}
			break
		}
		entries = entries[12:]
	}
	return upright
}

// onCanvas puts a picture into its place on a canvas: the first frame of an animation may be smaller.
func onCanvas(src image.Image, width, height int) image.Image {
	canvas := image.Rect(0, 0, width, height)
	if src.Bounds() == canvas {
		return src
	}
	dst := image.NewNRGBA(canvas)
	draw.Draw(dst, src.Bounds(), src, src.Bounds().Min, draw.Src)
	return dst
}

// turned makes a picture upright that is stored as turn says.
func turned(src image.Image, turn int) image.Image {
	from, b := flat(src), src.Bounds()
	w, h := b.Dx(), b.Dy()
	if turn == upright {
		return from
	}
	size := image.Rect(0, 0, w, h)
	if turn >= 5 { // on its side
		size = image.Rect(0, 0, h, w)
	}
	dst := image.NewNRGBA(size)
	for y := range size.Dy() {
		for x := range size.Dx() {
			sx, sy := x, y
			if turn >= 5 {
				sx, sy = y, x
			}
			if turn == 2 || turn == 3 || turn == 7 || turn == 8 {
				sx = w - 1 - sx
			}
			if turn == 3 || turn == 4 || turn == 6 || turn == 7 {
				sy = h - 1 - sy
			}
			copy(dst.Pix[y*dst.Stride+4*x:][:4], from.Pix[sy*from.Stride+4*sx:][:4])
		}
	}
	return dst
}

// flat is a picture with four bytes a pixel, its corner at 0, 0.
func flat(src image.Image) *image.NRGBA {
	b := src.Bounds()
	if opaque, ok := src.(interface{ Opaque() bool }); ok && opaque.Opaque() {
		dst := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy())) // for which draw has short ways
		draw.Draw(dst, dst.Bounds(), src, b.Min, draw.Src)
		return &image.NRGBA{Pix: dst.Pix, Stride: dst.Stride, Rect: dst.Rect} // the same where nothing shines through
	}
	dst := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(dst, dst.Bounds(), src, b.Min, draw.Src)
	return dst
}
