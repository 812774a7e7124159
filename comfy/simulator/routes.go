package simulator

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxBody is aiohttp's client_max_size as ComfyUI sets it: a larger body is answered with 413.
const maxBody = 100 << 20

// handler answers one route; an error becomes aiohttp's 500.
type handler func(p *process, w http.ResponseWriter, r *http.Request) error

// routes is ComfyUI's table, by path and method. A path that ends in "/" takes what follows it as its last part.
var routes = map[string]map[string]handler{
	"/prompt":        {"GET": getPrompt, "POST": postPrompt},
	"/queue":         {"GET": getQueue, "POST": postQueue},
	"/interrupt":     {"POST": postInterrupt},
	"/history":       {"GET": getHistory, "POST": postHistory},
	"/history/":      {"GET": getHistoryEntry},
	"/view":          {"GET": getView},
	"/upload/image":  {"POST": postUpload},
	"/object_info":   {"GET": getObjectInfo},
	"/object_info/":  {"GET": getObjectInfoClass},
	"/system_stats":  {"GET": getSystemStats},
	"/features":      {"GET": getFeatures},
	"/models":        {"GET": getModels},
	"/models/":       {"GET": getModelFolder},
	"/embeddings":    {"GET": getEmbeddings},
	"/free":          {"POST": postFree},
	"/ws":            {"GET": getSocket},
	"/api/jobs":      {"GET": getJobs},
	"/api/jobs/":     {"GET": getJob, "POST": postJobCancel},
	"/view_metadata": {},
}

// route answers one request as ComfyUI would.
func (p *process) route(w http.ResponseWriter, r *http.Request) {
	if !sameOrigin(r) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	name, methods := find(r.URL.Path, p.sim.config.NewServer)
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	serve, ok := methods[method]
	p.sim.ledger.note(func(l *Ledger) { l.requests[method+" "+name]++ })
	switch {
	case ok:
		if err := serve(p, w, r); err != nil {
			trouble(w)
		}
	case r.Method == http.MethodOptions:
		w.WriteHeader(http.StatusOK)
	case method == http.MethodGet:
		w.WriteHeader(http.StatusNotFound) // the route of the web page's files takes every GET
	default:
		plain(w, http.StatusMethodNotAllowed, "405: Method Not Allowed")
	}
}

// find looks a path up with and without /api; the jobs API exists under /api only, and on newer servers.
func find(path string, newer bool) (name string, methods map[string]handler) {
	if strings.HasPrefix(path, "/api/jobs") {
		if !newer {
			return path, nil
		}
	} else if bare, ok := strings.CutPrefix(path, "/api/"); ok {
		path = "/" + bare
	}
	if m, ok := routes[path]; ok && !strings.HasSuffix(path, "/") {
		return path, m
	}
	for name, m := range routes {
		if rest, ok := strings.CutPrefix(path, name); ok && strings.HasSuffix(name, "/") && rest != "" {
			return name, m
		}
	}
	return path, nil
}

// last returns what follows the route's name in the path.
func last(r *http.Request, route string) string {
	path := r.URL.Path
	if !strings.HasPrefix(route, "/api/") {
		path = strings.TrimPrefix(path, "/api")
	}
	return strings.TrimPrefix(path, route)
}

// sameOrigin is ComfyUI's protection of servers on a loopback address: an Origin of another host or port is refused.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	host, _, _ := strings.Cut(r.Host, ":")
	if origin == "" || host != "127.0.0.1" && host != "localhost" && host != "[" {
		return true
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host == "" || u.Host == r.Host
}

// body reads a JSON body; errors are for the 500 that ComfyUI answers to anything it does not expect.
func body(r *http.Request) (any, error) {
	data, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	return decode(data)
}

// bodyObject is body for routes that index into it at once.
func bodyObject(r *http.Request) (*object, error) {
	v, err := body(r)
	if err != nil {
		return nil, err
	}
	o, ok := v.(*object)
	if !ok {
		return nil, errTrouble
	}
	return o, nil
}

func answer(w http.ResponseWriter, status int, v any) error {
	data := encode(v)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // a client that left is no trouble of the server
	return nil
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // as above
}

// trouble is aiohttp's answer to an exception.
func trouble(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	plain(w, http.StatusInternalServerError, "500 Internal Server Error\n\nServer got itself in trouble")
}

func tooLarge(err error) bool {
	var large *http.MaxBytesError
	return errors.As(err, &large)
}

func getSocket(p *process, w http.ResponseWriter, r *http.Request) error {
	p.serveSocket(w, r)
	return nil
}
