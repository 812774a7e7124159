package comfy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"easel/comfy/workflow"
)

// The types of text messages that this package understands. Others, which custom nodes and newer
// servers send, are decoded to a Message with Type and Data alone.
const (
	TypeStatus               = "status"
	TypeFeatureFlags         = "feature_flags"
	TypeExecutionStart       = "execution_start"
	TypeExecutionCached      = "execution_cached"
	TypeExecuting            = "executing"
	TypeProgress             = "progress" // also what some servers call execution_progress
	TypeProgressState        = "progress_state"
	TypeExecuted             = "executed"
	TypeExecutionSuccess     = "execution_success"
	TypeExecutionError       = "execution_error"
	TypeExecutionInterrupted = "execution_interrupted"
)

// The types of binary messages: the names in ComfyUI's BinaryEventTypes.
const (
	TypePreview             = "PREVIEW_IMAGE"               // event 1: an image, no word of whose
	TypeText                = "TEXT"                        // event 3: text of a node
	TypePreviewWithMetadata = "PREVIEW_IMAGE_WITH_METADATA" // event 4: an image with prompt and node
)

// ErrFrame is the error of a frame that is no message: not JSON, not of the shape that its type
// has, cut short. One such frame says nothing about the next.
var ErrFrame = errors.New("malformed frame")

// blocked is the exception_type of an execution_error that ends nothing: a node refused to run
// because what it depends on was blocked, and the prompt goes on.
const blocked = "ExecutionBlocked"

// Message is one decoded message. Only the fields of its Type are set; text without a value in
// the message (null, absent) is empty.
type Message struct {
	Type     string
	PromptID string // empty in status, feature_flags, event 1 and the bare executing after a connect

	Node        string // executing: empty when the prompt is over; progress, executed, errors, event 3, event 4
	DisplayNode string // the node of the sent graph that stands for Node, if the message says so

	Value, Max float64     // progress: as the node gave them, not always whole, not always Value <= Max
	Nodes      []NodeState // progress_state: every node touched so far, in the message's order
	Cached     []string    // execution_cached: nodes whose result is kept, asked for or not

	QueueRemaining int    // status: running and waiting, everybody's
	SID            string // status: the client id in force; only in the first message of a connection

	NodeType         string          // execution_error, execution_interrupted: class of Node
	ExceptionType    string          // execution_error
	ExceptionMessage string          // execution_error; may hold the server's paths
	Traceback        []string        // execution_error; holds the server's paths
	Output           json.RawMessage // executed: what the node showed, or null

	Image []byte // events 1 and 4: the encoded image; aliases the frame
	MIME  string // of Image
	Text  string // event 3

	Data json.RawMessage // feature_flags and unknown types: data as it came; aliases nothing
}

// NodeState is what progress_state says about one node. Value and Max of a node without a bar of
// its own are 0 of 1 and then 1 of 1.
type NodeState struct {
	Node        string
	DisplayNode string // the node of the sent graph to show instead of Node; usually Node
	RealNode    string // the node of the sent graph that Node came from; usually Node
	Value, Max  float64
	State       string // running or finished; pending and error are known to the source, never seen
}

// EndsPrompt reports whether m is an execution message after which its prompt does nothing more.
// The history entry may follow a moment later; it is there with the executing that names no node.
func (m Message) EndsPrompt() bool {
	switch m.Type {
	case TypeExecutionSuccess, TypeExecutionInterrupted:
		return true
	case TypeExecutionError:
		return m.ExceptionType != blocked
	case TypeExecuting:
		return m.Node == "" && m.PromptID != ""
	}
	return false
}

// DecodeText decodes a text frame, {"type": T, "data": {...}}.
//
// NaN and Infinity, which the server's JSON writer emits, are taken as null. A type that is not
// known here is no error. The error wraps ErrFrame. Nothing in the Message aliases frame.
func DecodeText(frame []byte) (Message, error) {
	if hasFastShape(frame) {
		if m, ok := scanMessage(frame, new(lastText)); ok {
			return m, nil
		}
	}
	return decodeJSON(frame)
}

// decodeJSON is DecodeText for every message, by encoding/json.
func decodeJSON(frame []byte) (Message, error) {
	frame = workflow.WithoutNaN(frame)
	var envelope struct {
		Type *string         `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(frame, &envelope); err != nil {
		return Message{}, fmt.Errorf("decode message: %w: %w", ErrFrame, err)
	}
	if envelope.Type == nil {
		return Message{}, fmt.Errorf("decode message: %w: no type", ErrFrame)
	}
	m := Message{Type: *envelope.Type}
	if m.Type == "execution_progress" {
		m.Type = TypeProgress
	}
	if !known(m.Type) {
		m.Data = envelope.Data
		return m, nil
	}
	if !strings.HasPrefix(string(envelope.Data), "{") {
		return Message{}, fmt.Errorf("decode message: %w: %s without data", ErrFrame, m.Type)
	}
	if err := m.decodeData(envelope.Data); err != nil {
		return Message{}, fmt.Errorf("decode message: %w: %s: %w", ErrFrame, m.Type, err)
	}
	return m, nil
}

func known(messageType string) bool {
	switch messageType {
	case TypeStatus, TypeFeatureFlags, TypeExecutionStart, TypeExecutionCached, TypeExecuting, TypeProgress,
		TypeProgressState, TypeExecuted, TypeExecutionSuccess, TypeExecutionError, TypeExecutionInterrupted:
		return true
	}
	return false
}

// decodeData fills m from the data object of its type. The types share names but not meanings
// (nodes is a list in one, a map in another), so each reads only its own.
func (m *Message) decodeData(data []byte) error {
	switch m.Type {
	case TypeStatus:
		var d struct {
			Status struct {
				ExecInfo struct {
					QueueRemaining int `json:"queue_remaining"`
				} `json:"exec_info"`
			} `json:"status"`
			SID string `json:"sid"`
		}
		err := json.Unmarshal(data, &d)
		m.QueueRemaining, m.SID = d.Status.ExecInfo.QueueRemaining, d.SID
		return err

	case TypeFeatureFlags:
		m.Data = data
		return nil

	case TypeExecutionCached:
		var d struct {
			PromptID string   `json:"prompt_id"`
			Nodes    []string `json:"nodes"`
		}
		err := json.Unmarshal(data, &d)
		m.PromptID, m.Cached = d.PromptID, d.Nodes
		return err

	case TypeProgressState:
		var d struct {
			PromptID string     `json:"prompt_id"`
			Nodes    nodeStates `json:"nodes"`
		}
		err := json.Unmarshal(data, &d)
		m.PromptID, m.Nodes = d.PromptID, d.Nodes
		return err

	case TypeExecutionError, TypeExecutionInterrupted:
		var d struct {
			PromptID         string   `json:"prompt_id"`
			NodeID           string   `json:"node_id"`
			NodeType         string   `json:"node_type"`
			ExceptionType    string   `json:"exception_type"`
			ExceptionMessage string   `json:"exception_message"`
			Traceback        []string `json:"traceback"`
		}
		err := json.Unmarshal(data, &d)
		m.PromptID, m.Node, m.NodeType = d.PromptID, d.NodeID, d.NodeType
		m.ExceptionType, m.ExceptionMessage, m.Traceback = d.ExceptionType, d.ExceptionMessage, d.Traceback
		return err

	default: // execution_start, execution_success, executing, executed, progress
		var d struct {
			PromptID    string          `json:"prompt_id"`
			Node        string          `json:"node"`
			DisplayNode string          `json:"display_node"`
			Value       float64         `json:"value"`
			Max         float64         `json:"max"`
			Output      json.RawMessage `json:"output"`
		}
		err := json.Unmarshal(data, &d)
		m.PromptID, m.Node, m.DisplayNode = d.PromptID, d.Node, d.DisplayNode
		if m.Type == TypeProgress {
			m.Value, m.Max = d.Value, d.Max
		}
		if m.Type == TypeExecuted {
			m.Output = d.Output
		}
		return err
	}
}

// nodeStates keeps the order of the message, which a map would not.
type nodeStates []NodeState

func (n *nodeStates) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(strings.NewReader(string(data)))
	switch open, err := d.Token(); {
	case err != nil:
		return err
	case open == nil: // null
		return nil
	case open != json.Delim('{'):
		return errors.New("nodes is no object")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var s struct {
			DisplayNode string  `json:"display_node_id"`
			RealNode    string  `json:"real_node_id"`
			Value       float64 `json:"value"`
			Max         float64 `json:"max"`
			State       string  `json:"state"`
		}
		if err := d.Decode(&s); err != nil {
			return err
		}
		id, _ := key.(string) // a key is always text
		*n = append(*n, NodeState{id, s.DisplayNode, s.RealNode, s.Value, s.Max, s.State})
	}
	return nil
}
