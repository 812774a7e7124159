package comfy

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Decoder decodes the text frames of one connection, in their order. At every step of a large graph
// progress_state repeats hundreds of nodes of which one has changed: what is as it was in the frame
// before is not read again, and nothing is allocated. The zero value is ready.
type Decoder struct {
	promptID string
	frame    []byte      // the last progress_state; empty: none is kept
	begin    []byte      // how it begins, until its first node
	same     []byte      // see usualNode
	nodes    []NodeState // what it said
	ends     []int       // where in frame each of them ends

	last lastText
}

// lastText is the text that the next message most often has again.
type lastText struct{ promptID, node string }

// maxKeptFrame bounds what a Decoder keeps between messages: 5,000 nodes take as much.
const maxKeptFrame = 1 << 20

// Text is DecodeText, but for one thing: Nodes of the Message are the Decoder's own, and its next
// call writes into them.
func (d *Decoder) Text(frame []byte) (Message, error) {
	if hasFastShape(frame) && len(frame) <= maxKeptFrame {
		if m, ok := d.states(frame); ok {
			return m, nil
		}
		if m, ok := scanMessage(frame, &d.last); ok {
			d.release(m)
			return m, nil
		}
	}
	m, err := decodeJSON(frame)
	d.release(m)
	return m, err
}

// release lets go of what was kept for a prompt that is over.
func (d *Decoder) release(m Message) {
	if m.EndsPrompt() {
		*d = Decoder{}
	}
}

// The beginning of a progress_state, around the prompt's id.
const (
	statesBegin = `{"type": "progress_state", "data": {"prompt_id": "`
	statesNodes = `", "nodes": {`
)

// states decodes a progress_state in the server's own order of members. False means only that it is
// another message, or has another shape.
func (d *Decoder) states(frame []byte) (Message, bool) {
	s := scanner{text: frame, last: &d.last}
	if !s.literal(statesBegin) {
		return Message{}, false
	}
	if len(d.begin) == 0 || !bytes.HasPrefix(frame, d.begin) {
		s.at-- // to the quotation mark
		id := s.quoted()
		s.at--
		if s.bad || !s.literal(statesNodes) {
			*d = Decoder{}
			return Message{}, false
		}
		d.begins(frame[:s.at], string(id))
	}
	s.at = len(d.begin)
	common := d.update(&s)
	s.byte('}') // of data
	s.byte('}') // of the message
	if !s.end() {
		*d = Decoder{}
		return Message{}, false
	}
	d.frame = append(d.frame[:common], frame[common:]...)
	return Message{Type: TypeProgressState, PromptID: d.promptID, Nodes: d.nodes}, true
}

// begins forgets the prompt before.
func (d *Decoder) begins(begin []byte, promptID string) {
	*d = Decoder{begin: bytes.Clone(begin), same: sameInNode(promptID), promptID: promptID, last: lastText{promptID: promptID}}
}

// update reads the nodes, up to and with the closing brace; anew are only those whose text is not
// what it was. common is how many bytes the two frames begin with alike.
func (d *Decoder) update(s *scanner) (common int) {
	was := s.at // where in the frame before we are: behind its node k-1
	k := 0
	for compared := false; !s.bad; k++ {
		if k < len(d.ends) {
			n := commonPrefix(d.frame[was:], s.text[s.at:])
			if !compared {
				common, compared = s.at+n, true
			}
			for shift, alike := s.at-was, was+n; k < len(d.ends) && d.ends[k] <= alike; k++ {
				was = d.ends[k]
				s.at = was + shift
				d.ends[k] = s.at
			}
		}
		if k > 0 && !s.more() {
			break
		}
		if k == len(d.ends) {
			d.nodes, d.ends = append(d.nodes, NodeState{}), append(d.ends, 0)
		} else {
			was = d.ends[k]
		}
		s.member(&d.nodes[k], d.same)
		d.ends[k] = s.at
	}
	d.nodes, d.ends = d.nodes[:min(k, len(d.nodes))], d.ends[:min(k, len(d.ends))]
	return common
}

// commonPrefix is how many bytes a and b begin with alike.
func commonPrefix(a, b []byte) int {
	const block = 1 << 10 // compared at once, at memory's speed
	n := min(len(a), len(b))
	i := 0
	for i+block <= n && bytes.Equal(a[i:i+block], b[i:i+block]) {
		i += block
	}
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}
