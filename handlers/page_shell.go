package handlers

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"easel/studio"
	"easel/views"
)

// Cookies of a visitor's own choices. Each holds one word and are checked before use; scripts of
// the pages write them too.
const (
	themeCookie = "easel_theme" // views.ThemeAuto, ThemeLight or ThemeDark
	moreCookie  = "easel_more"  // "1" while "More settings" is open

	// "1": tell me so when a generation is done.
	soundCookie  = "easel_sound"
	noticeCookie = "easel_notice"
	pushCookie   = "easel_push"

	cookieSeconds = 365 * 24 * 3600
)

// page is what surrounds the content of a page: title without the site's name, section as
// views.Page has it.
func (s *Server) page(r *http.Request, section, title string) views.Page {
	return views.Page{
		Site:    s.pages.site,
		Title:   title,
		Section: section,
		Theme:   theme(r),
		Here:    here(r, s.paths),
		Status:  status(s.studio.Overview()),
	}
}

// theme is what the visitor chose, as the cookie says; anything unknown follows the system.
func theme(r *http.Request) string {
	if c, err := r.Cookie(themeCookie); err == nil && (c.Value == views.ThemeLight || c.Value == views.ThemeDark) {
		return c.Value
	}
	return views.ThemeAuto
}

// here is the present page, to come back to; after a post it is the first page.
func here(r *http.Request, paths views.Paths) string {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return paths.Studio()
	}
	return localPath(r.URL.RequestURI(), paths)
}

// localPath is target when that is a path of this site, else the first page: a form must not
// send anybody to another host ("//evil.example" is one).
func localPath(target string, paths views.Paths) string {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil ||
		!strings.HasPrefix(target, paths.Studio()) || strings.HasPrefix(target, "//") ||
		strings.ContainsAny(target, "\\\r\n") {
		return paths.Studio()
	}
	return target
}

// status is what the header shows of o.
func status(o *studio.Overview) views.Status {
	if o == nil {
		return views.Status{Health: "none", Servers: "The servers are not known yet"}
	}
	shown := views.Status{Demo: o.Demo, Live: len(o.Live)}
	up, tried, on, active := 0, 0, 0, 0
	for _, server := range o.Servers {
		if server.Mode == studio.ModeOff {
			continue // nobody expects anything of it
		}
		on++
		if server.State == studio.ServerUp {
			up++
		}
		if server.State != studio.ServerUnknown {
			tried++
		}
		if server.Mode == studio.ModeActive {
			active++
		}
	}
	shown.Down = up == 0 && tried > 0 && tried == on
	switch {
	case len(o.Servers) == 0:
		shown.Health, shown.Servers = "none", "No server is configured"
	case on == 0:
		shown.Health, shown.Servers = "none", "All servers are off"
	case up == 0:
		shown.Health, shown.Servers = "none", "No server is up"
	case up < on:
		shown.Health, shown.Servers = "some", fmt.Sprintf("%d of %d servers are up", up, on)
	case active == 0:
		shown.Health, shown.Servers = "some", "All servers are paused"
	default:
		shown.Health, shown.Servers = "good", "All servers are up"
	}
	return shown
}
