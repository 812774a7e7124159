package expressions

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
)

// The two ends of Datastar's own escape, which is cut out of expressions. We have no use for it.
const (
	escapeBegin = "🖕JS_"
	escapeEnd   = "DS🚀"
)

// statement is one statement: text without a semicolon, or blocks in which a semicolon does not
// count (regular expressions, strings, functions that are called at once).
var statement = regexp.MustCompile("(?:" + strings.Join([]string{
	`/(?:\\/|[^/])*/`,
	`"(?:\\"|[^"])*"`,
	`'(?:\\'|[^'])*'`,
	"`(?:\\\\`|[^`])*`",
	`\(\s*(?:function\s*\(\s*\)|\(\s*\)\s*=>)\s*(?:\{[\s\S]*?\}|[^;){]*)\s*\)\s*\(\s*\)`,
	`[^;]`,
}, "|") + ")+")

var (
	signal = regexp.MustCompile(`\$([a-zA-Z_\d]\w*(?:[.-]\w+)*)`)
	action = regexp.MustCompile(`@([A-Za-z_$][\w$]*)\(`)
)

// body is the body that Datastar 1.0.2 makes of the value of an attribute, to the letter: with
// another one the function would not be found. Source: genRx in library/src/engine/engine.ts.
func body(value string, returns bool) (string, error) {
	if strings.Contains(value, escapeBegin) || strings.Contains(value, escapeEnd) {
		return "", errors.New("the escape sequence of Datastar is not for us")
	}
	expression := strings.TrimSpace(value)
	if returns {
		statements := statement.FindAllString(expression, -1)
		if last := len(statements) - 1; last >= 0 {
			if text := strings.TrimSpace(statements[last]); !strings.HasPrefix(text, "return") {
				statements[last] = "return (" + text + ");"
			}
		}
		expression = strings.Join(statements, ";\n")
	}
	expression = replaceSignals(expression)
	return action.ReplaceAllString(expression, `__action("${1}",evt,`), nil
}

// replaceSignals turns $a.b into $['a']['b'], except in strings. A template literal is looked
// into when it has ${...}; then its bare text is taken for code as well, as Datastar does.
func replaceSignals(expression string) string {
	var b strings.Builder
	for i := 0; i < len(expression); {
		rest := expression[i:]
		length, replaced := 0, ""
		switch rest[0] {
		case '"', '\'', '`':
			length = quoted(rest)
			replaced = rest[:length]
		case '$':
			if inner, ok := interpolation(rest); ok {
				length = len(inner) + len("${}")
				replaced = "${" + signal.ReplaceAllStringFunc(inner, brackets) + "}"
			} else if at := signal.FindStringIndex(rest); at != nil && at[0] == 0 {
				length = at[1]
				replaced = brackets(rest[:length])
			}
		}
		if length == 0 {
			length, replaced = 1, rest[:1]
		}
		b.WriteString(replaced)
		i += length
	}
	return b.String()
}

// quoted is how long the string is with which text begins; 0 when it does not end, or when it is
// a template literal with an interpolation.
func quoted(text string) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == text[0]:
			return i + 1
		case text[i] == '\\':
			i++
			if i < len(text) && text[i] == '\n' {
				return 0
			}
		case text[0] == '`' && strings.HasPrefix(text[i:], "${"):
			return 0
		}
	}
	return 0
}

// interpolation is what stands in ${...} at the beginning of text, unless braces nest.
func interpolation(text string) (inner string, ok bool) {
	text, ok = strings.CutPrefix(text, "${")
	if !ok {
		return "", false
	}
	end := strings.IndexAny(text, "{}")
	if end < 0 || text[end] == '{' {
		return "", false
	}
	return text[:end], true
}

// brackets is $a.b in brackets: $['a']['b'].
func brackets(name string) string {
	return "$['" + strings.Join(strings.Split(name[1:], "."), "']['") + "']"
}

func isJSON(text string) bool { return json.Valid([]byte(text)) }
