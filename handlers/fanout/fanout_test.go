package fanout

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// topic stands in for what the streams show: a number, as text of a given length.
type topic struct {
	mu       sync.Mutex
	watchers map[*watch]bool
	state    atomic.Pointer[state]
	lags     atomic.Bool // its source says so
	asked    atomic.Int64
}

type state struct {
	events []byte
	last   bool
}

type watch struct {
	of      *topic
	changed func()
	events  []byte // of the state before
}

func (t *topic) set(n, length int, last bool) {
	event := fmt.Appendf(nil, "data: %d", n)
	event = append(event, strings.Repeat(" ", max(0, length-len(event)))...)
	t.state.Store(&state{append(event, "\n\n"...), last})
	t.mu.Lock()
	defer t.mu.Unlock()
	for w := range t.watchers {
		w.changed()
	}
}

func (t *topic) watching() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.watchers)
}

func (w *watch) Notify(changed func()) {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	w.changed = changed
	w.of.watchers[w] = true
	changed()
}

func (w *watch) Events() (State, bool) {
	s := w.of.state.Load()
	another := s.last || !bytes.Equal(s.events, w.events)
	w.events = s.events
	return State{Change: s.events, Whole: s.events, Last: s.last}, another
}

func (w *watch) Again() bool {
	w.of.asked.Add(1)
	return w.of.lags.Load()
}

func (w *watch) Close() {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	delete(w.of.watchers, w)
}

// rig is a server of one stream a topic, at /0, /1 and so on.
type rig struct {
	t       *testing.T
	hub     *Hub
	addr    string
	topics  []*topic
	adopted atomic.Int64
	closed  atomic.Int64
	bytes   atomic.Int64
	stop    func() // ends Run, and waits for it
}

func newRig(t *testing.T, topics int, edit ...func(*Config)) *rig {
	t.Helper()
	c := Config{
		HeartbeatEvery: time.Hour, WriteWait: time.Hour,
		Farewell: func() []byte { return []byte("retry: 1\n\n") },
	}
	for _, e := range edit {
		e(&c)
	}
	r := &rig{t: t, hub: New(c)}
	for range topics {
		topic := &topic{watchers: map[*watch]bool{}}
		topic.set(0, 0, false)
		r.topics = append(r.topics, topic)
	}
	until, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- r.hub.Run(until) }()
	r.stop = sync.OnceFunc(func() {
		close(until)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	ts := httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	ts.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	ts.Config.ConnContext = ConnContext
	r.eventually("does the hub take connections", func() bool {
		return r.hub.Takes(httptest.NewRequestWithContext(ConnContext(t.Context(), &net.TCPConn{}), "GET", "/", nil))
	})
	ts.Start()
	r.addr = ts.Listener.Addr().String()
	t.Cleanup(func() {
		r.stop()
		ts.Close()
		if a, c := r.adopted.Load(), r.closed.Load(); a != c {
			t.Errorf("of %d streams that were handed over %d were told to be closed", a, c)
		}
		for i, topic := range r.topics {
			if n := topic.watching(); n != 0 {
				t.Errorf("topic %d is still watched by %d", i, n)
			}
		}
	})
	return r
}

func (r *rig) serve(w http.ResponseWriter, req *http.Request) {
	var n int
	if _, err := fmt.Sscanf(req.URL.Path, "/%d", &n); err != nil {
		http.NotFound(w, req)
		return
	}
	source := &watch{of: r.topics[n]}
	shown := source.of.state.Load().events
	_, _ = w.Write(shown)
	if source.of.lags.Load() {
		shown = nil
	}
	r.adopted.Add(1)
	if !r.hub.Adopt(w, req, Stream{Key: n, Source: source, Sent: shown, Heartbeat: []byte(": beat\n\n"), Closed: func(bytes int64) {
		r.closed.Add(1)
		r.bytes.Add(bytes)
	}}) {
		r.adopted.Add(-1)
		panic(http.ErrAbortHandler)
	}
}

func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(2 * time.Minute); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("%s? Not within two minutes.", what)
		}
	}
}

// reader is a client that reads when it is asked to.
type reader struct {
	t    *testing.T
	conn *net.TCPConn
	body *bufio.Reader
}

// open opens a stream of a topic; room bounds what the kernel takes for a client that does not read, 0: as usual.
func (r *rig) open(topic, room int) *reader {
	r.t.Helper()
	dialer := net.Dialer{}
	conn, err := dialer.DialContext(r.t.Context(), "tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	tcp := conn.(*net.TCPConn)
	r.t.Cleanup(func() { _ = tcp.Close() })
	if room > 0 {
		if err := tcp.SetReadBuffer(room); err != nil {
			r.t.Fatal(err)
		}
	}
	if _, err := fmt.Fprintf(tcp, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", topic); err != nil {
		r.t.Fatal(err)
	}
	return &reader{t: r.t, conn: tcp}
}

// next reads an event, comments too. At the end of the body: io.EOF in good order, io.ErrUnexpectedEOF when it was cut.
func (c *reader) next() (string, error) {
	if c.body == nil {
		res, err := http.ReadResponse(bufio.NewReader(c.conn), nil)
		if err != nil {
			return "", err
		}
		c.body = bufio.NewReader(res.Body)
	}
	var event string
	for {
		line, err := c.body.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == "\n" {
			return strings.TrimRight(event, " \n"), nil
		}
		event += line
	}
}

func (c *reader) want(event string) {
	c.t.Helper()
	if got, err := c.next(); got != event || err != nil {
		c.t.Fatalf("event = %q, %v, want %q", got, err, event)
	}
}

func TestStates(t *testing.T) {
	r := newRig(t, 2)
	first, other := r.open(0, 0), r.open(1, 0)
	first.want("data: 0")
	other.want("data: 0")
	for n := 1; n <= 3; n++ {
		r.topics[0].set(n, 0, false)
		r.topics[0].set(n, 0, false) // looks the same: not sent again
		first.want(fmt.Sprintf("data: %d", n))
	}
	late := r.open(0, 0)
	late.want("data: 3")
	r.eventually("is it handed over", func() bool { return r.adopted.Load() == 3 })
	if n := r.topics[0].watching(); n != 1 {
		t.Errorf("two streams of one key watch %d times, want once", n)
	}
	r.topics[0].set(4, 0, true)
	for _, c := range []*reader{first, late} {
		c.want("data: 4")
		if _, err := c.next(); !errors.Is(err, io.EOF) {
			t.Errorf("behind the last state: %v, want the end in good order", err)
		}
		if n, err := c.conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the connection gave %d bytes, %v, want its end", n, err)
		}
	}
	r.eventually("are both closed", func() bool { return r.closed.Load() == 2 })
	if n := r.topics[0].watching(); n != 0 {
		t.Errorf("%d watch what nobody reads", n)
	}
	r.topics[1].set(1, 0, false)
	other.want("data: 1")
}

// Of a source that lags behind, who comes is shown no state that was made before.
func TestSourceThatLags(t *testing.T) {
	r := newRig(t, 1)
	r.topics[0].lags.Store(true)
	first := r.open(0, 0)
	first.want("data: 0") // its handler's
	r.eventually("is it asked for another state", func() bool { return r.topics[0].asked.Load() == 1 })
	second := r.open(0, 0)
	second.want("data: 0")
	r.eventually("is it asked for another state", func() bool { return r.topics[0].asked.Load() == 2 })
	for n := 1; n <= 2; n++ {
		r.topics[0].set(n, 0, n == 2)
		first.want(fmt.Sprintf("data: %d", n))
		second.want(fmt.Sprintf("data: %d", n))
	}
}

// A state that changes between the handler's last look and the handover is sent.
func TestChangeBeforeTheHandover(t *testing.T) {
	r := newRig(t, 1)
	var turns sync.WaitGroup
	turns.Go(func() {
		for n := 1; n <= 1000; n++ {
			r.topics[0].set(n, 0, n == 1000)
		}
	})
	for range 200 {
		c := r.open(0, 0)
		turns.Go(func() {
			for {
				event, err := c.next()
				if err != nil {
					t.Errorf("a stream ended with %v before the last state", err)
					return
				}
				if event == "data: 1000" {
					return
				}
			}
		})
	}
	turns.Wait()
}

// One that takes nothing is cut after WriteWait, and delays nobody. Its states are whole for as long as they come.
func TestStuckReader(t *testing.T) {
	r := newRig(t, 1, func(c *Config) { c.WriteWait, c.HeartbeatEvery = 2*time.Second, 15*time.Millisecond })
	stuck, quick := r.open(0, 32<<10), r.open(0, 0)
	quick.want("data: 0")
	r.eventually("are both handed over", func() bool { return r.adopted.Load() == 2 })
	for n := 1; r.closed.Load() == 0; n++ {
		r.topics[0].set(n, 30_000, false)
		for {
			event, err := quick.next()
			if err != nil {
				t.Fatalf("state %d: %v", n, err)
			}
			if event == fmt.Sprintf("data: %d", n) {
				break
			}
		}
	}
	seen := -1
	for {
		event, err := stuck.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				t.Error("a stream that was cut ends as if it were whole")
			}
			break
		}
		var n int
		if _, err := fmt.Sscanf(event, "data: %d", &n); err == nil {
			if n <= seen {
				t.Errorf("state %d came behind %d", n, seen)
			}
			seen = n
		}
	}
}

// A reader that was away for a while finds what it had begun to take, and then the last state.
func TestSlowReaderSkipsToTheLast(t *testing.T) {
	r := newRig(t, 1)
	slow, quick := r.open(0, 32<<10), r.open(0, 0)
	quick.want("data: 0")
	r.eventually("are both handed over", func() bool { return r.adopted.Load() == 2 })
	const states = 200
	for n := 1; n < states; n++ {
		r.topics[0].set(n, 30_000, false)
		quick.want(fmt.Sprintf("data: %d", n))
	}
	r.topics[0].set(states, 30_000, true)
	var seen []int
	for {
		event, err := slow.next()
		if errors.Is(err, io.EOF) {
			break
		}
		var n int
		if _, scanned := fmt.Sscanf(event, "data: %d", &n); err != nil || scanned != nil {
			t.Fatalf("%q, %v", event, errors.Join(err, scanned))
		}
		if len(seen) > 0 && n <= seen[len(seen)-1] {
			t.Fatalf("state %d came behind %v", n, seen)
		}
		seen = append(seen, n)
	}
	if len(seen) == 0 || seen[len(seen)-1] != states || len(seen) >= states {
		t.Errorf("a slow reader saw %v, want fewer than %d and the last of them", seen, states)
	}
}

func TestHeartbeats(t *testing.T) {
	r := newRig(t, 1, func(c *Config) { c.HeartbeatEvery = 30 * time.Millisecond })
	var clients []*reader
	for range 20 {
		clients = append(clients, r.open(0, 0))
	}
	for _, c := range clients {
		c.want("data: 0")
		for range 3 {
			c.want(": beat")
		}
	}
}

// Who leaves is noticed without a write, whichever way it leaves.
func TestReadersLeave(t *testing.T) {
	r := newRig(t, 1)
	for n, leave := range []func(*net.TCPConn) error{
		(*net.TCPConn).Close,
		(*net.TCPConn).CloseWrite, // as net/http takes it
		func(c *net.TCPConn) error { return errors.Join(c.SetLinger(0), c.Close()) },
		func(c *net.TCPConn) error { // it sends without end
			for {
				if _, err := c.Write(make([]byte, 32<<10)); err != nil {
					return nil
				}
			}
		},
	} {
		c := r.open(0, 0)
		c.want("data: 0")
		if err := leave(c.conn); err != nil {
			t.Fatal(err)
		}
		r.eventually(fmt.Sprintf("is the leaving of reader %d noticed", n), func() bool { return r.closed.Load() == int64(n)+1 })
	}
	talks := r.open(0, 0)
	talks.want("data: 0")
	if _, err := talks.conn.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	r.eventually("is it handed over", func() bool { return r.adopted.Load() == 5 })
	r.topics[0].set(1, 0, true)
	talks.want("data: 1") // what it said is ignored
	if _, err := talks.next(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
}

// When Run ends each reader hears when to come back and is cut; a stuck one holds nothing up.
func TestEnd(t *testing.T) {
	r := newRig(t, 1)
	stuck, quick := r.open(0, 32<<10), r.open(0, 0)
	quick.want("data: 0")
	r.eventually("are both handed over", func() bool { return r.adopted.Load() == 2 })
	for n := 1; n <= 50; n++ {
		r.topics[0].set(n, 30_000, false)
		quick.want(fmt.Sprintf("data: %d", n))
	}
	r.stop()
	if n := r.closed.Load(); n != 2 {
		t.Errorf("Run has returned with %d of 2 closed", n)
	}
	quick.want("retry: 1")
	if _, err := quick.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the end: %v, want a cut", err)
	}
	for {
		if _, err := stuck.next(); err != nil {
			if errors.Is(err, io.EOF) {
				t.Error("a stream that was cut ends as if it were whole")
			}
			break
		}
	}
	if r.hub.Takes(httptest.NewRequestWithContext(ConnContext(t.Context(), &net.TCPConn{}), "GET", "/", nil)) {
		t.Error("connections are taken after the end")
	}
}

// Handed over while Run ends: whoever comes too late is cut too, and told so.
func TestHandoverAtTheEnd(t *testing.T) {
	for range 20 {
		r := newRig(t, 1)
		var readers sync.WaitGroup
		for range 20 {
			c := r.open(0, 0)
			readers.Go(func() {
				for {
					if _, err := c.next(); err != nil {
						return
					}
				}
			})
		}
		r.eventually("is one handed over", func() bool { return r.adopted.Load() > 0 })
		r.stop()
		readers.Wait()
		r.eventually("are all told", func() bool { return r.closed.Load() == r.adopted.Load() })
	}
}

// What cannot be handed over stays with its handler, untouched.
func TestWhatIsNotTaken(t *testing.T) {
	hub := New(Config{HeartbeatEvery: time.Hour, WriteWait: time.Hour, Farewell: func() []byte { return nil }})
	ctx := ConnContext(t.Context(), &net.TCPConn{})
	request := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
	if hub.Takes(request) {
		t.Error("taken though Run does not run")
	}
	until, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- hub.Run(until) }()
	for !hub.Takes(request) {
		if t.Context().Err() != nil {
			t.Fatal("Run does not begin")
		}
		<-time.After(time.Millisecond)
	}
	for name, change := range map[string]func(*http.Request) *http.Request{
		"HTTP/2":   func(r *http.Request) *http.Request { r.ProtoMajor, r.ProtoMinor = 2, 0; return r },
		"HTTP/1.0": func(r *http.Request) *http.Request { r.ProtoMinor = 0; return r },
		"TLS": func(r *http.Request) *http.Request {
			return httptest.NewRequestWithContext(ctx, "GET", "https://a/", nil)
		},
		"no ConnContext":  func(r *http.Request) *http.Request { return r.WithContext(context.Background()) },
		"no Hijacker":     func(r *http.Request) *http.Request { return r },
		"another network": func(r *http.Request) *http.Request { return r.WithContext(ConnContext(t.Context(), &net.UnixConn{})) },
	} {
		r := change(httptest.NewRequestWithContext(ctx, "GET", "/", nil))
		if hub.Adopt(httptest.NewRecorder(), r, Stream{Key: 1, Source: &watch{of: &topic{}}, Closed: func(int64) { t.Error("closed") }}) {
			t.Errorf("%s: taken", name)
		}
	}
	close(until)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Readers of every kind come and go while states change: each that stays sees states that only grow, whole, and the
// last.
func TestCrowd(t *testing.T) {
	const topics, readers, states = 3, 120, 400
	r := newRig(t, topics, func(c *Config) { c.HeartbeatEvery = 45 * time.Millisecond })
	var crowd sync.WaitGroup
	var opened sync.WaitGroup
	for i := range readers {
		room := 0
		if i%3 == 0 {
			room = 16 << 10
		}
		c := r.open(i%topics, room)
		opened.Add(1)
		crowd.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1)) //nolint:gosec // a test
			leaves := -1
			if i%4 == 0 {
				leaves = random.IntN(20)
			}
			seen, came := -1, sync.OnceFunc(opened.Done)
			defer came()
			for read := 0; read != leaves; {
				event, err := c.next()
				came()
				if errors.Is(err, io.EOF) && seen == states {
					return
				}
				if err != nil {
					t.Errorf("reader %d: %v after state %d", i, err, seen)
					return
				}
				if event == ": beat" {
					continue
				}
				var n int
				if _, err := fmt.Sscanf(event, "data: %d", &n); err != nil || n <= seen {
					t.Errorf("reader %d: %q after state %d", i, event, seen)
					return
				}
				seen = n
				read++
				if i%3 == 0 && random.IntN(4) == 0 {
					<-time.After(time.Duration(random.IntN(3)) * time.Millisecond) // a slow one
				}
			}
			_ = c.conn.Close()
		})
	}
	opened.Wait()
	var changing sync.WaitGroup
	for i, topic := range r.topics {
		changing.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 2)) //nolint:gosec // a test
			for n := 1; n <= states; n++ {
				topic.set(n, random.IntN(8000), n == states)
			}
		})
	}
	changing.Wait()
	crowd.Wait()
	r.eventually("are all closed", func() bool { return r.closed.Load() == readers })
}

// What a reader gets depends on what it was shown: the changes since then, joined, or the whole.
func TestWhatIsMissedIsJoined(t *testing.T) {
	frames := []*frame{new(frame)}
	state := func(n, length int, last bool) {
		change := fmt.Appendf(nil, "change %d%s", n, strings.Repeat(" ", length))
		frames = append(frames, frames[len(frames)-1].next(State{change, fmt.Appendf(nil, "whole %d", n), last}))
	}
	for n := 1; n <= 12; n++ {
		state(n, 0, n == 12)
	}
	const end = "0\r\n\r\n"
	for shown := range frames[:12] {
		want := end
		for n := 12; n > shown && n > 12-mostJoined; n-- {
			want = string(chunk(fmt.Appendf(nil, "change %d", n))) + want
		}
		if shown < 12-mostJoined {
			want = string(chunk([]byte("whole 12"))) + end
		}
		for range 2 { // made, and kept
			if got := string(frames[12].after(frames[shown])); got != want {
				t.Errorf("behind state %d: %q, want %q", shown, got, want)
			}
		}
	}
	if got, want := string(frames[12].after(nil)), string(chunk([]byte("whole 12")))+end; got != want {
		t.Errorf("to who has seen nothing: %q, want %q", got, want)
	}
	for n := 13; n <= 16; n++ {
		state(n, joinedBytes/3, false)
	}
	if got := frames[16].after(frames[14]); len(got) < joinedBytes/3*2 {
		t.Errorf("two long changes are joined to %d bytes", len(got))
	}
	if got, want := string(frames[16].after(frames[12])), string(chunk([]byte("whole 16"))); got != want {
		t.Errorf("four long changes: %.40q, want %q", got, want)
	}
	state(17, 2*joinedBytes, false)
	if got := frames[17].after(frames[16]); len(got) < 2*joinedBytes {
		t.Errorf("one change that is longer than all that is joined: %d bytes, want it alone", len(got))
	}
}

func TestChunk(t *testing.T) {
	for _, size := range []int{1, 15, 16, 4096, 70_000} {
		data := bytes.Repeat([]byte("x"), size)
		want := fmt.Sprintf("%x\r\n%s\r\n", size, data)
		if got := string(chunk(data)); got != want {
			t.Errorf("chunk of %d bytes begins with %.8q", size, got)
		}
	}
	if chunk(nil) != nil {
		t.Error("a chunk of nothing would be the end")
	}
}
