package workflow

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxTextRunes limits every text of a form that names no limit of its own.
const MaxTextRunes = 10_000

// CheckText says what is wrong with a text for a person, or "". The studio uses it for prompts
// that come outside of settings: CheckText("Prompt", prompt, true, MaxPromptRunes).
//
// maxRunes counts characters, not bytes. NUL is refused because Postgres cannot store it,
// invalid UTF-8 because JSON cannot carry it. Half surrogates never reach a Go string as such:
// readers of JSON find them with CheckJSON or TextFromJSON, before decoding makes U+FFFD of them.
func CheckText(label, s string, required bool, maxRunes int) string {
	switch {
	case !utf8.ValidString(s):
		return label + " holds bytes that are no valid text (UTF-8)."
	case strings.ContainsRune(s, 0):
		return label + " holds a NUL character, which no text may have."
	case required && strings.TrimSpace(s) == "":
		return label + " must not be empty."
	}
	if n := utf8.RuneCountInString(s); n > maxRunes {
		return fmt.Sprintf("%s has %s characters; at most %s are allowed.", label, thousands(n), thousands(maxRunes))
	}
	return ""
}

// TextFromJSON reads a JSON string without losing anything: half surrogates and invalid UTF-8
// are errors (a *JSONError), where json.Unmarshal would put U+FFFD in their place.
func TextFromJSON(raw json.RawMessage) (string, error) {
	if !isString(raw) {
		return "", &JSONError{Problem: "it must be text"}
	}
	if err := CheckJSON(raw, 0); err != nil {
		return "", err
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", &JSONError{Problem: "it must be text"}
	}
	return s, nil
}

// thousands writes 10000 as 10,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
