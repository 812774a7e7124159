package studio

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// Bounds of one try. A receiver that takes longer has its answer cut; what it did stays done.
const (
	webhookTimeout     = 10 * time.Second // redirects and all
	webhookDial        = 5 * time.Second
	webhookIdle        = 30 * time.Second
	maxRedirects       = 3
	maxAnswerBytes     = 64 << 10 // that are read, so that the connection can be used again
	maxAnswerKept      = 2 << 10
	maxAnswerHeaders   = 16 << 10
	maxRetryAfter      = time.Hour
	webhookConnections = 2 // kept open to one receiver
)

// sender posts to addresses that strangers chose. It asks nobody in a private network, whatever a
// name resolves to at that moment: the address is looked at between resolving and connecting, on
// every connection, so an answer of the resolver that changes helps nobody.
type sender struct {
	client  *http.Client
	close   func()
	private bool   // private networks and plain http are allowed
	agent   string // User-Agent
	key     []byte // of the signature
	now     func() time.Time
	timeout time.Duration
}

// senderConfig is what a sender is made of; tests put their own network in the place of the world.
type senderConfig struct {
	Private  bool
	Agent    string
	Key      []byte
	Resolver *net.Resolver         // nil: the system's
	Public   func(netip.Addr) bool // nil: isPublic
	TLS      *tls.Config           // nil: the system's roots
	Now      func() time.Time      // nil: time.Now
	Timeout  time.Duration         // 0: webhookTimeout
}

func newSender(c senderConfig) *sender {
	if c.Public == nil {
		c.Public = isPublic
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	dialer := &net.Dialer{Timeout: webhookDial, Resolver: c.Resolver}
	if !c.Private {
		dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil || !c.Public(at.Addr()) {
				return errPrivateAddress
			}
			return nil
		}
	}
	transport := &http.Transport{
		Proxy:                  nil, // one named by the environment would do the dialling, and look at nothing
		DialContext:            dialer.DialContext,
		TLSClientConfig:        c.TLS,
		TLSHandshakeTimeout:    webhookDial,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // a small answer may be a large one in disguise
		MaxResponseHeaderBytes: maxAnswerHeaders,
		MaxIdleConnsPerHost:    webhookConnections,
		MaxConnsPerHost:        webhooksAtOnce,
		IdleConnTimeout:        webhookIdle,
	}
	return &sender{
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		close:   transport.CloseIdleConnections,
		private: c.Private, agent: c.Agent, key: c.Key, now: c.Now, timeout: cmp.Or(c.Timeout, webhookTimeout),
	}
}

// posting is one thing to post.
type posting struct {
	URL      string
	Event    string
	Delivery string
	Body     []byte
}

// answer is what became of a posting.
type answer struct {
	Outcome    outcome
	Status     int           // of HTTP; 0: no answer came
	Words      string        // what was wrong, for people; empty with delivered
	Body       string        // how the answer's body began
	RetryAfter time.Duration // as the receiver asked; 0: it did not
}

type outcome int

const (
	delivered outcome = iota
	tryAgain          // the receiver, or the way to it, is out of order
	refused           // the receiver does not want it as it is; perhaps later
	gone              // the receiver wants nothing any more
)

// post delivers once. It follows redirects with the same body, since a receiver that has moved
// wants what was sent: each is checked like the first address, and none leads from https to http.
// An error means that ctx has ended.
func (s *sender) post(ctx context.Context, p posting) (answer, error) {
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	address := p.URL
	for hops := 0; ; hops++ {
		u, err := parseWebhook(address, s.private)
		if err != nil {
			return answer{Outcome: refused, Words: asSentence(err.Error())}, nil
		}
		a, next, err := s.once(limited, u, p)
		switch {
		case ctx.Err() != nil:
			return answer{}, context.Cause(ctx)
		case err != nil:
			return answer{Outcome: outcomeOf(err), Words: wordsOf(err)}, nil
		case next == nil:
			return a, nil
		case hops == maxRedirects:
			a.Words = fmt.Sprintf("It sent us on more than %d times.", maxRedirects)
			return a, nil
		case u.Scheme == "https" && next.Scheme != "https":
			a.Words = "It sent us on to an address without https."
			return a, nil
		}
		address = next.String()
	}
}

// once makes one request. next is where the receiver sends us on to.
func (s *sender) once(ctx context.Context, u *url.URL, p posting) (a answer, next *url.URL, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(p.Body))
	if err != nil {
		return answer{}, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", s.agent)
	r.Header.Set("Easel-Event", p.Event)
	r.Header.Set("Easel-Delivery", p.Delivery)
	r.Header.Set("Easel-Signature", sign(s.key, s.now(), p.Body))
	response, err := s.client.Do(r)
	if err != nil {
		return answer{}, nil, err
	}
	defer response.Body.Close()
	a = s.read(response)
	switch a.Status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		if next, err = response.Location(); err != nil {
			return a, nil, nil //nolint:nilerr // a redirect to nowhere is an answer like another
		}
	}
	return a, next, nil
}

// read takes the answer of a receiver. Its status has come, and counts; a body that breaks off does not change it.
func (s *sender) read(response *http.Response) answer {
	kept, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswerKept))
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswerBytes-maxAnswerKept))
	a := answer{
		Status: response.StatusCode, Body: clean(string(kept)),
		RetryAfter: retryAfter(response.Header.Get("Retry-After"), s.now()),
	}
	a.Outcome, a.Words = judge(a.Status)
	return a
}

// judge says what a status means.
func judge(status int) (outcome, string) {
	words := fmt.Sprintf("It answered %d %s", status, http.StatusText(status))
	switch {
	case status >= 200 && status < 300:
		return delivered, ""
	case status == http.StatusGone:
		return gone, "It answered 410 Gone: it wants nothing any more."
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return tryAgain, asSentence(words)
	case status >= 300 && status < 500:
		return refused, asSentence(words)
	}
	return tryAgain, asSentence(words)
}

// outcomeOf: an address that must not be asked is as good as a refusal, since another answer of
// the resolver may come; everything else can mend itself.
func outcomeOf(err error) outcome {
	if errors.Is(err, errPrivateAddress) {
		return refused
	}
	return tryAgain
}

// wordsOf says for people why no answer came.
func wordsOf(err error) string {
	if errors.Is(err, errPrivateAddress) {
		return "Its name leads to an address in a private network."
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "Its certificate cannot be trusted."
	}
	if notFound, ok := errors.AsType[*net.DNSError](err); ok && notFound.IsNotFound {
		return "There is no host of that name."
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return fmt.Sprintf("It did not answer within %d seconds.", int(webhookTimeout.Seconds()))
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "Nobody answers there."
	}
	return "The connection failed."
}

// sign is the header that proves where a body comes from, and when: the receiver computes the same
// from the secret, and refuses what is old.
func sign(key []byte, at time.Time, body []byte) string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(stamp + ".")) // a hash never fails
	_, _ = mac.Write(body)
	return "t=" + stamp + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// retryAfter reads the header: seconds or a date, at most maxRetryAfter from now.
func retryAfter(header string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}
