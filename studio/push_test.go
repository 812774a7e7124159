package studio_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"easel/comfy/simulator"
	"easel/db"
	"easel/studio"
	"easel/test/harness"
)

// pushService is the push service of some browser's maker, and the browsers that it serves: it takes messages and
// opens them, as only the browser can.
type pushService struct {
	*httptest.Server

	t *testing.T

	mu       sync.Mutex
	browsers map[string]*ecdh.PrivateKey // by path
	answers  map[string][]int            // by path; the last for ever, none: 201
	tries    map[string]int
	got      []pushed
}

type pushed struct {
	Path, Topic, Body string
	TTL               time.Duration
}

// authSecret is what all its browsers share with us.
var authSecret = []byte("sixteen bytes...")

func newPushService(t *testing.T) *pushService {
	t.Helper()
	p := &pushService{t: t, browsers: map[string]*ecdh.PrivateKey{}, answers: map[string][]int{}, tries: map[string]int{}}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	return p
}

// browser is one of that name, with the statuses that messages to it are answered with.
func (p *pushService) browser(name string, answers ...int) studio.Browser {
	p.t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.browsers["/"+name], p.answers["/"+name] = key, answers
	return studio.Browser{Endpoint: p.URL + "/" + name, PublicKey: key.PublicKey().Bytes(), Auth: authSecret}
}

func (p *pushService) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	defer p.mu.Unlock()
	path, status := r.URL.Path, http.StatusCreated
	if list := p.answers[path]; len(list) > 0 {
		status = list[min(p.tries[path], len(list)-1)]
	}
	p.tries[path]++
	text, err := p.open(r, body)
	if err != nil {
		p.t.Errorf("a message to %s: %v", path, err)
	}
	if status < 300 {
		p.got = append(p.got, pushed{strings.TrimPrefix(path, "/"), r.Header.Get("Topic"), text, ttl(r)})
	}
	w.WriteHeader(status)
}

// open checks what a push service checks (RFC 8030 and 8292) and decrypts what the browser does.
func (p *pushService) open(r *http.Request, body []byte) (string, error) {
	if r.Method != http.MethodPost || r.Header.Get("Content-Encoding") != "aes128gcm" || r.Header.Get("TTL") == "" {
		return "", fmt.Errorf("%s with %v", r.Method, r.Header)
	}
	if err := p.vapid(r); err != nil {
		return "", err
	}
	return harness.OpenPush(p.browsers[r.URL.Path], authSecret, body)
}

// ttl is how long a message is to be kept.
func ttl(r *http.Request) time.Duration {
	seconds, _ := strconv.Atoi(r.Header.Get("TTL"))
	return time.Duration(seconds) * time.Second
}

// vapid checks who sends a message.
func (p *pushService) vapid(r *http.Request) error {
	token, key, ok := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "vapid t="), ", k=")
	parts := strings.Split(token, ".")
	if !ok || len(parts) != 3 {
		return fmt.Errorf("Authorization: %q", r.Header.Get("Authorization"))
	}
	point, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil {
		return err
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return err
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return fmt.Errorf("signature of %d bytes: %w", len(signature), err)
	}
	hash := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(public, hash[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return errors.New("the signature is wrong")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	var claims struct {
		Aud, Sub string
		Exp      int64
	}
	if err := json.Unmarshal(text, &claims); err != nil {
		return err
	}
	left := time.Until(time.Unix(claims.Exp, 0))
	if claims.Aud != p.URL || claims.Sub != "mailto:keeper@example.org" || left < time.Hour || left > 24*time.Hour {
		return fmt.Errorf("claims %s", text)
	}
	return nil
}

// to is what was told to one browser.
func (p *pushService) to(name string) []pushed {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.got), func(m pushed) bool { return m.Path != name })
}

// subscribe stores a browser.
func (w *workshop) subscribe(b studio.Browser, every bool) uuid.UUID {
	w.t.Helper()
	wanted, err := w.studio.Subscribe(w.t.Context(), studio.LocalUser, b, every)
	if err != nil {
		w.t.Fatal(err)
	}
	return wanted.ID
}

// A browser is told of all ends, but of what somebody cancelled, or of the one that it asked for, whatever its end; once.
func TestPushOfEachEnd(t *testing.T) {
	t.Parallel()
	p := newPushService(t)
	w := open(t, stepping)
	w.awaitServer(studio.ServerUp)
	all := w.subscribe(p.browser("all"), true)
	one := w.subscribe(p.browser("one"), false)
	if again := w.subscribe(p.browser("all"), false); again != all {
		t.Error("a browser that comes again is another")
	}

	running := w.create(request("made"))
	w.atStep(1)
	cancelled := w.create(request("cancelled"))
	for _, id := range []uuid.UUID{running.ID, running.ID, cancelled.ID} {
		if err := w.studio.WishPush(t.Context(), one, id, true); err != nil {
			t.Fatal(err)
		}
	}
	anew := p.browser("anew") // its push service has moved it
	anew.Replaces = p.URL + "/one"
	if moved := w.subscribe(anew, false); moved != one {
		t.Error("a browser with another endpoint is another")
	}
	anew.Replaces = p.URL + "/all" // both are known: nothing goes over
	if moved := w.subscribe(anew, false); moved != one {
		t.Error("a browser has taken the place of another")
	}
	if wanted, err := w.studio.Subscription(t.Context(), one); err != nil || wanted.Every || len(wanted.Generations) != 2 {
		t.Errorf("Subscription() = %+v, %v", wanted, err)
	}
	unwished := w.create(request("not any more"))
	for _, wished := range []bool{true, false, false} {
		if err := w.studio.WishPush(t.Context(), one, unwished.ID, wished); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := w.studio.Cancel(t.Context(), cancelled.ID); err != nil {
		t.Fatal(err)
	}
	w.stepper.Open()
	w.awaitStatus(running.ID, studio.Complete)
	w.awaitStatus(unwished.ID, studio.Complete)
	w.comfy.Faults().OutOfMemory(9)
	failed := w.create(request("failed"))
	w.awaitStatus(failed.ID, studio.Failed)

	w.eventually("all is told", func() bool { return w.count("SELECT count(*) FROM push_messages") == 0 })
	told := func(name string) map[string]string {
		t.Helper()
		ends := map[string]string{}
		for _, m := range p.to(name) {
			var body struct{ ID, Status string }
			if err := json.Unmarshal([]byte(m.Body), &body); err != nil {
				t.Errorf("%q: %v", m.Body, err)
			}
			id := uuid.MustParse(body.ID)
			if m.Topic != base64.RawURLEncoding.EncodeToString(id[:]) || ends[body.ID] != "" {
				t.Errorf("%s was told %+v after %v", name, m, ends)
			}
			ends[body.ID] = body.Status
		}
		return ends
	}
	want := map[string]string{running.ID.String(): "complete", unwished.ID.String(): "complete", failed.ID.String(): "failed"}
	if got := told("all"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("all = %v, want %v", got, want)
	}
	want = map[string]string{running.ID.String(): "complete", cancelled.ID.String(): "cancelled"}
	if got := told("anew"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("one = %v, want %v", got, want)
	}
	if err := w.studio.WishPush(t.Context(), one, running.ID, true); !errors.Is(err, studio.ErrEnded) {
		t.Errorf("a wish after the end: %v", err)
	}
	if err := w.studio.WishPush(t.Context(), one, uuid.New(), true); !errors.Is(err, studio.ErrNotFound) {
		t.Errorf("a wish for nothing: %v", err)
	}
	if err := w.studio.Unsubscribe(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	w.comfy.Faults().Reset()
	w.awaitStatus(w.create(request("after all")).ID, studio.Complete)
	if n := w.count("SELECT count(*) FROM push_messages"); n != 0 {
		t.Errorf("%d messages to nobody", n)
	}
	for what, err := range map[string]error{
		"Unsubscribe": w.studio.Unsubscribe(t.Context(), all), "TestPush": w.studio.TestPush(t.Context(), all),
	} {
		if !errors.Is(err, studio.ErrNoSubscription) {
			t.Errorf("%s() of one that ended = %v", what, err)
		}
	}
}

// What a push service answers: a browser that is gone is forgotten, one that is out of reach is tried again, and a
// message that is refused is dropped.
func TestPushAnswers(t *testing.T) {
	t.Parallel()
	p := newPushService(t)
	w := open(t)
	for name, answers := range map[string][]int{
		"gone": {410}, "unknown": {404}, "refuses": {403}, "moved": {301}, "mends": {500, 429, 503, 201}, "tested": {500},
	} {
		w.subscribe(p.browser(name, answers...), name != "tested")
	}
	g := w.create(request("told"))
	w.awaitStatus(g.ID, studio.Complete)
	w.eventually("all is told or dropped", func() bool {
		return len(p.to("mends")) == 1 && w.count("SELECT count(*) FROM push_messages") == 0
	})
	if n := w.count("SELECT count(*) FROM push_subscriptions WHERE endpoint ~ '(gone|unknown)$'"); n != 0 {
		t.Errorf("%d browsers that are gone are still known", n)
	}
	if n := w.count("SELECT count(*) FROM push_subscriptions"); n != 4 {
		t.Errorf("%d browsers are known, want 4", n)
	}
	p.mu.Lock()
	for name, want := range map[string]int{"/gone": 1, "/unknown": 1, "/refuses": 1, "/moved": 1, "/mends": 4} {
		if p.tries[name] != want {
			t.Errorf("%s was tried %d times, want %d", name, p.tries[name], want)
		}
	}
	p.mu.Unlock()
	// A test is tried once, and a message of half a day ago not again.
	tested := w.subscribe(studio.Browser{Endpoint: p.URL + "/tested", PublicKey: p.browsers["/tested"].PublicKey().Bytes(), Auth: authSecret}, false)
	if err := w.studio.TestPush(t.Context(), tested); err != nil {
		t.Fatal(err)
	}
	w.eventually("the test is over", func() bool { return w.count("SELECT count(*) FROM push_messages") == 0 })
	w.subscribe(p.browser("tested", 500), true)
	old := w.create(request("of long ago"))
	w.awaitStatus(old.ID, studio.Complete)
	w.exec("UPDATE push_messages SET created_at = now() - interval '12 hours'")
	w.eventually("it is given up", func() bool { return w.count("SELECT count(*) FROM push_messages") == 0 })
	if got := p.to("tested"); len(got) != 0 {
		t.Errorf("it was told %v", got)
	}
}

// A message whose job is gone gets another; so does one that a killed instance left without any.
func TestPushJobGone(t *testing.T) {
	t.Parallel()
	p := newPushService(t)
	w := open(t, func(w *workshop, _ *simulator.Config) { w.timing.RetryWebhook = time.Hour })
	w.awaitServer(studio.ServerUp)
	w.subscribe(p.browser("phone", 500, 201), true)
	w.awaitStatus(w.create(request("overdue")).ID, studio.Complete)
	w.eventually("tried", func() bool { return w.count("SELECT count(*) FROM push_messages WHERE tries = 1") == 1 })
	w.exec("DELETE FROM river.river_job WHERE kind = 'push'")
	w.exec("UPDATE push_messages SET next_try_at = now() - interval '11 minutes', created_at = now() - interval '10 hours'")
	w.chore("webhooks")
	w.eventually("told", func() bool { return len(p.to("phone")) == 1 })
	if keep := p.to("phone")[0].TTL; keep > 2*time.Hour || keep < time.Hour {
		t.Errorf("after ten of twelve hours it is to be kept for %s", keep)
	}
}

// What cannot be a browser is refused with the field's name; and there is a limit to how many one user has.
func TestPushRefused(t *testing.T) {
	t.Parallel()
	p := newPushService(t)
	w := open(t, func(w *workshop, _ *simulator.Config) { w.publicWebhooks = true })
	good := p.browser("good")
	good.Endpoint = "https://push.example.com/send/1"
	for _, test := range []struct {
		field  string
		change func(*studio.Browser)
	}{
		{"endpoint", func(b *studio.Browser) { b.Endpoint = "https://127.0.0.1/send" }},
		{"endpoint", func(b *studio.Browser) { b.Endpoint = "http://push.example.com/send" }},
		{"endpoint", func(b *studio.Browser) { b.Endpoint = "" }},
		{"keys", func(b *studio.Browser) { b.Auth = b.Auth[1:] }},
		{"keys", func(b *studio.Browser) { b.PublicKey = b.PublicKey[1:] }},
		{"keys", func(b *studio.Browser) { b.PublicKey = slices.Repeat([]byte{4}, 65) }}, // not on the curve
	} {
		bad := good
		test.change(&bad)
		_, err := w.studio.Subscribe(t.Context(), studio.LocalUser, bad, true)
		invalid, ok := errors.AsType[*studio.InvalidError](err)
		if !ok || len(invalid.Fields) != 1 || invalid.Fields[0].Field != test.field {
			t.Errorf("Subscribe(%+v) = %v, want a complaint about %s", bad, err, test.field)
		}
	}
	known := w.subscribe(good, true)
	w.exec("INSERT INTO push_subscriptions (user_id, endpoint, public_key, auth, every_end) " +
		"SELECT user_id, endpoint || n, public_key, auth, false FROM push_subscriptions, generate_series(1, 99) n")
	more := good
	more.Endpoint += "-more"
	if _, err := w.studio.Subscribe(t.Context(), studio.LocalUser, more, true); err == nil {
		t.Error("a 101st browser was taken")
	}
	if again := w.subscribe(good, true); again != known {
		t.Error("a known browser is not taken any more")
	}
	w.exec("UPDATE push_subscriptions SET renewed_at = now() - interval '31 days'")
	if n, err := db.New(w.pool).PushPrune(t.Context()); err != nil || n != 99 {
		t.Errorf("PushPrune() = %d, %v, want 99", n, err)
	}
}
