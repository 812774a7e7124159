package comfy

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"easel/comfy/transcript"
)

// replay is one recording on its way through the client.
type replay struct {
	t       *testing.T
	lines   []transcript.Entry
	stage   *stage
	client  *Client
	tracker *Tracker

	actors map[string]*replayActor // by the recording's name of the socket
	runs   []*replayActor          // every Socket that was started

	request map[int]*replayRequest // under way, by n

	made, passedOver, frames, compared int

	verdicts map[string]Lookup       // what history last said, by prompt_id
	ends     map[string]Message      // the last end that a socket told of
	files    map[string][]OutputFile // what executed announced in the last run
}

// replayActor is one Socket. After a reconnect it plays a second part.
type replayActor struct {
	socket   *Socket
	clientID string
	messages chan Message
	conn     *stageConn // nil while the connection is down
	stop     context.CancelFunc
	left     bool          // has said goodbye
	ended    chan struct{} // Run has returned
}

func newReplay(t *testing.T, lines []transcript.Entry) *replay {
	t.Helper()
	s := newStage(t)
	c, err := NewClient(s.url(), ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := &replay{
		t: t, lines: lines, stage: s, client: c, tracker: NewTracker(),
		actors: map[string]*replayActor{}, request: map[int]*replayRequest{},
		verdicts: map[string]Lookup{}, ends: map[string]Message{}, files: map[string][]OutputFile{},
	}
	t.Cleanup(func() {
		for _, a := range r.runs {
			a.stop()
			if a.conn != nil {
				a.conn.cut()
			}
		}
		for _, a := range r.runs {
			<-a.ended
		}
		c.Close()
	})
	return r
}

// play takes the lines in their order.
func (r *replay) play() {
	for i := range r.lines {
		l := &r.lines[i]
		switch l.Kind {
		case transcript.WSConnect:
			r.connect(l, i)
		case transcript.WSReceive:
			r.receive(l)
		case transcript.WSSend:
			if a := r.actors[l.WS]; a != nil && l.Op == "close" {
				r.leave(a)
			}
		case transcript.WSEOF:
			if a := r.actors[l.WS]; a != nil && a.conn != nil {
				_ = a.conn.Conn.Close()
				a.conn = nil
			}
		case transcript.WSClosed:
			r.closed(l, i)
		case transcript.HTTPRequest:
			r.startRequest(l)
		case transcript.HTTPResponse:
			r.finishRequest(l)
		case transcript.HTTPError:
			r.refuseRequest(l)
		}
	}
}

// opened finds the answer to a ws_connect.
func (r *replay) opened(ws string, from int) *transcript.Entry {
	for i := range r.lines[from:] {
		if l := &r.lines[from+i]; l.Kind == transcript.WSOpen && l.WS == ws {
			return l
		}
	}
	r.t.Fatalf("socket %s never opens", ws)
	return nil
}

func clientIDOf(l *transcript.Entry) string {
	u, err := url.Parse(l.Path)
	if err != nil || u.Query().Get("clientId") == "" {
		return "no-client-id-" + l.WS // a Socket has one always; what it hears is the same
	}
	return u.Query().Get("clientId")
}

// connect starts a Socket, or takes in one that has lost its connection and comes back by itself.
func (r *replay) connect(l *transcript.Entry, at int) {
	if r.opened(l.WS, at).Status != http.StatusSwitchingProtocols {
		return // refused for its Origin, which a Socket never sends
	}
	id := clientIDOf(l)
	a := r.lost(id)
	if a == nil {
		a = r.start(id)
	}
	d := await(r.t, "socket "+l.WS, r.stage.dials)
	if got := d.URL.Query().Get("clientId"); got != id {
		r.t.Fatalf("socket %s comes with clientId %q, want %q", l.WS, got, id)
	}
	a.conn = r.stage.admit(d)
	r.actors[l.WS] = a
}

// lost finds the Socket that dials again under a client id.
func (r *replay) lost(clientID string) *replayActor {
	for _, a := range r.runs {
		if a.clientID == clientID && a.conn == nil && !a.left && !isClosed(a.ended) {
			return a
		}
	}
	return nil
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func (r *replay) start(clientID string) *replayActor {
	ctx, cancel := context.WithCancel(context.Background())
	a := &replayActor{clientID: clientID, messages: make(chan Message, 16), stop: cancel, ended: make(chan struct{})}
	a.socket = NewSocket(SocketConfig{
		URL: r.stage.url(), ClientID: clientID, OnMessage: func(m Message) { a.messages <- m },
		ShortestWait: time.Millisecond, LongestWait: 2 * time.Millisecond,
	})
	go func() {
		defer close(a.ended)
		if err := a.socket.Run(ctx); !errors.Is(err, context.Canceled) {
			r.t.Errorf("socket %s: Run = %v, want context.Canceled", clientID, err)
		}
	}()
	r.runs = append(r.runs, a)
	return a
}

// receive sends what the server sent, and waits until the client has it.
func (r *replay) receive(l *transcript.Entry) {
	a := r.actors[l.WS]
	if a == nil || a.conn == nil {
		r.t.Fatalf("the server speaks to socket %s, which is not connected", l.WS)
	}
	if l.Op == "close" {
		bye := websocket.FormatCloseMessage(l.Code, "")
		if err := a.conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(patienceInTests)); err != nil {
			r.t.Errorf("socket %s: close: %v", l.WS, err)
		}
		return
	}
	if !isFrame(l) {
		return // pong: to pings that the recorder sent by hand
	}
	frame := wholeFrame(r.t, l)
	kind := websocket.TextMessage
	if l.Op == "binary" {
		kind = websocket.BinaryMessage
	}
	if err := a.conn.WriteMessage(kind, frame); err != nil {
		r.t.Fatalf("socket %s: %v", l.WS, err)
	}
	r.frames++
	if a.left {
		return // was under way when the client said goodbye; nobody listens
	}
	m := await(r.t, "a message of "+l.WS, a.messages)
	r.checkMessage(l, frame, m)
	r.note(m)
}

// checkMessage holds a message against the frame that it came from.
func (r *replay) checkMessage(l *transcript.Entry, frame []byte, m Message) {
	if l.Op == "binary" {
		want := map[uint32]string{
			eventPreview: TypePreview, eventText: TypeText, eventPreviewWithMetadata: TypePreviewWithMetadata,
		}[binary.BigEndian.Uint32(frame)]
		if m.Type != want {
			r.t.Fatalf("socket %s: message of type %q, want %q", l.WS, m.Type, want)
		}
		if !bytes.HasSuffix(frame, m.Image) || m.Type != TypeText && len(m.Image) == 0 {
			r.t.Fatalf("socket %s: image of %d bytes is not the frame's", l.WS, len(m.Image))
		}
		return
	}
	var want struct {
		Type string
		Data struct {
			PromptID string          `json:"prompt_id"`
			Node     json.RawMessage `json:"node"`
		}
	}
	if err := json.Unmarshal(frame, &want); err != nil {
		r.t.Fatal(err)
	}
	if m.Type != want.Type || m.PromptID != want.Data.PromptID {
		r.t.Fatalf("socket %s: message %q of prompt %q, want %q of %q", l.WS, m.Type, m.PromptID, want.Type, want.Data.PromptID)
	}
}

// note keeps what a message says about the end of its prompt.
func (r *replay) note(m Message) {
	r.tracker.Apply(m, time.Now())
	switch m.Type {
	case TypeExecutionStart:
		delete(r.files, m.PromptID)
		delete(r.ends, m.PromptID)
	case TypeExecuted:
		r.files[m.PromptID] = append(r.files[m.PromptID], outputFiles(map[string]json.RawMessage{m.Node: m.Output})...)
	case TypeExecutionSuccess, TypeExecutionError, TypeExecutionInterrupted:
		if m.EndsPrompt() {
			r.ends[m.PromptID] = m
		}
	}
}

// leave ends a Socket from our side, which is to say goodbye.
func (r *replay) leave(a *replayActor) {
	if a.conn == nil {
		return
	}
	a.left = true
	a.stop()
	err := await(r.t, "the client's goodbye", a.conn.end)
	if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		r.t.Errorf("the client ended its socket with %v, want close 1000", err)
	}
}

// closed is the recorder's end of a socket.
func (r *replay) closed(l *transcript.Entry, at int) {
	a := r.actors[l.WS]
	if a == nil {
		return
	}
	if a.conn != nil { // a reset, as of a line that is cut: the Socket must come back if the recorder did
		a.conn.cut()
		a.conn = nil
		if !r.returns(a.clientID, at) {
			a.left = true
			a.stop()
		}
		return
	}
	if l.How == "close frame" {
		a.stop()
		awaitClosed(r.t, "the socket's end", a.ended)
	}
}

// awaitClosed waits until ch is closed.
func awaitClosed(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	timer := time.NewTimer(patienceInTests)
	defer timer.Stop()
	select {
	case <-ch:
	case <-timer.C:
		t.Fatalf("waited %s for %s", patienceInTests, what)
	}
}

// returns reports whether a client id connects again.
func (r *replay) returns(clientID string, after int) bool {
	return slices.ContainsFunc(r.lines[after:], func(l transcript.Entry) bool {
		return l.Kind == transcript.WSConnect && clientIDOf(&l) == clientID
	})
}

// ids lists what a prompt's map is keyed by, in order.
func ids[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
