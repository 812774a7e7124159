package comfy

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"testing"

	"easel/comfy/transcript"
)

// isFrame reports whether e is a message from the server.
func isFrame(e *transcript.Entry) bool {
	return e.Kind == transcript.WSReceive && (e.Op == "text" || e.Op == "binary")
}

// wholeFrame is the message as the server sent it. Where the recording has cut a picture, it is another picture, a
// valid one, of the same length.
func wholeFrame(t *testing.T, e *transcript.Entry) []byte {
	t.Helper()
	frame, err := e.Frame()
	if err != nil {
		t.Fatal(err)
	}
	if e.Op == "text" || !e.Base64Truncated || *e.Event == eventText {
		return frame
	}
	start := 8 // of the image
	if *e.Event == eventPreviewWithMetadata {
		start += int(binary.BigEndian.Uint32(frame[4:]))
	}
	if bytes.HasPrefix(frame[start:], []byte("\x89PNG")) {
		return append(frame[:start:start], paddedPNG(t, len(frame)-start)...)
	}
	return append(frame[:start:start], paddedJPEG(t, len(frame)-start)...)
}

// paddedJPEG is a JPEG of exactly n bytes: comments stand before its tables.
func paddedJPEG(t *testing.T, n int) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, dot(), nil); err != nil {
		t.Fatal(err)
	}
	plain := buf.Bytes()
	out := append([]byte{}, plain[:2]...) // start of image
	for left := n - len(plain); left > 0; {
		size := min(left, 60_000) // of the comment with its marker; the rest must not be under 4
		if rest := left - size; rest > 0 && rest < 4 {
			size -= 4
		}
		out = append(out, 0xff, 0xfe)
		out = binary.BigEndian.AppendUint16(out, uint16(size-2))
		out = append(out, make([]byte, size-4)...)
		left -= size
	}
	return append(out, plain[2:]...)
}

// paddedPNG is a PNG of exactly n bytes: a private chunk stands before its end.
func paddedPNG(t *testing.T, n int) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := png.Encode(&buf, dot()); err != nil {
		t.Fatal(err)
	}
	plain := buf.Bytes()
	end := plain[len(plain)-12:]
	size := n - len(plain) - 12
	chunk := binary.BigEndian.AppendUint32(nil, uint32(size))
	body := append([]byte("paDd"), make([]byte, size)...)
	chunk = append(chunk, body...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(body))
	return append(append(plain[:len(plain)-12:len(plain)-12], chunk...), end...)
}

func dot() image.Image {
	m := image.NewGray(image.Rect(0, 0, 8, 8))
	m.SetGray(3, 3, color.Gray{Y: 200})
	return m
}

func decodeImage(t *testing.T, b []byte) {
	t.Helper()
	if _, _, err := image.Decode(bytes.NewReader(b)); err != nil {
		t.Fatalf("image of %d bytes: %v", len(b), err)
	}
}

// wholeBody is a body; one that was left out or cut is made up to its length with zeros.
func wholeBody(t *testing.T, e *transcript.Entry) []byte {
	t.Helper()
	b, err := e.BodyBytes()
	if err != nil {
		t.Fatal(err)
	}
	if !e.Whole() {
		b = append(b, make([]byte, max(0, e.BodyLen-len(b)))...)
	}
	return b
}
