package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"easel/studio"
)

func TestDrainCutsStreams(t *testing.T) { bothWays(t, testDrainCutsStreams) }

func testDrainCutsStreams(t *testing.T, serve serving) {
	f := newStrict()
	s, ts := serve(t, f)
	id := f.add("a", 1)
	_, events := follow(t, ts.URL+"/api/generate/progress?promptId="+id.String())
	expect(t, events, "connected")
	expect(t, events, "progress")
	s.Drain()
	s.Drain()
	for {
		line, err := events.lines.ReadString('\n')
		if err == nil {
			if line != "\n" && !strings.HasPrefix(line, "retry: ") {
				t.Errorf("before the cut came %q", line)
			}
			continue
		}
		// io.EOF would be a stream that ended in good order.
		if err.Error() != "unexpected EOF" {
			t.Errorf("the stream ended with %v, want a cut", err)
		}
		break
	}
	res := call(t, s, "GET", "/readyz", "")
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz of a draining process = %d", res.StatusCode)
	}
}

// Shutdown does not wait for open streams where Drain is registered with it.
func TestShutdownWithAnOpenStream(t *testing.T) { bothWays(t, testShutdownWithAnOpenStream) }

func testShutdownWithAnOpenStream(t *testing.T, serve serving) {
	f := newStrict()
	_, ts := serve(t, f)
	id := f.add("a", 1)
	_, events := follow(t, ts.URL+"/api/generate/progress?promptId="+id.String())
	expect(t, events, "connected")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := ts.Config.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestStreamsAreCapped(t *testing.T) { bothWays(t, testStreamsAreCapped) }

func testStreamsAreCapped(t *testing.T, serve serving) {
	f := newStrict()
	s, ts := serve(t, f, func(c *Config) { c.MaxStreams = 2 })
	id := f.add("a", 1)
	at := ts.URL + "/api/generate/progress?promptId=" + id.String()
	first, events := follow(t, at)
	expect(t, events, "connected")
	_, events = follow(t, at)
	expect(t, events, "connected")
	res, _ := follow(t, at)
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("the third stream got %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	if err := first.Body.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return s.streams.Load() == 1 })
	res, _ = follow(t, at)
	if res.StatusCode != http.StatusOK {
		t.Errorf("after one had left: %d", res.StatusCode)
	}
}

// waitFor asks until ok, or fails after a minute.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited a minute in vain")
		}
	}
}

func TestHeadDoesNotOpenAStream(t *testing.T) {
	f := newStrict()
	s := newSite(t, f)
	id := f.add("a", 1)
	res := call(t, s, "HEAD", "/api/generate/progress?promptId="+id.String(), "")
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" || s.streams.Load() != 0 {
		t.Errorf("HEAD: %d %q, %d streams open", res.StatusCode, res.Header.Get("Content-Type"), s.streams.Load())
	}
}

func TestWatchesAreClosedWithTheStream(t *testing.T) { bothWays(t, testWatchesAreClosedWithTheStream) }

func testWatchesAreClosedWithTheStream(t *testing.T, serve serving) {
	f := newStrict()
	_, ts := serve(t, f)
	id := f.add("a", 1)
	res, events := follow(t, ts.URL+"/api/generate/progress?promptId="+id.String())
	expect(t, events, "connected")
	if n := f.topics[id].Watching(); n != 1 {
		t.Fatalf("%d watch, want 1", n)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return f.topics[id].Watching() == 0 })
}

// A quiet stream has a comment every 15 seconds, or whatever the page asks for in its place.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, newStrict())
		rec := httptest.NewRecorder()
		ctx, cancel := context.WithTimeout(t.Context(), 46*time.Second)
		defer cancel()
		st, err := s.openStream(rec, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if _, err := st.Wait(nil, nil); !errors.Is(err, errAnswered) {
			t.Errorf("Wait = %v", err)
		}
		if got, want := rec.Body.String(), strings.Repeat(string(Comment("still here")), 3); got != want {
			t.Errorf("in 46 s came %q, want %q", got, want)
		}
	})
}

func TestWaitTellsWhichChannelWoke(t *testing.T) {
	s := newSite(t, newStrict())
	st, err := s.openStream(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	bell := make(chan struct{}, 1)
	for want, wait := range map[int]func() (int, error){
		1: func() (int, error) { return st.Wait(bell, nil) },
		2: func() (int, error) { return st.Wait(nil, bell) },
	} {
		bell <- struct{}{}
		if got, err := wait(); got != want || err != nil {
			t.Errorf("Wait = %d, %v, want %d", got, err, want)
		}
	}
}

// stuckWriter is a browser that stopped reading: writes fail when their deadline has passed.
type stuckWriter struct {
	http.ResponseWriter
	deadline time.Time
}

func (w *stuckWriter) SetWriteDeadline(t time.Time) error { w.deadline = t; return nil }
func (w *stuckWriter) FlushError() error                  { return nil }

func (w *stuckWriter) Write([]byte) (int, error) {
	<-time.After(time.Until(w.deadline))
	return 0, context.DeadlineExceeded
}

func TestASlowReaderIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, newStrict())
		st, err := s.openStream(&stuckWriter{ResponseWriter: httptest.NewRecorder()}, httptest.NewRequest("GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		begin := time.Now()
		if err := st.Send([]byte("data: x\n\n")); !errors.Is(err, errAnswered) {
			t.Errorf("Send = %v", err)
		}
		if took := time.Since(begin); took != writeWait {
			t.Errorf("given up after %s, want %s", took, writeWait)
		}
	})
}

// A reader that takes nothing holds up neither the studio nor the other readers, and a slow one
// skips states but gets the end.
func TestOneStuckReaderHoldsUpNobody(t *testing.T) { bothWays(t, testOneStuckReaderHoldsUpNobody) }

func testOneStuckReaderHoldsUpNobody(t *testing.T, serve serving) {
	f := newStrict()
	s, ts := serve(t, f)
	id := f.add("a", 1)
	conn, err := net.Dial("tcp", ts.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /api/generate/progress?promptId=" + id.String() + " HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	_, events := follow(t, ts.URL+"/api/generate/progress?promptId="+id.String())
	expect(t, events, "connected")
	waitFor(t, func() bool { return s.streams.Load() == 2 })
	var published sync.WaitGroup
	published.Go(func() {
		for n := range 5000 {
			f.step(id, n%20, 20)
		}
		f.end(id, studio.Complete, "")
	})
	published.Wait()
	for {
		event, ok := events.next()
		if !ok {
			t.Fatal("the stream ended without complete")
		}
		if strings.Contains(event.Data, `"complete"`) {
			return
		}
	}
}

// Handed over or not, what a client gets on the wire is the same, byte for byte, but for the word that the connection
// will be closed.
func TestTheWireIsTheSame(t *testing.T) {
	wire := func(handOver bool) string {
		f := newStrict()
		_, ts := serveOn(t, handOver, f)
		id := f.add("a", 1)
		conn, err := net.Dial("tcp", ts.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "GET /api/generate/progress?promptId=%s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n", id); err != nil {
			t.Fatal(err)
		}
		var got []byte
		until := func(text string) {
			t.Helper()
			part := make([]byte, 4096)
			for !strings.Contains(string(got), text) {
				n, err := conn.Read(part)
				if got = append(got, part[:n]...); err != nil {
					t.Fatalf("%v after %q", err, got)
				}
			}
		}
		until("queued")
		for n := 1; n <= 3; n++ {
			f.step(id, n, 20)
			until(fmt.Sprintf(`"currentStep":%d`, n))
		}
		f.end(id, studio.Complete, "")
		until("\r\n0\r\n\r\n")
		text := strings.ReplaceAll(string(got), id.String(), "ID")
		text = regexp.MustCompile(`(?m)^(Date|X-Request-Id): .*\r\n`).ReplaceAllString(text, "")
		text = regexp.MustCompile(`(?m)^id: [0-9a-z]+$`).ReplaceAllString(text, "id: x")
		if handOver {
			if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("behind the end came %d bytes, %v; want a connection in good order and closed", n, err)
			}
			text = strings.Replace(text, "Connection: close\r\n", "", 1)
		}
		return text
	}
	if diff := cmp.Diff(wire(false), wire(true)); diff != "" {
		t.Error(diff)
	}
}
