package workflow

import (
	"encoding/json"
	"strconv"
	"strings"
)

// decimal is the text of a JSON number, or of a JSON string without the spaces around it.
func decimal(raw json.RawMessage) (text string, ok bool) {
	switch {
	case isNumber(raw):
		return strings.TrimSpace(string(raw)), true
	case isString(raw):
		if json.Unmarshal(raw, &text) != nil {
			return "", false
		}
		return strings.Trim(text, " \t\r\n"), true
	}
	return "", false
}

// maxDigits is more than any number in a form has, and keeps a megabyte of zeros out.
const maxDigits = 40

// wholeNumber accepts an optional minus and ASCII digits: no exponent, point, plus, or other script.
func wholeNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	if s == "" || len(s) > maxDigits {
		return false
	}
	return strings.Trim(s, "0123456789") == ""
}

// decimalFraction accepts what wholeNumber does, with one point and digits on both its sides.
func decimalFraction(s string) bool {
	whole, fraction, point := strings.Cut(s, ".")
	return wholeNumber(whole) && (!point || wholeNumber(fraction) && fraction[0] != '-')
}

func plain(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
