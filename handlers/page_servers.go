package handlers

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"easel/studio"
	"easel/views"
)

// serverPageRoutes are the page of servers, its stream and its forms.
func (s *Server) serverPageRoutes() {
	s.route("GET /servers", negotiate(faces{HTML: s.showServers, Datastar: s.streamServers, JSON: s.apiServers}))
	s.route("POST /servers", s.addServer)
	s.route("POST /servers/{id}", s.changeServer)
}

// showServers says how every ComfyUI is.
func (s *Server) showServers(w http.ResponseWriter, r *http.Request) error {
	return s.renderServers(w, r, http.StatusOK, s.serversView(s.studio.Overview()))
}

func (s *Server) renderServers(w http.ResponseWriter, r *http.Request, status int, view views.ServersView) error {
	page := s.page(r, "servers", "Servers")
	page.Live = s.paths.Servers()
	return render(w, r, status, views.ServersPage(page, view))
}

// streamServers keeps the page of the servers up to date.
func (s *Server) streamServers(w http.ResponseWriter, r *http.Request) error {
	overview := s.studio.WatchOverview()
	defer overview.Close()
	st, err := s.openStream(w, r)
	if err != nil {
		return err
	}
	present := unset
	return s.follow(st, overview.Changed(), nil, func(seen sent) []part {
		o := overview.Latest()
		return append(s.statusParts(o), s.serverParts(o, seen, &present)...)
	})
}

// serverParts are the whole list when servers have come or gone, else what changes of each.
func (s *Server) serverParts(o *studio.Overview, seen sent, present *string) []part {
	view := s.serversView(o)
	parts := make([]part, 0, 3*len(view.Servers)+1)
	ids := ""
	for _, server := range view.Servers {
		id := "server-" + server.ID
		ids += id + " "
		parts = append(parts,
			s.ofOverview(o, id+"-facts", func() templ.Component { return views.ServerFacts(s.pages.site, server, view) }),
			s.ofOverview(o, id+"-run", func() templ.Component { return views.ServerRun(s.pages.site, server) }),
			s.ofOverview(o, id+"-actions", func() templ.Component { return views.ServerActions(s.pages.site, server) }))
	}
	if *present == ids {
		return parts
	}
	*present = ids
	seen.holds(parts)
	delete(seen, "servers")
	return append(parts, s.ofOverview(o, "servers", func() templ.Component { return views.ServerList(s.pages.site, view) }))
}

// addServer takes the form that adds a server. It is tested first, and what does not work is said
// in the form, with all that was typed; then it can be added all the same.
func (s *Server) addServer(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Datastar-Request")
	values, err := readForm(r)
	if err != nil {
		return err
	}
	typed := typedForm(values)
	form := views.ServerForm{URL: views.Field{Name: "url", Value: typed["url"]}, Name: views.Field{Name: "name", Value: typed["name"]}}
	if typed["do"] != "anyway" {
		report, err := s.studio.TestServer(r.Context(), typed["url"])
		if err != nil {
			return s.answerServerForm(w, r, form, err)
		}
		form.Report = reportView(&report)
		form.Anyway = !report.Usable
		if typed["do"] == "test" {
			return s.answerServerForm(w, r, form, nil)
		}
		if !report.Usable {
			return s.answerServerForm(w, r, form, &studio.InvalidError{Fields: []studio.FieldError{{Field: "url", Message: "Nothing was added: the test found what does not work."}}})
		}
	}
	id, err := s.studio.AddServer(r.Context(), typed["name"], typed["url"])
	if err != nil {
		return s.answerServerForm(w, r, form, err)
	}
	s.awaitServers(r.Context(), func(o *studio.Overview) bool {
		_, ok := findServer(o, id.String())
		return ok
	})
	if !isDatastar(r) {
		http.Redirect(w, r, s.paths.Servers()+"#server-"+id.String(), http.StatusSeeOther)
		return nil
	}
	events, err := patchAs("replace", views.AddServerForm(s.pages.site, views.ServerForm{
		URL: views.Field{Name: "url"}, Name: views.Field{Name: "name"},
		Done: "The server was added. It takes work as soon as it answers.",
	}))
	if err != nil {
		return err
	}
	return answerPatches(w, events)
}

// answerServerForm answers with the form: to a page that is open as a patch, else as the page.
func (s *Server) answerServerForm(w http.ResponseWriter, r *http.Request, form views.ServerForm, err error) error {
	status := http.StatusOK
	if err != nil {
		refused := userError(err)
		if refused == nil || len(refused.Fields) == 0 {
			return err
		}
		status = refused.Status
		for _, f := range refused.Fields {
			control := &form.URL
			if f.Field == "name" {
				control = &form.Name
			}
			control.Error = strings.TrimSpace(control.Error + " " + f.Message)
		}
	}
	if !isDatastar(r) {
		view := s.serversView(s.studio.Overview())
		view.Form = form
		return s.renderServers(w, r, status, view)
	}
	events, err := patch(views.AddServerForm(s.pages.site, form))
	if err != nil {
		return err
	}
	return answerPatches(w, events)
}

// serverModes are the modes by the word on the button.
var serverModes = map[string]studio.ServerMode{
	"pause": studio.ModePaused, "resume": studio.ModeActive, "drain": studio.ModeDraining, "off": studio.ModeOff,
}

// changeServer does what the pressed button of a server says.
func (s *Server) changeServer(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Datastar-Request")
	id, err := serverID(r)
	if err != nil {
		return err
	}
	values, err := readForm(r)
	if err != nil {
		return err
	}
	do := values.Get("do")
	mode, isMode := serverModes[do]
	switch {
	case isMode:
		err = s.setServerMode(r.Context(), id, mode)
	case do == "test":
		return s.testServer(w, r, id)
	case do == "rename":
		return s.renameServer(w, r, id, values.Get("name"))
	case do == "remove":
		err = s.removeServer(r.Context(), id)
	default:
		err = &UserError{Status: http.StatusUnprocessableEntity, Message: "That is nothing that can be done with a server."}
	}
	if err != nil {
		return err
	}
	return s.answerServers(w, r)
}

// answerServers ends an action: the page's stream shows what has become of it.
func (s *Server) answerServers(w http.ResponseWriter, r *http.Request) error {
	if !isDatastar(r) {
		http.Redirect(w, r, s.paths.Servers(), http.StatusSeeOther)
		return nil
	}
	clear, err := patch(views.NoNotice())
	if err != nil {
		return err
	}
	return answerPatches(w, clear)
}

func (s *Server) testServer(w http.ResponseWriter, r *http.Request, id uuid.UUID) error {
	report, err := s.studio.TestListedServer(r.Context(), id)
	if err != nil {
		return err
	}
	if !isDatastar(r) {
		view := s.serversView(s.studio.Overview())
		for i := range view.Servers {
			if view.Servers[i].ID == id.String() {
				view.Servers[i].Report = reportView(&report)
			}
		}
		return s.renderServers(w, r, http.StatusOK, view)
	}
	text, err := html(views.Report(*reportView(&report)))
	if err != nil {
		return err
	}
	// Into the element: as a whole it is left alone by patches, so that the stream's keep the report.
	return answerPatches(w, Patch("", "#server-"+id.String()+"-report", "inner", text))
}

func (s *Server) renameServer(w http.ResponseWriter, r *http.Request, id uuid.UUID, name string) error {
	err := s.studio.RenameServer(r.Context(), id, name)
	if err == nil {
		s.awaitServers(r.Context(), func(o *studio.Overview) bool {
			server, ok := findServer(o, id.String())
			return !ok || server.Name == strings.TrimSpace(name)
		})
	}
	shown := views.Server{ID: id.String(), Name: strings.TrimSpace(name)}
	if invalid, ok := errors.AsType[*studio.InvalidError](err); ok {
		shown.Rename = views.Field{Value: name, Error: invalid.Fields[0].Message}
	} else if err != nil {
		return err
	}
	if isDatastar(r) {
		events, err := patchAs("replace", views.RenameForm(s.pages.site, shown))
		if err != nil {
			return err
		}
		return answerPatches(w, events)
	}
	if shown.Rename.Error == "" {
		return s.answerServers(w, r)
	}
	view := s.serversView(s.studio.Overview())
	for i := range view.Servers {
		if view.Servers[i].ID == shown.ID {
			view.Servers[i].Rename = shown.Rename
		}
	}
	return s.renderServers(w, r, http.StatusUnprocessableEntity, view)
}

func (s *Server) setServerMode(ctx context.Context, id uuid.UUID, mode studio.ServerMode) error {
	if err := s.studio.SetServerMode(ctx, id, mode); err != nil {
		return err
	}
	s.awaitServers(ctx, func(o *studio.Overview) bool {
		server, ok := findServer(o, id.String())
		return !ok || server.Mode == mode || mode == studio.ModeDraining && server.Mode == studio.ModeOff
	})
	return nil
}

func (s *Server) removeServer(ctx context.Context, id uuid.UUID) error {
	if err := s.studio.RemoveServer(ctx, id); err != nil {
		return err
	}
	s.awaitServers(ctx, func(o *studio.Overview) bool {
		_, ok := findServer(o, id.String())
		return !ok
	})
	return nil
}

// shownWithin is how long an answer waits for what was stored to be shown: the bell takes
// milliseconds, and without it nobody should wait for long.
const shownWithin = 2 * time.Second

// awaitServers waits until the overview shows what was just stored, so that the answer and the page
// after it do.
func (s *Server) awaitServers(ctx context.Context, shown func(*studio.Overview) bool) {
	ctx, cancel := context.WithTimeout(ctx, shownWithin)
	defer cancel()
	watch := s.studio.WatchOverview()
	defer watch.Close()
	for !shown(watch.Latest()) {
		select {
		case <-watch.Changed():
		case <-ctx.Done():
			return
		}
	}
}

// serverID is the server's id in the path, in the one form that we give out.
func serverID(r *http.Request) (uuid.UUID, error) {
	id, ok := canonicalID(r.PathValue("id"))
	if !ok {
		return uuid.Nil, studio.ErrNoServer
	}
	return id, nil
}
