package studio

import (
	"bytes"
	"encoding/binary"
	"io"
)

// What is read of an animated WebP. Source: the WebP container specification.
const (
	chunkHeader  = 8      // a name of four letters, and how many bytes follow
	frameHeader  = 16     // of an ANMF chunk, before its picture: x, y, width, height, time (24 bits each), flags
	mostChunks   = 64     // before the first frame; usually three
	webpAnimated = 1 << 1 // flags of VP8X
	webpAlpha    = 1 << 4
)

// still is r from its beginning, or the first picture of an animated WebP, which the decoder does not
// read: each of its frames is a picture but for a header of its own. Other animated formats begin with
// one as they are. What is broken, or fails to be read, is left to the decoder to find.
func still(r io.ReadSeeker) io.Reader {
	if film, ok := firstFrame(r); ok {
		return film
	}
	_, _ = r.Seek(0, io.SeekStart) // if it fails, so does the next Read
	return r
}

func firstFrame(r io.ReadSeeker) (film io.Reader, ok bool) {
	head := make([]byte, chunkHeader+frameHeader)
	at := int64(0)
	for i := range mostChunks {
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			return nil, false
		}
		n, err := io.ReadFull(r, head)
		if n <= chunkHeader {
			return nil, false
		}
		length, body := int64(binary.LittleEndian.Uint32(head[4:])), head[chunkHeader:n]
		switch name := string(head[:4]); {
		case i == 0:
			if name != "RIFF" || !bytes.HasPrefix(body, []byte("WEBP")) {
				return nil, false
			}
			at += chunkHeader + 4
			continue
		case i == 1 && (name != "VP8X" || body[0]&webpAnimated == 0):
			return nil, false
		case name == "ANMF":
			if err != nil || length < frameHeader {
				return nil, false
			}
			return frameFile(r, length-frameHeader, body)
		}
		at += chunkHeader + length + length%2
	}
	return nil, false
}

// frameFile is what stands in a frame, with what it needs to be a file. r stands behind the frame's header.
func frameFile(r io.Reader, length int64, header []byte) (file io.Reader, ok bool) {
	name := make([]byte, 4)
	if _, err := io.ReadFull(r, name); err != nil || length < chunkHeader {
		return nil, false
	}
	var extended []byte
	if string(name) == "ALPH" { // a picture in two chunks has to say so
		extended = append(binary.LittleEndian.AppendUint32([]byte("VP8X"), 10), webpAlpha, 0, 0, 0)
		extended = append(extended, header[6:12]...) // its width and height
	}
	head := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+int64(len(extended))+length))
	head = append(append(append(head, "WEBP"...), extended...), name...)
	return io.MultiReader(bytes.NewReader(head), io.LimitReader(r, length-4)), true
}
