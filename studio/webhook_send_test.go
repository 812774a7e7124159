package studio

import (
	"context"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// world is a small internet on loopback: 127.0.0.2 stands for the public part of it, and 127.0.0.1
// for our own network. Names are resolved by a server that tells each time what lookup says.
type world struct {
	t      *testing.T
	lookup func(name string) netip.Addr
	roots  *tls.Config
}

var (
	outside = netip.MustParseAddr("127.0.0.2")
	inside  = netip.MustParseAddr("127.0.0.1")
)

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{t: t, lookup: func(string) netip.Addr { return outside }}
}

// receiver serves https at an address of the world, and gives its port.
func (w *world) receiver(at netip.Addr, h http.HandlerFunc) (port string) {
	w.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(w.t.Context(), "tcp", netip.AddrPortFrom(at, 0).String())
	if err != nil {
		w.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	_ = server.Listener.Close()
	server.Listener = l
	server.StartTLS()
	w.t.Cleanup(server.Close)
	w.roots = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	w.roots.ServerName = "example.com" // what the certificate of every test server says
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func (w *world) sender() *sender {
	w.t.Helper()
	s := newSender(senderConfig{
		Agent: "Easel/test", Key: []byte("a secret"), TLS: w.roots,
		Public:   func(ip netip.Addr) bool { return ip.Unmap() == outside },
		Resolver: &net.Resolver{PreferGo: true, Dial: w.nameServer()},
	})
	w.t.Cleanup(s.close)
	return s
}

// nameServer answers on the far end of a pipe, as a name server does over TCP.
func (w *world) nameServer() func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			for {
				var size [2]byte
				if _, err := io.ReadFull(far, size[:]); err != nil {
					return
				}
				question := make([]byte, int(size[0])<<8|int(size[1]))
				if _, err := io.ReadFull(far, question); err != nil {
					return
				}
				var m dnsmessage.Message
				if m.Unpack(question) != nil {
					return
				}
				q := m.Questions[0]
				m.Response, m.Additionals = true, nil
				if q.Type == dnsmessage.TypeA {
					m.Answers = []dnsmessage.Resource{{
						Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
						Body:   &dnsmessage.AResource{A: w.lookup(q.Name.String()).As4()},
					}}
				}
				packed, err := m.Pack()
				if err != nil {
					return
				}
				if _, err := far.Write(append([]byte{byte(len(packed) >> 8), byte(len(packed))}, packed...)); err != nil { //nolint:gosec // a short answer
					return
				}
			}
		}()
		return near, nil
	}
}

func (w *world) post(s *sender, address string) answer {
	w.t.Helper()
	a, err := s.post(w.t.Context(), posting{URL: address, Event: "generation.complete", Delivery: "d", Body: []byte(`{"id":1}`)})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// What docs/webhooks.md says of a request, checked as a receiver checks it.
func TestWebhookRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var got *http.Request
	var body []byte
	port := w.receiver(outside, func(rw http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(rw, strings.Repeat("x", 1<<20))
	})
	a := w.post(w.sender(), "https://example.com:"+port+"/hook?q=1")
	if a.Outcome != delivered || a.Status != 200 || a.Words != "" || len(a.Body) != maxAnswerKept {
		t.Errorf("answer = %d, %d, %q, %d bytes", a.Outcome, a.Status, a.Words, len(a.Body))
	}
	for header, want := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "Easel/test", "Easel-Event": "generation.complete", "Easel-Delivery": "d",
	} {
		if got.Header.Get(header) != want {
			t.Errorf("%s = %q, want %q", header, got.Header.Get(header), want)
		}
	}
	if got.Method != http.MethodPost || got.RequestURI != "/hook?q=1" || string(body) != `{"id":1}` {
		t.Errorf("%s %s %s", got.Method, got.RequestURI, body)
	}
	if err := verify("a secret", got.Header.Get("Easel-Signature"), body, time.Now()); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"another secret": verify("another", got.Header.Get("Easel-Signature"), body, time.Now()),
		"another body":   verify("a secret", got.Header.Get("Easel-Signature"), []byte("{}"), time.Now()),
		"an old one":     verify("a secret", got.Header.Get("Easel-Signature"), body, time.Now().Add(time.Hour)),
		"none":           verify("a secret", "", body, time.Now()),
	} {
		if err == nil {
			t.Errorf("%s is taken for genuine", name)
		}
	}
}

// verify is the Go code of docs/webhooks.md, word for word: TestWebhookDocs holds it to that.
func verify(secret, signature string, body []byte, now time.Time) error {
	stamp, mac, ok := strings.Cut(strings.TrimPrefix(signature, "t="), ",v1=")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if !ok || err != nil {
		return errors.New("no signature")
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > 5*time.Minute || age < -5*time.Minute {
		return errors.New("too old")
	}
	h := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(h, "%s.%s", stamp, body)
	if !hmac.Equal([]byte(mac), []byte(hex.EncodeToString(h.Sum(nil)))) {
		return errors.New("wrong signature")
	}
	return nil
}

func TestWebhookDocs(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("webhook_send_test.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "\nfunc verify(")
	code, _, _ = strings.Cut(code, "\n}\n")
	if code == "" || !strings.Contains(string(page), "func verify("+code+"\n}\n") {
		t.Error("docs/webhooks.md has other code than the one that is tested")
	}
}

// Row 40 of bad input, the part at dial: whatever leads inside reaches nobody there.
func TestWebhookDial(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var reached atomic.Int32
	insidePort := w.receiver(inside, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	var target string
	outsidePort := w.receiver(outside, func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, target, http.StatusTemporaryRedirect)
	})
	var mu sync.Mutex
	asked := map[string]int{}
	w.lookup = func(name string) netip.Addr {
		mu.Lock()
		defer mu.Unlock()
		asked[name]++
		switch {
		case strings.HasPrefix(name, "inside."), strings.HasPrefix(name, "rebinding.") && asked[name] > 1:
			return inside
		}
		return outside
	}
	s := w.sender()
	start := "https://example.com:" + outsidePort
	for _, test := range []struct{ name, first, target string }{
		{"a name of ours", "https://inside.example:" + insidePort, ""},
		{"redirect to a name of ours", start, "https://inside.example:" + insidePort},
		{"redirect to an address of ours", start, "https://127.0.0.1:" + insidePort},
		{"redirect to it in another notation", start, "https://[::ffff:7f00:1]:" + insidePort},
		{"redirect to the cloud's metadata", start, "https://169.254.169.254/latest/meta-data/"},
		{"redirect without https", start, "http://example.com/"},
		{"redirect to another scheme", start, "gopher://127.0.0.1:" + insidePort},
		{"redirect with a password", start, "https://user:pw@example.com/"},
		{"a name that is another's at the second look", "https://rebinding.example:" + outsidePort, "https://rebinding.example:" + insidePort},
	} {
		target = test.target
		a := w.post(s, test.first)
		if a.Outcome != refused || a.Words == "" {
			t.Errorf("%s: %d %q", test.name, a.Outcome, a.Words)
		}
		s.close() // no connection from before is used again
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests reached our own network", n)
	}
	if asked["rebinding.example."] < 2 {
		t.Errorf("the rebinding name was looked up %d times", asked["rebinding.example."])
	}
}

// Endpoints of browsers are asked under the same guard.
func TestPushDial(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var reached atomic.Int32
	port := w.receiver(inside, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	w.lookup = func(string) netip.Addr { return inside }
	s := w.sender()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	browser := Browser{PublicKey: key.PublicKey().Bytes(), Auth: make([]byte, 16)}
	for _, endpoint := range []string{"https://push.example:" + port, "https://127.0.0.1:" + port, "http://push.example:" + port} {
		browser.Endpoint = endpoint
		a, err := s.push(t.Context(), key, "keeper@example.org", pushing{Browser: browser, Body: []byte("{}")})
		if err != nil || a.Outcome != refused || a.Words == "" {
			t.Errorf("%s: %+v, %v", endpoint, a, err)
		}
	}
	browser.Endpoint = "https://push.example:" + port
	if a, err := s.push(t.Context(), key, "", pushing{Browser: browser, Body: make([]byte, pushRecord)}); err != nil || a.Outcome != refused {
		t.Errorf("a message that is too long: %+v, %v", a, err)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests reached our own network", n)
	}
}

func TestWebhookRedirects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var bodies atomic.Int32
	status := http.StatusMovedPermanently
	port := w.receiver(outside, func(rw http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); string(body) == `{"id":1}` && r.Method == http.MethodPost {
			bodies.Add(1)
		}
		if left, _ := strconv.Atoi(r.URL.Query().Get("left")); left > 0 {
			rw.Header().Set("Location", "?left="+strconv.Itoa(left-1))
			rw.WriteHeader(status)
		}
	})
	s := w.sender()
	if a := w.post(s, "https://example.com:"+port+"/?left=3"); a.Outcome != delivered || bodies.Load() != 4 {
		t.Errorf("three redirects: %+v, the body came %d times", a, bodies.Load())
	}
	if a := w.post(s, "https://example.com:"+port+"/?left=4"); a.Outcome != refused || a.Words == "" {
		t.Errorf("four redirects: %+v", a)
	}
	status = http.StatusSeeOther // it has taken the post, and wants a GET
	if a := w.post(s, "https://example.com:"+port+"/?left=1"); a.Outcome != refused || a.Status != status {
		t.Errorf("303: %+v", a)
	}
}

// A receiver that takes the post and says nothing, or begins to answer and never ends, holds a worker for a bounded time.
func TestWebhookTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := make(chan struct{})
	port := w.receiver(outside, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begins" {
			_, _ = io.WriteString(rw, "well")
			_ = http.NewResponseController(rw).Flush()
		}
		<-release
	})
	s := w.sender()
	defer close(release)
	s.timeout = time.Second
	if a := w.post(s, "https://example.com:"+port+"/hangs"); a.Outcome != tryAgain || a.Status != 0 || !strings.HasPrefix(a.Words, "It did not answer within") {
		t.Errorf("hangs: %+v", a)
	}
	s.timeout = 5 * time.Second // its status has come, and counts
	if a := w.post(s, "https://example.com:"+port+"/begins"); a.Outcome != delivered || a.Body != "well" {
		t.Errorf("begins: %+v", a)
	}
}

// However many deliveries a receiver has, few are under way at once, and the others spread out.
func TestReceivers(t *testing.T) {
	t.Parallel()
	var r receivers
	first, _ := r.enter("hangs")
	second, _ := r.enter("hangs")
	last := time.Duration(0)
	for range 5 {
		leave, snooze := r.enter("hangs")
		if leave != nil || snooze <= last || snooze > maxWebhookSnooze {
			t.Fatalf("enter() = %t, %s after %s", leave != nil, snooze, last)
		}
		last = snooze
	}
	other, _ := r.enter("another")
	if first == nil || second == nil || other == nil {
		t.Fatal("a free place was refused")
	}
	first()
	first() // a second time gives no second place
	if again, _ := r.enter("hangs"); again == nil {
		t.Error("a place that was left is not given again")
	} else if more, _ := r.enter("hangs"); more != nil {
		t.Error("a third place was given")
	} else {
		again()
	}
	second()
	other()
	if len(r.busy) != 0 {
		t.Errorf("%d idle hosts are remembered", len(r.busy))
	}
}

func TestWebhookAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := w.receiver(outside, func(rw http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		rw.Header().Set("Retry-After", r.URL.Query().Get("after"))
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, "because\x00\xff")
	})
	s := w.sender()
	for path, want := range map[string]answer{
		"200": {Outcome: delivered}, "299": {Outcome: delivered},
		"304": {Outcome: refused}, "400": {Outcome: refused}, "404": {Outcome: refused}, "410": {Outcome: gone},
		"408": {Outcome: tryAgain}, "425": {Outcome: tryAgain}, "429": {Outcome: tryAgain}, "500": {Outcome: tryAgain},
		"503?after=7":          {Outcome: tryAgain, RetryAfter: 7 * time.Second},
		"503?after=999999":     {Outcome: tryAgain, RetryAfter: time.Hour},
		"503?after=-5":         {Outcome: tryAgain},
		"503?after=never":      {Outcome: tryAgain},
		"503?after=1999-01-01": {Outcome: tryAgain},
	} {
		a := w.post(s, "https://example.com:"+port+"/"+path)
		if a.Outcome != want.Outcome || a.RetryAfter != want.RetryAfter || (a.Words == "") != (want.Outcome == delivered) {
			t.Errorf("%s: %+v, want %+v", path, a, want)
		}
		if strings.ContainsRune(a.Body, 0) {
			t.Errorf("%s: the answer cannot be stored: %q", path, a.Body)
		}
	}
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", netip.AddrPortFrom(outside, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	_, port, _ = net.SplitHostPort(closed.Addr().String())
	if a := w.post(s, "https://example.com:"+port); a.Outcome != tryAgain || a.Words != "Nobody answers there." {
		t.Errorf("nobody: %+v", a)
	}
}
