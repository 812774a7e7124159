package handlers

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"easel/comfy/workflow"
	"easel/studio"
)

// settingPrefix stands before the name of a workflow's field in the form, as it does in problems.
const settingPrefix = "settings."

// webhookControl is the control of the address for the end of a generation, and what problems about it name.
const webhookControl = "webhook"

// readForm reads a posted form of either encoding that browsers use.
//
// Errors: 415 for another type, 413 beyond the limit, 400 for what cannot be read.
func readForm(r *http.Request) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "application/x-www-form-urlencoded":
		err = r.ParseForm()
	case err == nil && kind == "multipart/form-data":
		err = r.ParseMultipartForm(1 << 20)
	case r.ContentLength == 0:
		return url.Values{}, nil // a button without fields
	default:
		return nil, &UserError{Status: http.StatusUnsupportedMediaType, Message: "Send this as a form."}
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, &UserError{Status: http.StatusBadRequest, Message: "The form could not be read."}
	}
	return r.PostForm, nil
}

// typedForm is what a form says, by the name of the control: the last of several (a checkbox
// follows its hidden "false"), with the line ends that everybody else uses.
func typedForm(values url.Values) map[string]string {
	typed := make(map[string]string, len(values))
	for name, all := range values {
		if len(all) > 0 {
			typed[name] = strings.ReplaceAll(all[len(all)-1], "\r\n", "\n")
		}
	}
	return typed
}

// typedOf is the form filled with what a generation was made of. The seed comes along: the same
// settings give the same picture.
func typedOf(g *studio.Generation) map[string]string {
	typed := map[string]string{
		"prompt":         g.Prompt,
		"negativePrompt": g.NegativePrompt,
		"totalImages":    strconv.Itoa(max(1, len(g.Images))),
	}
	for name, value := range g.Settings {
		typed[settingPrefix+name] = valueText(value)
	}
	return typed
}

// formRequest makes a request of what was typed. The studio judges it, all of it at once: what is
// no number of images goes to it as one that cannot be.
func formRequest(form workflow.Form, typed map[string]string) studio.Request {
	request := studio.Request{
		UserID: studio.LocalUser, Prompt: typed["prompt"], NegativePrompt: new(typed["negativePrompt"]),
		Workflow: form.ID, Settings: map[string]json.RawMessage{},
	}
	if text := strings.TrimSpace(typed["totalImages"]); text != "" {
		request.TotalImages = -1
		if n, err := strconv.Atoi(text); err == nil && n > 0 {
			request.TotalImages = n
		}
	}
	if address := strings.TrimSpace(typed[webhookControl]); address != "" { // else that of the settings
		request.Webhook = &address
	}
	shapeWidth, shapeHeight, shaped := strings.Cut(typed["shape"], "x")
	for _, field := range form.Fields {
		if field.Name == "prompt" || field.Name == "negativePrompt" {
			continue
		}
		text, ok := typed[settingPrefix+field.Name]
		switch {
		case shaped && field.Name == "width":
			text, ok = shapeWidth, true
		case shaped && field.Name == "height":
			text, ok = shapeHeight, true
		}
		if !ok || strings.TrimSpace(text) == "" && field.Kind != workflow.Text {
			continue // the default, and for a seed a random one
		}
		if field.Kind == workflow.Boolean && (text == "true" || text == "false") {
			request.Settings[field.Name] = json.RawMessage(text)
			continue
		}
		if field.Kind != workflow.Text {
			text = strings.TrimSpace(text)
		}
		raw, err := json.Marshal(text)
		if err != nil {
			continue // a string always marshals
		}
		request.Settings[field.Name] = raw
	}
	return request
}

// keyed gives a request the nonce of its form, so that a double post is one generation.
func keyed(request *studio.Request, values url.Values) {
	said := url.Values{}
	for name, all := range values {
		if name != "nonce" && name != "again" {
			said[name] = all
		}
	}
	body := said.Encode() // sorted by name
	sum := sha256.Sum256([]byte(body))
	request.Original = []byte(body)
	if nonce, err := uuid.Parse(values.Get("nonce")); err == nil {
		request.IdempotencyKey, request.BodyHash, request.FormNonce = nonce.String(), sum[:], true
	}
}
