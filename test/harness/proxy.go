package harness

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Proxy passes TCP connections on to a server, and can do to them what networks do.
type Proxy struct {
	network  string // of the target: tcp or unix
	target   string
	listener net.Listener
	work     sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change of what follows
	cut     bool
	stalled bool
	closed  bool
	refused int
	passed  func(toServer bool, piece []byte)
	conns   map[conn]struct{}
}

// conn is what a *net.TCPConn and a *net.UnixConn have in common.
type conn interface {
	net.Conn
	CloseWrite() error
}

// reset ends a connection without an orderly end.
func reset(c conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// NewProxy listens on a port of its own until the test ends, in front of target (an URL).
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	return newProxy(t, "tcp", u.Host)
}

func newProxy(t testing.TB, network, target string) *Proxy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{network: network, target: target, listener: listener, changed: make(chan struct{}), conns: make(map[conn]struct{})}
	p.work.Go(p.accept)
	t.Cleanup(func() {
		p.set(func() { p.closed = true })
		_ = listener.Close()
		p.reset()
		p.work.Wait()
	})
	return p
}

// Addr is the proxy's own host and port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URL is the proxy's own address, without a slash at the end.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// Cut resets every connection, and each new one, until Mend.
func (p *Proxy) Cut() {
	p.set(func() { p.cut = true })
	p.reset()
}

// Mend ends a cut.
func (p *Proxy) Mend() { p.set(func() { p.cut = false }) }

// Refused is how many connections were reset because they came during a cut.
func (p *Proxy) Refused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// Stall holds every byte back, in both directions, while connections stay open and new ones are
// taken: a cable that was pulled. When it ends, all of it arrives.
func (p *Proxy) Stall(on bool) { p.set(func() { p.stalled = on }) }

// OnPiece has f called with each piece of data before it is passed on; the piece waits for f.
func (p *Proxy) OnPiece(f func(toServer bool, piece []byte)) { p.set(func() { p.passed = f }) }

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		reset(c)
	}
}

// keep notes a connection, unless there are none to be at present.
func (p *Proxy) keep(c conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut || p.closed {
		p.refused++
		reset(c)
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		visitor := c.(*net.TCPConn) // of a TCP listener
		p.work.Go(func() { p.serve(visitor) })
	}
}

func (p *Proxy) serve(visitor *net.TCPConn) {
	if !p.keep(visitor) {
		return
	}
	defer p.drop(visitor)
	c, err := new(net.Dialer).DialContext(context.Background(), p.network, p.target)
	if err != nil {
		reset(visitor)
		return
	}
	server := c.(conn) // TCP or a socket of the file system
	if !p.keep(server) {
		return
	}
	defer p.drop(server)
	var both sync.WaitGroup
	both.Go(func() { p.pass(server, visitor, true) })
	both.Go(func() { p.pass(visitor, server, false) })
	both.Wait()
}

// pass copies one direction. An orderly end is passed on as one; a broken connection breaks both.
func (p *Proxy) pass(to, from conn, toServer bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !p.flowing(toServer, buffer[:n]) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				reset(from)
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = to.CloseWrite()
			return
		case err != nil:
			reset(to)
			return
		}
	}
}

// flowing waits while the proxy is stalled; false when it has been closed meanwhile.
func (p *Proxy) flowing(toServer bool, piece []byte) bool {
	for {
		p.mu.Lock()
		stalled, closed, changed, passed := p.stalled, p.closed, p.changed, p.passed
		p.mu.Unlock()
		switch {
		case closed:
			return false
		case !stalled:
			if passed != nil {
				passed(toServer, piece)
			}
			return true
		}
		<-changed
	}
}
