package handlers

import (
	"encoding/json"
	"strings"
)

// toLF ends every line with LF alone. Browsers end a line of an event stream at a bare CR too,
// and HTML escaping leaves it alone, so a CR in somebody's prompt would begin a line, and with it
// an event, of its own.
var toLF = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// Patch is the event that puts html into a page of Datastar. selector and mode may be empty: then
// each top-level element of html replaces (by morphing) the one with its id. id, selector and
// mode are ours: constants or checked tokens. Empty html goes with mode "remove".
func Patch(id, selector, mode, html string) []byte {
	var b strings.Builder
	b.Grow(len(html) + len(html)/8 + 128)
	b.WriteString("event: datastar-patch-elements\n")
	for _, field := range [...][2]string{{"id: ", id}, {"data: selector ", selector}, {"data: mode ", mode}} {
		if field[1] != "" {
			b.WriteString(field[0] + field[1] + "\n")
		}
	}
	if html != "" {
		writeLines(&b, "data: elements ", html)
	}
	b.WriteByte('\n')
	return []byte(b.String())
}

// Signals is the event that sets signals of a page of Datastar. v must marshal to a JSON object
// and come from us alone: a page's expressions read it.
func Signals(id string, v any) ([]byte, error) {
	object, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("event: datastar-patch-signals\n")
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	writeLines(&b, "data: signals ", string(object))
	b.WriteByte('\n')
	return []byte(b.String()), nil
}

// Data is an unnamed event with v as JSON, as programs and EventSource read it.
func Data(id string, v any) ([]byte, error) {
	object, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	writeLines(&b, "data: ", string(object))
	b.WriteByte('\n')
	return []byte(b.String()), nil
}

// Comment is a line that readers ignore; it keeps proxies from cutting a quiet connection.
func Comment(text string) []byte {
	var b strings.Builder
	writeLines(&b, ": ", text)
	b.WriteByte('\n')
	return []byte(b.String())
}

func writeLines(b *strings.Builder, prefix, text string) {
	for line := range strings.SplitSeq(toLF.Replace(text), "\n") {
		b.WriteString(prefix)
		b.WriteString(line)
		b.WriteByte('\n')
	}
}
