// Package fanout writes event streams to many connections from few goroutines. A handler begins a
// stream as it always does, through net/http: headers and first events. Then it may hand the connection over with
// Adopt and return. From there on a waiting stream costs a few hundred bytes: no goroutine, no buffer, no timer.
//
// A feed is what all streams of one key show: a state that is replaced. Each change is made into the bytes of the wire
// once and written to every connection without waiting. A connection that falls behind gets what it has missed in one
// write; one that has missed much skips to the last state there is.
//
// Who owns which goroutine: Run owns all, and returns when they have. There is a loop for each core, which alone
// touches the sockets it was given; beside each a watch on its sockets (epoll), which tells the loop when one has
// room again or its reader has left; and one closer, which does for all loops what may take a while: closing
// sockets, ending sources, telling whoever handed the stream over. A loop waits for nobody.
//
// Only HTTP/1.1 without TLS on a TCP connection of an http.Server with ConnContext can be handed over, on Linux.
// For everything else Adopt says no, and the handler goes on as before.
package fanout

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"
)

// Source is the state that the streams of one feed show.
type Source interface {
	// Notify has changed called at once and after each change, by any goroutine; changed does not wait.
	Notify(changed func())
	// Events is the present state, if it is another than that of the call before. It is called by the loops, one at a
	// time, and must not wait.
	Events() (s State, another bool)
	// Again is asked when a reader comes. False: the next Events are of now. True: they may be older than what it has
	// seen elsewhere, and another state, made from now on, follows soon, though it may look the same.
	Again() (later bool)
	// Close ends the notices.
	Close()
}

// State is one state of a source, in whole events.
type State struct {
	Change []byte // what leads to it from the one before
	Whole  []byte // all of it, for who has missed that; may be Change
	Last   bool   // behind it a stream is at its end
}

// Stream is a stream that a handler has begun.
type Stream struct {
	Key    any    // comparable; streams of the same key share one source
	Source Source // the hub closes it, at once where the key has one already
	Sent   []byte // what the reader has been shown of the source, whole; nothing is sent that says the same
	// Heartbeat is whole events, sent to each stream of Key every Config.HeartbeatEvery.
	Heartbeat []byte
	// Closed is told, once the connection is closed, how many bytes were written after the handover. The closer
	// calls it.
	Closed func(bytes int64)
}

// Config says how streams are kept. All fields are needed.
type Config struct {
	HeartbeatEvery time.Duration
	WriteWait      time.Duration // a reader that takes longer to take what was begun is cut
	Farewell       func() []byte // the last event of a stream that is cut when Run ends
}

// Hub owns the connections that were handed over.
type Hub struct {
	config Config

	mu     sync.Mutex     // guards below; taken before a loop's
	loops  []*loop        // once Run runs
	open   bool           // Run takes connections
	turn   int            // whose turn it is to get one
	taking sync.WaitGroup // connections on their way to a loop; added to while open
	feeds  map[any]*feed

	closing sync.Mutex // guards gone
	gone    []*conn    // for the closer
	left    chan struct{}
}

// New makes a hub. It takes connections while Run runs.
func New(c Config) *Hub {
	return &Hub{config: c, feeds: make(map[any]*feed), left: make(chan struct{}, 1)}
}

type connKey struct{}

// ConnContext is for http.Server.ConnContext: it lets Adopt take over what is served on c. Whoever sets it says that
// nothing between that server and the handlers rewrites answers.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if tcp, ok := c.(*net.TCPConn); ok {
		return context.WithValue(ctx, connKey{}, tcp)
	}
	return ctx
}

// Run writes until until is closed. Then it says farewell to all streams, cuts them, and returns when everyone has been
// told. Where the system has no way to watch many sockets it just waits.
func (h *Hub) Run(until <-chan struct{}) error {
	var loops []*loop
	for range runtime.GOMAXPROCS(0) {
		l, err := newLoop(h)
		if err != nil {
			for _, l := range loops {
				l.poller.close()
			}
			if errors.Is(err, errors.ErrUnsupported) {
				<-until
				return nil
			}
			return err
		}
		l.index = len(loops)
		loops = append(loops, l)
	}
	var looping, watching, closing sync.WaitGroup
	over := make(chan struct{})
	closing.Go(func() { h.close(over) })
	for _, l := range loops {
		looping.Go(func() { l.run(until) })
		watching.Go(func() { l.poller.run(l.report) })
	}
	h.mu.Lock()
	h.loops, h.open = loops, true
	h.mu.Unlock()
	looping.Wait()
	h.mu.Lock()
	h.open = false
	h.mu.Unlock()
	h.taking.Wait() // each is the closer's by now
	for _, l := range loops {
		l.poller.close()
	}
	watching.Wait()
	close(over)
	closing.Wait()
	return nil
}

// Takes reports whether the connection of r could be handed over. Its headers then say that it will be closed: it does
// not come back to net/http.
func (h *Hub) Takes(r *http.Request) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open && ownable(r) != nil
}

// ownable is the connection of r, if it carries nothing but what is written to it.
func ownable(r *http.Request) *net.TCPConn {
	tcp, ok := r.Context().Value(connKey{}).(*net.TCPConn)
	if !ok || r.TLS != nil || r.ProtoMajor != 1 || r.ProtoMinor < 1 {
		return nil
	}
	return tcp
}

// Adopt takes the connection of a stream, whose headers and first events w has been given, for as long as it lasts.
// The handler then just returns. False: nothing has changed, the handler keeps stream and source.
func (h *Hub) Adopt(w http.ResponseWriter, r *http.Request, s Stream) bool {
	tcp := ownable(r)
	if tcp == nil || r.Context().Err() != nil {
		return false
	}
	l := h.next()
	if l == nil {
		return false
	}
	defer h.taking.Done()
	rc := http.NewResponseController(w)
	if rc.Flush() != nil { // Hijack would drop it
		return false
	}
	taken, _, err := rc.Hijack() // lifts the deadlines
	if err != nil {
		return false
	}
	c := &conn{tcp: tcp, net: taken, closed: s.Closed}
	if c.fd, err = tune(tcp); err != nil {
		c.fd = -1 // closed already, as its loop is about to find
	}
	f := h.join(s)
	c.share = f.shares[l.index]
	l.admit(c, s.Sent)
	return true
}

// next is the loop that is to have the next connection; nil: none is taken. Else taking has one more.
func (h *Hub) next() *loop {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.open {
		return nil
	}
	h.taking.Add(1)
	h.turn = (h.turn + 1) % len(h.loops)
	return h.loops[h.turn]
}

// leave hands connections that their loop has forgotten to the closer.
func (h *Hub) leave(c ...*conn) {
	h.closing.Lock()
	h.gone = append(h.gone, c...)
	h.closing.Unlock()
	ring(h.left)
}

// close closes what has left, until over is closed and all has.
func (h *Hub) close(over <-chan struct{}) {
	for last := false; !last; {
		select {
		case <-h.left:
		case <-over:
			last = true
		}
		h.closing.Lock()
		gone := h.gone
		h.gone = nil
		h.closing.Unlock()
		for _, c := range gone {
			_ = c.net.Close() // whatever is wrong with it, it is gone
			h.part(c.share.feed)
			c.closed(c.bytes)
		}
	}
}

// ring wakes whoever reads wake; a ring that waits there already will do.
func ring(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
