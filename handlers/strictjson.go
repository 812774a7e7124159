package handlers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"

	"easel/comfy/workflow"
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
	if err := workflow.CheckStructure(body, maxDepth); err != nil {
		return nil, nil, &UserError{Status: http.StatusBadRequest, Message: "The body cannot be taken: " + err.Error() + "."}
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

// textFault says what is wrong with the texts in raw, which is well-formed JSON; empty: nothing.
func textFault(raw []byte) string {
	switch {
	case !utf8.Valid(raw):
		return "is not valid UTF-8"
	case workflow.HalfSurrogate(raw):
		return "contains half a surrogate pair"
	case escapesNUL(raw):
		return "must not contain NUL characters"
	}
	return ""
}

// escapesNUL reports whether a text in raw holds NUL. In JSON that is always an escape.
func escapesNUL(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if bytes.HasPrefix(raw[i+1:], []byte("u0000")) {
			return true
		}
		i++ // what is escaped, which may be another backslash
	}
	return false
}
