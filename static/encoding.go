package static

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
)

// TakesGzip reports whether whoever sent r reads gzip, by its Accept-Encoding. RFC 9110, 12.5.3.
func TakesGzip(r *http.Request) bool {
	takes := false
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
		q := 1.0
		if value, ok := strings.CutPrefix(strings.TrimSpace(weight), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(value, 64); err != nil {
				return false
			}
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip":
			return q > 0
		case "*":
			takes = q > 0
		}
	}
	return takes
}

// Gzip packs a whole body at the given level of compress/gzip.
func Gzip(body []byte, level int) ([]byte, error) {
	var packed bytes.Buffer
	packed.Grow(len(body)/3 + 64)
	w, err := gzip.NewWriterLevel(&packed, level)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}
