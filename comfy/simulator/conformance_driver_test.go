package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"easel/comfy/transcript"
)

// replay does again, on a simulator, what a recording's clients did. The simulator's worker is held at its gate so
// that each action falls between the same two events as in the recording.
type replay struct {
	t       *testing.T
	ctx     context.Context
	server  *Running
	sockets map[string]*client
	ids     *strings.Replacer // recorded prompt ids, which later requests name, to the simulator's
	known   []string

	mu      sync.Mutex
	moved   chan struct{}      // closed and replaced when something below changes
	entries []transcript.Entry // of the recording being replayed
	at      int                // the entry that is being done
	cursor  int                // the entry that the worker's last point belongs to
}

// client is one socket with what it has received.
type client struct {
	conn *websocket.Conn
	done chan struct{} // closed when nothing more comes

	frames []transcript.Entry // guarded by the replay's mu
}

func newReplay(t *testing.T, c Config) *replay {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	r := &replay{t: t, ctx: ctx, moved: make(chan struct{})}
	c.Gate = r.gate
	server, err := Start("127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	r.server = server
	t.Cleanup(server.Close)
	return r
}

// change runs f and wakes whoever waits for a change.
func (r *replay) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.moved)
	r.moved = make(chan struct{})
}

// until waits for a state of the replay.
func (r *replay) until(ctx context.Context, reached func() bool) bool {
	for {
		r.mu.Lock()
		ok, moved := reached(), r.moved
		r.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-moved:
		}
	}
}

// gate holds the worker at a node or a step until the replay has done everything that the recording shows before what
// the worker will send next.
func (r *replay) gate(ctx context.Context, at Point) {
	switch at.Stage {
	case StageStart:
		r.consume(StageStart, isStart)
		return
	case StageFinish:
		return
	}
	if at.Stage == StageNode { // its own event is out; what matters is the one after it
		r.consume(StageNode, isNode)
	}
	r.mu.Lock()
	next := r.cursor + 1
	for next < len(r.entries) && !isRun(r.entries[next]) {
		next++
	}
	r.mu.Unlock()
	r.until(ctx, func() bool { return r.at >= next })
	if at.Stage == StageStep {
		r.consume(StageStep, isStep)
	}
}

// consume moves the cursor to the next frame of that kind, unless the recorded run ended before it.
func (r *replay) consume(at Stage, kind func(transcript.Entry) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := r.cursor + 1; i < len(r.entries); i++ {
		switch e := r.entries[i]; {
		case kind(e):
			r.cursor = i
			return
		case at == StageStep && isRun(e) && strings.HasPrefix(*e.Text, `{"type": "execution_interrupted"`):
			return
		}
	}
}

// isRun reports whether an entry is a frame that the worker sent while it ran a prompt.
func isRun(e transcript.Entry) bool {
	return e.Kind == transcript.WSReceive && e.Text != nil && !isStatus(e) && !isFlags(e)
}

func isStatus(e transcript.Entry) bool {
	return e.Text != nil && strings.HasPrefix(*e.Text, `{"type": "status"`)
}

func isFlags(e transcript.Entry) bool {
	return e.Text != nil && strings.HasPrefix(*e.Text, `{"type": "feature_flags"`)
}

func isNode(e transcript.Entry) bool {
	return isRun(e) && strings.HasPrefix(*e.Text, `{"type": "executing"`) && strings.Contains(*e.Text, `"display_node"`)
}

func isStart(e transcript.Entry) bool {
	return isRun(e) && strings.HasPrefix(*e.Text, `{"type": "execution_start"`)
}

func isStep(e transcript.Entry) bool {
	return isRun(e) && strings.HasPrefix(*e.Text, `{"type": "progress",`)
}

// run replays one recording and returns what each request was answered.
func (r *replay) run(file *transcript.File) map[int]transcript.Entry {
	r.t.Helper()
	r.sockets = map[string]*client{}
	r.change(func() {
		r.entries, r.at, r.cursor = file.Entries, 0, -1
	})
	answers := map[int]transcript.Entry{}
	recorded := map[int]*transcript.Entry{}
	for _, x := range file.Exchanges() {
		recorded[x.Request.N] = x.Response
	}
	for i, e := range file.Entries {
		r.change(func() { r.at = i })
		switch e.Kind {
		case transcript.HTTPRequest, transcript.WSConnect, transcript.WSSend, transcript.WSClosed:
			r.settle(file, i)
		case transcript.WSReceive:
			if isFlags(e) { // from here on previews have the other form
				r.settle(file, i+1)
			}
		}
		switch e.Kind {
		case transcript.HTTPRequest:
			answers[e.N] = r.request(e)
			r.learn(recorded[e.N], answers[e.N])
		case transcript.WSConnect:
			r.connect(e)
		case transcript.WSSend:
			r.send(e)
		case transcript.WSClosed:
			r.close(e)
		}
	}
	r.change(func() { r.at = len(r.entries) })
	for _, c := range r.sockets {
		_ = c.conn.Close()
		<-c.done
	}
	return answers
}

// settle waits until every socket has received what the recording shows before entry i. Status frames are left out:
// they come when they come.
func (r *replay) settle(file *transcript.File, i int) {
	r.t.Helper()
	wanted := map[string]int{}
	for _, e := range file.Entries[:i] {
		if e.Kind == transcript.WSReceive && (e.Op == "text" || e.Op == "binary") && !isStatus(e) {
			wanted[e.WS]++
		}
	}
	ok := r.until(r.ctx, func() bool {
		for ws, n := range wanted {
			if c := r.sockets[ws]; c != nil && len(withoutStatus(c.frames)) < n {
				return false
			}
		}
		return true
	})
	if !ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		for ws, n := range wanted {
			r.t.Logf("socket %s: %d of %d frames", ws, len(withoutStatus(r.sockets[ws].frames)), n)
		}
		r.t.Fatalf("entry %d (%s %s): the events before it did not come", i, file.Entries[i].Kind, file.Entries[i].Path)
	}
}

func withoutStatus(frames []transcript.Entry) []transcript.Entry {
	var out []transcript.Entry
	for _, e := range frames {
		if !isStatus(e) {
			out = append(out, e)
		}
	}
	return out
}

// learn notes which id the simulator gave to a prompt whose id the recorded server made up.
func (r *replay) learn(recorded *transcript.Entry, got transcript.Entry) {
	var was, is struct {
		PromptID string `json:"prompt_id"`
	}
	if recorded == nil || recorded.Body == nil || json.Unmarshal([]byte(*recorded.Body), &was) != nil ||
		json.Unmarshal([]byte(*got.Body), &is) != nil || was.PromptID == "" {
		return
	}
	r.known = append(r.known, was.PromptID, is.PromptID)
	r.ids = strings.NewReplacer(r.known...)
}

func (r *replay) request(e transcript.Entry) transcript.Entry {
	r.t.Helper()
	body, err := e.BodyBytes()
	if err != nil {
		r.t.Fatal(err)
	}
	path := e.Path
	if r.ids != nil {
		path, body = r.ids.Replace(path), []byte(r.ids.Replace(string(body)))
	}
	request, err := http.NewRequestWithContext(r.ctx, e.Method, r.server.URL()+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for k, v := range e.Headers {
		request.Header.Set(k, v)
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		r.t.Fatalf("%s %s: %v", e.Method, e.Path, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", e.Method, e.Path, err)
	}
	text := string(answer)
	return transcript.Entry{
		Status: response.StatusCode, Body: &text, BodyLen: len(answer),
		Headers: map[string]string{"Content-Type": response.Header.Get("Content-Type")},
	}
}

func (r *replay) connect(e transcript.Entry) {
	r.t.Helper()
	dialer := websocket.Dialer{EnableCompression: e.OfferDeflate}
	header := http.Header{}
	for k, v := range e.Headers {
		header.Set(k, v)
	}
	conn, response, err := dialer.DialContext(r.ctx, "ws"+strings.TrimPrefix(r.server.URL(), "http")+e.Path, header)
	if err != nil {
		r.t.Fatalf("connect %s: %v (%v)", e.WS, err, response)
	}
	c := &client{conn: conn, done: make(chan struct{})}
	r.change(func() {
		if old := r.sockets[e.WS]; old != nil { // the recording uses the name again
			c.frames = old.frames
		}
		r.sockets[e.WS] = c
	})
	conn.SetReadLimit(-1)
	go func() {
		defer close(c.done)
		for {
			kind, data, err := conn.ReadMessage()
			if err != nil {
				return
			}
			frame := transcript.Entry{Kind: transcript.WSReceive, WS: e.WS, Op: "text", Len: len(data)}
			if kind == websocket.BinaryMessage {
				frame.Op = "binary"
				event := int(data[3])
				frame.Event = &event
			} else {
				text := string(data)
				frame.Text = &text
			}
			r.change(func() { c.frames = append(c.frames, frame) })
		}
	}()
	// The first status tells that the server has the socket in its table.
	r.until(r.ctx, func() bool { return len(c.frames) > 0 })
}

func (r *replay) send(e transcript.Entry) {
	c := r.sockets[e.WS]
	var kind int
	data := []byte{}
	if e.Text != nil {
		data = []byte(*e.Text)
	}
	switch e.Op {
	case "text":
		kind = websocket.TextMessage
	case "binary":
		kind = websocket.BinaryMessage
	case "ping":
		kind = websocket.PingMessage
	case "close":
		kind, data = websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	}
	if err := c.conn.WriteMessage(kind, data); err != nil {
		r.t.Fatalf("send on %s: %v", e.WS, err)
	}
	if e.Op == "close" { // the server ends the TCP connection after it has taken the socket from its table
		<-c.done
		_, _ = io.Copy(io.Discard, c.conn.NetConn()) // to its end
	}
}

// close ends a socket; after a reset it waits for the server to notice, as the recorder's pauses did.
func (r *replay) close(e transcript.Entry) {
	c := r.sockets[e.WS]
	if tcp, ok := c.conn.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	before := r.open()
	_ = c.conn.Close()
	<-c.done
	if !strings.Contains(e.How, "reset") {
		return
	}
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for r.open() >= before && r.ctx.Err() == nil {
		<-ticker.C
	}
}

func (r *replay) open() int {
	hub := r.server.process().hub
	hub.mu.Lock()
	defer hub.mu.Unlock()
	return len(hub.open)
}
