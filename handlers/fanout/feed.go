package fanout

import (
	"bytes"
	"strconv"
	"sync"
	"sync/atomic"
)

// feed is one source and all its streams.
type feed struct {
	key    any
	source Source
	refs   int      // connections; guarded by Hub.mu
	shares []*share // by loop

	changes atomic.Uint64 // counted by changed
	mu      sync.Mutex    // makes frames one at a time
	made    atomic.Uint64 // the change that now shows, or an earlier one
	now     atomic.Pointer[frame]
}

// share is the streams of a feed that one loop writes to.
type share struct {
	feed   *feed
	loop   *loop
	queued bool // among loop.dirty; guarded by loop.mu

	// Of the loop alone.
	conns []*conn
	next  int    // all before it were shown began, or a later frame
	began *frame // nil: no pass is under way
}

// frame is one state as on the wire, shared by all who get it.
type frame struct {
	events []byte
	wire   []byte
	last   bool
}

// join finds the feed of a stream, or makes it.
func (h *Hub) join(s Stream) *feed {
	h.mu.Lock()
	f, ok := h.feeds[s.Key]
	if !ok {
		f = &feed{key: s.Key, source: s.Source}
		for _, l := range h.loops {
			f.shares = append(f.shares, &share{feed: f, loop: l})
		}
		f.now.Store(new(frame))
		f.changes.Store(1) // the first state is to be made
		h.feeds[s.Key] = f
	}
	f.refs++
	h.mu.Unlock()
	if ok {
		s.Source.Close()
	} else {
		f.source.Notify(f.changed)
	}
	return f
}

// part takes one connection from a feed; the last one ends it.
func (h *Hub) part(f *feed) {
	h.mu.Lock()
	f.refs--
	over := f.refs == 0
	if over {
		delete(h.feeds, f.key)
	}
	h.mu.Unlock()
	if over {
		f.source.Close()
	}
}

// changed has all loops look at the feed. It is called by whoever makes the change, and does not wait.
func (f *feed) changed() {
	f.changes.Add(1)
	for _, s := range f.shares {
		s.loop.look(s)
	}
}

// frame is the present state, made by the first loop that asks after a change. A state that looks like the one
// before is no new one.
func (f *feed) frame() *frame {
	if f.made.Load() != f.changes.Load() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if at := f.changes.Load(); f.made.Load() != at { // counted before it is read, so that none is missed
			if events, last := f.source.Events(); last || !bytes.Equal(events, f.now.Load().events) {
				f.now.Store(newFrame(events, last))
			}
			f.made.Store(at)
		}
	}
	return f.now.Load()
}

func newFrame(events []byte, last bool) *frame {
	f := &frame{events: events, wire: chunk(events), last: last}
	if last {
		f.wire = append(f.wire, "0\r\n\r\n"...)
	}
	return f
}

// chunk is data as one chunk of a chunked body (RFC 9112, 7.1), as net/http writes it.
func chunk(data []byte) []byte {
	if len(data) == 0 {
		return nil // a chunk of nothing would be the end
	}
	wire := make([]byte, 0, len(data)+16)
	wire = strconv.AppendInt(wire, int64(len(data)), 16)
	wire = append(wire, "\r\n"...)
	wire = append(wire, data...)
	return append(wire, "\r\n"...)
}
