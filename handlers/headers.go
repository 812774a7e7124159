package handlers

import (
	"fmt"
	"net/http"
	"strings"
)

// framedPolicy makes of a page's policy that of a page which stands in a frame of ours.
func framedPolicy(page string) string {
	return strings.Replace(page, "frame-ancestors 'none'", "frame-ancestors 'self'", 1)
}

// policies makes the Content-Security-Policy of pages and of embeds. Neither lets a script run
// that is not one of our files: expressions of Datastar are compiled beforehand, so there is no
// 'unsafe-eval' either. Only embeds may be framed by others.
func policies(embedOrigins []string) (page, embed string, err error) {
	const common = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; " +
		"connect-src 'self'; manifest-src 'self'; worker-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; " +
		"require-trusted-types-for 'script'; trusted-types default worker; frame-ancestors "
	var framers strings.Builder
	framers.WriteString("'self'")
	for _, origin := range embedOrigins {
		u, err := parseOrigin(origin)
		if err != nil {
			return "", "", fmt.Errorf("embed: %w", err)
		}
		framers.WriteString(" " + u.Scheme + "://" + u.Host)
	}
	return common + "'none'", common + framers.String(), nil
}

// filePolicy is for stored files, whose bytes came from elsewhere: nothing in them runs or loads.
const filePolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; media-src 'self'; sandbox; frame-ancestors 'none'"

// strictHeaders puts the headers of a page on every answer, errors too. Handlers of embeds and
// files set other ones in their place.
func (s *Server) strictHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", s.pagePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // not no-referrer: forms would then post with Origin: null
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()")
		next.ServeHTTP(w, r)
	})
}

// sameOrigin refuses what a foreign page makes a browser send. There are no exceptions by
// pattern; programs send neither Origin nor Sec-Fetch-Site and pass.
func (s *Server) sameOrigin(next http.Handler) http.Handler {
	c := http.NewCrossOriginProtection()
	if s.public != nil { // a proxy may hand on another Host than the one in the visitor's Origin
		_ = c.AddTrustedOrigin(s.public.Scheme + "://" + s.public.Host) // New has parsed it
	}
	c.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.renderError(w, r, &UserError{Status: http.StatusForbidden, Message: "This request came from another site."})
	}))
	return c.Handler(next)
}
