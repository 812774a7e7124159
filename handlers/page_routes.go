package handlers

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/a-h/templ"

	"easel/static"
	"easel/views"
)

// pageState is what pages need beside the rest of a Server.
type pageState struct {
	site    views.Site
	inForce []views.InForce
	secret  string
}

// pageSetup opens the static files. Without Datastar's bundle there is no site: the error says
// how to get it.
func (s *Server) pageSetup(c Config) error {
	files, err := static.Open(c.DatastarJS)
	if err != nil {
		return fmt.Errorf("static files: %w", err)
	}
	s.pages = pageState{
		site:    views.Site{Paths: s.paths, Assets: s.paths, Version: c.Version, Files: files, PushKey: s.studio.PushKey()},
		inForce: c.InForce,
		secret:  c.Secret,
	}
	return nil
}

// pageRoutes are the pages, the forms on them, and their streams.
func (s *Server) pageRoutes() {
	s.mux.Handle("GET "+s.paths.Join("/static/{name}"), s.pages.site.Files)
	s.mux.Handle("GET "+s.paths.Worker(), s.pages.site.Files)

	s.route("GET /{$}", negotiate(faces{HTML: s.showStudio, Datastar: s.streamStudio}))
	s.route("GET /gallery", negotiate(faces{HTML: s.showGallery, Datastar: s.updateGallery, JSON: s.apiList}))
	s.route("GET /generations/{id}", negotiate(faces{HTML: s.showGeneration, Datastar: s.streamGeneration, JSON: s.apiShow, Events: s.followGeneration, Plain: s.plainGeneration}))
	s.route("GET /generations/{id}/live", s.showUnscripted)
	s.serverPageRoutes()
	s.settingsRoutes()
	s.calibrationRoutes()

	s.queuePageRoutes()
	s.workflowPageRoutes()
	s.route("POST /generations", s.createGeneration)
	s.route("POST /generations/{id}/cancel", s.cancelGeneration)
	s.route("POST /generations/{id}/retry", s.retryGeneration)
	s.route("GET /generations/{id}/delete", s.askDelete)
	s.route("POST /generations/{id}/delete", s.deleteGeneration)
	s.route("POST /settings/theme", s.setTheme)
}

// pageCompression is a level of compress/gzip: a first page of 25 kB becomes 5 kB in 0.3 ms, and
// higher levels gain 2 % more.
const pageCompression = 5

// render answers with a page. It is rendered into memory first, so that a failure can still
// become an error page.
func render(w http.ResponseWriter, r *http.Request, status int, c templ.Component) error {
	var page bytes.Buffer
	if err := c.Render(r.Context(), &page); err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	body := page.Bytes()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store") // a page carries the present state, also after "back"
	h.Add("Vary", "Accept-Encoding")
	if static.TakesGzip(r) {
		packed, err := static.Gzip(body, pageCompression)
		if err != nil {
			return fmt.Errorf("compress page: %w", err)
		}
		h.Set("Content-Encoding", "gzip")
		body = packed
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a visitor who left is nobody's error
	return nil
}

// renderErrorPage answers with a page that says what went wrong and what to do.
func (s *Server) renderErrorPage(w http.ResponseWriter, r *http.Request, e *UserError) {
	view := views.ErrorView{Code: e.Status, Message: e.Message}
	page := s.page(r, "", "")
	page.Title = view.Heading()
	if err := render(w, r, e.Status, views.ErrorPage(page, view)); err != nil {
		s.logger.ErrorContext(r.Context(), "error page could not be rendered", "err", err, "request_id", requestID(r))
		http.Error(w, e.Message, e.Status)
	}
}

// noticePatch tells a page that is open what went wrong with an action of its own.
func (s *Server) noticePatch(_ *http.Request, e *UserError) ([]byte, error) {
	return patch(views.Notice(views.ErrorView{Code: e.Status, Message: e.Message}))
}
