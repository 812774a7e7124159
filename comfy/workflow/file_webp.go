package workflow

import (
	"bytes"
	"encoding/binary"
)

func isWebP(data []byte) bool {
	return len(data) >= 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP"
}

// readWebP looks at the metadata of a WebP. A chunk is 4 bytes of type, 4 of length (little-endian),
// the data, and a byte more when the length is odd. Source: RFC 9649, 2.3 and 2.7.1.5.
func (f *carried) readWebP(data []byte) {
	data = data[12:]
	for len(data) >= 8 {
		size := binary.LittleEndian.Uint32(data[4:])
		if uint64(size)+8 > uint64(len(data)) {
			return
		}
		body := data[8 : 8+size]
		switch string(data[:4]) {
		case "EXIF":
			f.readEXIF(bytes.TrimPrefix(body, exifPrefix)) // some programs write it as JPEG has it
		case "XMP ":
			f.readXMP(body)
		}
		data = data[8+size:]
		if size%2 == 1 && len(data) > 0 {
			data = data[1:]
		}
	}
}
