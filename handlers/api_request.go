package handlers

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"easel/studio"
)

// readJSON reads a body that says it is JSON. Without a body it is empty where optional allows.
//
// Errors: 415 for another type, 413 beyond the limit, 400 for a body that broke off, in UTF-8 or not.
func readJSON(r *http.Request, optional bool) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return nil, errTooLarge
		}
		return nil, &UserError{Status: http.StatusBadRequest, Message: "The body broke off before its end."}
	}
	if optional && len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &UserError{Status: http.StatusUnsupportedMediaType, Message: "Send the body with Content-Type: application/json."}
	}
	return body, nil
}

// idempotencyKey is the header of that name: 1 to 255 visible ASCII characters, empty when absent.
func idempotencyKey(r *http.Request) (string, error) {
	keys := r.Header.Values("Idempotency-Key")
	switch {
	case len(keys) == 0:
		return "", nil
	case len(keys) > 1 || keys[0] == "" || len(keys[0]) > 255 ||
		strings.ContainsFunc(keys[0], func(c rune) bool { return c < ' ' || c > '~' }):
		return "", badRequest("Idempotency-Key", "must be one line of 1 to 255 ASCII characters")
	}
	return keys[0], nil
}

// bodyHash is what makes two bodies the same: what they say, not how they are laid out. use keeps
// a key that served one purpose from being taken for another.
func bodyHash(use string, body []byte) []byte {
	hash := sha256.New()
	_, _ = io.WriteString(hash, use+"\n") // a hash never fails
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) == nil { // with an empty body there is nothing but the use
		canonical, err := json.Marshal(v) // keys sorted
		if err == nil {
			body = canonical
		}
	}
	_, _ = hash.Write(body)
	return hash.Sum(nil)
}

// requestFields are the members of a request's object; all else is named as a mistake.
var requestFields = []string{"prompt", "negativePrompt", "workflow", "settings", "totalImages", "priority", "webhook"}

// mostProblems is how many problems of one body are named: an answer stays shorter than what asked
// for it.
const mostProblems = 50

// parseGenerate reads the body of POST /api/generate, or with retry that of a retry, where
// nothing is needed. It checks shape alone: bounds and choices are the studio's.
func parseGenerate(body []byte, retry bool) (*studio.Request, error) {
	request := &studio.Request{UserID: studio.LocalUser, Original: body}
	if retry && len(body) == 0 {
		return request, nil
	}
	object, problems, err := strictObject(body)
	if err != nil {
		return nil, err
	}
	for name := range object {
		if !slices.Contains(requestFields, name) {
			problems = append(problems, studio.FieldError{Field: name, Message: "is not a field of this request; those are " + strings.Join(requestFields, ", ")})
		}
	}
	text := func(name string, into *string) {
		if raw, ok := object[name]; ok && json.Unmarshal(raw, into) != nil {
			problems = append(problems, studio.FieldError{Field: name, Message: "must be text"})
		}
	}
	text("prompt", &request.Prompt)
	text("workflow", &request.Workflow)
	if raw, ok := object["totalImages"]; ok {
		n, err := wholeNumber(raw)
		if err != nil || n < 1 || n > studio.MaxImages {
			problems = append(problems, studio.FieldError{Field: "totalImages", Message: "must be a whole number from 1 to " + strconv.Itoa(studio.MaxImages)})
		}
		request.TotalImages = n
	}
	if raw, ok := object["priority"]; ok {
		var word string
		if json.Unmarshal(raw, &word) == nil {
			request.Priority, ok = studio.ParsePriority(word)
		} else {
			ok = false
		}
		if !ok {
			problems = append(problems, badPriority)
		}
	}
	if raw, ok := object["settings"]; ok && json.Unmarshal(raw, &request.Settings) != nil {
		problems = append(problems, studio.FieldError{Field: "settings", Message: "must be an object"})
	}
	if raw, ok := object["negativePrompt"]; ok && json.Unmarshal(raw, &request.NegativePrompt) != nil {
		problems = append(problems, studio.FieldError{Field: "negativePrompt", Message: "must be text"})
	}
	if raw, ok := object["webhook"]; ok && json.Unmarshal(raw, &request.Webhook) != nil {
		problems = append(problems, studio.FieldError{Field: "webhook", Message: "must be text"})
	}
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b studio.FieldError) int { return strings.Compare(a.Field, b.Field) })
		return nil, &studio.InvalidError{Fields: problems[:min(len(problems), mostProblems)]}
	}
	return request, nil
}

// wholeNumber reads a JSON number, or the same as text.
func wholeNumber(raw json.RawMessage) (int, error) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	return strconv.Atoi(text)
}

// queryTime reads a time in a query: RFC 3339, or a day in UTC.
func queryTime(r *http.Request, name string) (time.Time, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() > 0 && t.Year() < 10_000 {
			return t, nil
		}
	}
	return time.Time{}, badRequest(name, "must be a time such as 2026-05-01T10:00:00Z or a day such as 2026-05-01")
}

// textFields reads a JSON object of texts; members with other names are mistakes.
func textFields(r *http.Request, allowed ...string) (map[string]string, error) {
	body, err := readJSON(r, false)
	if err != nil {
		return nil, err
	}
	object, problems, err := strictObject(body)
	if err != nil {
		return nil, err
	}
	fields := make(map[string]string, len(object))
	for name, raw := range object {
		var text string
		switch {
		case !slices.Contains(allowed, name):
			problems = append(problems, studio.FieldError{Field: name, Message: "is not a field of this request; those are " + strings.Join(allowed, ", ")})
		case json.Unmarshal(raw, &text) != nil:
			problems = append(problems, studio.FieldError{Field: name, Message: "must be text"})
		default:
			fields[name] = text
		}
	}
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b studio.FieldError) int { return strings.Compare(a.Field, b.Field) })
		return nil, &studio.InvalidError{Fields: problems[:min(len(problems), mostProblems)]}
	}
	return fields, nil
}
