package handlers

import (
	"context"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"
)

// probeRoutes are what operators and crawlers look for.
func (s *Server) probeRoutes() {
	s.route("GET /healthz", s.alive)
	s.route("GET /livez", s.alive)
	s.route("GET /readyz", s.ready)
	s.route("GET /version", s.showVersion)
	s.route("GET /robots.txt", s.robots)
	s.route("GET /favicon.ico", s.favicon)
	if _, counted := s.metrics.(noMetrics); !counted {
		s.route("GET /metrics", s.showMetrics)
	}
}

// quiet reports whether a route is asked for so often, by machines, that the log leaves it out.
func quiet(pattern string) bool {
	switch lastSegment(pattern) {
	case "healthz", "livez", "readyz", "metrics", "version", "robots.txt", "preview", "thumbnail", "{name}":
		return true
	}
	return false
}

func lastSegment(pattern string) string {
	for i := len(pattern) - 1; i >= 0; i-- {
		if pattern[i] == '/' {
			return pattern[i+1:]
		}
	}
	return pattern
}

// alive says that the process answers; it touches nothing else.
func (s *Server) alive(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte("ok\n"))
	return nil
}

// readiness is the answer of /readyz. Servers that are down do not make Easel unready, nor does a
// storage that is: it goes on taking work for them.
type readiness struct {
	Ready   bool              `json:"ready"`
	Reasons []string          `json:"reasons"`
	Servers map[string]string `json:"servers"` // by name: up, down, stalled, ...
	Storage string            `json:"storage"` // of the pictures: up, down
}

// ready answers 200 when work can be accepted, else 503 with the reasons.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) error {
	answer := readiness{Reasons: []string{}, Servers: map[string]string{}, Storage: "up"}
	if err := within(r.Context(), s.studio.Storage); err != nil {
		s.logger.DebugContext(r.Context(), "storage is down", "err", err)
		answer.Storage = "down"
	}
	if err := within(r.Context(), s.studio.Ready); err != nil {
		s.logger.DebugContext(r.Context(), "not ready", "err", err) // its text may name hosts
		answer.Reasons = append(answer.Reasons, "the database does not answer, or its tables are not current")
	}
	select {
	case <-s.draining:
		answer.Reasons = append(answer.Reasons, "shutting down")
	default:
	}
	for _, server := range s.studio.Overview().Servers {
		answer.Servers[server.Name] = string(server.State)
	}
	answer.Ready = len(answer.Reasons) == 0
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	return answerJSON(w, status, answer)
}

// within asks with the patience of a probe: a part that takes longer is down, and must not use up
// the time of the next.
func within(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return ask(ctx)
}

func (s *Server) showVersion(w http.ResponseWriter, _ *http.Request) error {
	return answerJSON(w, http.StatusOK, s.build())
}

// build says what is running. Commit and date are there when it was built inside the repository.
func (s *Server) build() map[string]string {
	shown := map[string]string{"version": s.version, "go": runtime.Version()}
	if s.schema > 0 {
		shown["schema"] = strconv.FormatInt(s.schema, 10)
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				shown["commit"] = setting.Value
			case "vcs.time":
				shown["date"] = setting.Value
			}
		}
	}
	return shown
}

// robots keeps crawlers away: a studio is for those who were given its address.
func (s *Server) robots(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("User-agent: *\nDisallow: /\n"))
	return nil
}

// favicon is for those who ask without having read a page, which names the icon.
func (s *Server) favicon(w http.ResponseWriter, r *http.Request) error {
	http.Redirect(w, r, s.pages.site.Asset("favicon.svg"), http.StatusFound)
	return nil
}

// showMetrics answers to the networks of the configuration, this machine alone unless told otherwise. A
// proxy in one of them would hand on strangers too, but it names them, and then we do not answer either.
func (s *Server) showMetrics(w http.ResponseWriter, r *http.Request) error {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	asks := peer.Addr().Unmap().WithZone("")
	allowed := slices.ContainsFunc(s.metricsFrom, func(network netip.Prefix) bool { return network.Contains(asks) })
	if err != nil || !allowed || r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" {
		return errNoPage
	}
	s.metrics.ServeHTTP(w, r)
	return nil
}

// noMetrics counts nothing.
type noMetrics struct{}

func (noMetrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }
func (noMetrics) Requested(_, _ string, _ int, _ time.Duration)    {}
func (noMetrics) StreamOpened()                                    {}
func (noMetrics) StreamClosed()                                    {}
