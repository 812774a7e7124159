package studio

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Limits of what one request may ask for.
const (
	MaxPromptRunes = 10_000
	MaxImages      = 64
)

// Request is what a person or a program asks for, before it was checked.
type Request struct {
	UserID         uuid.UUID
	Prompt         string
	NegativePrompt *string                    // nil: the workflow's own
	Workflow       string                     // empty: workflow.TextToImage
	Settings       map[string]json.RawMessage // by field name; numbers may come as text, absent ones take the default
	TotalImages    int                        // 0: 1
	Priority       Priority
	Webhook        *string // where the end is posted; nil: as the settings say, empty: nowhere
	Original       []byte  // the body as it came, kept with the generation

	IdempotencyKey string // empty: none. Same key and BodyHash: the same generation
	BodyHash       []byte // sha256 of what counts as "the same body"
	FormNonce      bool   // the key is a form's nonce: another body under it is a new generation, not an error
	RetryOf        *uuid.UUID

	as workflowRef // ask for this very version; zero: for the present one of Workflow
}

// FieldError is one complaint about one field, in words for the person who typed it.
type FieldError struct {
	Field   string // "prompt", "totalImages", "settings.steps", ...
	Message string
}

// InvalidError is a request that cannot be accepted as it is; nothing was stored.
type InvalidError struct{ Fields []FieldError }

func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString("invalid request")
	for _, f := range e.Fields {
		fmt.Fprintf(&b, "; %s: %s", f.Field, f.Message)
	}
	return b.String()
}

// Errors that callers answer differently.
var (
	ErrNotFound    = errors.New("no such generation")
	ErrKeyReused   = errors.New("idempotency key was used with another body")
	ErrLive        = errors.New("generation is still running")
	ErrEnded       = errors.New("generation has ended")
	ErrBegun       = errors.New("no image of the generation waits")
	ErrQueueFull   = errors.New("too many generations are waiting")
	ErrUnavailable = errors.New("database is not reachable")
	ErrBadCursor   = errors.New("cursor is not one of ours")
)

// Filter selects generations for a list, newest first.
type Filter struct {
	Query    string // words, each as a prefix, all must match
	Status   Status // empty: all
	Model    string
	Workflow string
	From, To time.Time // of creation; zero: open
	Pictures bool      // only generations that have at least one stored picture or are live
	Cursor   string    // from Page.Next; empty: the newest
	Limit    int       // 0: 50; clamped to 1..200
}

// Page is one part of a list.
type Page struct {
	Generations []Generation
	Next        string // cursor of the older part; empty at the end
}

// File is an open stored file; the caller closes Body.
type File struct {
	Body   io.ReadSeekCloser
	SHA256 string
	MIME   string
	Size   int64
	Name   string // for a download: cleaned, with extension
	Time   time.Time
}
