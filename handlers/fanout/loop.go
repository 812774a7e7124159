package fanout

import (
	"bytes"
	"net"
	"sync"
	"time"
)

const (
	// beats is how many parts a heartbeat's time has: in each a part of the streams gets theirs, so that they do not
	// all come at once.
	beats = 15
	// turnConns is how many connections of one feed are written to before another has its turn: 2 ms or so.
	turnConns = 256
	// mostInput is how much a reader may send that nobody asked for.
	mostInput = 64 << 10
)

// conn is one connection. Its fields belong to its loop, once admitted, and then to the closer.
type conn struct {
	// What each state needs comes first, in one line of a cache.
	fd    int
	sent  *frame
	rest  []byte // what the socket has not taken yet of a frame whose beginning it has
	bytes int64
	last  bool // rest ends the stream
	blank bool // it has been shown nothing yet: sent is of before it came

	share    *share
	at       int  // in share.conns
	beat     int  // when its heartbeat is due, and
	beatAt   int  // where in loop.beating[beat] it is
	input    int  // bytes that it was sent
	readable bool // reported; guarded by loop.mu, like
	reported bool
	tcp      *net.TCPConn
	net      net.Conn // what to close; usually tcp
	closed   func(bytes int64)
}

// arrival is a connection that a loop is to take in, and what its reader was shown.
type arrival struct {
	conn *conn
	sent []byte
}

// loop writes to the connections it was given.
type loop struct {
	hub    *Hub
	index  int
	poller *poller
	wake   chan struct{}

	mu    sync.Mutex // guards below; nothing is waited for while it is held
	ended bool
	fresh []arrival
	dirty []*share
	ready []*conn
	conns map[int]*conn // by file descriptor

	// Of the loop alone.
	beating [beats][]*conn
	beat    int // the present part of the heartbeat's time
	given   int // parts given out to connections
	stuck   map[*conn]time.Time
	pass    []*share // dirty ones that were taken
	gone    []*conn  // forgotten, and not yet the closer's
	scratch []byte
}

func newLoop(h *Hub) (*loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &loop{
		hub: h, poller: p, wake: make(chan struct{}, 1), conns: make(map[int]*conn), stuck: make(map[*conn]time.Time),
		scratch: make([]byte, 4096),
	}, nil
}

// admit gives c to the loop; one that has ended cuts it.
func (l *loop) admit(c *conn, sent []byte) {
	l.mu.Lock()
	ended := l.ended
	if !ended {
		l.fresh = append(l.fresh, arrival{c, sent})
	}
	l.mu.Unlock()
	if !ended {
		ring(l.wake)
		return
	}
	l.hub.farewell(c)
	l.hub.leave(c)
}

// look has the loop compare what the connections of s were shown with what there is.
func (l *loop) look(s *share) {
	l.mu.Lock()
	again := !s.queued && !l.ended
	if again {
		s.queued = true
		l.dirty = append(l.dirty, s)
	}
	l.mu.Unlock()
	if again {
		ring(l.wake)
	}
}

// report notes that a socket has room again, or (readable) something to read, an end or an error. The poller calls it.
func (l *loop) report(fd int, readable bool) {
	l.mu.Lock()
	c, ok := l.conns[fd]
	if ok {
		c.readable = c.readable || readable
		if !c.reported {
			c.reported = true
			l.ready = append(l.ready, c)
		}
	}
	l.mu.Unlock()
	if ok {
		ring(l.wake)
	}
}

// run writes until until is closed, and then cuts what is left.
func (l *loop) run(until <-chan struct{}) {
	tick := time.NewTicker(l.hub.config.HeartbeatEvery / beats)
	defer tick.Stop()
	for {
		select {
		case <-until:
			l.end()
			return
		case <-tick.C:
			l.tick(time.Now())
		case <-l.wake:
			if l.work() {
				ring(l.wake) // the others first
			}
		}
	}
}

// work does what has come up, and a turn of one feed. more: there is more to do.
func (l *loop) work() (more bool) {
	l.mu.Lock()
	fresh, ready := l.fresh, l.ready
	l.fresh, l.ready = nil, nil
	l.pass = append(l.pass, l.dirty...)
	l.dirty = l.dirty[:0]
	for _, a := range fresh {
		l.conns[a.conn.fd] = a.conn
	}
	l.mu.Unlock()
	for _, a := range fresh {
		l.takeIn(a)
	}
	for _, c := range ready {
		l.mu.Lock()
		readable, here := c.readable, l.conns[c.fd] == c
		c.readable, c.reported = false, false
		l.mu.Unlock()
		if here {
			l.attend(c, readable)
		}
	}
	if len(l.pass) > 0 {
		s := l.pass[0]
		l.pass[0] = nil
		l.pass = l.pass[1:]
		if l.show(s) {
			l.pass = append(l.pass, s)
			return true
		}
	}
	l.part()
	if len(l.pass) == 0 {
		l.pass = nil
	}
	return len(l.pass) > 0
}

// part gives the closer what was forgotten: when a pass is over, for to close a connection takes longer than to
// write to one, and an end is for all at once.
func (l *loop) part() {
	if len(l.gone) > 0 {
		l.hub.leave(l.gone...)
		clear(l.gone)
		l.gone = l.gone[:0]
	}
}

// takeIn makes a new connection one of the loop's, and shows it what came since it was handed over.
func (l *loop) takeIn(a arrival) {
	c := a.conn
	c.at = len(c.share.conns)
	c.share.conns = append(c.share.conns, c)
	l.given = (l.given + 1) % beats
	c.beat, c.beatAt = l.given, len(l.beating[l.given])
	l.beating[c.beat] = append(l.beating[c.beat], c)
	if err := l.poller.add(c.fd); err != nil {
		l.forget(c)
		return
	}
	f := c.share.feed.frame()
	if !f.last && bytes.Equal(f.whole, a.sent) {
		c.sent = f
		return
	}
	if !f.last && c.share.feed.source.Again() {
		c.sent, c.blank = f, true
		return
	}
	l.catchUp(c, f)
}

// show writes the present frame of s to those who have not got it, at most turnConns of them. more: some are left.
func (l *loop) show(s *share) (more bool) {
	if s.began == nil {
		s.began, s.next = s.feed.frame(), 0
	}
	for tried := 0; s.next < len(s.conns); {
		if tried == turnConns {
			return true
		}
		c := s.conns[s.next]
		f := s.feed.frame() // a newer one overtakes the one that the pass began with
		if c.sent != f && c.rest == nil {
			tried++
			l.catchUp(c, f)
		}
		if s.next < len(s.conns) && s.conns[s.next] == c { // else another has its place
			s.next++
		}
	}
	began := s.began
	s.began = nil
	l.mu.Lock()
	s.queued = false
	l.mu.Unlock()
	// What changed until now found s queued; from here on it queues s anew.
	if s.feed.frame() != began {
		l.look(s)
	}
	return false
}

// catchUp writes f to a connection that waits for nothing.
func (l *loop) catchUp(c *conn, f *frame) {
	if c.blank {
		c.sent, c.blank = nil, false
	}
	wire := f.after(c.sent)
	c.sent = f
	l.write(c, wire, f.last)
}

// write writes as much of wire as the socket takes; the rest is written when it has room. last: then the stream ends.
func (l *loop) write(c *conn, wire []byte, last bool) {
	n, err := write(c.fd, wire)
	c.bytes += int64(n)
	switch {
	case err != nil:
		l.forget(c)
	case n < len(wire):
		c.rest, c.last = wire[n:], last
		if _, ok := l.stuck[c]; !ok {
			l.stuck[c] = time.Now()
		}
	case last:
		l.forget(c)
	}
}

// attend looks after a connection of which something was reported.
func (l *loop) attend(c *conn, readable bool) {
	if readable {
		n, open := drain(c.fd, l.scratch, mostInput-c.input)
		c.input += n
		if !open {
			l.forget(c)
			return
		}
	}
	if c.rest == nil {
		return
	}
	n, err := write(c.fd, c.rest)
	c.bytes += int64(n)
	switch {
	case err != nil:
		l.forget(c)
	case n < len(c.rest):
		c.rest = c.rest[n:]
	case c.last:
		l.forget(c)
	default:
		c.rest = nil
		delete(l.stuck, c)
		if f := c.share.feed.frame(); f != c.sent {
			l.catchUp(c, f)
		}
	}
}

// tick sends the heartbeats that are due, and cuts those who have not taken theirs, or a state, for too long.
func (l *loop) tick(now time.Time) {
	for c, since := range l.stuck {
		if now.Sub(since) >= l.hub.config.WriteWait {
			_ = c.tcp.SetLinger(0) // what it was sent is not kept for it
			l.forget(c)
		}
	}
	l.beat = (l.beat + 1) % beats
	for i := len(l.beating[l.beat]) - 1; i >= 0; i-- { // from the end: forget puts the last one in a gap
		if c := l.beating[l.beat][i]; c.rest == nil {
			l.write(c, c.share.feed.beat, false)
		}
	}
	if len(l.pass) == 0 {
		l.part()
	}
}

// forget takes c out of the loop; part hands it to the closer.
func (l *loop) forget(c *conn) {
	s := c.share
	i := c.at
	if s.began != nil && i < s.next { // one that was passed takes its place, so that none is passed over
		s.next--
		s.put(i, s.conns[s.next])
		i = s.next
	}
	end := len(s.conns) - 1
	s.put(i, s.conns[end])
	s.conns[end] = nil
	s.conns = s.conns[:end]

	list := l.beating[c.beat]
	end = len(list) - 1
	list[c.beatAt] = list[end]
	list[c.beatAt].beatAt = c.beatAt
	list[end] = nil
	l.beating[c.beat] = list[:end]

	delete(l.stuck, c)
	l.mu.Lock()
	delete(l.conns, c.fd)
	l.mu.Unlock()
	l.gone = append(l.gone, c)
}

func (s *share) put(i int, c *conn) {
	s.conns[i] = c
	c.at = i
}

// end cuts all connections, those too that were about to come.
func (l *loop) end() {
	l.mu.Lock()
	l.ended = true
	fresh := l.fresh
	l.fresh = nil
	l.mu.Unlock()
	for _, a := range fresh {
		l.hub.farewell(a.conn)
		l.hub.leave(a.conn)
	}
	for i := range l.beating {
		for len(l.beating[i]) > 0 {
			c := l.beating[i][0]
			l.attend(c, true) // one that was stuck may have room by now
			if len(l.beating[i]) == 0 || l.beating[i][0] != c {
				continue // it has left by itself
			}
			if c.rest == nil {
				l.hub.farewell(c)
			}
			l.forget(c)
		}
	}
	l.part()
}

// farewell tells a reader when to come back, if its socket has room. The body is left without its end: a stream
// that ends in good order is one that a browser does not ask for again.
func (h *Hub) farewell(c *conn) {
	n, _ := write(c.fd, chunk(h.config.Farewell())) // it is cut, whether it has heard that or not
	c.bytes += int64(n)
}
