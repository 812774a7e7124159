package studio

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// fieldWebhook is the name of the field that holds a webhook's address.
const fieldWebhook = "webhook"

// maxWebhookBytes is how long the address of a webhook may be.
const maxWebhookBytes = 2000

// checkWebhook checks an address that somebody gave. It returns the address as it is stored, and a
// complaint in words, empty if there is none. An empty address is none, and no error.
func (s *Studio) checkWebhook(address string) (checked, complaint string) {
	address = strings.TrimSpace(address)
	if address == "" {
		return "", ""
	}
	u, err := parseWebhook(address, s.config.PrivateWebhooks)
	if err != nil {
		return "", asSentence(err.Error())
	}
	return u.String(), ""
}

// parseWebhook reads the address of a webhook and refuses what must never be asked. private allows
// plain http and addresses of our own network. What a name resolves to is looked at when it is
// dialled: see guard. The error's words are for the person who typed the address, and hold
// nothing of it, since it may carry a password.
func parseWebhook(address string, private bool) (*url.URL, error) {
	if len(address) > maxWebhookBytes {
		return nil, fmt.Errorf("the address must be at most %d bytes long", maxWebhookBytes)
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		return nil, errors.New("this is not an address such as https://example.com/hook")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("the address must begin with https://")
	case u.Scheme == "http" && !private:
		return nil, errors.New("the address must begin with https://, since a prompt would travel in the open otherwise; EASEL_ALLOW_PRIVATE_WEBHOOKS=true allows http")
	case u.User != nil:
		return nil, errors.New("the address must not hold a user or a password; a receiver knows us by the signature")
	case u.Fragment != "" || strings.Contains(address, "#"):
		return nil, errors.New("the address must not hold a #, which is never sent")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("the port of the address must be from 1 to 65535")
		}
	}
	if err := checkHost(u.Hostname(), private); err != nil {
		return nil, err
	}
	return u, nil
}

var errPrivateAddress = errors.New("the address lies in a private network; EASEL_ALLOW_PRIVATE_WEBHOOKS=true allows that")

// checkHost refuses names and literal addresses that can only mean our own network, or that
// programs read differently.
func checkHost(host string, private bool) error {
	if ip, err := netip.ParseAddr(host); err == nil {
		if !private && !isPublic(ip) {
			return errPrivateAddress
		}
		return nil
	}
	for i := range len(host) {
		if c := host[i]; c <= ' ' || c >= 0x7f {
			return errors.New("the host's name must be plain ASCII; an international name is written with xn--")
		}
	}
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	labels := strings.Split(name, ".")
	last := labels[len(labels)-1]
	// The rule of browsers: a name whose last part is a number is an address, perhaps in octal, as
	// one number, or with parts left out. Whether a resolver reads it so is its own affair.
	if isNumber(last) {
		return errors.New("this is not an IP address as it is usually written, such as 192.0.2.1")
	}
	if !private && (len(labels) == 1 || last == "localhost" || last == "localdomain" || last == "local" || last == "internal") {
		return errPrivateAddress
	}
	return nil
}

func isNumber(label string) bool {
	digits := "0123456789"
	if rest, hex := strings.CutPrefix(label, "0x"); hex {
		label, digits = "0"+rest, "0123456789abcdef"
	}
	return label != "" && strings.Trim(label, digits) == ""
}

// Networks that are no part of the public internet, or that lead to another address: see the
// special-purpose registries of IANA.
var (
	specialIPv4 = prefixes(
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
		"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	)
	globalIPv6  = netip.MustParsePrefix("2000::/3") // all that is given out so far
	specialIPv6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
	nat64       = netip.MustParsePrefix("64:ff9b::/96") // the IPv4 address is in the last four bytes
)

func prefixes(list ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(list))
	for i, text := range list {
		parsed[i] = netip.MustParsePrefix(text)
	}
	return parsed
}

// isPublic reports whether an address is one of the public internet.
func isPublic(ip netip.Addr) bool {
	if !ip.IsValid() || ip.Zone() != "" {
		return false
	}
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	ip = ip.Unmap()
	special := specialIPv4
	if ip.Is6() {
		if !globalIPv6.Contains(ip) {
			return false
		}
		special = specialIPv6
	}
	for _, prefix := range special {
		if prefix.Contains(ip) {
			return false
		}
	}
	return true
}
