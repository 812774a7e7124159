package handlers

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// maxBodyBytes is room for the longest prompts as a form or as JSON, several times over.
const maxBodyBytes = 1 << 20

// chain puts everything that holds for all routes around them, the outermost last.
func (s *Server) chain() http.Handler {
	var h http.Handler = http.HandlerFunc(s.dispatch)
	h = s.limit(h)
	h = s.sameOrigin(h)
	h = s.checkHost(h)
	h = s.strictHeaders(h)
	return s.observe(h)
}

// limit bounds how much a body may hold, how long it may take to come, and how long a visitor may
// take to read the answer; streams and downloads move that along. The deadlines are set here and
// not in http.Server, whose ReadTimeout would end streams, and so that they hold where another
// program mounts us. net/http takes them back after each request. A body that announces too much
// is refused before any of it has come.
func (s *Server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Now().Add(answerWait)) // a recorder in a test has no deadlines
		most := int64(maxBodyBytes)
		if larger, ok := s.larger[r.Method+" "+r.URL.Path]; ok {
			most = larger
		}
		if r.ContentLength > most {
			s.renderError(w, r, errTooLarge)
			return
		}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(w, r.Body, most)
			_ = rc.SetReadDeadline(time.Now().Add(bodyWait))
		}
		next.ServeHTTP(w, r)
	})
}

// largeBodies is how many bodies beyond maxBodyBytes are taken at once: each is held in memory.
const largeBodies = 4

// routeLarge registers f for a pattern without wildcards whose body may be larger than others: up to most bytes. Who
// comes while largeBodies others are being read waits for as long as a body may take to come.
func (s *Server) routeLarge(pattern string, most int64, f func(http.ResponseWriter, *http.Request) error) {
	method, path, _ := strings.Cut(pattern, " ")
	s.larger[method+" "+s.paths.Join(path)] = most
	s.route(pattern, func(w http.ResponseWriter, r *http.Request) error {
		leave, err := s.enterLarge(w, r)
		if err != nil {
			return err
		}
		defer leave()
		return f(w, r)
	})
}

// enterLarge waits for the turn of a body that is large, and gives it time.
func (s *Server) enterLarge(w http.ResponseWriter, r *http.Request) (leave func(), err error) {
	wait := time.NewTimer(bodyWait)
	defer wait.Stop()
	select {
	case s.large <- struct{}{}:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-wait.C:
		return nil, &UserError{Status: http.StatusServiceUnavailable, RetryAfter: bodyWait, Message: "Many files are being taken just now. Please try again in a moment."}
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(largeWait)) // a recorder in a test has none
	_ = rc.SetWriteDeadline(time.Now().Add(largeWait + answerWait))
	return func() { <-s.large }, nil
}

// response remembers what was answered.
type response struct {
	http.ResponseWriter
	status int // 0 before the header
	bytes  int64
}

// Unwrap lets http.ResponseController reach Flush and the deadlines.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom lets net/http copy a file to the socket in the kernel.
func (w *response) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := io.Copy(w.ResponseWriter, r)
	w.bytes += n
	return n, err
}

type contextKey struct{}

// visit is one request as the log tells of it.
type visit struct {
	id         string
	begin      time.Time
	response   *response
	handedOver bool // its connection goes on without a handler, and whoever has it logs the end
}

// visitOf is the visit that r is; an empty one outside of observe.
func visitOf(r *http.Request) *visit {
	if v, ok := r.Context().Value(contextKey{}).(*visit); ok {
		return v
	}
	return &visit{response: &response{}, begin: time.Now()}
}

// requestID is what the log calls r. It is ours: an id that came with the request is not used.
func requestID(r *http.Request) string { return visitOf(r).id }

// observe numbers, measures and logs requests, and turns a panic into a 500. The log has paths,
// never queries or bodies: prompts stay out.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := rand.Text()[:16]
		w.Header().Set("X-Request-Id", id)
		rec := &response{ResponseWriter: w}
		v := &visit{id: id, begin: time.Now(), response: rec}
		r = r.WithContext(context.WithValue(r.Context(), contextKey{}, v))
		defer func() {
			cause := recover()
			if err, ok := cause.(error); cause != nil && (!ok || !errors.Is(err, http.ErrAbortHandler)) {
				s.logger.ErrorContext(r.Context(), "handler panicked", "cause", cause, "method", r.Method, "path", r.URL.Path,
					"request_id", id, "stack", string(debug.Stack()))
				if rec.status == 0 {
					s.renderError(rec, r, &UserError{Status: http.StatusInternalServerError, Message: "Something went wrong on our side."})
					cause = nil
				} else {
					cause = http.ErrAbortHandler // half an answer must not look whole
				}
			}
			if !v.handedOver {
				s.finish(v, r)
			}
			if cause != nil {
				panic(cause)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

func (s *Server) finish(v *visit, r *http.Request) {
	rec, took := v.response, time.Since(v.begin)
	stream := rec.Header().Get("X-Accel-Buffering") == "no" // as openStream says
	if !stream {                                            // how long a page stays open says nothing about us
		s.metrics.Requested(r.Pattern, r.Method, rec.status, took)
	}
	s.logRequest(logLevel(r, rec.status), r.Method, r.URL.Path, rec.status, rec.bytes, took, stream, v.id)
}

func logLevel(r *http.Request, status int) slog.Level {
	if quiet(r.Pattern) || status == http.StatusNotModified {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func (s *Server) logRequest(level slog.Level, method, path string, status int, bytes int64, took time.Duration, stream bool, id string) {
	s.logger.LogAttrs(context.Background(), level, "request",
		slog.String("method", method), slog.String("path", path), slog.Int("status", status),
		slog.Int64("bytes", bytes), slog.Duration("took", took), slog.Bool("stream", stream), slog.String("request_id", id))
}
