package comfy

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ErrLinkLocal is an address in a range where clouds keep the credentials of a machine, and no ComfyUI.
var ErrLinkLocal = errors.New("is a link-local address")

// errNoAddress is what BaseURL says of everything else that it cannot take.
var errNoAddress = errors.New("is not an http or https address")

// BaseURL makes of what people type the address that NewClient takes: http where no scheme is named, no slash at
// the end. A user and a password stay in it.
//
// Errors complete a sentence about the address and do not quote it. That a name leads to a link-local address
// shows only when it is dialled, and is refused then.
func BaseURL(text string) (string, error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || strings.Trim(u.Hostname(), ".") == "" || !isPort(u.Port()) || (u.Scheme != "http" && u.Scheme != "https") {
		return "", errNoAddress
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && isLinkLocal(ip) {
		return "", ErrLinkLocal
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", errors.New("must end with its path, without query and fragment")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u.String(), nil
}

// isPort: a URL may name none.
func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// Redacted is a base URL without user and password, to be shown and to be compared: one server is one, whoever
// logs in there. What is no URL is hidden whole.
func Redacted(base string) string {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return "(hidden)"
	}
	u.User = nil
	u.Host = strings.ToLower(u.Host)
	return u.String()
}

// Host is host and port of a base URL: a name for a server that has none.
func Host(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Host
}

func isLinkLocal(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsLinkLocalUnicast() || ip.IsMulticast()
}
