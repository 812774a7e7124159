package workflow

import (
	"encoding/json"
	"strings"
)

// widgetsOf reads the values of a node of a known class: by their place alone, as the editor does.
//
// After an INT that the editor counts up or draws anew stands how it does so, which is never sent.
// Old editors also stored a value for plain inputs that have to be linked (forceInput): these are
// taken out when the count is exactly that. Otherwise nothing is guessed; what is missing takes its
// default, and what is too much is dropped.
func widgetsOf(class *Class, values json.RawMessage) []widget {
	list := valueList(values)
	var widgets []widget
	var forced []bool // by place in the list of an old editor
	count := 0
	for i := range class.Inputs {
		in := &class.Inputs[i]
		switch {
		case in.Widget():
			widgets = append(widgets, widget{name: in.Name, input: in})
			forced = append(forced, false)
			if in.controlled() {
				forced = append(forced, false)
			}
		case in.ForceInput && in.Section != Hidden:
			forced = append(forced, true)
			count++
		}
	}
	if count > 0 && len(list) == len(forced) {
		kept := list[:0:0]
		for i, raw := range list {
			if !forced[i] {
				kept = append(kept, raw)
			}
		}
		list = kept
	}
	at := 0
	for i := range widgets {
		w := &widgets[i]
		if at < len(list) {
			w.value = stored(w.input, list[at])
		} else {
			w.value = w.input.fallback()
		}
		if at++; w.input.controlled() {
			at++
		}
	}
	return widgets
}

// valueList is a node's widgets_values; an object, as some packs of nodes store it, is none.
func valueList(values json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	if isArray(values) {
		_ = json.Unmarshal(values, &list) // it is an array in valid JSON
	}
	return list
}

// controlled inputs are followed by a place of the editor's own.
func (in *Input) controlled() bool {
	return in.Type == TypeInt && (in.ControlSlot || in.Name == "seed" || in.Name == "noise_seed")
}

// stored is a value as its widget holds it: as it came. Only the field of a multi-line text makes
// text of everything.
func stored(in *Input, raw json.RawMessage) json.RawMessage {
	if in.Type != TypeString || !in.Multiline {
		return raw
	}
	if isString(raw) && !strings.Contains(string(raw), `\r`) {
		return raw
	}
	return textJSON(lineBreaks.Replace(asText(raw)))
}

// lineBreaks are one character in the text field of a browser.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// asText writes a value as a browser does where it needs a text.
func asText(raw json.RawMessage) string {
	switch firstByte(raw) {
	case '"':
		s, _ := unquote(raw)
		return s
	case 'n', 0:
		return ""
	case '[':
		var list []json.RawMessage
		_ = json.Unmarshal(raw, &list) // it is an array in valid JSON
		texts := make([]string, len(list))
		for i, item := range list {
			texts[i] = asText(item)
		}
		return strings.Join(texts, ",")
	case '{':
		return "[object Object]"
	}
	return string(raw)
}

// fallback is the value of a widget that the file has none for; nil when there is nothing to choose from.
func (in *Input) fallback() json.RawMessage {
	switch {
	case in.Type == TypeCombo && len(in.Choices) > 0 && in.noDefault():
		return in.choice(in.Choices[0])
	case in.Type == TypeCombo && in.noDefault():
		return nil
	case len(in.Default) > 0:
		return stored(in, in.Default)
	case in.Type == TypeInt || in.Type == TypeFloat:
		return json.RawMessage("0")
	case in.Type == TypeBoolean:
		return json.RawMessage("false")
	}
	return json.RawMessage(`""`)
}

// noDefault reports whether a choice has no default of its own, or an empty one.
func (in *Input) noDefault() bool {
	switch string(in.Default) {
	case "", `""`, "0", "false":
		return true
	}
	return false
}
