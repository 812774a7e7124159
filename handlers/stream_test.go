package handlers

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"easel/studio"
)

func TestDrainCutsStreams(t *testing.T) {
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
func TestShutdownWithAnOpenStream(t *testing.T) {
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

func TestStreamsAreCapped(t *testing.T) {
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

// waitFor asks until ok, or fails after ten seconds.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited ten seconds in vain")
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

func TestWatchesAreClosedWithTheStream(t *testing.T) {
	f := newStrict()
	_, ts := serve(t, f)
	id := f.add("a", 1)
	res, events := follow(t, ts.URL+"/api/generate/progress?promptId="+id.String())
	expect(t, events, "connected")
	if n := f.topics[id].watching(); n != 1 {
		t.Fatalf("%d watch, want 1", n)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return f.topics[id].watching() == 0 })
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
func TestOneStuckReaderHoldsUpNobody(t *testing.T) {
	f := newStrict()
	_, ts := serve(t, f)
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
	waitFor(t, func() bool { return f.topics[id].watching() == 2 })
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
