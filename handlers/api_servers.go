package handlers

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/studio"
)

// serverAPIRoutes are the servers as programs see and tend them.
func (s *Server) serverAPIRoutes() {
	s.route("GET /api/servers", s.apiServers)
	s.route("POST /api/servers", s.apiAddServer)
	s.route("POST /api/servers/test", s.apiTestAddress)
	s.route("GET /api/servers/{id}", s.apiServer)
	s.route("PATCH /api/servers/{id}", s.apiChangeServer)
	s.route("DELETE /api/servers/{id}", s.apiRemoveServer)
	s.route("POST /api/servers/{id}/test", s.apiTestServer)
	for word, mode := range serverModes {
		s.route("POST /api/servers/{id}/"+word, func(w http.ResponseWriter, r *http.Request) error {
			return s.apiServerMode(w, r, mode)
		})
	}
}

type serverJSON struct {
	ID        uuid.UUID          `json:"id"`
	Name      string             `json:"name"`
	URL       string             `json:"url"`
	Demo      bool               `json:"demo"`
	Source    string             `json:"source"` // config, added
	Mode      studio.ServerMode  `json:"mode"`
	State     studio.ServerState `json:"state"`
	Version   *string            `json:"version"`
	Device    *string            `json:"device"`
	VRAMTotal *int64             `json:"vramTotal"` // bytes
	VRAMFree  *int64             `json:"vramFree"`
	Devices   []studio.Device    `json:"devices"`
	Queue     int                `json:"queue"`           // prompts inside it, anybody's
	Inside    int                `json:"inside"`          // images of ours among them
	Running   *string            `json:"comfyuiPromptId"` // of ours, that it runs
	RunningID *string            `json:"generationId"`    // whose that is
	Held      string             `json:"held"`            // by which instance: this, another, none
	LastError *string            `json:"lastError"`
	LastSeen  *string            `json:"lastSeen"`
}

// serversJSON is every server of an overview.
func serversJSON(o *studio.Overview) []serverJSON {
	list := []serverJSON{}
	all := insideServers(o)
	for i := range o.Servers {
		if o.Servers[i].ID == uuid.Nil {
			continue // in the first moment of the process: its id is still to be read
		}
		list = append(list, newServerJSON(o, &o.Servers[i], all))
	}
	return list
}

func newServerJSON(o *studio.Overview, server *studio.Server, all map[uuid.UUID]inside) serverJSON {
	shown := serverJSON{
		ID: server.ID, Name: server.Name, URL: server.URL, Demo: server.Demo, Source: server.Source, Mode: server.Mode,
		State: server.State, Version: known(server.Version), Device: known(server.Device), Devices: server.Devices,
		Queue: server.Queue, Inside: all[server.ID].count, Held: "none", LastError: known(server.LastError),
	}
	if shown.Devices == nil {
		shown.Devices = []studio.Device{}
	}
	if run, ok := runningOn(o, server, all); ok {
		shown.Running = known(run.state.Generation.Images[run.image].PromptID)
		shown.RunningID = known(run.state.Generation.ID.String())
	}
	if server.VRAMTotal > 0 {
		shown.VRAMTotal, shown.VRAMFree = &server.VRAMTotal, &server.VRAMFree
	}
	if !server.LastSeen.IsZero() {
		seen := timeText(server.LastSeen)
		shown.LastSeen = &seen
	}
	switch {
	case server.Mine:
		shown.Held = "this"
	case server.Held:
		shown.Held = "another"
	}
	return shown
}

// apiServers lists the ComfyUI servers and how they are.
func (s *Server) apiServers(w http.ResponseWriter, _ *http.Request) error {
	return answerJSON(w, http.StatusOK, struct {
		Servers []serverJSON `json:"servers"`
	}{serversJSON(s.studio.Overview())})
}

// apiServer is one of them.
func (s *Server) apiServer(w http.ResponseWriter, r *http.Request) error {
	id, err := serverID(r)
	if err != nil {
		return err
	}
	return s.answerServer(w, http.StatusOK, id)
}

func (s *Server) answerServer(w http.ResponseWriter, status int, id uuid.UUID) error {
	o := s.studio.Overview()
	server, ok := findServer(o, id.String())
	if !ok {
		return studio.ErrNoServer
	}
	return answerJSON(w, status, newServerJSON(o, &server, insideServers(o)))
}

// apiAddServer stores another server. It is not tested: a program may name one that is started later.
func (s *Server) apiAddServer(w http.ResponseWriter, r *http.Request) error {
	fields, err := textFields(r, "url", "name")
	if err != nil {
		return err
	}
	id, err := s.studio.AddServer(r.Context(), fields["name"], fields["url"])
	if err != nil {
		return err
	}
	base, err := comfy.BaseURL(fields["url"])
	if err != nil {
		return err // the studio has taken it
	}
	added := studio.Server{ // as it is until it is shown
		ID: id, Name: cmp.Or(strings.TrimSpace(fields["name"]), comfy.Host(base)), URL: comfy.Redacted(base), Source: studio.SourceAdded, Mode: studio.ModeActive, State: studio.ServerUnknown,
	}
	s.awaitServers(r.Context(), func(o *studio.Overview) bool {
		server, ok := findServer(o, id.String())
		if ok {
			added = server
		}
		return ok
	})
	o := s.studio.Overview()
	w.Header().Set("Location", s.paths.APIServer(id.String()))
	return answerJSON(w, http.StatusCreated, newServerJSON(o, &added, insideServers(o)))
}

// apiChangeServer gives a server another name or mode.
func (s *Server) apiChangeServer(w http.ResponseWriter, r *http.Request) error {
	id, err := serverID(r)
	if err != nil {
		return err
	}
	fields, err := textFields(r, "name", "mode")
	if err != nil {
		return err
	}
	mode, hasMode := fields["mode"]
	switch studio.ServerMode(mode) {
	case studio.ModeActive, studio.ModePaused, studio.ModeDraining, studio.ModeOff:
	default:
		if hasMode {
			return &studio.InvalidError{Fields: []studio.FieldError{{Field: "mode", Message: "must be active, paused, draining or off"}}}
		}
	}
	if name, ok := fields["name"]; ok {
		if err := s.studio.RenameServer(r.Context(), id, name); err != nil {
			return err
		}
		s.awaitServers(r.Context(), func(o *studio.Overview) bool {
			server, ok := findServer(o, id.String())
			return !ok || server.Name == strings.TrimSpace(name)
		})
	}
	if hasMode {
		if err := s.setServerMode(r.Context(), id, studio.ServerMode(mode)); err != nil {
			return err
		}
	}
	return s.answerServer(w, http.StatusOK, id)
}

func (s *Server) apiServerMode(w http.ResponseWriter, r *http.Request, mode studio.ServerMode) error {
	id, err := serverID(r)
	if err != nil {
		return err
	}
	if err := s.setServerMode(r.Context(), id, mode); err != nil {
		return err
	}
	return s.answerServer(w, http.StatusOK, id)
}

// apiRemoveServer takes a server that was added out of the list.
func (s *Server) apiRemoveServer(w http.ResponseWriter, r *http.Request) error {
	id, err := serverID(r)
	if err != nil {
		return err
	}
	if err := s.removeServer(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

type reportJSON struct {
	URL    string      `json:"url"`
	Usable bool        `json:"usable"` // nothing is bad
	TookMS int64       `json:"tookMs"`
	Checks []checkJSON `json:"checks"`
}

type checkJSON struct {
	Name    string         `json:"name"`
	Verdict studio.Verdict `json:"verdict"` // ok, warn, bad
	Words   string         `json:"words"`
}

func answerReport(w http.ResponseWriter, report *studio.ServerReport) error {
	shown := reportJSON{URL: report.URL, Usable: report.Usable, TookMS: report.Took.Milliseconds(), Checks: []checkJSON{}}
	for _, check := range report.Checks {
		shown.Checks = append(shown.Checks, checkJSON(check))
	}
	return answerJSON(w, http.StatusOK, shown)
}

// apiTestServer tests a server of the list; apiTestAddress whatever is at an address.
func (s *Server) apiTestServer(w http.ResponseWriter, r *http.Request) error {
	id, err := serverID(r)
	if err != nil {
		return err
	}
	report, err := s.studio.TestListedServer(r.Context(), id)
	if err != nil {
		return err
	}
	return answerReport(w, &report)
}

func (s *Server) apiTestAddress(w http.ResponseWriter, r *http.Request) error {
	fields, err := textFields(r, "url")
	if err != nil {
		return err
	}
	report, err := s.studio.TestServer(r.Context(), fields["url"])
	if err != nil {
		return err
	}
	return answerReport(w, &report)
}
