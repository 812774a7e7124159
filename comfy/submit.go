package comfy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/google/uuid"

	"easel/comfy/workflow"
)

// Submission is a prompt to be queued.
type Submission struct {
	PromptID string // a lowercase UUID of ours, used for this one call of Submit
	ClientID string // of the socket that is to hear about it
	Graph    workflow.Graph

	// ExtraData is stored with the prompt and given back by /queue and /history, to everyone who asks.
	ExtraData map[string]any
}

// Submitted is a prompt that ComfyUI has queued.
type Submitted struct {
	PromptID string
	Number   float64 // its place in ComfyUI's order; lower runs first

	// NodeErrors is not empty if ComfyUI refused some of the outputs and runs only the others.
	NodeErrors map[string]NodeError
}

// Submit queues a prompt. It sends at most one request and never repeats it: ComfyUI does not compare
// prompt_ids, so a second POST would run the prompt twice.
//
// Errors:
//   - *PromptError: ComfyUI refused the graph. Nothing was queued.
//   - *IDMismatchError: it was queued under another id.
//   - ErrUnavailable: no connection was made (refused, no route, ctx ended before). Nothing was sent.
//   - ErrUnknownOutcome: it may be queued or be about to be; ask Lookup for PromptID for a while. That includes
//     an end of ctx after the connection was made: ComfyUI queues a prompt whose client has left.
//   - ErrNotComfyUI, *StatusError (4xx): refused by something else, ErrTooLarge by 413. Nothing was queued.
//
// Events of the prompt may arrive before Submit returns.
func (c *Client) Submit(ctx context.Context, s Submission) (Submitted, error) {
	const what = "submit prompt"
	if id, err := uuid.Parse(s.PromptID); err != nil || id.String() != s.PromptID {
		return Submitted{}, fmt.Errorf("%s: prompt_id %q is not a lowercase uuid", what, s.PromptID)
	}
	if s.ClientID == "" {
		return Submitted{}, fmt.Errorf("%s: no client_id: nobody would hear of it", what)
	}
	done, err := c.submit(ctx, s)
	if err != nil {
		return Submitted{}, fmt.Errorf("%s: %w", what, err)
	}
	return done, nil
}

// submit is Submit for any prompt_id.
func (c *Client) submit(ctx context.Context, s Submission) (Submitted, error) {
	graph, err := s.Graph.Marshal()
	if err != nil {
		return Submitted{}, err
	}
	req, err := c.request(call{method: http.MethodPost, path: "/prompt", json: struct {
		Prompt    json.RawMessage `json:"prompt"`
		PromptID  string          `json:"prompt_id"`
		ClientID  string          `json:"client_id,omitempty"`
		ExtraData map[string]any  `json:"extra_data,omitempty"`
	}{graph, s.PromptID, s.ClientID, s.ExtraData}})
	if err != nil {
		return Submitted{}, err
	}
	a, err := c.postPrompt(ctx, req)
	if err != nil {
		return Submitted{}, err
	}
	return a.submitted(s.PromptID)
}

// postPrompt sends the request over a connection of its own. One that was kept might have been closed by the
// server just now, which would make an unknown outcome of what is plainly a refused connection.
func (c *Client) postPrompt(ctx context.Context, req *http.Request) (*answer, error) {
	release, err := c.slots.take(ctx, false)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer release()
	inner, cancel := context.WithTimeout(ctx, c.options.SubmitTimeout)
	defer cancel()

	var connected atomic.Bool
	inner = httptrace.WithClientTrace(inner, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	resp, err := c.once.Do(req.WithContext(inner))
	if err != nil {
		if !connected.Load() {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, bare(err))
		}
		return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, bare(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if err := refused(resp); err != nil {
		return nil, err
	}
	body, err := readAll(resp.Body, maxSmallBody)
	if err != nil {
		return nil, fmt.Errorf("%w: status %d: %w", ErrUnknownOutcome, resp.StatusCode, err)
	}
	return &answer{status: resp.StatusCode, html: isHTML(resp.Header, body), body: body}, nil
}

// submitted reads the answer to POST /prompt.
func (a *answer) submitted(promptID string) (Submitted, error) {
	switch {
	case a.status >= 500, a.status == http.StatusRequestTimeout:
		// Whoever answers so (ComfyUI itself, or a proxy that gave up waiting) cannot say what became of it.
		// Not a.ok: that one's ErrUnavailable would promise that nothing was sent.
		return Submitted{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, a.statusError())
	case a.status == http.StatusBadRequest && !a.html:
		return Submitted{}, a.promptError()
	case a.status == http.StatusRequestEntityTooLarge:
		return Submitted{}, fmt.Errorf("%w: %w", ErrTooLarge, a.statusError())
	}
	var reply struct {
		PromptID   *string         `json:"prompt_id"`
		Number     float64         `json:"number"`
		NodeErrors json.RawMessage `json:"node_errors"`
	}
	if err := a.object(&reply); err != nil {
		return Submitted{}, err
	}
	if reply.PromptID == nil {
		return Submitted{}, fmt.Errorf("%w: the answer holds no prompt_id", ErrNotComfyUI)
	}
	if *reply.PromptID != promptID {
		return Submitted{}, &IDMismatchError{Sent: promptID, Got: *reply.PromptID}
	}
	return Submitted{PromptID: promptID, Number: reply.Number, NodeErrors: nodeErrors(reply.NodeErrors)}, nil
}

// promptError reads a 400. Servers of 2023 sent error as mere text, and node_errors as an empty list.
func (a *answer) promptError() error {
	var reply struct {
		Error      json.RawMessage `json:"error"`
		NodeErrors json.RawMessage `json:"node_errors"`
	}
	if err := json.Unmarshal(workflow.WithoutNaN(a.body), &reply); err != nil {
		return a.statusError()
	}
	var complaint struct{ Type, Message, Details string }
	if json.Unmarshal(reply.Error, &complaint) != nil && json.Unmarshal(reply.Error, &complaint.Message) != nil {
		return a.statusError()
	}
	return &PromptError{
		Type: complaint.Type, Message: complaint.Message, Details: complaint.Details,
		NodeErrors: nodeErrors(reply.NodeErrors),
	}
}

// nodeErrors reads node_errors. Custom nodes write their own entries: one that cannot be read is kept as an empty
// NodeError rather than costing the others.
func nodeErrors(raw json.RawMessage) map[string]NodeError {
	var replies map[string]json.RawMessage
	if json.Unmarshal(raw, &replies) != nil || len(replies) == 0 {
		return nil
	}
	nodes := make(map[string]NodeError, len(replies))
	for id, raw := range replies {
		var reply struct {
			ClassType string `json:"class_type"`
			Errors    []struct {
				Type, Message, Details string
				ExtraInfo              json.RawMessage `json:"extra_info"`
			} `json:"errors"`
			DependentOutputs []string `json:"dependent_outputs"`
		}
		_ = json.Unmarshal(raw, &reply) // what could be read is kept
		n := NodeError{ClassType: reply.ClassType, DependentOutputs: reply.DependentOutputs}
		for _, e := range reply.Errors {
			var extra struct {
				InputName string `json:"input_name"`
			}
			_ = json.Unmarshal(e.ExtraInfo, &extra) // without it the complaint is about the node
			n.Errors = append(n.Errors, InputError{
				Input: extra.InputName, Type: e.Type, Message: e.Message, Details: e.Details,
			})
		}
		nodes[id] = n
	}
	return nodes
}
