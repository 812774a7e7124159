package comfy

import (
	"bytes"
	"strconv"
	"strings"
)

// Two of ComfyUI's messages come at every step, and one of them names every node of the graph.
// They are read here without reflection, in the exact shape that the server writes. Anything
// else, an escape, a key more, a number of another kind, is left to encoding/json, so
// that there is one meaning for every frame; the fuzz test holds the two together.

// hasFastShape tells cheaply whether scanMessage is worth a try.
func hasFastShape(frame []byte) bool {
	const begin = `{"type":`
	if !bytes.HasPrefix(frame, []byte(begin)) {
		return false
	}
	rest := bytes.TrimPrefix(frame[len(begin):], []byte(" "))
	return bytes.HasPrefix(rest, []byte(`"progress`)) || bytes.HasPrefix(rest, []byte(`"executing"`))
}

// scanMessage reads a progress, executing or progress_state message. The texts of the
// message are parts of text. False means only: not of the plain shape.
func scanMessage(text string) (Message, bool) {
	s := scanner{text: text}
	if !s.byte('{') || !s.key("type") {
		return Message{}, false
	}
	m := Message{Type: s.string()}
	if !s.byte(',') || !s.key("data") || !s.byte('{') {
		return Message{}, false
	}
	var ok bool
	switch m.Type {
	case TypeProgress, TypeExecuting:
		ok = s.flatData(&m)
	case TypeProgressState:
		ok = s.stateData(&m)
	}
	if !ok || !s.byte('}') || !s.end() {
		return Message{}, false
	}
	return m, true
}

// scanner walks over JSON text. Its methods skip leading white space. A failure is remembered in bad and
// makes every later call fail, so that callers check at the end of a unit.
type scanner struct {
	text string
	at   int
	bad  bool
}

// flatData reads the members of progress and executing, up to and with the closing brace.
func (s *scanner) flatData(m *Message) bool {
	for more := true; more && !s.bad; more = s.more() {
		switch key := s.string(); {
		case !s.byte(':'):
			return false
		case key == "prompt_id":
			m.PromptID = s.string()
		case key == "node":
			m.Node = s.stringOrNull()
		case key == "display_node":
			m.DisplayNode = s.stringOrNull()
		case key == "value" && m.Type == TypeProgress:
			m.Value = s.number()
		case key == "max" && m.Type == TypeProgress:
			m.Max = s.number()
		default:
			return false
		}
	}
	return !s.bad
}

// stateData reads the members of progress_state, up to and with the closing brace.
func (s *scanner) stateData(m *Message) bool {
	for more := true; more && !s.bad; more = s.more() {
		switch key := s.string(); {
		case !s.byte(':'):
			return false
		case key == "prompt_id":
			m.PromptID = s.string()
		case key == "nodes" && m.Nodes == nil && s.byte('{'):
			// A node takes 190 bytes; room for all of them at once.
			m.Nodes = make([]NodeState, 0, 1+(len(s.text)-s.at)/160)
			for another := true; another && !s.bad; another = s.more() {
				m.Nodes = append(m.Nodes, s.nodeState(m.PromptID))
			}
		default:
			return false
		}
	}
	return !s.bad
}

// nodeState reads one member of nodes. promptID is what each node repeats.
func (s *scanner) nodeState(promptID string) NodeState {
	n := NodeState{Node: s.string()}
	if !s.byte(':') || !s.byte('{') {
		s.bad = true
		return n
	}
	for more := true; more && !s.bad; more = s.more() {
		switch key := s.string(); {
		case !s.byte(':'):
			s.bad = true
		case key == "value":
			n.Value = s.number()
		case key == "max":
			n.Max = s.number()
		case key == "state":
			n.State = s.string()
		case key == "node_id":
			s.string()
		case key == "prompt_id":
			if !s.same(promptID) {
				s.string()
			}
		case key == "display_node_id":
			n.DisplayNode = s.string()
		case key == "parent_node_id":
			s.stringOrNull()
		case key == "real_node_id":
			n.RealNode = s.string()
		default:
			s.bad = true
		}
	}
	return n
}

// key reads a member's name, which must be want, and the colon.
func (s *scanner) key(want string) bool { return s.string() == want && s.byte(':') }

// more tells whether a comma or the closing brace follows, and reads it; all else is bad.
func (s *scanner) more() bool {
	s.space()
	if s.bad || s.at >= len(s.text) {
		s.bad = true
		return false
	}
	c := s.text[s.at]
	s.at++
	s.bad = c != ',' && c != '}'
	return c == ','
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) byte(c byte) bool {
	s.space()
	if s.bad || s.at >= len(s.text) || s.text[s.at] != c {
		s.bad = true
		return false
	}
	s.at++
	return true
}

// end reports whether only white space is left.
func (s *scanner) end() bool {
	s.space()
	return !s.bad && s.at == len(s.text)
}

// same reads the string want, if that is what follows.
func (s *scanner) same(want string) bool {
	s.space()
	rest := s.text[s.at:]
	if s.bad || want == "" || len(rest) < len(want)+2 || rest[0] != '"' || rest[1+len(want)] != '"' || rest[1:1+len(want)] != want {
		return false
	}
	s.at += len(want) + 2
	return true
}

// string reads a string of printable ASCII without escapes.
func (s *scanner) string() string {
	if !s.byte('"') {
		return ""
	}
	for i := s.at; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			value := s.text[s.at:i]
			s.at = i + 1
			return value
		case c == '\\' || c < ' ' || c > '~':
			s.bad = true
			return ""
		}
	}
	s.bad = true
	return ""
}

func (s *scanner) stringOrNull() string {
	s.space()
	if strings.HasPrefix(s.text[s.at:], "null") {
		s.at += len("null")
		return ""
	}
	return s.string()
}

// number reads a JSON number that is not negative.
func (s *scanner) number() float64 {
	s.space()
	start := s.at
	whole := s.digits()
	n := s.at - start
	if s.bad || n == 0 || n > 1 && s.text[start] == '0' {
		s.bad = true
		return 0
	}
	plain := n <= 15 // exact as a float64
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		dot := s.at
		plain = s.digits() == 0 && plain // 5.0 is 5
		s.bad = s.bad || s.at == dot
	}
	if s.at < len(s.text) && s.text[s.at]|0x20 == 'e' {
		s.bad = true // never written for steps
	}
	if plain || s.bad {
		return float64(whole)
	}
	value, err := strconv.ParseFloat(s.text[start:s.at], 64)
	s.bad = err != nil
	return value
}

// digits reads a run of decimal digits; the value is right up to 18 of them.
func (s *scanner) digits() (value uint64) {
	for s.at < len(s.text) && s.text[s.at]-'0' <= 9 {
		value = value*10 + uint64(s.text[s.at]-'0')
		s.at++
	}
	return value
}
