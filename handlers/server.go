// Package handlers answers requests: pages, forms and live streams for people, JSON and SSE for
// programs, embeds for other sites. It asks a Studio and shows what that knows; errors become
// answers here and nowhere else.
package handlers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"easel/handlers/fanout"
	"easel/views"
)

// Times that hold for every connection.
const (
	writeWait      = 10 * time.Second // for one event; a browser that takes longer is gone
	heartbeatEvery = 15 * time.Second // below the idle cut of common proxies (30 s and more)
	answerWait     = time.Minute      // for an ordinary answer
	bodyWait       = 30 * time.Second // for a request's body to arrive
	largeWait      = 2 * time.Minute  // for a file, over a slow line; see routeLarge
)

// Config is what a Server is made of. Studio and DatastarJS are needed; the zero value of every
// other field is a choice that works.
type Config struct {
	Studio       Studio
	BasePath     string          // every URL lies under it: "" or "/studio", no slash at the end
	BaseURL      string          // the site's address as visitors know it, such as "https://example.com/studio"; empty: as they ask
	AllowedHosts []string        // names, with or without a port, that may stand in Host beside the loopback ones
	EmbedOrigins []string        // origins that may frame /embed/, such as "https://example.com"
	DatastarJS   []byte          // Datastar's bundle, already checked
	MetricsFrom  []netip.Prefix  // who may read /metrics; nil: this machine
	MaxStreams   int             // open streams at once, 503 beyond; 0: three quarters of the limit of open files
	Version      string          // of Easel
	Schema       int64           // version of the database's tables; 0: not told
	InForce      []views.InForce // the configuration as the settings page shows it, secrets hidden
	Secret       string          // signs webhooks; the settings page shows it when it is asked for
	Logger       *slog.Logger    // nil: slog.Default()
	Metrics      Metrics         // nil: nothing is counted, and there is no /metrics
}

// Metrics counts what happens here, and shows it (ServeHTTP) at /metrics.
// *metrics.Metrics is one.
type Metrics interface {
	http.Handler
	// Requested tells of an answer; route is its pattern, empty when there was none.
	Requested(route, method string, status int, took time.Duration)
	StreamOpened()
	StreamClosed()
}

// Server is the whole site as one http.Handler. It sees full paths: mount it under BasePath
// without stripping the prefix.
type Server struct {
	studio  Studio
	paths   views.Paths
	public  *url.URL // nil: as the request says
	hosts   hostList
	version string
	schema  int64
	logger  *slog.Logger
	metrics Metrics

	pagePolicy, embedPolicy string // Content-Security-Policy

	mux     *http.ServeMux
	handler http.Handler

	metricsFrom []netip.Prefix

	larger map[string]int64 // by method and path: what a body may hold where that is more than maxBodyBytes
	large  chan struct{}    // a slot for each such body

	maxStreams int64
	streams    atomic.Int64
	drain      sync.Once
	draining   chan struct{} // closed by Drain
	fanout     *fanout.Hub
	feeds      sync.WaitGroup // of the pages that it shows

	pages pageState // what the pages keep beside this
}

// New checks c and makes the routes.
func New(c Config) (*Server, error) {
	if c.Studio == nil {
		return nil, errors.New("handlers: no studio was given")
	}
	base := c.BasePath
	if base != "" && (!strings.HasPrefix(base, "/") || strings.HasSuffix(base, "/") || strings.ContainsAny(base, " {}?#%") || strings.Contains(base, "//")) {
		return nil, fmt.Errorf("base path %q: begin with a slash and end without one, such as /studio", base)
	}
	s := &Server{
		studio:      c.Studio,
		paths:       views.Paths{Base: base},
		version:     c.Version,
		schema:      c.Schema,
		logger:      c.Logger,
		metrics:     c.Metrics,
		mux:         http.NewServeMux(),
		larger:      make(map[string]int64),
		large:       make(chan struct{}, largeBodies),
		maxStreams:  int64(c.MaxStreams),
		metricsFrom: c.MetricsFrom,
		draining:    make(chan struct{}),
	}
	s.fanout = fanout.New(fanout.Config{HeartbeatEvery: heartbeatEvery, WriteWait: writeWait, Farewell: comeBack})
	if s.logger == nil {
		s.logger = slog.Default()
	}
	if s.metrics == nil {
		s.metrics = noMetrics{}
	}
	if s.metricsFrom == nil {
		s.metricsFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	if s.maxStreams <= 0 {
		s.maxStreams = streamLimit()
	}
	var err error
	if s.public, err = publicOrigin(c.BaseURL); err != nil {
		return nil, err
	}
	if s.public != nil {
		c.AllowedHosts = append([]string{s.public.Host}, c.AllowedHosts...)
	}
	if s.hosts, err = newHostList(c.AllowedHosts); err != nil {
		return nil, err
	}
	if s.pagePolicy, s.embedPolicy, err = policies(c.EmbedOrigins); err != nil {
		return nil, err
	}
	if err := s.pageSetup(c); err != nil {
		return nil, err
	}
	s.apiRoutes()
	s.fileRoutes()
	s.uploadRoutes()
	s.larger["POST "+s.paths.Generations()] = maxUploadBody // a form with files; without, it is held to the usual
	s.embedRoutes()
	s.probeRoutes()
	s.pageRoutes()
	s.handler = s.chain()
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Run keeps the streams whose connections were taken over (see ConnContext), until ctx ends or Drain is called. Then it
// cuts all open streams, and returns when those are closed. Without Run all streams are served by their handlers.
func (s *Server) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.Drain)()
	err := s.fanout.Run(s.draining)
	s.feeds.Wait() // their streams are closed
	if err != nil {
		return fmt.Errorf("keep streams: %w", err)
	}
	return nil
}

// ConnContext is for http.Server.ConnContext. With it, and Run, a stream of plain HTTP/1.1 costs a hundredth of what a
// handler does. Only where nothing between the server and the site rewrites answers (compresses them, say).
func (s *Server) ConnContext(ctx context.Context, c net.Conn) context.Context {
	return fanout.ConnContext(ctx, c)
}

// Drain cuts all open streams, and those that open later, so that browsers come back to whoever
// listens next. It may be called more than once; give it to http.Server.RegisterOnShutdown.
func (s *Server) Drain() { s.drain.Do(func() { close(s.draining) }) }

// route registers f for a pattern such as "GET /gallery", under the base path.
func (s *Server) route(pattern string, f func(http.ResponseWriter, *http.Request) error) {
	method, path, _ := strings.Cut(pattern, " ")
	s.mux.Handle(method+" "+s.paths.Join(path), s.handle(f))
}

// dispatch hands r to its route. What the mux would answer itself in plain text (no such page,
// wrong method) is answered like every other error.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	if _, pattern := s.mux.Handler(r); pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	// The mux itself leads from "/studio" to "/studio/"; this is the other way round.
	if path, ok := strings.CutSuffix(r.URL.Path, "/"); ok && path != "" && s.known(r, path) {
		redirect(w, r, path)
		return
	}
	var allowed []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPost} {
		other := *r
		other.Method = method
		if _, pattern := s.mux.Handler(&other); pattern != "" {
			allowed = append(allowed, method)
			if method == http.MethodGet {
				allowed = append(allowed, http.MethodHead)
			}
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		s.renderError(w, r, &UserError{Status: http.StatusMethodNotAllowed, Message: "This address does not take " + r.Method + " requests."})
		return
	}
	s.renderError(w, r, errNoPage)
}

// known reports whether path has a route for r's method.
func (s *Server) known(r *http.Request, path string) bool {
	other := *r
	u := *r.URL
	u.Path, u.RawPath = path, ""
	other.URL = &u
	_, pattern := s.mux.Handler(&other)
	return pattern != ""
}

// redirect sends a visitor to a path of this host, keeping the query and the method.
func redirect(w http.ResponseWriter, r *http.Request, path string) {
	// A second slash in front would name another host.
	target := url.URL{Path: "/" + strings.TrimLeft(path, "/"), RawQuery: r.URL.RawQuery}
	http.Redirect(w, r, target.String(), http.StatusPermanentRedirect)
}
