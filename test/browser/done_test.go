package browser

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"easel/test/harness"
)

// phone is where a browser's push messages arrive, instead of at its maker's service, which tests do not ask.
type phone struct {
	*httptest.Server

	t    *testing.T
	key  *ecdh.PrivateKey
	auth []byte

	mu   sync.Mutex
	told []string // decrypted
	last string   // where the last one was sent to
}

func newPhone(t *testing.T) *phone {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &phone{t: t, key: key, auth: []byte("sixteen bytes...")}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		text, err := harness.OpenPush(p.key, p.auth, body)
		if err != nil {
			t.Errorf("a push message: %v", err)
		}
		p.mu.Lock()
		p.told, p.last = append(p.told, text), r.URL.Path
		p.mu.Unlock()
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *phone) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.told)
}

// wired is a script that has a page subscribe to the phone, and that counts the notes it plays.
func (p *phone) wired() string {
	encode := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`
		sessionStorage.notes ??= 0;
		OscillatorNode.prototype.start = () => { sessionStorage.notes++; };
		OscillatorNode.prototype.stop = () => {};
		const made = (key) => ({endpoint: %[1]q, options: {applicationServerKey: key},
			toJSON: () => ({endpoint: %[1]q, expirationTime: null, keys: {p256dh: %[2]q, auth: %[3]q}}),
			unsubscribe: async () => { delete localStorage.phone; return true; }});
		const bytes = (text) => Uint8Array.from(text.split(','), Number).buffer;
		PushManager.prototype.subscribe = async ({applicationServerKey}) => {
			localStorage.phone = String(new Uint8Array(applicationServerKey));
			return made(bytes(localStorage.phone));
		};
		PushManager.prototype.getSubscription = async () => localStorage.phone ? made(bytes(localStorage.phone)) : null;`,
		p.URL+"/phone", encode(p.key.PublicKey().Bytes()), encode(p.auth))
}

// visitor is a tab that may show notifications and has a phone.
func (p *phone) visitor(s *site) *Tab {
	p.t.Helper()
	tab := Open(p.t, s.URL, TabOptions{})
	tab.do("allow notifications", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		info, err := cdp.Call(ctx, t, target.GetTargetInfo, target.GetTargetInfoParams{})
		if err != nil {
			return chromedp.Void{}, err
		}
		_, err = cdp.Call(ctx, t, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: "notifications"}, Setting: "granted",
			Origin: s.URL, BrowserContextID: info.TargetInfo.BrowserContextID,
		})
		return chromedp.Void{}, err
	}, call(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: p.wired()}))
	return tab
}

const notices = `navigator.serviceWorker.ready.then(r => r.getNotifications()).then(all => all.map(n => n.title + ': ' + n.body))`

// waitNotices waits until exactly these are shown.
func (tab *Tab) waitNotices(want ...string) {
	tab.t.Helper()
	encoded, _ := json.Marshal(want) //nolint:errchkjson // texts always encode
	tab.Wait(notices + `.then(all => JSON.stringify(all.sort()) === JSON.stringify(` + string(encoded) + `.sort()))`)
}

// deliver gives a push message to the tab's service worker, as the browser does.
func (tab *Tab) deliver(s *site, text string) {
	tab.t.Helper()
	registration := make(chan serviceworker.RegistrationID, 16)
	if err := chromedp.Listen(tab.ctx, func(event any) {
		if e, ok := event.(*serviceworker.EventWorkerRegistrationUpdated); ok {
			for _, r := range e.Registrations {
				if strings.HasPrefix(r.ScopeURL, s.URL) && !r.IsDeleted {
					select {
					case registration <- r.RegistrationID:
					default:
					}
				}
			}
		}
	}); err != nil {
		tab.t.Fatal(err)
	}
	tab.do("watch the service worker", call(serviceworker.Enable, cdp.Empty{}))
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	select {
	case id := <-registration:
		tab.do("deliver a push message", call(serviceworker.DeliverPushMessage, serviceworker.DeliverPushMessageParams{
			Origin: s.URL, RegistrationID: id, Data: text,
		}))
	case <-ctx.Done():
		tab.t.Fatal("there is no service worker")
	}
}

// worker is the tab's service worker: a function that gives the value of an expression in it.
func (tab *Tab) worker(s *site) func(expression string) string {
	tab.t.Helper()
	targets, err := chromedp.Targets(tab.ctx)
	if err != nil {
		tab.t.Fatal(err)
	}
	at := slices.IndexFunc(targets, func(i *target.Info) bool { return i.Type == "service_worker" && strings.HasPrefix(i.URL, s.URL+"/") })
	if at < 0 {
		tab.t.Fatalf("there is no service worker among %v", targets)
	}
	ctx, cancel := chromedp.NewContext(tab.ctx, chromedp.WithTargetID(targets[at].TargetID))
	tab.t.Cleanup(cancel) // which ends the worker, too
	return func(expression string) string {
		tab.t.Helper()
		value, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
		if err != nil {
			tab.t.Fatalf("%s: %v", expression, err)
		}
		return value
	}
}

// A press on a notification goes to the page of its generation: to the tab that shows it, else to a new one. Only the
// browser may make such events, and asks whether a hand was there; so what they lead to is noted here, not done.
func TestNotificationIsPressed(t *testing.T) {
	t.Parallel()
	p := newPhone(t)
	s := open(t, siteOptions{env: []string{"EASEL_ALLOW_PRIVATE_WEBHOOKS=true"}})
	g := s.made(ask{Prompt: "Pressed", Settings: small()})
	tab := p.visitor(s)
	tab.Goto("/settings")
	tab.Click(`[data-done=notice]`)
	tab.Wait(`document.cookie.includes('easel_notice=1')`)
	const press = `(async (url) => {
		let led = 'nowhere', over;
		const send = async (event) => {
			event.waitUntil = (promise) => { over = promise; };
			dispatchEvent(event);
			await over;
		};
		WindowClient.prototype.focus = async function () { led = 'focus ' + new URL(this.url).pathname; };
		clients.openWindow = async (url) => { led = 'open ' + url; };
		await send(new PushEvent('push', { data: JSON.stringify({ title: 'Picture complete', tag: 'one', url }) }));
		const [notification] = await registration.getNotifications();
		await send(new NotificationEvent('notificationclick', { notification }));
		return led + ', ' + (await registration.getNotifications()).length + ' left';
	})`
	worker, path := tab.worker(s), "/generations/"+g.ID
	for _, step := range []struct{ at, url, want string }{
		{"/settings", path, "open " + s.URL + path + ", 0 left"},
		{path, path, "focus " + path + ", 0 left"},
		{path + "?from=1", path, "focus " + path + ", 0 left"},
		{path, "https://elsewhere.example/", "nowhere, 0 left"},
	} {
		tab.Goto(step.at)
		if got := worker(press + "(" + quote(step.url) + ")"); got != step.want {
			t.Errorf("at %s a press on one for %s: %s, want %s", step.at, step.url, got, step.want)
		}
	}
}

// When the push service gives a browser another endpoint, its service worker tells us, and what was asked for goes over.
func TestPushEndpointChanges(t *testing.T) {
	t.Parallel()
	p := newPhone(t)
	s := open(t, siteOptions{env: []string{"EASEL_ALLOW_PRIVATE_WEBHOOKS=true"}})
	tab := p.visitor(s)
	tab.Goto("/settings")
	tab.Click(`[data-done=push]`)
	tab.Wait(`document.cookie.includes('easel_push=1')`)
	change := fmt.Sprintf(`(async () => {
		let over, asked;
		const made = (key) => ({ toJSON: () => ({ endpoint: %[1]q + '/moved', keys: { p256dh: %[2]q, auth: %[3]q } }) });
		PushManager.prototype.subscribe = async ({ applicationServerKey }) => { asked = applicationServerKey; return made(); };
		const event = Object.assign(new Event('pushsubscriptionchange'), {
			oldSubscription: { endpoint: %[1]q + '/phone' }, newSubscription: null, waitUntil: (promise) => { over = promise; },
		});
		dispatchEvent(event);
		await over;
		return String(asked);
	})()`, p.URL, base64.RawURLEncoding.EncodeToString(p.key.PublicKey().Bytes()), base64.RawURLEncoding.EncodeToString(p.auth))
	if key := tab.worker(s)(change); len(key) != 87 {
		t.Errorf("subscribed with the key %q", key)
	}
	id := Eval[string](tab, `JSON.parse(localStorage.easel_browser).id`)
	var wanted struct{ Every bool }
	if s.json("GET", "/api/push/subscriptions/"+id, nil, &wanted); !wanted.Every {
		t.Error("the browser is not to be told any more")
	}
	g := s.made(ask{Prompt: "After the move", Settings: small()})
	s.eventually("the message arrives at the new endpoint", func() bool {
		return len(p.all()) == 1 && strings.Contains(p.all()[0], g.ID)
	})
	p.mu.Lock()
	if p.last != "/moved" {
		t.Errorf("it was sent to %s", p.last)
	}
	p.mu.Unlock()
	tab.NoComplaints()
}

// Whoever has chosen all three on the settings page is told of an end that happens while the page is in the
// background: by a sound, and by one notification, however many ways it came.
func TestToldWhenDone(t *testing.T) {
	t.Parallel()
	p := newPhone(t)
	s := open(t, siteOptions{led: true, env: []string{"EASEL_ALLOW_PRIVATE_WEBHOOKS=true"}})
	tab := p.visitor(s)
	tab.Goto("/settings")
	for _, what := range []string{"sound", "notice", "push"} {
		tab.Click(`[data-done=` + what + `]`)
		tab.Wait(`document.cookie.includes('easel_` + what + `=1')`)
	}
	tab.Press("Try it")
	s.eventually("the test arrives", func() bool { return len(p.all()) == 1 })
	tab.Reload()
	if n := tab.Count(`[data-done]:checked`); n != 3 {
		t.Errorf("%d boxes are checked after a reload, want 3", n)
	}

	tab.Goto("/")
	tab.fill(prompt, "A boat at dawn")
	tab.Click(generateHere)
	g := s.newest(0)
	s.afterStep(2)
	tab.WaitText(".progress", "Step 2 of 20")
	before := Eval[int](tab, `+sessionStorage.notes`)
	tab.hide(true)
	s.lead.Open()
	s.ended(g.ID)
	tab.waitNotices("Picture complete: A boat at dawn")
	tab.Wait(`+sessionStorage.notes === ` + fmt.Sprint(before+2))
	s.eventually("the message arrives", func() bool { return len(p.all()) == 2 })
	var told struct{ Title, Body, Tag, URL, Icon string }
	if err := json.Unmarshal([]byte(p.all()[1]), &told); err != nil {
		t.Fatal(err)
	}
	if told.Title != "Picture complete" || told.Body != "A boat at dawn" || told.Tag != g.ID || told.URL != "/generations/"+g.ID {
		t.Errorf("told %+v", told)
	}
	if status, _ := s.Get(told.Icon); status != http.StatusOK {
		t.Errorf("the icon %q: %d", told.Icon, status)
	}
	tab.deliver(s, strings.Replace(p.all()[1], "at dawn", "at dawn, pushed", 1))
	tab.waitNotices("Picture complete: A boat at dawn, pushed")

	// Switched off again: nothing more is sent, nor known.
	tab.hide(false)
	tab.Goto("/settings")
	tab.Click(`[data-done=push]`)
	tab.Wait(`document.cookie.includes('easel_push=0')`)
	s.made(ask{Prompt: "Untold", Settings: small()})
	if n := len(p.all()); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
	tab.NoComplaints()
}

// "Tell me when done" is of one generation, whatever its end: it stays pressed while the page moves and after a
// reload, and can be taken back.
func TestTellMeWhenDone(t *testing.T) {
	t.Parallel()
	p := newPhone(t)
	s := open(t, siteOptions{led: true, env: []string{"EASEL_ALLOW_PRIVATE_WEBHOOKS=true"}})
	g := s.generate(ask{Prompt: "Told of", Settings: map[string]any{"width": 64, "height": 64, "steps": 20}})
	second := s.generate(ask{Prompt: "Asked and taken back", Settings: small()})
	s.afterStep(2)
	tab := p.visitor(s)
	pressed := `document.querySelector('#tell-` + g.ID + `').ariaPressed === 'true'`
	tab.Goto("/generations/" + second.ID)
	tab.Press("Tell me when done")
	tab.Wait(`localStorage.easel_browser?.includes('"id"')`)
	tab.Press("Tell me when done")
	tab.Wait(`document.querySelector('[data-tell]').ariaPressed === 'false'`)
	tab.Goto("/")
	tab.WaitText(".progress", "Step 2 of 20")
	tab.Press("Tell me when done")
	tab.Wait(pressed)
	s.afterStep(5)
	tab.WaitText(".progress", "Step 5 of 20")
	if !Eval[bool](tab, pressed) {
		t.Error("the button is let go by a patch")
	}
	tab.Goto("/generations/" + g.ID)
	tab.Wait(pressed)
	var wanted struct {
		Every       bool
		Generations []string
	}
	id := Eval[string](tab, `JSON.parse(localStorage.easel_browser).id`)
	s.eventually("the wish is stored", func() bool {
		s.json("GET", "/api/push/subscriptions/"+id, nil, &wanted)
		return !wanted.Every && slices.Equal(wanted.Generations, []string{g.ID})
	})
	tab.hide(true)
	s.lead.Open()
	s.ended(second.ID)
	tab.waitNotices("Picture complete: Told of")
	s.eventually("the message arrives", func() bool { return len(p.all()) == 1 && strings.Contains(p.all()[0], g.ID) })
	tab.hide(false)
	tab.WaitText(".progress .badge", "Complete")
	if n := tab.Count(`[data-tell]`); n != 0 {
		t.Error("one can still ask to be told of what has ended")
	}
	tab.NoComplaints()
}

// A page that the browser froze behind another, as phones do, is right once it is seen again, in the
// middle of a run and after its end, without a load.
func TestFrozenPagesWakeUp(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{led: true})
	g := s.generate(ask{Prompt: "Slept through", Settings: map[string]any{"width": 64, "height": 64, "steps": 20}})
	s.afterStep(2)
	tab := Open(t, s.URL, TabOptions{})
	tab.Goto("/generations/" + g.ID)
	tab.WaitText(".progress", "Step 2 of 20")
	tab.mark()
	front := Open(t, s.URL, TabOptions{SameVisitor: tab, SameWindow: true})
	lifecycle := func(state page.SetWebLifecycleStateState) {
		t.Helper()
		tab.do(string(state), call(page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: state}))
	}
	sleep := func() {
		t.Helper()
		front.Show()
		front.Goto("/servers")
		lifecycle(page.SetWebLifecycleStateStateFrozen)
	}
	wake := func() {
		t.Helper()
		lifecycle(page.SetWebLifecycleStateStateActive)
		tab.Show()
	}
	sleep()
	s.afterStep(9)
	wake()
	tab.WaitText(".progress", "Step 9 of 20")
	sleep()
	s.lead.Open()
	s.ended(g.ID)
	wake()
	tab.WaitText(".progress .badge", "Complete")
	tab.sameDocument()
	tab.NoComplaints()
}
