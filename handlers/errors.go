package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"easel/studio"
)

// UserError is an answer in words for the visitor.
type UserError struct {
	Status     int    // of HTTP
	Message    string // a sentence
	Fields     []studio.FieldError
	RetryAfter time.Duration // 0: not said
}

func (e *UserError) Error() string { return strconv.Itoa(e.Status) + " " + e.Message }

// Answers that several handlers give. An id that is malformed, unknown or deleted gets the very
// same one.
var (
	errNoPage       = &UserError{Status: http.StatusNotFound, Message: "There is no page at this address."}
	errNoGeneration = &UserError{Status: http.StatusNotFound, Message: "There is no such generation. It may have been deleted."}
	errNoWorkflow   = &UserError{Status: http.StatusNotFound, Message: "There is no such workflow. It may have been removed."}
	errTooLarge     = &UserError{Status: http.StatusRequestEntityTooLarge, Message: "That is more than can be taken at once."}
)

// handle makes a handler of f. The error that f returns becomes the answer, so f must not have
// begun one: errAnswered says that it has.
func (s *Server) handle(f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := f(w, r)
		if err == nil || errors.Is(err, errAnswered) {
			return
		}
		answer := userError(err)
		switch {
		case answer != nil:
		case r.Context().Err() != nil:
			panic(http.ErrAbortHandler) // nobody listens; to return would be an empty 200
		default:
			s.logger.ErrorContext(r.Context(), "request failed", "err", err, "method", r.Method, "path", r.URL.Path, "request_id", requestID(r))
			answer = &UserError{Status: http.StatusInternalServerError, Message: "Something went wrong on our side."}
		}
		s.renderError(w, r, answer)
	})
}

// userError is the answer to err, or nil for an error that only we should read.
func userError(err error) *UserError {
	if answer, ok := errors.AsType[*UserError](err); ok {
		return answer
	}
	if invalid, ok := errors.AsType[*studio.InvalidError](err); ok {
		return &UserError{Status: http.StatusUnprocessableEntity, Message: "Some fields need another value.", Fields: invalid.Fields}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errTooLarge
	}
	switch {
	case errors.Is(err, studio.ErrNotFound):
		return errNoGeneration
	case errors.Is(err, studio.ErrNoWorkflow):
		return errNoWorkflow
	case errors.Is(err, studio.ErrWorkflowBuiltIn):
		return &UserError{Status: http.StatusConflict, Message: "This workflow comes with Easel and cannot be changed. Export it, and import the file as one of your own."}
	case errors.Is(err, studio.ErrWorkflowChanged):
		return &UserError{Status: http.StatusConflict, Message: "This workflow has been changed meanwhile. Look at it again before you change it."}
	case errors.Is(err, studio.ErrTooManyWorkflows):
		return &UserError{Status: http.StatusConflict, Message: "There are as many workflows as are kept. Remove some that are not needed any more."}
	case errors.Is(err, studio.ErrNotExportable):
		return &UserError{Status: http.StatusConflict, Message: "This workflow is not there in this format: what was brought did not hold it, or could not be converted yet."}
	case errors.Is(err, studio.ErrNoServer):
		return &UserError{Status: http.StatusNotFound, Message: "There is no such server. It may have been removed."}
	case errors.Is(err, studio.ErrServerLocked):
		return &UserError{Status: http.StatusConflict, Message: "This server is named by the configuration; change COMFYUI_URL to rename or remove it."}
	case errors.Is(err, studio.ErrNoDelivery):
		return &UserError{Status: http.StatusNotFound, Message: "There is no such delivery. It may be older than 30 days, or its generation was deleted."}
	case errors.Is(err, studio.ErrNoWebhook):
		return &UserError{Status: http.StatusConflict, Message: "There is no webhook that could be tested. Save one first."}
	case errors.Is(err, studio.ErrNoSubscription):
		return &UserError{Status: http.StatusNotFound, Message: "This browser is not known any more. Ask for notifications again."}
	case errors.Is(err, studio.ErrNoUpload):
		return &UserError{Status: http.StatusNotFound, Message: "There is no such picture. Those that nothing is made of are forgotten after a day."}
	case errors.Is(err, studio.ErrUploadTooLarge):
		return &UserError{Status: http.StatusRequestEntityTooLarge, Message: "The picture is larger than 32 MiB. Make it smaller first."}
	case errors.Is(err, studio.ErrNoStorage):
		return &UserError{Status: http.StatusServiceUnavailable, RetryAfter: 30 * time.Second, Message: "The storage for pictures takes nothing just now. Nothing was stored; please try again in a moment."}
	case errors.Is(err, studio.ErrKeyReused):
		return &UserError{
			Status: http.StatusUnprocessableEntity, Message: "This Idempotency-Key was used with another body.",
			Fields: []studio.FieldError{{Field: "Idempotency-Key", Message: "was used with another body"}},
		}
	case errors.Is(err, studio.ErrLive):
		return &UserError{Status: http.StatusConflict, Message: "This generation is still running. Cancel it first, or wait for its end."}
	case errors.Is(err, studio.ErrEnded):
		return &UserError{Status: http.StatusConflict, Message: "This generation has ended. Nothing of it waits any more."}
	case errors.Is(err, studio.ErrBegun):
		return &UserError{Status: http.StatusConflict, Message: "A server has this generation already. It can be cancelled, but not moved or held back."}
	case errors.Is(err, studio.ErrQueueFull):
		return &UserError{Status: http.StatusServiceUnavailable, RetryAfter: 30 * time.Second, Message: "Too many generations are waiting. Please try again when some have ended."}
	case errors.Is(err, studio.ErrUnavailable):
		return &UserError{Status: http.StatusServiceUnavailable, RetryAfter: 5 * time.Second, Message: "The database cannot be reached just now. Nothing was stored; please try again in a moment."}
	case errors.Is(err, studio.ErrBadCursor):
		return badRequest("cursor", "is not one that this server gave out")
	}
	return nil
}

// badRequest is a 400 about one field of a query or a body that could not be read.
func badRequest(field, message string) *UserError {
	return &UserError{
		Status: http.StatusBadRequest, Message: "The request cannot be read: " + field + " " + message + ".",
		Fields: []studio.FieldError{{Field: field, Message: message}},
	}
}

// renderError answers with e in the form that the visitor reads: a page, a patch or problem+json.
func (s *Server) renderError(w http.ResponseWriter, r *http.Request, e *UserError) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Del("Etag")
	h.Del("Content-Disposition")
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(e.RetryAfter.Round(time.Second)/time.Second)))
	}
	if r.Body != nil && e.Status == http.StatusRequestEntityTooLarge {
		h.Set("Connection", "close") // the rest of the body is not read
	}
	switch {
	case s.underAPI(r):
		s.renderProblem(w, r, e)
	case isDatastar(r):
		s.renderErrorPatch(w, r, e)
	case wants(r) == faceHTML:
		s.renderErrorPage(w, r, e)
	case wants(r) == facePlain:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(e.Status)
		_, _ = w.Write([]byte(e.Message + "\n"))
	default:
		s.renderProblem(w, r, e)
	}
}

func (s *Server) underAPI(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, s.paths.Join("/api/"))
}

// problem is RFC 9457's shape, with our errors.
type problem struct {
	Type      string         `json:"type"`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail"`
	Errors    []fieldProblem `json:"errors"`
	RequestID string         `json:"requestId,omitempty"` // of our own failures: the log has it too
}

type fieldProblem struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (s *Server) renderProblem(w http.ResponseWriter, r *http.Request, e *UserError) {
	p := problem{Type: "about:blank", Title: http.StatusText(e.Status), Status: e.Status, Detail: e.Message, Errors: make([]fieldProblem, 0, len(e.Fields))}
	for _, f := range e.Fields {
		p.Errors = append(p.Errors, fieldProblem{Field: f.Field, Message: f.Message})
	}
	if e.Status >= http.StatusInternalServerError {
		p.RequestID = requestID(r)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	_ = answerJSON(w, e.Status, p) // a struct of texts and numbers always encodes
}

// renderErrorPatch answers Datastar, which drops the body of any status but 200. A stream that
// cannot open is told so by its status: 5xx is asked for again, 204 is not. An action gets the
// sentence as a patch.
func (s *Server) renderErrorPatch(w http.ResponseWriter, r *http.Request, e *UserError) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		status := e.Status
		if status < http.StatusInternalServerError && status != http.StatusTooManyRequests {
			status = http.StatusNoContent
		}
		w.WriteHeader(status)
		return
	}
	patch, err := s.noticePatch(r, e)
	if err != nil {
		s.logger.ErrorContext(r.Context(), "notice could not be rendered", "err", err, "request_id", requestID(r))
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(patch)
}

// encodeJSON writes v without the escapes that only JSON inside HTML needs.
func encodeJSON(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// answerJSON answers with v. The type is application/json unless another one is set.
func answerJSON(w http.ResponseWriter, status int, v any) error {
	var b bytes.Buffer
	if err := encodeJSON(&b, v); err != nil {
		return err
	}
	h := w.Header()
	for name, value := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"} {
		if h.Get(name) == "" {
			h.Set(name, value)
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
	return nil
}
