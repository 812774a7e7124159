package transcript

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// Whole reports whether the recording has all of the frame or body.
func (e Entry) Whole() bool {
	return !e.TextTruncated && !e.Base64Truncated && !e.BodyTruncated && !e.BodyOmitted
}

// BodyBytes is the body of a request or response as far as it was recorded.
func (e Entry) BodyBytes() ([]byte, error) {
	if e.Body != nil {
		return []byte(*e.Body), nil
	}
	return base64.StdEncoding.DecodeString(e.BodyBase64)
}

// Frame is the frame as the server sent it. What the recording cut off is made up again to the
// recorded length: a text is closed with valid JSON, an image goes on with zeros, which
// every decoder of frames takes.
func (e Entry) Frame() ([]byte, error) {
	if e.Op == "text" {
		switch {
		case e.Text == nil:
			return nil, fmt.Errorf("a %s entry has no text", e.Kind)
		case e.TextTruncated:
			return closeText(*e.Text, e.size(), e.promptID)
		}
		return []byte(*e.Text), nil
	}
	frame, err := base64.StdEncoding.DecodeString(e.Base64)
	if err != nil {
		return nil, fmt.Errorf("binary frame: %w", err)
	}
	switch missing := e.size() - len(frame); {
	case missing < 0, missing > 0 && !e.Base64Truncated:
		return nil, fmt.Errorf("binary frame: %d bytes recorded of %d", len(frame), e.size())
	case missing == 0 && e.SHA256 != "" && fmt.Sprintf("%x", sha256.Sum256(frame)) != e.SHA256:
		return nil, fmt.Errorf("binary frame: sha256 is not %s", e.SHA256)
	default:
		return append(frame, make([]byte, missing)...), nil
	}
}

// size is the length of the frame as the application sees it, in bytes.
func (e Entry) size() int {
	if e.Compressed {
		return e.InflatedLen
	}
	return e.Len
}

// noteRunning leaves in each cut text the prompt that ran then.
func noteRunning(entries []Entry) {
	running := map[string]string{} // by socket
	for i, e := range entries {
		if e.Kind != WSReceive || e.Text == nil {
			continue
		}
		if e.TextTruncated {
			entries[i].promptID = running[e.WS]
			continue
		}
		var m struct {
			Data struct {
				PromptID string `json:"prompt_id"`
			} `json:"data"`
		}
		if json.Unmarshal([]byte(*e.Text), &m) == nil && m.Data.PromptID != "" {
			running[e.WS] = m.Data.PromptID
		}
	}
}

// closeText makes a message of size bytes of one that was cut inside of a long string: the
// string goes on with the letter x, and what is open is closed. The prompt_id is put last
// into data, where an executed message has it.
func closeText(text string, size int, promptID string) ([]byte, error) {
	var open []byte // closing brackets, innermost last
	inString := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			open = append(open, c+2) // the closing bracket comes two after the opening one in ASCII
		case c == '}' || c == ']':
			open = open[:len(open)-1]
		}
	}
	if !inString || len(open) < 2 {
		return nil, fmt.Errorf("text was not cut inside of a string of data: %.40s", text)
	}
	tail := `"`
	for i := len(open) - 1; i >= 2; i-- {
		tail += string(open[i])
	}
	if promptID != "" {
		tail += fmt.Sprintf(`, "prompt_id": %q`, promptID)
	}
	tail += "}}"
	fill := size - len(text) - len(tail)
	if fill < 0 {
		return nil, fmt.Errorf("text of %d bytes has no room for its end in %d", len(text), size)
	}
	return []byte(text + strings.Repeat("x", fill) + tail), nil
}
