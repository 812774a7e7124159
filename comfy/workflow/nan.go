package workflow

import "bytes"

// WithoutNaN makes null of NaN, Infinity and -Infinity outside of texts: Python's JSON writer
// puts them out as numbers, and JSON does not know them. What has none of them is returned as it
// is, not copied.
func WithoutNaN(raw []byte) []byte {
	// The words in somebody's prompt are rare enough to pay for a copy; absence costs two searches.
	if !bytes.Contains(raw, []byte("NaN")) && !bytes.Contains(raw, []byte("Infinity")) {
		return raw
	}
	out := make([]byte, 0, len(raw)+16) // null is a byte longer than NaN
	for i := 0; i < len(raw); {
		if raw[i] == '"' {
			end := stringEnd(raw, i)
			out = append(out, raw[i:end]...)
			i = end
			continue
		}
		if n := notFinite(raw[i:]); n > 0 {
			out = append(out, "null"...)
			i += n
			continue
		}
		out = append(out, raw[i])
		i++
	}
	return out
}

// notFinite is the length of the word that raw begins with, or 0.
func notFinite(raw []byte) int {
	for _, word := range [...]string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(raw, []byte(word)) {
			return len(word)
		}
	}
	return 0
}
