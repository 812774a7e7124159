package workflow

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
	"unicode/utf8"
)

var pngSignature = []byte("\x89PNG\r\n\x1a\n")

// readPNG looks at the texts of a PNG, up to where the file is whole.
//
// A chunk is 4 bytes of length (big-endian), 4 of type, the data, and 4 of checksum, which is not
// checked: the JSON inside shows damage by itself. Source: the PNG specification, 5.3 and 11.3.
func (f *carried) readPNG(data []byte) {
	data = data[len(pngSignature):]
	for len(data) >= 12 {
		size := binary.BigEndian.Uint32(data)
		if uint64(size)+12 > uint64(len(data)) {
			return
		}
		body := data[8 : 8+size]
		switch string(data[4:8]) {
		case "tEXt":
			f.readText(body)
		case "zTXt":
			f.readPackedText(body)
		case "iTXt":
			f.readInternationalText(body)
		case "eXIf":
			f.readEXIF(body)
		case "IEND":
			return
		}
		data = data[12+size:]
	}
}

// keyword parts a chunk's name from the rest; known is whether it is one that we read.
func keyword(body []byte) (name string, rest []byte, known bool) {
	key, rest, ok := bytes.Cut(body, []byte{0})
	switch string(key) {
	case "workflow", "prompt", "parameters":
		return string(key), rest, ok
	}
	return "", nil, false
}

// readText reads keyword, NUL, text.
func (f *carried) readText(body []byte) {
	if name, text, ok := keyword(body); ok {
		f.addNamed(name, latin1(text))
	}
}

// readPackedText reads keyword, NUL, a byte 0 for zlib, packed text.
func (f *carried) readPackedText(body []byte) {
	name, rest, ok := keyword(body)
	if !ok || len(rest) == 0 || rest[0] != 0 {
		return
	}
	if text, ok := f.inflate(rest[1:]); ok {
		f.addNamed(name, latin1(text))
	}
}

// readInternationalText reads keyword, NUL, a byte 1 where the text is packed, a byte 0 for zlib,
// language, NUL, translated keyword, NUL, text in UTF-8.
func (f *carried) readInternationalText(body []byte) {
	name, rest, ok := keyword(body)
	if !ok || len(rest) < 2 {
		return
	}
	packed, method := rest[0] == 1, rest[1]
	_, rest, _ = bytes.Cut(rest[2:], []byte{0})
	_, text, ok := bytes.Cut(rest, []byte{0})
	if !ok {
		return
	}
	if packed {
		if method != 0 {
			return
		}
		if text, ok = f.inflate(text); !ok {
			return
		}
	}
	f.addNamed(name, string(text))
}

// inflate unpacks no more than may still be looked at: a few kilobytes may hold gigabytes of zeros.
func (f *carried) inflate(packed []byte) ([]byte, bool) {
	left := min(MaxFileTextBytes, maxTextsBytes-f.spent)
	if left == 0 {
		return nil, false
	}
	r, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, false
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, int64(left)+1))
	return text, f.spend(len(text)) && err == nil
}

// latin1 is a text in the encoding that the standard asks for, where it is not the UTF-8 that some
// programs write all the same.
func latin1(text []byte) string {
	if utf8.Valid(text) {
		return string(text)
	}
	runes := make([]rune, len(text))
	for i, b := range text {
		runes[i] = rune(b)
	}
	return string(runes)
}
