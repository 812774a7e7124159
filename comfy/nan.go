package comfy

import "bytes"

// withoutNaN returns JSON text with every NaN, Infinity and -Infinity outside of strings replaced by
// null. Python's JSON writer emits the three words as numbers; encoding/json refuses
// them. Text without any of them is returned as it is, not copied.
func withoutNaN(text []byte) []byte {
	// "Infinity" in a prompt is rare enough to pay for the copy; absence costs two searches.
	if !bytes.Contains(text, []byte("NaN")) && !bytes.Contains(text, []byte("Infinity")) {
		return text
	}
	out := make([]byte, 0, len(text)+8) // null is one longer than NaN
	for i := 0; i < len(text); {
		if text[i] == '"' {
			end := stringEnd(text, i)
			out = append(out, text[i:end]...)
			i = end
			continue
		}
		if n := nonFinite(text[i:]); n > 0 {
			out = append(out, "null"...)
			i += n
			continue
		}
		out = append(out, text[i])
		i++
	}
	return out
}

// nonFinite returns the length of the non-finite number that text begins with, or 0.
func nonFinite(text []byte) int {
	for _, word := range [...]string{"NaN", "-Infinity", "Infinity"} {
		if len(text) >= len(word) && string(text[:len(word)]) == word {
			return len(word)
		}
	}
	return 0
}

// stringEnd returns the index after the closing quote of the JSON string that begins at start, or
// the end of the text if it is not closed.
func stringEnd(text []byte, start int) int {
	for i := start + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++ // whatever follows is part of the string
		case '"':
			return i + 1
		}
	}
	return len(text)
}
