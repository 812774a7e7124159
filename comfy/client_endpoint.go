package comfy

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// endpoint is where a server is and how to log in there. The URL holds no password.
type endpoint struct {
	base  url.URL
	basic string // value of the Authorization header, or empty
}

// parseEndpoint reads a base URL. Its errors do not quote it: a password may stand anywhere in what could not be
// read.
func parseEndpoint(raw string) (*endpoint, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	switch {
	case err != nil:
		return nil, errors.New("the base url cannot be read")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("the base url must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("the base url names no host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("the base url must end with its path, without query and fragment")
	}
	e := &endpoint{}
	if u.User != nil {
		password, _ := u.User.Password()
		e.basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
		u.User = nil
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	e.base = *u
	return e, nil
}

func (e *endpoint) String() string { return e.base.String() }

// url joins path, which is escaped and begins with a slash, to the base.
func (e *endpoint) url(path string, query url.Values) string {
	s := e.base.String() + path
	if len(query) > 0 {
		s += "?" + query.Encode()
	}
	return s
}

// socketURL is the address of the WebSocket of clientID.
func (e *endpoint) socketURL(clientID string) string {
	scheme := "ws"
	if e.base.Scheme == "https" {
		scheme = "wss"
	}
	ws := *e
	ws.base.Scheme = scheme
	return ws.url("/ws", url.Values{"clientId": {clientID}})
}

func (e *endpoint) authorize(h http.Header) {
	if e.basic != "" {
		h.Set("Authorization", e.basic)
	}
}

// dialer refuses link-local addresses, after names were resolved: that is where clouds keep the credentials of a
// machine, and no ComfyUI.
func dialer() *net.Dialer {
	return &net.Dialer{
		Timeout:   10 * time.Second,
		KeepAlive: 15 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if isLinkLocal(to.Addr()) {
				return fmt.Errorf("%s %w", to.Addr(), ErrLinkLocal)
			}
			return nil
		},
	}
}
