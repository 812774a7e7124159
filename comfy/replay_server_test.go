package comfy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// patienceInTests is how long a test waits for something that must come. Nothing waits for it to pass.
const patienceInTests = 2 * time.Minute

// await receives from ch, or fails.
func await[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	timer := time.NewTimer(patienceInTests)
	defer timer.Stop()
	select {
	case v, ok := <-ch:
		if !ok {
			t.Fatalf("waiting for %s: closed", what)
		}
		return v
	case <-timer.C:
		t.Fatalf("waited %s for %s", patienceInTests, what)
	}
	panic("unreachable")
}

// stage is a ComfyUI whose every move is made by a test: requests and sockets wait until the test answers them.
type stage struct {
	t        *testing.T
	address  string
	server   *http.Server
	served   chan struct{}
	requests chan *stageRequest
	dials    chan *stageDial

	mu    sync.Mutex
	conns []*websocket.Conn
}

// stageRequest is one HTTP request with its whole body.
type stageRequest struct {
	*http.Request
	body    []byte
	respond chan func(http.ResponseWriter)
}

// stageDial is one wish for a WebSocket.
type stageDial struct {
	*http.Request
	accept chan bool
	mute   bool // before accept: pings are not answered
	conn   chan *stageConn
}

// stageConn is the server's end of a WebSocket.
type stageConn struct {
	*websocket.Conn
	texts chan string   // what the client sent, feature_flags first
	pings chan struct{} // the client's, as far as there is room
	end   chan error    // how the client's side ended: a *websocket.CloseError if it said so
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, requests: make(chan *stageRequest), dials: make(chan *stageDial)}
	s.listen("127.0.0.1:0")
	t.Cleanup(func() {
		s.close()
		s.hangUp()
	})
	return s
}

func (s *stage) url() string { return "http://" + s.address }

func (s *stage) listen(address string) {
	s.t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = ln.Addr().String()
	server := &http.Server{Handler: s, ReadHeaderTimeout: patienceInTests}
	served := make(chan struct{})
	s.server, s.served = server, served
	go func() {
		defer close(served)
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.t.Errorf("serve: %v", err)
		}
	}()
}

// close ends the server; its address refuses connections until listen is called with it again.
func (s *stage) close() {
	_ = s.server.Close()
	<-s.served
}

// hangUp ends every WebSocket.
func (s *stage) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Origin") != "" {
		s.t.Errorf("%s %s: Origin %q, want none", r.Method, r.URL, r.Header.Get("Origin"))
	}
	if strings.HasSuffix(r.URL.Path, "/ws") {
		s.serveSocket(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client left; its error is the test's business
	}
	q := &stageRequest{Request: r, body: body, respond: make(chan func(http.ResponseWriter))}
	select {
	case s.requests <- q:
	case <-r.Context().Done():
		return
	}
	select {
	case f := <-q.respond:
		f(w)
	case <-r.Context().Done():
	}
}

func (s *stage) serveSocket(w http.ResponseWriter, r *http.Request) {
	if e := r.Header.Get("Sec-WebSocket-Extensions"); e != "" {
		s.t.Errorf("the client offers extensions %q, want none", e)
	}
	d := &stageDial{Request: r, accept: make(chan bool), conn: make(chan *stageConn, 1)}
	select {
	case s.dials <- d:
	case <-r.Context().Done():
		return
	}
	select {
	case ok := <-d.accept:
		if !ok {
			w.WriteHeader(http.StatusForbidden)
			return
		}
	case <-r.Context().Done():
		return
	}
	up := websocket.Upgrader{}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		s.t.Errorf("upgrade: %v", err)
		close(d.conn)
		return
	}
	c := &stageConn{Conn: ws, texts: make(chan string, 16), pings: make(chan struct{}, 64), end: make(chan error, 1)}
	ws.SetPingHandler(func(data string) error {
		select {
		case c.pings <- struct{}{}:
		default:
		}
		if d.mute {
			return nil
		}
		return ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(patienceInTests))
	})
	s.mu.Lock()
	s.conns = append(s.conns, ws)
	s.mu.Unlock()
	ws.SetCloseHandler(func(int, string) error { return nil }) // the test answers
	d.conn <- c
	for {
		_, b, err := ws.ReadMessage()
		if err != nil {
			c.end <- err
			return
		}
		c.texts <- string(b)
	}
}

// open waits for a client to dial, lets it in, and takes its feature_flags.
func (s *stage) open() *stageConn {
	s.t.Helper()
	d := await(s.t, "a socket", s.dials)
	return s.admit(d)
}

func (s *stage) admit(d *stageDial) *stageConn {
	s.t.Helper()
	d.accept <- true
	c := await(s.t, "the upgrade", d.conn)
	first := await(s.t, "feature_flags", c.texts)
	if want := `{"type":"feature_flags","data":{"supports_preview_metadata":true}}`; first != want {
		s.t.Errorf("first text of the client is %s, want %s", first, want)
	}
	return c
}

// say sends a text frame.
func (c *stageConn) say(t *testing.T, text string) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatalf("send %.80s: %v", text, err)
	}
}

// cut ends the connection as a crash or a lost line does: a reset, no close frame.
func (c *stageConn) cut() {
	_ = c.NetConn().(*net.TCPConn).SetLinger(0)
	_ = c.Conn.Close()
}

// goodbye answers the client's close as ComfyUI does: 1000, then the end of the stream.
func (c *stageConn) goodbye() {
	_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(patienceInTests))
	_ = c.Conn.Close()
}
