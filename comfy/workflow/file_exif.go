package workflow

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The tags that programs put their texts into.
const (
	tagModel       = 0x0110 // ComfyUI: "prompt:{...}", and "workflow:{...}" in the tag before it
	tagFirst       = 0x0108 // further ones of ComfyUI go down from there; so does a description
	tagEXIF        = 0x8769 // where the second directory stands
	tagUserComment = 0x9286 // in the second directory; Stable Diffusion WebUI
	tagXPComment   = 0x9c9c // Windows
)

// readEXIF looks at the texts of a TIFF structure: 2 bytes of byte order ("II" little, "MM" big), the
// number 42, and where the first directory stands. A directory is a count and entries of 12 bytes: tag,
// type, count of values, and the value, or where it stands. Source: EXIF 2.32, 4.6.
func (f *carried) readEXIF(tiff []byte) {
	var order binary.ByteOrder
	switch {
	case len(tiff) < 8:
		return
	case string(tiff[:2]) == "II":
		order = binary.LittleEndian
	case string(tiff[:2]) == "MM":
		order = binary.BigEndian
	default:
		return
	}
	e := exif{tiff: tiff, order: order}
	second := uint32(0)
	e.entries(order.Uint32(tiff[4:]), func(tag uint16, value []byte) {
		switch {
		case tag == tagEXIF && len(value) == 4:
			second = order.Uint32(value)
		case tag == tagXPComment && f.spend(len(value)):
			f.addText(decodeUTF16(value, binary.LittleEndian))
		case tag >= tagFirst && tag <= tagModel && f.spend(len(value)) && utf8.Valid(value):
			f.addText(string(value))
		}
	})
	if second == 0 {
		return
	}
	e.entries(second, func(tag uint16, value []byte) {
		if tag == tagUserComment && f.spend(len(value)) {
			f.addText(userComment(value, order))
		}
	})
}

type exif struct {
	tiff  []byte
	order binary.ByteOrder
}

// entries calls do for each entry of a directory whose value is inside of the structure.
func (e exif) entries(at uint32, do func(tag uint16, value []byte)) {
	size := uint64(len(e.tiff))
	if uint64(at)+2 > size {
		return
	}
	count := uint64(e.order.Uint16(e.tiff[at:]))
	for i := range count {
		entry := uint64(at) + 2 + 12*i
		if entry+12 > size {
			return
		}
		raw := e.tiff[entry : entry+12]
		width, known := typeBytes[e.order.Uint16(raw[2:])]
		if !known {
			continue
		}
		length := width * uint64(e.order.Uint32(raw[4:]))
		value := raw[8:]
		if length > 4 {
			from := uint64(e.order.Uint32(value))
			if from+length > size {
				continue
			}
			value = e.tiff[from : from+length]
		} else {
			value = value[:length]
		}
		do(e.order.Uint16(raw), value)
	}
}

// typeBytes are the bytes of one value of each type that is read: BYTE, ASCII, LONG, UNDEFINED.
var typeBytes = map[uint16]uint64{1: 1, 2: 1, 4: 4, 7: 1}

// userComment reads 8 bytes that name the encoding, then the text. What says UNICODE is UTF-16 in
// either order: programs that write it do not agree on which.
func userComment(value []byte, order binary.ByteOrder) string {
	if len(value) < 8 {
		return ""
	}
	code, text := string(value[:8]), value[8:]
	if !strings.HasPrefix(code, "UNICODE") {
		return latin1(text)
	}
	low, high := 0, 0 // zeros at even and at odd places: Latin letters have theirs in front in big-endian
	for i, b := range text[:min(len(text), 1000)] {
		switch {
		case b != 0:
		case i%2 == 0:
			high++
		default:
			low++
		}
	}
	switch {
	case high > low:
		order = binary.BigEndian
	case low > high:
		order = binary.LittleEndian
	case utf8.Valid(text):
		return string(text) // no zeros at all: it says UTF-16, and is not
	}
	return decodeUTF16(text, order)
}

func decodeUTF16(text []byte, order binary.ByteOrder) string {
	units := make([]uint16, len(text)/2)
	for i := range units {
		units[i] = order.Uint16(text[2*i:])
	}
	return strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff")
}

// readXMP looks at every text of a piece of XML, whatever it is called: the programs that write
// parameters there do not agree on that either. Go's decoder resolves no entities from outside.
func (f *carried) readXMP(data []byte) {
	if !f.spend(len(data)) {
		return
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	d.Strict = false
	for {
		token, err := d.Token()
		if err != nil {
			return // the end, or damage
		}
		switch t := token.(type) {
		case xml.StartElement:
			for _, a := range t.Attr {
				f.addText(a.Value)
			}
		case xml.CharData:
			f.addText(string(t))
		}
	}
}
