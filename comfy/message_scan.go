package comfy

import (
	"bytes"
	"strconv"
	"strings"
)

// Two of ComfyUI's messages come at every step, and one of them names every node of the graph.
// They are read here without reflection, in the exact shape that the server writes. Anything
// else, an escape, a member more, a number of another kind, is left to encoding/json, so
// that there is one meaning for every frame; the fuzz test holds the two together.

// hasFastShape tells cheaply whether scanMessage is worth a try.
func hasFastShape(frame []byte) bool {
	rest, ok := bytes.CutPrefix(frame, []byte(`{"type":`))
	rest = bytes.TrimPrefix(rest, []byte(" "))
	return ok && (bytes.HasPrefix(rest, []byte(`"progress`)) || bytes.HasPrefix(rest, []byte(`"executing"`)))
}

// scanMessage reads a progress, executing or progress_state message. False means only that it is
// not of the plain shape.
func scanMessage(text []byte, last *lastText) (Message, bool) {
	s := scanner{text: text, last: last}
	if !s.byte('{') || !s.key("type") {
		return Message{}, false
	}
	var m Message
	switch string(s.quoted()) {
	case TypeProgress:
		m.Type = TypeProgress
	case TypeProgressState:
		m.Type = TypeProgressState
	case TypeExecuting:
		m.Type = TypeExecuting
	default:
		return Message{}, false
	}
	if !s.byte(',') || !s.key("data") || !s.byte('{') {
		return Message{}, false
	}
	var ok bool
	if m.Type == TypeProgressState {
		ok = s.stateData(&m)
	} else {
		ok = s.flatData(&m)
	}
	if !ok || !s.byte('}') || !s.end() {
		return Message{}, false
	}
	return m, true
}

// flatData reads the members of progress and executing, up to and with the closing brace.
func (s *scanner) flatData(m *Message) bool {
	for more := true; more && !s.bad; more = s.more() {
		key := s.quoted()
		if !s.byte(':') {
			return false
		}
		switch string(key) {
		case "prompt_id":
			m.PromptID = again(s.quoted(), &s.last.promptID)
		case "node":
			m.Node = again(s.quotedOrNull(), &s.last.node)
		case "display_node":
			m.DisplayNode = string(s.quotedOrNull())
		case "value":
			m.Value = s.number()
			s.bad = s.bad || m.Type != TypeProgress
		case "max":
			m.Max = s.number()
			s.bad = s.bad || m.Type != TypeProgress
		default:
			return false
		}
	}
	return !s.bad
}

// stateData reads the members of progress_state, up to and with the closing brace.
func (s *scanner) stateData(m *Message) bool {
	for more := true; more && !s.bad; more = s.more() {
		key := s.quoted()
		if !s.byte(':') {
			return false
		}
		switch string(key) {
		case "prompt_id":
			m.PromptID = string(s.quoted())
		case "nodes":
			if m.Nodes != nil || !s.byte('{') {
				return false
			}
			s.nodes(m)
		default:
			return false
		}
	}
	return !s.bad
}

// nodes reads the members of nodes, up to and with the closing brace.
func (s *scanner) nodes(m *Message) {
	// A node takes 190 bytes; room for all of them at once.
	m.Nodes = make([]NodeState, 0, 1+(len(s.text)-s.at)/180)
	same := sameInNode(m.PromptID)
	s.ids.Grow(8 * cap(m.Nodes))
	for more := true; more && !s.bad; more = s.more() {
		m.Nodes = append(m.Nodes, NodeState{})
		s.member(&m.Nodes[len(m.Nodes)-1], same)
	}
}

// sameInNode is what stands between the ids of every usual node of a prompt.
func sameInNode(promptID string) []byte {
	return []byte(`", "prompt_id": "` + promptID + `", "display_node_id": "`)
}

// member reads one member of nodes into n, which holds another reading of it or nothing.
func (s *scanner) member(n *NodeState, same []byte) {
	if !s.usualNode(n, same) {
		*n = NodeState{}
		s.node(n)
	}
}

// usualNode reads one member of nodes as the server writes it for a node of the sent graph: every
// id the same, every member in its place. To compare with what is expected is several times as
// fast as to look at every character. False: it is another, and nothing was read.
func (s *scanner) usualNode(n *NodeState, same []byte) bool {
	start := s.at
	id := s.quoted()
	ok := true
	if s.literal(`: {"value": 1.0, "max": 1.0, "state": "finished`) { // most of a large graph
		n.Value, n.Max, n.State = 1, 1, "finished"
	} else {
		ok = s.literal(`: {"value": `)
		n.Value = s.number()
		ok = ok && s.literal(`, "max": `)
		n.Max = s.number()
		ok = ok && s.literal(`, "state": "`)
		switch {
		case s.literal("running"):
			n.State = "running"
		case s.literal("finished"):
			n.State = "finished"
		default:
			ok = false
		}
	}
	ok = ok && s.literal(`", "node_id": "`) && s.bytes(id) && s.bytes(same) && s.bytes(id) &&
		s.literal(`", "parent_node_id": null, "real_node_id": "`) && s.bytes(id) && s.literal(`"}`)
	if !ok || s.bad {
		s.at, s.bad = start, false
		return false
	}
	if n.Node != string(id) {
		from := s.ids.Len()
		s.ids.Write(id)
		n.Node = s.ids.String()[from:]
	}
	n.DisplayNode, n.RealNode = n.Node, n.Node
	return true
}

// node reads one member of nodes, its own members in any order.
func (s *scanner) node(n *NodeState) {
	n.Node = string(s.quoted())
	if !s.byte(':') || !s.byte('{') {
		return
	}
	for more := true; more && !s.bad; more = s.more() {
		key := s.quoted()
		if !s.byte(':') {
			return
		}
		switch string(key) {
		case "value":
			n.Value = s.number()
		case "max":
			n.Max = s.number()
		case "state":
			n.State = string(s.quoted())
		case "node_id", "prompt_id":
			s.quoted()
		case "parent_node_id", "activity":
			s.quotedOrNull()
		case "display_node_id":
			n.DisplayNode = string(s.quoted())
		case "real_node_id":
			n.RealNode = string(s.quoted())
		default:
			s.bad = true
		}
	}
}

// scanner walks over JSON text. Except where they say otherwise its methods skip leading white
// space. A failure is remembered in bad and makes later calls fail, so that callers
// need to check only at the end of a unit.
type scanner struct {
	text []byte
	at   int
	bad  bool

	ids strings.Builder // of usual nodes, one behind the other: one allocation instead of hundreds

	last *lastText
}

// again is value as text: last if it is the same, else what is last from here on.
func again(value []byte, last *string) string {
	if string(value) != *last {
		*last = string(value)
	}
	return *last
}

// key reads a member's name, which must be want, and the colon.
func (s *scanner) key(want string) bool { return string(s.quoted()) == want && s.byte(':') }

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
	if s.at < len(s.text) && s.text[s.at] <= ' ' {
		s.spaces()
	}
}

func (s *scanner) spaces() {
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

// literal reads exactly want, without skipping white space. Failing is not bad.
func (s *scanner) literal(want string) bool {
	if end := s.at + len(want); end <= len(s.text) && string(s.text[s.at:end]) == want {
		s.at = end
		return true
	}
	return false
}

// bytes is literal for bytes.
func (s *scanner) bytes(want []byte) bool {
	if end := s.at + len(want); end <= len(s.text) && bytes.Equal(s.text[s.at:end], want) {
		s.at = end
		return true
	}
	return false
}

// quoted reads a string of printable ASCII without escapes. The result aliases the text.
func (s *scanner) quoted() []byte {
	if !s.byte('"') {
		return nil
	}
	for i := s.at; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			value := s.text[s.at:i]
			s.at = i + 1
			return value
		case c == '\\' || c < ' ' || c > '~':
			s.bad = true
			return nil
		}
	}
	s.bad = true
	return nil
}

func (s *scanner) quotedOrNull() []byte {
	s.space()
	if s.literal("null") {
		return nil
	}
	return s.quoted()
}

// number reads a JSON number that is not negative and has no exponent.
func (s *scanner) number() float64 {
	s.space()
	start := s.at
	whole := s.digits()
	n := s.at - start
	if s.bad || n == 0 || n > 1 && s.text[start] == '0' {
		s.bad = true
		return 0
	}
	exact := n <= 15 // as a float64
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		dot := s.at
		exact = s.digits() == 0 && s.at-dot <= 15 && exact // 5.0 is 5
		s.bad = s.at == dot
	}
	if s.at < len(s.text) && s.text[s.at]|0x20 == 'e' {
		s.bad = true
	}
	if exact || s.bad {
		return float64(whole)
	}
	value, err := strconv.ParseFloat(string(s.text[start:s.at]), 64)
	s.bad = err != nil
	return value
}

// digits reads a run of decimal digits; the value is right up to 19 of them.
func (s *scanner) digits() (value uint64) {
	for s.at < len(s.text) && s.text[s.at]-'0' <= 9 {
		value = value*10 + uint64(s.text[s.at]-'0')
		s.at++
	}
	return value
}
