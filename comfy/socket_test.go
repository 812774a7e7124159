package comfy

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// socketRun is a Socket that runs until the test's end.
type socketRun struct {
	*Socket
	messages chan Message
	states   chan SocketState
	stop     context.CancelFunc
	ended    chan struct{}
}

// runSocket starts a Socket with waits short enough for a test.
func runSocket(t *testing.T, s *stage, c SocketConfig) *socketRun {
	t.Helper()
	a := &socketRun{messages: make(chan Message, 1024), states: make(chan SocketState, 1024), ended: make(chan struct{})}
	if c.URL == "" {
		c.URL = s.url()
	}
	c.ClientID = "easel"
	c.OnMessage = func(m Message) { a.messages <- m }
	c.OnState = func(st SocketState) { a.states <- st }
	c.ShortestWait = cmp.Or(c.ShortestWait, time.Millisecond)
	c.LongestWait = cmp.Or(c.LongestWait, 2*time.Millisecond)
	c.CloseWait = cmp.Or(c.CloseWait, 50*time.Millisecond)
	a.Socket = NewSocket(c)
	ctx, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	go func() {
		defer close(a.ended)
		if err := a.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v, want context.Canceled", err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		s.hangUp() // a Socket waits for that, up to CloseWait
		awaitClosed(t, "the socket's end", a.ended)
	})
	return a
}

// next waits for a message and checks its type.
func (a *socketRun) next(t *testing.T, wantType string) Message {
	t.Helper()
	m := await(t, wantType, a.messages)
	if m.Type != wantType {
		t.Fatalf("message of type %s, want %s", m.Type, wantType)
	}
	return m
}

// gone waits for the end of a connection and returns it.
func (a *socketRun) gone(t *testing.T) SocketState {
	t.Helper()
	for {
		if st := await(t, "the end of a connection", a.states); !st.Connected {
			return st
		}
	}
}

const (
	greeting   = `{"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "easel"}}`
	status1    = `{"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 1}}}}`
	flagsReply = `{"type": "feature_flags", "data": {"supports_preview_metadata": true, "max_upload_size": 104857600}}`
	stepOne    = `{"type": "progress", "data": {"value": 1, "max": 20, "prompt_id": "` + promptID + `", "node": "3"}}`
)

// greet says what ComfyUI says to everyone who connects.
func (c *stageConn) greet(t *testing.T) {
	t.Helper()
	c.say(t, greeting)
	c.say(t, flagsReply)
}

func TestEventsBeforeThePostsAnswer(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{})
	conn := s.open()
	c, err := NewClient(s.url(), ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	result := make(chan error, 1)
	go func() {
		_, err := c.Submit(context.Background(), submission())
		result <- err
	}()
	post := await(t, "the POST", s.requests)
	conn.say(t, `{"type": "execution_start", "data": {"prompt_id": "`+promptID+`", "timestamp": 1}}`)
	if m := a.next(t, TypeExecutionStart); m.PromptID != promptID {
		t.Errorf("message of %s, want %s", m.PromptID, promptID)
	}
	post.respond <- func(w http.ResponseWriter) {
		_, _ = io.WriteString(w, `{"prompt_id": "`+promptID+`", "number": 0, "node_errors": {}}`)
	}
	if err := await(t, "the answer", result); err != nil {
		t.Error(err)
	}
}

// TestDropAndReturn: the line is cut in mid-run; the socket comes back under the same client id and goes on.
func TestDropAndReturn(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{})
	for i := range uint64(3) {
		d := await(t, "a dial", s.dials)
		if id := d.URL.Query().Get("clientId"); id != "easel" {
			t.Errorf("clientId = %q, want easel", id)
		}
		conn := s.admit(d)
		if st := await(t, "connected", a.states); !st.Connected || st.Counts.Connects != i+1 {
			t.Errorf("state %+v, want connected for the %d. time", st, i+1)
		}
		conn.greet(t)
		a.next(t, TypeStatus)
		a.next(t, TypeFeatureFlags)
		conn.say(t, stepOne)
		a.next(t, TypeProgress)
		if st := a.Stats(); !st.Connected || !st.FlagsAnswered || st.Messages != 3*(i+1) || st.LastMessage.IsZero() {
			t.Errorf("stats %+v", st)
		}
		conn.cut()
		if st := a.gone(t); !errors.Is(st.Err, ErrUnavailable) || st.RetryIn <= 0 {
			t.Errorf("state %+v, want ErrUnavailable and a time to come back", st)
		}
	}
	if st := a.Stats(); st.Malformed != 0 || st.Oversize != 0 {
		t.Errorf("stats %+v", st)
	}
}

// TestTwoSocketsOneID: ComfyUI forgets the newer of two connections when the older ends, so there must never be
// two. The next is dialled only when the server has closed the one before.
func TestTwoSocketsOneID(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{CloseWait: patienceInTests})
	conn := s.open()
	for range 20 {
		conn.greet(t)
		a.next(t, TypeStatus)
		a.next(t, TypeFeatureFlags)
		a.Redial()
		if err := await(t, "goodbye", conn.end); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			t.Fatalf("the client left with %v, want close 1000", err)
		}
		// The close frame is answered, but ComfyUI's handler is not through: the stream is still open.
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(patienceInTests))
		select {
		case <-s.dials:
			t.Fatal("a second connection was dialled while the first was open")
		case <-time.After(5 * time.Millisecond): // five times as long as the wait between two connections
		}
		_ = conn.Conn.Close()
		conn = s.open()
	}
	if st := a.gone(t); !errors.Is(st.Err, errRedial) {
		t.Errorf("state %+v, want errRedial", st)
	}
}

// TestRedialWhileTheOldConnectionEnds: a watchdog that fires now must not cut short the wait for that end.
func TestRedialWhileTheOldConnectionEnds(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{CloseWait: patienceInTests})
	conn := s.open()
	_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1001, ""), time.Now().Add(patienceInTests))
	_ = await(t, "goodbye", conn.end) // how it ended is not the point
	a.Redial()
	select {
	case <-s.dials:
		t.Fatal("a second connection was dialled while the first was open")
	case <-time.After(5 * time.Millisecond): // as above
	}
	_ = conn.Conn.Close()
	s.open()
}

// TestADeadServerDoesNotHoldTheSocketUp: nobody answers the goodbye; after CloseWait the next connection is made.
func TestADeadServerDoesNotHoldTheSocketUp(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{CloseWait: 20 * time.Millisecond})
	first := s.open()
	a.Redial()
	second := s.open()
	second.greet(t)
	a.next(t, TypeStatus)
	// The first was reset, so that the server hears of its end even in the middle of a write.
	_ = await(t, "the client's goodbye", first.end) // how it ended is not the point
	if _, err := first.NetConn().Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the first connection ended with %v, want a reset", err)
	}
}

func TestPongsKeepAnIdleConnection(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{ReadWait: 200 * time.Millisecond, PingEvery: 10 * time.Millisecond})
	conn := s.open()
	stays(t, a, conn, 1) // twice as long as the read deadline, without a message
}

func TestADeadLineIsNoticed(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{ReadWait: 50 * time.Millisecond, PingEvery: 10 * time.Millisecond})
	d := await(t, "a dial", s.dials)
	d.mute = true
	s.admit(d)
	st := a.gone(t)
	if ne, ok := errors.AsType[net.Error](st.Err); !ok || !ne.Timeout() || !errors.Is(st.Err, ErrUnavailable) {
		t.Errorf("state %+v, want a timeout", st)
	}
	s.open()
}

func TestCutFrame(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{})
	conn := s.open()
	conn.say(t, stepOne)
	a.next(t, TypeProgress)
	// A text frame of 100 bytes of which 10 come.
	if _, err := conn.NetConn().Write(append([]byte{0x81, 100}, stepOne[:10]...)); err != nil {
		t.Fatal(err)
	}
	_ = conn.Conn.Close()
	if st := a.gone(t); !errors.Is(st.Err, ErrUnavailable) || st.Counts.Malformed != 0 || st.Counts.Messages != 1 {
		t.Errorf("state %+v, want a lost connection and no malformed message", st)
	}
	s.open().say(t, stepOne)
	a.next(t, TypeProgress)
}

func TestUnknownTypesArePassedOn(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{})
	conn := s.open()
	conn.say(t, `{"type": "crystools.monitor", "data": {"cpu": NaN}, "extra": 1}`)
	a.next(t, "crystools.monitor")
	if err := conn.WriteMessage(websocket.BinaryMessage, []byte{0, 0, 0, 99, 1}); err != nil {
		t.Fatal(err)
	}
	a.next(t, "event 99")
	if n := a.Stats().Malformed; n != 0 {
		t.Errorf("%d malformed, want 0", n)
	}
}

func TestMalformedMessagesAreCountedAndPassedOver(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{})
	conn := s.open()
	for _, text := range []string{"", "{", "null", "[]", `{"data": {}}`, `{"type": "progress"}`, `{"type": "progress", "data": {"value": "x"}}`, "\xff\xfe"} {
		conn.say(t, text)
	}
	for _, frame := range [][]byte{{}, {0, 0}, {0, 0, 0, 1}, {0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff, '{'}} {
		if err := conn.WriteMessage(websocket.BinaryMessage, frame); err != nil {
			t.Fatal(err)
		}
	}
	conn.say(t, stepOne)
	a.next(t, TypeProgress)
	if st := a.Stats(); st.Malformed != 12 || st.Messages != 1 || st.Connects != 1 {
		t.Errorf("stats %+v, want 12 malformed, 1 message, 1 connection", st)
	}
}

func TestFrameOf40MiB(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{CloseWait: patienceInTests})
	conn := s.open()
	big := make([]byte, 40<<20)
	copy(big, "\x00\x00\x00\x01\x00\x00\x00\x01")
	sent := make(chan struct{})
	go func() {
		_ = conn.WriteMessage(websocket.BinaryMessage, big) // the client may leave before it has all
		close(sent)
	}()
	_ = await(t, "goodbye", conn.end)           // how it ended is not the point
	awaitClosed(t, "the big frame's end", sent) // read to its end: a server that writes is not left hanging
	_ = conn.Conn.Close()
	if st := a.gone(t); !errors.Is(st.Err, ErrTooLarge) || st.Counts.Oversize != 1 {
		t.Errorf("state %+v, want ErrTooLarge", st)
	}
	next := s.open()
	next.say(t, stepOne)
	a.next(t, TypeProgress)
	if err := next.WriteMessage(websocket.BinaryMessage, big[:31<<20]); err != nil {
		t.Fatal(err)
	}
	if m := a.next(t, TypePreview); len(m.Image) != 31<<20-8 {
		t.Errorf("image of %d bytes", len(m.Image))
	}
}

// TestCompressionIsNotOffered is checked by the stage in every test; here the header is looked at by name.
func TestCompressionIsNotOffered(t *testing.T) {
	s := newStage(t)
	runSocket(t, s, SocketConfig{})
	d := await(t, "a dial", s.dials)
	for _, h := range []string{"Sec-Websocket-Extensions", "Origin", "Cookie", "Authorization"} {
		if v, ok := d.Header[h]; ok {
			t.Errorf("%s: %q, want none", h, v)
		}
	}
	s.admit(d)
}

func TestSocketUnderAPrefixWithALogin(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{URL: strings.Replace(s.url(), "://", "://anna:s3cret@", 1) + "/gpu/1"})
	d := await(t, "a dial", s.dials)
	if user, password, _ := d.BasicAuth(); user != "anna" || password != "s3cret" || d.URL.Path != "/gpu/1/ws" {
		t.Errorf("%s by %s:%s, want /gpu/1/ws by anna:s3cret", d.URL.Path, user, password)
	}
	s.admit(d).cut()
	if st := a.gone(t); strings.Contains(st.Err.Error(), "s3cret") {
		t.Errorf("the password is shown: %v", st.Err)
	}
}

// TestAHandshakeThatHangsIsGivenUpWhole: the half-made connection must not stay behind, for it may be in
// ComfyUI's table already.
func TestAHandshakeThatHangsIsGivenUpWhole(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{HandshakeTimeout: 50 * time.Millisecond})
	hanging := await(t, "a dial", s.dials)
	if st := a.gone(t); !errors.Is(st.Err, ErrUnavailable) {
		t.Errorf("state %+v, want ErrUnavailable", st)
	}
	awaitClosed(t, "the end of the half-made connection", hanging.Context().Done())
	s.open()
}

func TestRefusedHandshakes(t *testing.T) {
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		want    error
	}{
		{"403", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, ErrNotComfyUI},
		{"redirect to itself", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) }, ErrNotComfyUI},
		{"login page", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, ErrNotComfyUI},
		{"502", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, ErrUnavailable},
	} {
		server := httptest.NewServer(test.handler)
		a := runSocket(t, newStage(t), SocketConfig{URL: server.URL})
		for i := range 3 {
			if st := a.gone(t); !errors.Is(st.Err, test.want) || st.Attempt != i+1 {
				t.Errorf("%s: state %+v, want %v in attempt %d", test.name, st, test.want, i+1)
			}
		}
		a.stop()
		awaitClosed(t, "the socket's end", a.ended)
		server.Close()
	}
}

// TestTheWaitGrowsAndBeginsAgain: it grows while nothing is heard, even if connections succeed, and begins again at
// the shortest once a message has come.
func TestTheWaitGrowsAndBeginsAgain(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{ShortestWait: time.Millisecond, LongestWait: 16 * time.Millisecond})
	wantWait := func(st SocketState, bound time.Duration) {
		t.Helper()
		if st.RetryIn < bound/2 || st.RetryIn > bound {
			t.Errorf("attempt %d: next in %s, want %s to %s", st.Attempt, st.RetryIn, bound/2, bound)
		}
	}
	for i, bound := range []time.Duration{2, 4, 8, 16, 16} {
		d := await(t, "a dial", s.dials)
		if i%2 == 0 {
			d.accept <- false
		} else {
			s.admit(d).cut()
		}
		wantWait(a.gone(t), bound*time.Millisecond)
	}
	conn := s.open()
	conn.say(t, greeting)
	a.next(t, TypeStatus)
	conn.cut()
	wantWait(a.gone(t), 2*time.Millisecond)
}

func TestTheEndOfRunIsAGoodbye(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{CloseWait: patienceInTests})
	conn := s.open()
	conn.greet(t)
	a.next(t, TypeStatus)
	a.stop()
	if err := await(t, "goodbye", conn.end); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("the client left with %v, want close 1000", err)
	}
	conn.goodbye()
	awaitClosed(t, "the end of Run", a.ended)
	if st := a.Stats(); st.Connected {
		t.Errorf("stats %+v, want not connected", st)
	}
	a.Redial() // does nothing
}

func TestASocketNeedsAClientID(t *testing.T) {
	if err := NewSocket(SocketConfig{URL: "http://127.0.0.1:1"}).Run(t.Context()); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want an error of the configuration", err)
	}
}
