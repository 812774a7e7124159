package studio

import (
	"net/netip"
	"strings"
	"testing"
)

// Row 40 of bad input: what a webhook's address may not be, at the moment when it is saved.
func TestParseWebhook(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		address string
		public  bool // taken as it is
		private bool // taken with EASEL_ALLOW_PRIVATE_WEBHOOKS
	}{
		{"https://example.com/hook?token=1", true, true},
		{"https://example.com:8443", true, true},
		{"HTTPS://EXAMPLE.com.", true, true},
		{"https://xn--mnchen-3ya.example/", true, true},
		{"https://1.1.1.1/", true, true},
		{"https://[2606:4700::1111]/", true, true},
		{"https://[64:ff9b::101:101]/", true, true}, // 1.1.1.1 behind NAT64
		{"https://10.example.com", true, true},
		{"https://0x7f.example.com", true, true},

		{"http://example.com/hook", false, true},
		{"http://localhost:9000", false, true},
		{"https://LOCALHOST.", false, true},
		{"https://a.localhost", false, true},
		{"https://printer.local", false, true},
		{"https://metadata.google.internal/", false, true},
		{"https://postgres:5432", false, true},
		{"https://127.0.0.1", false, true},
		{"https://127.9.9.9", false, true},
		{"https://0.0.0.0", false, true},
		{"https://10.1.2.3", false, true},
		{"https://172.31.0.1", false, true},
		{"https://192.168.1.1", false, true},
		{"https://100.64.0.1", false, true},
		{"https://169.254.169.254/latest/meta-data/", false, true},
		{"https://224.0.0.1", false, true},
		{"https://255.255.255.255", false, true},
		{"https://[::1]", false, true},
		{"https://[::]", false, true},
		{"http://[::ffff:7f00:1]", false, true},
		{"https://[::ffff:7f00:1]", false, true},
		{"https://[::ffff:10.0.0.1]", false, true},
		{"https://[::7f00:1]", false, true},        // IPv4-compatible
		{"https://[64:ff9b::7f00:1]", false, true}, // NAT64
		{"https://[2002:7f00:1::]", false, true},   // 6to4
		{"https://[2001:0:1::1]", false, true},     // Teredo
		{"https://[fd00::1]", false, true},
		{"https://[fe80::1]", false, true},
		{"https://[ff02::1]", false, true},

		{"https://[fe80::1%25eth0]", false, true},
		{"https://2130706433", false, false},
		{"https://0x7f000001", false, false},
		{"https://0x7F.1", false, false},
		{"https://0x", false, false},
		{"https://0177.0.0.1", false, false},
		{"https://127.1", false, false},
		{"https://127.0.0.1.1", false, false},
		{"https://256.256.256.256", false, false},
		{"https://１２７.０.０.１", false, false},
		{"https://münchen.example", false, false},
		{"gopher://example.com", false, false},
		{"file:///etc/passwd", false, false},
		{"javascript:alert(1)", false, false},
		{"https:example.com", false, false},
		{"//example.com", false, false},
		{"example.com", false, false},
		{"https://", false, false},
		{"https://:8080", false, false},
		{"https://user:pw@example.com", false, false},
		{"https://@example.com", false, false},
		{"https://example.com@127.0.0.1", false, false},
		{"https://example.com/#part", false, false},
		{"https://example.com/#", false, false},
		{"https://example.com:0", false, false},
		{"https://example.com:", false, false},
		{"https://example.com:65536", false, false},
		{"https://example.com\\@127.0.0.1", false, false},
		{"https://exa mple.com", false, false},
		{"https://example.com/\r\nX: 1", false, false},
		{"https://example.com/" + strings.Repeat("a", 2000), false, false},
	} {
		for _, private := range []bool{false, true} {
			want := test.public
			if private {
				want = test.private
			}
			_, err := parseWebhook(test.address, private)
			if (err == nil) != want {
				t.Errorf("parseWebhook(%q, private %t) = %v, want taken %t", test.address, private, err, want)
			}
			if err != nil && strings.Contains(err.Error(), "pw") {
				t.Errorf("the complaint about %q tells a password: %v", test.address, err)
			}
		}
	}
}

func TestIsPublic(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"8.8.8.8": true, "::ffff:8.8.8.8": true, "2a00:1450::1": true, "64:ff9b::808:808": true,
		"198.18.0.1": false, "203.0.113.1": false, "240.0.0.1": false, "192.0.0.8": false,
		"64:ff9b:1::1": false, "100::1": false, "2001:db8::1": false, "fec0::1": false, "3fff::1": false,
		"::ffff:169.254.169.254": false, "64:ff9b::a9fe:a9fe": false, "fe80::1%eth0": false,
	} {
		if got := isPublic(netip.MustParseAddr(address)); got != want {
			t.Errorf("isPublic(%s) = %t, want %t", address, got, want)
		}
	}
	if isPublic(netip.Addr{}) {
		t.Error("no address at all is public")
	}
}
