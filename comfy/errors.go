package comfy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// What a call to a ComfyUI server can come to. Test with errors.Is.
var (
	// ErrUnavailable: no usable answer, try again later. From Submit it says more: no connection was made, so
	// surely nothing was sent.
	ErrUnavailable = errors.New("comfyui is unavailable")

	// ErrUnknownOutcome: the request may or may not have been carried out (timeout, cut connection, 5xx).
	// Only Submit returns it. Look the prompt_id up; never post it a second time.
	ErrUnknownOutcome = errors.New("outcome unknown")

	// ErrNotComfyUI: something answered, but it is no ComfyUI: a login page, a redirect, foreign JSON.
	ErrNotComfyUI = errors.New("not a comfyui server")

	// ErrTooLarge: a body beyond its cap. Nothing beyond the cap was kept.
	ErrTooLarge = errors.New("too large")

	// ErrNotFound: ComfyUI does not have the file that was asked for.
	ErrNotFound = errors.New("not found")

	// ErrUnsafeName: a file name with control characters or broken UTF-8, or with none at all.
	ErrUnsafeName = errors.New("unsafe file name")

	// ErrCutBody: a download ended before its announced length, or announced none, so that a cut could not be
	// told from the end.
	ErrCutBody = errors.New("body cut short")
)

// PromptError is ComfyUI's refusal of a graph (400): nothing was queued.
type PromptError struct {
	Type    string // such as prompt_outputs_failed_validation, invalid_prompt, prompt_no_outputs
	Message string
	Details string // often empty: the reasons are in NodeErrors

	NodeErrors map[string]NodeError // by node id of the sent graph; may be empty
}

func (e *PromptError) Error() string {
	parts := []string{fmt.Sprintf("comfyui refused the prompt: %s", e.Type)}
	for _, s := range []string{e.Message, e.Details} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if n := len(e.NodeErrors); n > 0 {
		parts = append(parts, fmt.Sprintf("%d nodes with errors", n))
	}
	return strings.Join(parts, ": ")
}

// Input returns the complaints about one input of one node.
func (e *PromptError) Input(node, input string) []InputError {
	return e.NodeErrors[node].Input(input)
}

// NodeError is what ComfyUI has against one node.
type NodeError struct {
	ClassType        string
	Errors           []InputError
	DependentOutputs []string // ids of the output nodes that do not run because of it
}

// Input returns the complaints about one input.
func (e NodeError) Input(name string) []InputError {
	var found []InputError
	for _, in := range e.Errors {
		if in.Input == name {
			found = append(found, in)
		}
	}
	return found
}

// InputError is one complaint about one input of a node.
type InputError struct {
	Input   string // name of the input; empty if the complaint is about the node as a whole
	Type    string // such as value_not_in_list, value_smaller_than_min, required_input_missing
	Message string
	Details string // may hold names of files on the server
}

// IDMismatchError says that ComfyUI queued the prompt under an id of its own: a version that does not take
// prompt_id from the client. Got is queued now, and nobody will ask for it: delete it.
type IDMismatchError struct{ Sent, Got string }

func (e *IDMismatchError) Error() string {
	return fmt.Sprintf("comfyui queued prompt %s under another id, %q", e.Sent, e.Got)
}

// StatusError is an HTTP status that the call has no better word for.
type StatusError struct {
	Code int
	Body []byte // the first 4 KiB, as received; may hold server paths, so not part of Error
}

func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("status %d %s", e.Code, http.StatusText(e.Code)))
}

// failed turns the error of a round trip into one of ours. ctx is the caller's, so that the caller's own end is
// not taken for the server's fault.
func failed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	return fmt.Errorf("%s: %w: %w", what, ErrUnavailable, bare(err))
}

// bare takes the URL out of net/http's error: the caller has said what was tried, and dial errors name the host.
func bare(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}
