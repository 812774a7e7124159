package simulator

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	"github.com/gorilla/websocket"
)

// frame is one event on its way to sockets.
type frame struct {
	to       string // client id; ignored when everyone
	everyone bool
	binary   bool
	data     []byte
	cut      bool // send only the first half, then cut the connection
}

// hub is the table of sockets and the one loop that sends all events, one after the other: events of one socket keep
// their order, and a socket that does not read holds up all others, exactly as in ComfyUI.
type hub struct {
	p *process

	mu     sync.Mutex
	table  map[string]*socket   // by client id: who receives
	open   map[*socket]struct{} // every connection, those that the table has forgotten too
	events []frame
	wake   chan struct{} // has room for one: events may be waiting
}

func newHub(p *process) *hub {
	return &hub{p: p, table: map[string]*socket{}, open: map[*socket]struct{}{}, wake: make(chan struct{}, 1)}
}

// message is a text frame in ComfyUI's form.
func message(kind string, data *object) []byte {
	return encode(pairs("type", kind, "data", data))
}

// send queues a message for the socket of one client, or for all when client is nil.
func (h *hub) send(kind string, data *object, client *string) {
	f := frame{data: message(kind, data), everyone: client == nil}
	if client != nil {
		f.to = *client
	}
	h.queue(f)
}

// broadcast queues a message for every socket.
func (h *hub) broadcast(kind string, data *object) { h.send(kind, data, nil) }

// sendBinary queues a binary frame of that event; client as in send.
func (h *hub) sendBinary(event uint32, payload []byte, client *string) {
	f := frame{binary: true, everyone: client == nil, data: binary.BigEndian.AppendUint32(nil, event)}
	f.data = append(f.data, payload...)
	if client != nil {
		f.to = *client
	}
	h.queue(f)
}

func (h *hub) queue(frames ...frame) {
	h.mu.Lock()
	h.events = append(h.events, frames...)
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default: // the loop has not woken up yet; it will take these too
	}
}

// publish is the loop; it ends with the process.
func (h *hub) publish() {
	for {
		h.mu.Lock()
		batch := h.events
		h.events = nil
		h.mu.Unlock()
		if len(batch) == 0 {
			select {
			case <-h.p.ctx.Done():
				return
			case <-h.wake:
			}
			continue
		}
		for _, f := range batch {
			if !h.p.sim.faults.waitStalled(h.p.ctx) {
				return
			}
			for _, f := range h.p.sim.faults.mangle(f) {
				h.deliver(f)
			}
		}
	}
}

func (h *hub) deliver(f frame) {
	h.mu.Lock()
	var to []*socket
	if f.everyone {
		to = slices.Collect(maps.Values(h.table))
	} else if s, ok := h.table[f.to]; ok {
		to = []*socket{s}
	}
	h.mu.Unlock()
	for _, s := range to {
		if f.cut {
			s.half(f.data)
			continue
		}
		kind := websocket.TextMessage
		if f.binary {
			kind = websocket.BinaryMessage
		}
		s.write(kind, f.data)
	}
}

// register puts s into the table; an older socket of the same client id is forgotten, but stays open.
func (h *hub) register(s *socket) (ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.p.ctx.Err() != nil {
		return false
	}
	h.table[s.id] = s
	h.open[s] = struct{}{}
	return true
}

// unregister is what ComfyUI does when a connection ends: it forgets the client id, whichever socket holds it now.
func (h *hub) unregister(s *socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, s)
	if h.table[s.id] == s || !h.p.sim.config.FixedSocketTable {
		delete(h.table, s.id)
	}
}

// wantsMetadata reports whether the client takes previews with metadata; a nil client never does.
func (h *hub) wantsMetadata(client *string) bool {
	if client == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.table[*client]
	return ok && s.metadata
}

// cutAll resets every connection.
func (h *hub) cutAll() {
	h.mu.Lock()
	open := slices.Collect(maps.Keys(h.open))
	h.mu.Unlock()
	for _, s := range open {
		s.cut()
	}
}

// deafen forgets every socket: they stay open and answer pings, but hear nothing more.
func (h *hub) deafen() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.table)
}
