package comfy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// link is one connection. The goroutine in Socket.Run reads it, the one in talk writes to it.
type link struct {
	config *SocketConfig
	conn   *websocket.Conn

	// read by talk alone after this is closed: the reader has seen the answer to feature_flags, or does not demand one
	flags     chan struct{}
	flagsOnce sync.Once
	done      chan struct{} // closed by close
	talking   sync.WaitGroup

	mu    sync.Mutex
	cause error // why it ends; nil while it does not
}

// dial connects and leaves all in order if that fails.
func (s *Socket) dial(ctx context.Context) (*link, error) {
	header := http.Header{} // without Origin: ComfyUI compares it with Host
	s.endpoint.authorize(header)
	d := websocket.Dialer{
		Proxy:            s.config.Proxy,
		NetDialContext:   dialer().DialContext,
		HandshakeTimeout: s.config.HandshakeTimeout,
		// No compression: ComfyUI would take the offer and spend its event loop on it.
	}
	conn, resp, err := d.DialContext(ctx, s.endpoint.socketURL(s.config.ClientID), header) //nolint:bodyclose // gorilla has read and closed it
	if err != nil {
		return nil, handshakeError(resp, err)
	}
	l := &link{
		config: &s.config, conn: conn,
		flags: make(chan struct{}), done: make(chan struct{}),
	}
	conn.SetReadLimit(s.config.ReadLimit)
	conn.SetPongHandler(func(string) error { l.extend(); return nil })
	l.extend()
	return l, nil
}

func handshakeError(resp *http.Response, err error) error {
	const what = "connect socket"
	if resp == nil {
		return fmt.Errorf("%s: %w: %w", what, ErrUnavailable, err)
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, body: errorBody(resp)}
	a.html = isHTML(resp.Header, a.body)
	if a.status >= 500 {
		return fmt.Errorf("%s: %w: %w", what, ErrUnavailable, a.statusError())
	}
	return fmt.Errorf("%s: %w: %w", what, ErrNotComfyUI, a.statusError()) // it speaks HTTP but not this protocol
}

// extend moves the read deadline, unless the connection is being ended.
func (l *link) extend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		_ = l.conn.SetReadDeadline(time.Now().Add(l.config.ReadWait)) // fails only on a closed connection, as the next read does
	}
}

// interrupt ends the connection: the reader returns at once and reports cause. The first cause counts.
func (l *link) interrupt(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = cause
		_ = l.conn.SetReadDeadline(time.Unix(1, 0)) // as in extend
	}
}

// converse reads until the connection ends.
func (s *Socket) converse(l *link) (heard bool, err error) {
	demand := s.answered && s.unanswered < unansweredLimit
	l.talking.Go(func() { l.talk(demand) })
	var events int
	var decoder Decoder
	var text bytes.Buffer
	for {
		kind, frame, err := l.read(&text)
		if err != nil {
			return heard, s.ended(l, err)
		}
		l.extend()
		m, err := decode(&decoder, kind, frame)
		if err != nil {
			counts := s.count(func(t *SocketStats) { t.Malformed++ })
			s.logger.Warn("malformed message from comfyui", "err", err, "bytes", len(frame), "malformed", counts.Malformed)
			continue
		}
		heard = true
		answer := m.Type == TypeFeatureFlags
		if events++; answer || events > 1 { // the first is the greeting, which the zombie of a connection gets too
			l.flagsOnce.Do(func() { close(l.flags) })
		}
		if answer {
			s.answered, s.unanswered = true, 0
		}
		s.count(func(t *SocketStats) {
			t.Messages++
			t.LastMessage = time.Now()
			t.FlagsAnswered = t.FlagsAnswered || answer
		})
		s.config.OnMessage(m)
	}
}

// read reads the next frame: text into a buffer that is used again, for nothing keeps it, unlike the
// picture in a binary one.
func (l *link) read(text *bytes.Buffer) (kind int, frame []byte, err error) {
	kind, r, err := l.conn.NextReader()
	if err != nil {
		return 0, nil, err
	}
	if kind != websocket.TextMessage {
		frame, err = io.ReadAll(r)
		return kind, frame, err
	}
	if text.Cap() > maxKeptFrame {
		*text = bytes.Buffer{}
	}
	text.Reset()
	_, err = text.ReadFrom(r)
	return kind, text.Bytes(), err
}

func decode(d *Decoder, kind int, frame []byte) (Message, error) {
	if kind == websocket.BinaryMessage {
		return DecodeBinary(frame)
	}
	return d.Text(frame)
}

// ended gives the end of a connection its name.
func (s *Socket) ended(l *link, err error) error {
	l.mu.Lock()
	cause := l.cause
	if cause == nil {
		l.cause = err // from here on interrupt leaves the deadline alone, which close sets for its own wait
	}
	l.mu.Unlock()
	const what = "read socket"
	switch {
	case errors.Is(cause, errUnanswered):
		s.unanswered++
		s.count(func(t *SocketStats) { t.Unanswered++ })
		return fmt.Errorf("%s: %w", what, cause)
	case cause != nil:
		return fmt.Errorf("%s: %w", what, cause)
	case errors.Is(err, websocket.ErrReadLimit):
		s.count(func(t *SocketStats) { t.Oversize++ })
		return fmt.Errorf("%s: message over %d bytes: %w", what, s.config.ReadLimit, ErrTooLarge)
	}
	return fmt.Errorf("%s: %w: %w", what, ErrUnavailable, err)
}

// talk says all we have to say: feature_flags first, then pings. It also watches for the answer to the first,
// if demanded.
func (l *link) talk(demandAnswer bool) {
	write := func(f func(deadline time.Time) error) bool {
		if err := f(time.Now().Add(l.config.WriteWait)); err != nil {
			l.interrupt(fmt.Errorf("%w: write: %w", ErrUnavailable, err))
			return false
		}
		return true
	}
	if !write(func(deadline time.Time) error {
		_ = l.conn.SetWriteDeadline(deadline) // never fails in gorilla/websocket
		return l.conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"feature_flags","data":{"supports_preview_metadata":true}}`))
	}) {
		return
	}
	var overdue <-chan time.Time
	answered := l.flags
	if demandAnswer {
		t := time.NewTimer(l.config.FlagsWait)
		defer t.Stop()
		overdue = t.C
	}
	ping := time.NewTicker(l.config.PingEvery)
	defer ping.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-answered:
			answered, overdue = nil, nil
		case <-overdue:
			l.interrupt(errUnanswered)
			return
		case <-ping.C:
			if !write(func(deadline time.Time) error { return l.conn.WriteControl(websocket.PingMessage, nil, deadline) }) {
				return
			}
		}
	}
}

// close says goodbye and waits, at most CloseWait, until the server has closed its side. ComfyUI does that when
// the connection is out of its table; only then is it safe to come back under the same client id. A server that
// does not answer is sent a reset, so that it learns of the end as soon as it can.
func (l *link) close() {
	close(l.done)
	deadline := time.Now().Add(l.config.CloseWait)
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = l.conn.WriteControl(websocket.CloseMessage, bye, deadline) // it may be cut or closed already
	raw := l.conn.NetConn()
	_ = raw.SetReadDeadline(deadline)
	if _, err := io.Copy(io.Discard, raw); err != nil { // what still comes is lost anyway; history has it
		if tcp, ok := underTLS(raw).(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
	_ = l.conn.Close()
	l.talking.Wait()
}

func underTLS(c net.Conn) net.Conn {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return c
}
