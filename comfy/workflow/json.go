package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// JSONError is JSON that cannot be taken, and where.
type JSONError struct {
	Offset  int    // bytes from the start; 0 when unknown
	Problem string // lower case, for people: `key "seed" stands twice`
}

func (e *JSONError) Error() string {
	if e.Offset == 0 {
		return e.Problem
	}
	return fmt.Sprintf("%s (at byte %d)", e.Problem, e.Offset)
}

// CheckJSON refuses JSON text that decoders disagree about: keys that stand twice in one object
// (Go takes the last, others the first), invalid UTF-8 and half surrogates such as "\ud800" (Go
// silently makes U+FFFD of both), and nesting deeper than maxDepth. It looks at the depth first,
// in one pass without recursion, so hostile nesting costs nothing. The error is a *JSONError.
func CheckJSON(data []byte, maxDepth int) error {
	if err := CheckStructure(data, maxDepth); err != nil {
		return err
	}
	if !utf8.Valid(data) {
		return &JSONError{Problem: "the text is not valid UTF-8"}
	}
	if HalfSurrogate(data) {
		return &JSONError{Problem: "a text holds half a surrogate pair, which is no character"}
	}
	return nil
}

// holdsNUL reports whether a text in JSON that was checked holds a NUL, which Postgres does not store, and no node has
// use for.
func holdsNUL(data []byte) bool {
	const escape = `\u0000`
	for from := 0; ; {
		at := bytes.Index(data[from:], []byte(escape))
		if at < 0 {
			return false
		}
		at += from
		before := at
		for before > 0 && data[before-1] == '\\' {
			before--
		}
		if (at-before)%2 == 0 { // its backslash is not escaped itself
			return true
		}
		from = at + 1
	}
}

var errNUL = errors.New("a text holds a NUL character, which no text may have")

// CheckStructure is CheckJSON without a look into the texts, for readers that have more to say
// about those: it refuses what is no JSON, keys that stand twice, and nesting deeper than maxDepth.
func CheckStructure(data []byte, maxDepth int) error {
	if err := checkDepth(data, maxDepth); err != nil {
		return err
	}
	if err := checkSyntax(data); err != nil {
		return err
	}
	return checkKeys(data)
}

func checkDepth(data []byte, maxDepth int) error {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = stringEnd(data, i) - 1
		case '{', '[':
			if depth++; depth > maxDepth {
				return &JSONError{Offset: i, Problem: fmt.Sprintf("it is nested more than %d levels deep", maxDepth)}
			}
		case '}', ']':
			depth--
		}
	}
	return nil
}

func checkSyntax(data []byte) error {
	err := json.Unmarshal(data, new(json.RawMessage))
	if err == nil {
		return nil
	}
	e := &JSONError{Problem: "it is not JSON: " + err.Error()}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		e.Offset = int(syntax.Offset)
	}
	return e
}

// checkKeys looks for keys that stand twice, in valid JSON.
func checkKeys(data []byte) error {
	type level struct {
		keys map[string]struct{} // nil in an array
		key  bool                // the next string is a key
	}
	var stack []level
	for i := 0; i < len(data); i++ {
		switch c := data[i]; c {
		case '{':
			stack = append(stack, level{keys: map[string]struct{}{}, key: true})
		case '[':
			stack = append(stack, level{})
		case '}', ']':
			stack = stack[:len(stack)-1]
		case ',':
			if top := &stack[len(stack)-1]; top.keys != nil {
				top.key = true
			}
		case '"':
			end := stringEnd(data, i)
			if len(stack) > 0 && stack[len(stack)-1].key {
				top := &stack[len(stack)-1]
				top.key = false
				key, err := unquote(data[i:end])
				if err != nil {
					return &JSONError{Offset: i, Problem: "a key cannot be read"}
				}
				if _, twice := top.keys[key]; twice {
					return &JSONError{Offset: i, Problem: fmt.Sprintf("key %s stands twice", quote(key))}
				}
				top.keys[key] = struct{}{}
			}
			i = end - 1
		}
	}
	return nil
}

// stringEnd is the place after the closing quote of the string that opens at data[start], or the
// end of data.
func stringEnd(data []byte, start int) int {
	for i := start + 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// HalfSurrogate reports whether a text somewhere in valid JSON has an escaped surrogate without its
// other half: no character, though every decoder of Go's takes it and makes U+FFFD of it.
func HalfSurrogate(text []byte) bool {
	for i := 0; i+1 < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if text[i+1] != 'u' {
			i++
			continue
		}
		switch r := hex4(text, i+2); {
		case r >= 0xdc00 && r <= 0xdfff:
			return true // the second half first
		case r >= 0xd800 && r <= 0xdbff:
			if !bytes.HasPrefix(text[min(i+6, len(text)):], []byte(`\u`)) {
				return true
			}
			if low := hex4(text, i+8); low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 11
		default:
			i += 5
		}
	}
	return false
}

// hex4 is the number of four hex digits, or -1.
func hex4(text []byte, at int) int {
	if at+4 > len(text) {
		return -1
	}
	v, err := strconv.ParseUint(string(text[at:at+4]), 16, 16)
	if err != nil {
		return -1
	}
	return int(v)
}

func unquote(text []byte) (string, error) {
	if !bytes.ContainsRune(text, '\\') {
		return string(text[1 : len(text)-1]), nil
	}
	var s string
	err := json.Unmarshal(text, &s)
	return s, err
}

func isArray(raw json.RawMessage) bool  { return firstByte(raw) == '[' }
func isString(raw json.RawMessage) bool { return firstByte(raw) == '"' }
func isNull(raw json.RawMessage) bool   { return firstByte(raw) == 'n' }

func isNumber(raw json.RawMessage) bool {
	c := firstByte(raw)
	return c == '-' || c >= '0' && c <= '9'
}

// firstByte tells the type of a JSON value; 0 for none.
func firstByte(raw json.RawMessage) byte {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return 0
	}
	return raw[0]
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// quote shows text that others wrote inside a sentence: short, and without control characters.
func quote(s string) string {
	const most = 60 // runes
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	return strconv.Quote(s)
}
