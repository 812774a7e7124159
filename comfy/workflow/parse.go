package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// FieldProblem is one complaint about one field, in words for the person who filled it in.
type FieldProblem struct {
	Field   string // the field's name, or the unknown key as it came
	Message string // a sentence: "Width must be between 16 and 16384."
}

// mostUnknown is how many unknown names are complained about. Each is compared with every field: the
// 90,000 that fit into a request of a megabyte took half a minute.
const mostUnknown = 20

// Parse checks raw settings by field name and gives each the Go type of its kind.
//
// Numbers may come as JSON numbers or as decimal text, the way a plain form sends them; 1e3, NaN
// and digits of other scripts are refused. An absent, null or (but for texts) empty value takes
// the default. A seed that is absent, empty or negative stays absent in Values, for the caller to
// draw one, up to SeedMax; so does a choice without a default, for the server to settle.
//
// Values are complete only when there are no problems. Problems come in the order of the form,
// then unknown names, the first twenty of them.
func (f Form) Parse(raw map[string]json.RawMessage) (Values, []FieldProblem) {
	values := make(Values, len(f.Fields))
	var problems []FieldProblem
	for i := range f.Fields {
		field := &f.Fields[i]
		v, complaint := field.parse(raw[field.Name])
		switch {
		case complaint != "":
			problems = append(problems, FieldProblem{Field: field.Name, Message: complaint})
		case v != nil:
			values[field.Name] = v
		}
	}
	unknown := 0
	for _, name := range sortedKeys(raw) {
		if _, known := f.Field(name); known {
			continue
		}
		if unknown++; unknown > mostUnknown {
			break
		}
		problems = append(problems, FieldProblem{Field: name, Message: f.unknown(name)})
	}
	return values, problems
}

func (f Form) unknown(name string) string {
	names := make([]string, len(f.Fields))
	for i, field := range f.Fields {
		names[i] = field.Name
	}
	return fmt.Sprintf("There is no setting named %s.%s", show(name), didYouMean(name, names))
}

// parse reads one value; nil is an absent one without a default. The complaint is the sentence
// for the field, or "".
func (ff *FormField) parse(raw json.RawMessage) (v any, complaint string) {
	if len(raw) == 0 || isNull(raw) {
		return ff.absent(), ff.missing()
	}
	switch ff.Kind {
	case Text:
		return ff.parseText(raw)
	case Choice:
		return ff.parseChoice(raw)
	case Boolean:
		return ff.parseBoolean(raw)
	case Integer:
		return ff.parseInteger(raw)
	case Number:
		return ff.parseNumber(raw)
	case Seed:
		return ff.parseSeed(raw)
	case Image:
		return ff.parseImage(raw)
	}
	return nil, ff.Label + " cannot be filled in."
}

func (ff *FormField) absent() any {
	if ff.Kind == Seed {
		return nil // a default would make every picture the same
	}
	return ff.Default
}

func (ff *FormField) parseText(raw json.RawMessage) (v any, complaint string) {
	s, err := TextFromJSON(raw)
	if err != nil {
		return nil, fmt.Sprintf("%s cannot be read: %s.", ff.Label, problemOf(err))
	}
	limit := ff.MaxRunes
	if limit == 0 {
		limit = MaxTextRunes
	}
	if complaint := CheckText(ff.Label, s, ff.Required, limit); complaint != "" {
		return nil, complaint
	}
	return s, ""
}

func (ff *FormField) parseChoice(raw json.RawMessage) (v any, complaint string) {
	var s string
	switch {
	case isString(raw):
		var err error
		if s, err = TextFromJSON(raw); err != nil {
			return nil, fmt.Sprintf("%s cannot be read: %s.", ff.Label, problemOf(err))
		}
	case isNumber(raw) || string(raw) == "true" || string(raw) == "false":
		s = string(raw) // lists of numbers exist: 256, 512, 1024
	default:
		return nil, fmt.Sprintf("%s must be one of the choices.", ff.Label)
	}
	switch {
	case slices.Contains(ff.Choices, s):
		return s, ""
	case s == "":
		return ff.absent(), ""
	case len(ff.Choices) == 0:
		if complaint := CheckText(ff.Label, s, true, maxChoiceRunes); complaint != "" {
			return nil, complaint
		}
		return s, ""
	}
	return nil, fmt.Sprintf("%s has no choice %s.%s", ff.Label, show(s), didYouMean(s, ff.Choices))
}

// maxChoiceRunes limits a choice while no server has said what there is: a path of a model file.
const maxChoiceRunes = 500

func (ff *FormField) parseBoolean(raw json.RawMessage) (v any, complaint string) {
	text := string(raw)
	if isString(raw) {
		_ = json.Unmarshal(raw, &text)
	}
	switch text {
	case "":
		return ff.absent(), ""
	case "true", "on", "1":
		return true, ""
	case "false", "off", "0":
		return false, ""
	}
	return nil, fmt.Sprintf("%s must be on or off.", ff.Label)
}

func (ff *FormField) parseInteger(raw json.RawMessage) (v any, complaint string) {
	text, ok := decimal(raw)
	if ok && text == "" {
		return ff.absent(), ""
	}
	if !ok || !wholeNumber(text) {
		return nil, fmt.Sprintf("%s must be a whole number%s.", ff.Label, ff.example())
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil { // outside int64, and so of any bounds
		n = math.MaxInt64
		if text[0] == '-' {
			n = math.MinInt64
		}
		if !ff.Bounded {
			return nil, fmt.Sprintf("%s is too large a number.", ff.Label)
		}
	}
	if complaint := ff.checkBounds(float64(n)); complaint != "" {
		return nil, complaint
	}
	if ff.Step > 1 && math.Mod(float64(n)-ff.stepBase(), ff.Step) != 0 {
		return nil, ff.offStep(float64(n))
	}
	return n, ""
}

func (ff *FormField) parseNumber(raw json.RawMessage) (v any, complaint string) {
	text, ok := decimal(raw)
	if ok && text == "" {
		return ff.absent(), ""
	}
	// A program's encoder may write a small number as 1e-07; a person's text may not.
	if !ok || isString(raw) && !decimalFraction(text) {
		return nil, fmt.Sprintf("%s must be a number%s.", ff.Label, ff.example())
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !finite(n) {
		return nil, fmt.Sprintf("%s must be a number%s.", ff.Label, ff.example())
	}
	if complaint := ff.checkBounds(n); complaint != "" {
		return nil, complaint
	}
	if n == 0 {
		n = 0 // not -0
	}
	return n, ""
}

func (ff *FormField) parseSeed(raw json.RawMessage) (v any, complaint string) {
	text, ok := decimal(raw)
	if ok && text == "" {
		return nil, ""
	}
	if !ok || !wholeNumber(text) {
		return nil, fmt.Sprintf("%s must be a whole number from 0 to %d, or empty for a random one.", ff.Label, ff.SeedMax)
	}
	if text[0] == '-' && strings.Trim(text, "-0") != "" {
		return nil, "" // -1 is how many tools say: random
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "-"), 10, 64)
	if err != nil || n > ff.SeedMax {
		return nil, fmt.Sprintf("%s must be at most %d.", ff.Label, ff.SeedMax)
	}
	return n, ""
}

func (ff *FormField) checkBounds(n float64) (complaint string) {
	switch {
	case !ff.Bounded || n >= ff.Min && n <= ff.Max:
		return ""
	case n < ff.Min && ff.Max == openEnd:
		return fmt.Sprintf("%s must be at least %s.", ff.Label, plain(ff.Min))
	case n > ff.Max && ff.Min == -openEnd:
		return fmt.Sprintf("%s must be at most %s.", ff.Label, plain(ff.Max))
	}
	return fmt.Sprintf("%s must be between %s and %s.", ff.Label, plain(ff.Min), plain(ff.Max))
}

// offStep names the step and the nearest numbers that keep it.
func (ff *FormField) offStep(n float64) (complaint string) {
	base := ff.stepBase()
	below := base + math.Floor((n-base)/ff.Step)*ff.Step
	above := below + ff.Step
	rule := "a multiple of " + plain(ff.Step)
	if base != 0 {
		rule = plain(base) + " and a multiple of " + plain(ff.Step)
	}
	switch {
	case ff.Bounded && below < ff.Min:
		return fmt.Sprintf("%s must be %s, such as %s.", ff.Label, rule, plain(above))
	case ff.Bounded && above > ff.Max:
		return fmt.Sprintf("%s must be %s, such as %s.", ff.Label, rule, plain(below))
	}
	return fmt.Sprintf("%s must be %s, such as %s or %s.", ff.Label, rule, plain(below), plain(above))
}

func (ff *FormField) example() string {
	if s, ok := (Values{"": ff.Default}).Text(""); ok {
		return ", such as " + s
	}
	return ""
}

func problemOf(err error) string {
	if j, ok := errors.AsType[*JSONError](err); ok {
		return j.Problem
	}
	return err.Error()
}

// show quotes what somebody typed, for a sentence.
func show(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	q := quote(s)
	return "“" + q[1:len(q)-1] + "”"
}
