package handlers

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// hostList says under which names the site answers. A page of a foreign name that resolves to
// this machine (DNS rebinding) has that name in Host, and gets nothing: neither CORS nor
// CrossOriginProtection would stop it, since to them it is the same origin.
type hostList map[string]bool // lower case, with or without a port

func newHostList(allowed []string) (hostList, error) {
	l := hostList{}
	for _, host := range allowed {
		name := strings.ToLower(strings.TrimSpace(host))
		if name == "" || strings.ContainsAny(name, "/@*? ") {
			return nil, fmt.Errorf("allowed host %q: give a name such as easel.example.com, or a name and a port", host)
		}
		l[name] = true
	}
	return l, nil
}

// allows reports whether a request for host that arrived at the address local may be answered.
func (l hostList) allows(host string, local net.Addr) bool {
	host = strings.ToLower(host)
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	// Embeds repeat Host in URLs, where "localhost:x@evil.example" is another site.
	if strings.Trim(port, "0123456789") != "" {
		return false
	}
	name = strings.TrimSuffix(name, ".")
	if l[host] || l[name] || name == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(name)
	if err != nil || ip.Zone() != "" { // a zone may be any text
		return false
	}
	if ip.Unmap().IsLoopback() {
		return true
	}
	// An address cannot be rebound to another. Only what came over loopback, from a proxy of
	// this machine or from itself, has no business with an outside address.
	arrived, ok := local.(*net.TCPAddr)
	return ok && !arrived.IP.IsLoopback()
}

// checkHost answers 421 to requests for other sites, and 400 to those for none.
func (s *Server) checkHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		switch {
		case r.Host == "" || r.URL.User != nil: // net/http answers 400 to HTTP/1.1 without Host, and to two
			s.renderError(w, r, &UserError{Status: http.StatusBadRequest, Message: "The request does not say which host it is for."})
		case !s.hosts.allows(r.Host, local): // net/http has put the host of an absolute-form target there
			s.renderError(w, r, &UserError{
				Status:  http.StatusMisdirectedRequest,
				Message: "This server does not answer under that name. Its owner can allow it with EASEL_ALLOWED_HOSTS.",
			})
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// origin is scheme and host under which the visitor of r knows this site. Forwarded headers are
// not believed; behind a proxy that ends TLS the public URL has to be configured.
func (s *Server) origin(r *http.Request) string {
	if s.public != nil {
		return s.public.Scheme + "://" + s.public.Host
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host // on the list, or it would not have come so far
}

// publicOrigin is scheme and host of the site's own address; nil when none is configured.
func publicOrigin(baseURL string) (*url.URL, error) {
	if baseURL == "" {
		return nil, nil
	}
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("base URL: %w", err)
	}
	return parseOrigin(u.Scheme + "://" + u.Host) // the path is BasePath's matter
}

// parseOrigin reads "https://example.com:8443", a slash at the end allowed.
func parseOrigin(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil ||
		u.Path != "" || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(u.Host, ";, '\"*") {
		return nil, fmt.Errorf("origin %q: give scheme and host alone, such as https://example.com", text)
	}
	return u, nil
}
