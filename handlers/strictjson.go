package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"easel/studio"
)

// maxDepth is how deep a request may nest; ours need two.
const maxDepth = 16

// members is one JSON object, its values as they came.
type members map[string]json.RawMessage

// strictObject reads one JSON object, more strictly than encoding/json, which takes the last of
// two members of one name and turns half a surrogate into U+FFFD. Members that are null count as
// absent.
//
// problems names members with text that no database keeps as it is: NUL, half a surrogate, bytes
// that are not UTF-8. err is a 400 for what is no JSON object, has a member twice or nests deeper
// than maxDepth.
func strictObject(body []byte) (object members, problems []studio.FieldError, err error) {
	if err := checkStructure(body); err != nil {
		return nil, nil, &UserError{Status: http.StatusBadRequest, Message: "The body cannot be read as JSON: " + err.Error() + "."}
	}
	if err := json.Unmarshal(body, &object); err != nil || object == nil {
		return nil, nil, &UserError{Status: http.StatusBadRequest, Message: "The body must be a JSON object."}
	}
	for name, raw := range object {
		if fault := textFault(raw); fault != "" {
			problems = append(problems, studio.FieldError{Field: name, Message: fault})
		}
		if strings.ContainsAny(name, "\x00\uFFFD") { // the latter stands for what could not be read
			problems = append(problems, studio.FieldError{Field: name, Message: "is not a name that can be used"})
		}
		if string(raw) == "null" {
			delete(object, name)
		}
	}
	return object, problems, nil
}

// checkStructure walks body once, without building anything: its syntax, its depth, members twice.
func checkStructure(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	type level struct {
		names map[string]bool // nil in an array
		key   bool            // a member's name comes next
	}
	var levels []level
	for {
		token, err := dec.Token()
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("it ends too early")
		case err != nil:
			return syntaxError(err)
		}
		var top *level
		if len(levels) > 0 {
			top = &levels[len(levels)-1]
		}
		if top != nil && top.key {
			if name, ok := token.(string); ok {
				if top.names[name] {
					return fmt.Errorf("the member %q is there twice", name)
				}
				top.names[name], top.key = true, false
				continue
			}
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if len(levels) == maxDepth {
				return fmt.Errorf("it nests deeper than %d levels", maxDepth)
			}
			next := level{}
			if token == json.Delim('{') {
				next = level{names: map[string]bool{}, key: true}
			}
			if top != nil && top.names != nil {
				top.key = true // what follows this value
			}
			levels = append(levels, next)
		case json.Delim('}'), json.Delim(']'):
			levels = slices.Delete(levels, len(levels)-1, len(levels))
		default:
			if top != nil && top.names != nil {
				top.key = true
			}
		}
		if len(levels) > 0 {
			continue
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return errors.New("something follows its end")
		}
		return nil
	}
}

func syntaxError(err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%w at byte %d", err, syntax.Offset)
	}
	return errors.New("it ends too early")
}

// textFault says what is wrong with the texts in raw, which is well-formed JSON; empty: nothing.
func textFault(raw []byte) string {
	if !utf8.Valid(raw) {
		return "is not valid UTF-8"
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++ // the escape's letter
		unit, ok := escapedUnit(raw, i)
		switch {
		case !ok:
		case unit == 0:
			return "must not contain NUL characters"
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return "contains half a surrogate pair"
		case unit >= 0xD800 && unit <= 0xDBFF:
			if i+6 >= len(raw) || raw[i+5] != '\\' {
				return "contains half a surrogate pair"
			}
			low, ok := escapedUnit(raw, i+6)
			if !ok || low < 0xDC00 || low > 0xDFFF {
				return "contains half a surrogate pair"
			}
			i += 10 // both escapes
		}
	}
	return ""
}

// escapedUnit reads the UTF-16 unit of an escape whose u is at i.
func escapedUnit(raw []byte, i int) (unit uint32, ok bool) {
	if i+4 >= len(raw) || raw[i] != 'u' {
		return 0, false
	}
	for _, c := range raw[i+1 : i+5] {
		unit <<= 4
		switch {
		case c >= '0' && c <= '9':
			unit |= uint32(c - '0')
		case c >= 'a' && c <= 'f':
			unit |= uint32(c-'a') + 10
		case c >= 'A' && c <= 'F':
			unit |= uint32(c-'A') + 10
		}
	}
	return unit, true
}
