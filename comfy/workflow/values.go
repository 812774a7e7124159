package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Values holds a value for each named field, of the Go type that its Kind says.
//
// As JSON it is an object with exact integers: a seed of 2^64-1 is written with all its digits.
// ParseValues reads it back.
type Values map[string]any

// ParseValues reads stored values, each into the Go type of its field. Bounds and choices are
// not checked: they were when the values were accepted, and a server may have changed since.
// Names that the form does not have (any more) are kept, see UnmarshalJSON.
func ParseValues(form Form, data []byte) (Values, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("read values: %w", err)
	}
	v := make(Values, len(raw))
	for name, r := range raw {
		var err error
		if field, ok := form.Field(name); ok {
			v[name], err = typed(field.Kind, r)
		} else {
			v[name], err = untyped(r)
		}
		if err != nil {
			return nil, fmt.Errorf("read value %s: %w", quote(name), err)
		}
	}
	return v, nil
}

// UnmarshalJSON reads values without a form: whole numbers become int64, or uint64 above its
// range, so no digit is lost; ParseValues gives each its field's own type.
func (v *Values) UnmarshalJSON(data []byte) error {
	parsed, err := ParseValues(Form{}, data)
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}

// Seed is a value as a seed; ok is false when it is absent or no seed.
func (v Values) Seed(name string) (seed uint64, ok bool) {
	switch s := v[name].(type) {
	case uint64:
		return s, true
	case int64:
		return uint64(s), s >= 0
	}
	return 0, false
}

// Int is a value as a whole number.
func (v Values) Int(name string) (n int64, ok bool) {
	switch i := v[name].(type) {
	case int64:
		return i, true
	case uint64:
		return int64(i), i <= math.MaxInt64
	}
	return 0, false
}

// Text is a value as text; numbers and booleans are written out.
func (v Values) Text(name string) (s string, ok bool) {
	switch t := v[name].(type) {
	case string:
		return t, true
	case int64:
		return strconv.FormatInt(t, 10), true
	case uint64:
		return strconv.FormatUint(t, 10), true
	case float64:
		return strconv.FormatFloat(t, 'f', -1, 64), true
	case bool:
		return strconv.FormatBool(t), true
	}
	return "", false
}

// typed reads a JSON value into the Go type of a kind.
func typed(kind Kind, raw json.RawMessage) (any, error) {
	switch kind {
	case Text, Choice, Image:
		if !isString(raw) {
			return nil, errors.New("it must be text")
		}
		var s string
		err := json.Unmarshal(raw, &s)
		if err == nil && kind == Image && !isUpload(s) {
			err = errors.New("it must be the SHA-256 of an upload, in 64 hex digits")
		}
		return s, err
	case Integer:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		return n, err
	case Seed:
		n, err := strconv.ParseUint(string(raw), 10, 64)
		return n, err
	case Number:
		f, err := strconv.ParseFloat(string(raw), 64)
		if err == nil && !finite(f) {
			err = errors.New("it must be a finite number")
		}
		return f, err
	case Boolean:
		var b bool
		err := json.Unmarshal(raw, &b)
		return b, err
	}
	return nil, fmt.Errorf("%s is no kind of field", quote(string(kind)))
}

// untyped reads a JSON value by its looks.
func untyped(raw json.RawMessage) (any, error) {
	if !isNumber(raw) {
		var v any
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		err := dec.Decode(&v)
		return v, err
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseUint(string(raw), 10, 64); err == nil {
		return n, nil
	}
	return strconv.ParseFloat(string(raw), 64)
}

// valueJSON writes one value the way ComfyUI reads it.
func valueJSON(kind Kind, v any) (json.RawMessage, error) {
	ok := false
	switch kind {
	case Text, Choice:
		_, ok = v.(string)
	case Image:
		var sum string
		if sum, ok = v.(string); ok && isUpload(sum) {
			return textJSON(UploadName(sum)), nil
		}
		ok = false
	case Integer:
		_, ok = v.(int64)
	case Number:
		_, ok = v.(float64)
	case Boolean:
		_, ok = v.(bool)
	case Seed:
		_, ok = v.(uint64)
	}
	if !ok {
		return nil, fmt.Errorf("a field of kind %s cannot hold a %T", kind, v)
	}
	return marshalPlain(v)
}

// marshalPlain is json.Marshal without the escapes meant for HTML.
func marshalPlain(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
