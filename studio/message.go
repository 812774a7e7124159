package studio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"easel/comfy"
)

// message is what instances say to each other: JSON in one line, and after it the bytes of a preview. A bell
// alone is what the function ring of the database says.
type message struct {
	notice

	From     uuid.UUID       `json:"from,omitzero"`
	Bells    []notice        `json:"bells,omitempty"`
	Here     *presence       `json:"here,omitempty"`
	Progress []relayed       `json:"progress,omitempty"`
	Preview  *relayedPreview `json:"preview,omitempty"`

	bytes []byte // of the preview; empty: they are in the table
}

// The kinds of messages besides the bells.
const (
	kindBells    = "bells"    // several bells, by an instance whose database does not ring
	kindHere     = "here"     // an instance says that it is there, and what is watched on it
	kindProgress = "progress" // how prompts are that the sender follows
	kindPreview  = "preview"  // a live preview
)

// The kinds of bells, which are also those of events.
const (
	bellChanged   = "changed"
	bellDeleted   = "deleted"
	bellServer    = "server"
	bellSettings  = "settings"
	bellWorkflows = "workflows"
)

// notice is a bell: what has changed, in which revision, by whom. The state itself is read.
type notice struct {
	Kind       string    `json:"kind"`
	Generation uuid.UUID `json:"generation,omitzero"` // or the server
	Rev        int64     `json:"rev,omitempty"`
	Origin     uuid.UUID `json:"origin,omitzero"`
}

// presence is what an instance says of itself. Its way back to the sender is the test of the bus.
type presence struct {
	Nonce   uint64      `json:"nonce"`
	All     bool        `json:"all,omitempty"`     // somebody looks at all that runs
	Watched []uuid.UUID `json:"watched,omitempty"` // generations whose previews are looked at
}

// relayed is how a prompt is on the instance that follows it.
type relayed struct {
	Generation uuid.UUID      `json:"generation"`
	Image      int            `json:"image"`
	Progress   comfy.Progress `json:"progress"` // without its preview
	Outlook    outlook        `json:"outlook,omitzero"`
}

// relayedPreview announces a preview.
type relayedPreview struct {
	Generation uuid.UUID `json:"generation"`
	PromptID   string    `json:"prompt_id"`
	Rev        uint64    `json:"rev"`
	MIME       string    `json:"mime"`
}

var errMessage = errors.New("message that is none of ours")

// encode is the way out of a message; decodeMessage the way in.
func (m *message) encode() ([]byte, error) {
	line, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if len(m.bytes) == 0 {
		return line, nil
	}
	return append(append(line, '\n'), m.bytes...), nil
}

// decodeMessage reads a message; its bytes are a copy.
func decodeMessage(raw []byte) (message, error) {
	line, rest, _ := bytes.Cut(raw, []byte("\n"))
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		return message{}, fmt.Errorf("%w: %w", errMessage, err)
	}
	m.bytes = bytes.Clone(rest)
	return m, nil
}
