package workflow

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

var (
	jpegSignature = []byte("\xff\xd8\xff")
	exifPrefix    = []byte("Exif\x00\x00")
	xmpPrefix     = []byte("http://ns.adobe.com/xap/1.0/\x00")
)

// Markers of a JPEG.
const (
	jpegScan    = 0xda // the picture itself follows: no metadata after it
	jpegEnd     = 0xd9
	jpegApp1    = 0xe1 // EXIF or XMP
	jpegComment = 0xfe
)

// readJPEG looks at the segments before the picture: 0xff, a marker, 2 bytes of length (big-endian,
// counting themselves), the data. Source: ITU-T T.81, B.1.1.
func (f *carried) readJPEG(data []byte) {
	data = data[2:]
	for len(data) >= 4 && data[0] == 0xff {
		marker := data[1]
		if marker == 0xff { // fill
			data = data[1:]
			continue
		}
		size := int(binary.BigEndian.Uint16(data[2:]))
		if marker == jpegScan || marker == jpegEnd || size < 2 || size+2 > len(data) {
			return
		}
		body := data[4 : 2+size]
		switch {
		case marker == jpegComment && utf8.Valid(body):
			f.addText(string(body))
		case marker != jpegApp1:
		case bytes.HasPrefix(body, exifPrefix):
			f.readEXIF(body[len(exifPrefix):])
		case bytes.HasPrefix(body, xmpPrefix):
			f.readXMP(body[len(xmpPrefix):])
		}
		data = data[2+size:]
	}
}
