package fanout

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
)

// feed is one source and all its streams.
type feed struct {
	key    any
	source Source
	beat   []byte   // as on the wire
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

// Whoever is behind gets what it has missed in one write, if that is not much, and else the present state alone.
const (
	mostJoined  = 8
	joinedBytes = 16 << 10
)

// frame is one state as on the wire, shared by all who get it.
type frame struct {
	number uint64 // grows by one from state to state
	whole  []byte // all events that say it
	last   bool
	recent [][]byte                               // on the wire: what led to this state from the one before, behind that which led to that one, and so on
	made   [mostJoined + 1]atomic.Pointer[[]byte] // by how many of recent it joins; 0: whole
}

// join finds the feed of a stream, or makes it.
func (h *Hub) join(s Stream) *feed {
	h.mu.Lock()
	f, ok := h.feeds[s.Key]
	if !ok {
		f = &feed{key: s.Key, source: s.Source, beat: chunk(s.Heartbeat)}
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

// frame is the present state, made by the first loop that asks after a change.
func (f *feed) frame() *frame {
	if f.made.Load() != f.changes.Load() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if at := f.changes.Load(); f.made.Load() != at { // counted before it is read, so that none is missed
			if s, another := f.source.Events(); another {
				f.now.Store(f.now.Load().next(s))
			}
			f.made.Store(at)
		}
	}
	return f.now.Load()
}

// next is the state after f.
func (f *frame) next(s State) *frame {
	next := &frame{number: f.number + 1, whole: s.Whole, last: s.Last}
	wire := onWire(s.Change, s.Last)
	next.recent = append(next.recent, f.recent[max(0, len(f.recent)+1-mostJoined):]...)
	next.recent = append(next.recent, wire)
	size := 0
	for i := len(next.recent) - 1; i >= 0; i-- {
		if size += len(next.recent[i]); size > joinedBytes && i < len(next.recent)-1 {
			next.recent = next.recent[i+1:]
			break
		}
	}
	next.made[1].Store(&wire)
	return next
}

// after is what brings a reader to f that was shown sent last; nil: nothing that is known.
func (f *frame) after(sent *frame) []byte {
	behind := 0
	if sent != nil && f.number-sent.number <= uint64(len(f.recent)) {
		behind = int(f.number - sent.number)
	}
	if made := f.made[behind].Load(); made != nil {
		return *made
	}
	wire := slices.Concat(f.recent[len(f.recent)-behind:]...)
	if behind == 0 {
		wire = onWire(f.whole, f.last)
	}
	f.made[behind].Store(&wire)
	return wire
}

// onWire is events as a chunk, and the end of the body behind the last.
func onWire(events []byte, last bool) []byte {
	wire := chunk(events)
	if last {
		wire = append(wire, "0\r\n\r\n"...)
	}
	return wire
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
