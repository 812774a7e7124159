package handlers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"easel/handlers/fanout"
)

// Streams at once where nothing was configured.
const (
	fallbackStreams = 4096
	mostStreams     = 100_000 // at 30 KB each, or 2 KB where fanout has them
)

// errAnswered ends a handler that has answered already, or whose visitor has left.
var errAnswered = errors.New("answered")

// Stream is one open event stream. Its methods belong to the handler's goroutine.
type Stream struct {
	w        http.ResponseWriter
	r        *http.Request
	rc       *http.ResponseController
	ctx      context.Context // the request's: a stream lives exactly as long, unless it is handed over
	draining <-chan struct{}
	beat     *time.Ticker
	server   *Server
	until    time.Time // the write deadline in force
	begun    bool      // the headers are on their way
	closed   bool      // or handed over

	// Heartbeat is sent when nothing else was for 15 s; a comment unless it is set.
	Heartbeat []byte
}

// openStream answers 200 and begins an event stream; the caller closes it. The headers leave with the first event.
// Whatever needs another status (a wrong id, a form that does not parse) must have been found out before.
//
// Errors: 503 beyond MaxStreams; errAnswered for HEAD, which has no body to wait for.
func (s *Server) openStream(w http.ResponseWriter, r *http.Request) (*Stream, error) {
	if n := s.streams.Add(1); n > s.maxStreams {
		s.streams.Add(-1)
		return nil, &UserError{
			Status: http.StatusServiceUnavailable, RetryAfter: 5 * time.Second,
			Message: "Too many pages are open at once. Please try again in a moment.",
		}
	}
	h := w.Header()
	if h.Get("Content-Type") == "" { // what grows in another form has set its own
		h.Set("Content-Type", "text/event-stream")
	}
	h.Set("Cache-Control", "no-store") // with no-cache Chromium can leave a second stream behind
	h.Set("X-Accel-Buffering", "no")   // nginx would hold events back otherwise
	st := &Stream{
		w: w, r: r, rc: http.NewResponseController(w), ctx: r.Context(), draining: s.draining, server: s,
		beat: time.NewTicker(heartbeatEvery), Heartbeat: Comment("still here"),
	}
	s.metrics.StreamOpened()
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		st.Close()
		return nil, errAnswered
	}
	w.WriteHeader(http.StatusOK)
	return st, nil
}

// Close gives the stream's place back. A second call does nothing, nor one after handOver.
func (st *Stream) Close() {
	if st.closed {
		return
	}
	st.closed = true
	st.beat.Stop()
	st.server.streams.Add(-1)
	st.server.metrics.StreamClosed()
}

// handOver gives the stream to whoever writes to many from few goroutines; shown is what it has been sent of source.
// True: the handler has no more to do with the stream, its source and the response, and returns. False: nothing
// has changed.
func (st *Stream) handOver(key any, source fanout.Source, shown []byte) bool {
	s, v := st.server, visitOf(st.r)
	level, method, path, status, before := logLevel(st.r, http.StatusOK), st.r.Method, st.r.URL.Path, v.response.status, v.response.bytes
	id, begin, beat := v.id, v.begin, st.Heartbeat // all that is kept of the request
	if !s.fanout.Adopt(st.w, st.r, fanout.Stream{Key: key, Source: source, Sent: shown, Heartbeat: beat, Closed: func(bytes int64) {
		s.streams.Add(-1)
		s.metrics.StreamClosed()
		s.logRequest(level, method, path, status, before+bytes, time.Since(begin), true, id)
	}}) {
		return false
	}
	st.closed, v.handedOver = true, true
	st.beat.Stop()
	return true
}

// Send writes whole events and flushes. A browser that does not take them within five to ten
// seconds is given up: errAnswered, which a handler just returns.
func (st *Stream) Send(events []byte) error {
	if len(events) == 0 {
		return nil
	}
	if err := st.deadline(); err != nil {
		return err
	}
	if _, err := st.w.Write(events); err != nil {
		return errAnswered
	}
	return st.flush()
}

// Wait blocks until first or second (either may be nil) receives, and says which: 1 or 2. It
// sends heartbeats meanwhile. When the browser leaves it returns errAnswered; when the process
// ends it cuts the connection by a panic with http.ErrAbortHandler, since a stream that ends in
// good order is one that a browser does not ask for again.
func (st *Stream) Wait(first, second <-chan struct{}) (woke int, err error) {
	if !st.begun && len(first) == 0 && len(second) == 0 { // there is no event to go with the headers
		if err := st.flush(); err != nil {
			return 0, err
		}
	}
	for {
		// A change that is there already must not hide the end of the process: with a busy
		// generation both are ready at every turn.
		select {
		case <-st.draining:
			st.cut()
		default:
		}
		select {
		case <-st.ctx.Done():
			return 0, errAnswered
		case <-st.draining:
			st.cut()
		case <-first:
			return 1, nil
		case <-second:
			return 2, nil
		case <-st.beat.C:
			if err := st.Send(st.Heartbeat); err != nil {
				return 0, err
			}
		}
	}
}

// cut breaks the connection, after asking the browser to come back within a second or so: not
// all of them at the same moment.
func (st *Stream) cut() {
	_ = st.Send(comeBack())
	panic(http.ErrAbortHandler)
}

func comeBack() []byte { return fmt.Appendf(nil, "retry: %d\n\n", 250+rand.IntN(1000)) }

// deadline gives the next write at least half of writeWait: moving the deadline costs a timer, so
// it is not done for every event.
func (st *Stream) deadline() error {
	now := time.Now()
	if st.until.Sub(now) > writeWait/2 {
		return nil
	}
	st.until = now.Add(writeWait)
	err := st.rc.SetWriteDeadline(st.until)
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return errAnswered
	}
	return nil
}

func (st *Stream) flush() error {
	st.begun = true
	switch err := st.rc.Flush(); {
	case err == nil:
		return nil
	case errors.Is(err, http.ErrNotSupported):
		return fmt.Errorf("open stream: a middleware hides Flush: %w", err)
	default:
		return errAnswered
	}
}
