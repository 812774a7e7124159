package handlers

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"easel/studio"
)

// The default webhook is set by a plain form: 303 when it was stored, 422 and what was typed when not.
func TestWebhookForm(t *testing.T) {
	t.Parallel()
	f := newFake()
	s := newSite(t, f)
	const typed = `http://<b>typed</b>`
	res := postForm(t, s, "/settings/webhook", url.Values{"webhook": {typed}}, false)
	if res.Code != http.StatusUnprocessableEntity || !strings.Contains(res.Body.String(), "&lt;b&gt;typed&lt;/b&gt;") ||
		!strings.Contains(res.Body.String(), "must begin with https://") {
		t.Errorf("a bad address: %d %s", res.Code, res.Body)
	}
	res = postForm(t, s, "/settings/webhook", url.Values{"webhook": {typed}}, true)
	if res.Code != http.StatusOK || !strings.Contains(res.Body.String(), "webhook-settings") || !strings.Contains(res.Body.String(), "must begin with https://") {
		t.Errorf("a bad address in an open page: %d %s", res.Code, res.Body)
	}
	res = postForm(t, s, "/settings/webhook/test", nil, false)
	if res.Code != http.StatusConflict {
		t.Errorf("a test of nothing: %d", res.Code)
	}
	res = postForm(t, s, "/settings/webhook", url.Values{"webhook": {"https://example.com/hook"}}, false)
	if res.Code != http.StatusSeeOther || res.Header().Get("Location") != "/settings?saved=webhook" {
		t.Errorf("a good address: %d %q", res.Code, res.Header().Get("Location"))
	}
	res = postForm(t, s, "/settings/webhook/test", nil, false)
	if res.Code != http.StatusSeeOther {
		t.Errorf("a test: %d", res.Code)
	}
	page := bodyOf(t, call(t, s, "GET", "/settings?saved=test", "", "Accept", "text/html"))
	for _, want := range []string{"https://example.com/hook", "A test is under way", "Waits for its first try", "Under way"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	f.mu.Lock()
	f.webhooks.settings.WebhookFixed = true
	f.mu.Unlock()
	page = bodyOf(t, call(t, s, "GET", "/settings", "", "Accept", "text/html"))
	if !strings.Contains(page, "EASEL_WEBHOOK</code>") || strings.Contains(page, `name="webhook"`) {
		t.Error("an address of the configuration is not shown as locked")
	}
}

// The secret stands on no page that is merely looked at.
func TestWebhookSecretOnRequest(t *testing.T) {
	t.Parallel()
	s := newSite(t, newFake())
	s.pages.secret = "whsec_of_the_test"
	if page := bodyOf(t, call(t, s, "GET", "/settings", "", "Accept", "text/html")); strings.Contains(page, "whsec_") {
		t.Error("the page tells the secret unasked")
	}
	for _, datastar := range []bool{false, true} {
		res := postForm(t, s, "/settings/webhook/secret", nil, datastar)
		if res.Code != http.StatusOK || !strings.Contains(res.Body.String(), "whsec_of_the_test") || res.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("datastar %t: %d %v", datastar, res.Code, res.Header())
		}
	}
}

// What receivers answer is a stranger's text: it is shown as it came, wherever it stands.
func TestDeliveriesShown(t *testing.T) {
	t.Parallel()
	f := newFake()
	s := newSite(t, f)
	state := newState(f, "told of", studio.Complete, 1)
	state.Generation.Webhook = "https://example.com"
	g := f.put(state).Generation.ID
	d := f.delivered(g, studio.DeliveryFailed, `https://example.com/?"><script>`, `<img src=x onerror=alert(1)>`)
	for _, path := range []string{"/settings", "/generations/" + g.String()} {
		page := bodyOf(t, call(t, s, "GET", path, "", "Accept", "text/html"))
		for _, want := range []string{"Given up", "2 tries", "It did not answer within 10 seconds.", "&lt;img src=x", "/webhooks/deliveries/" + d.ID.String() + "/redeliver"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %q", path, want)
			}
		}
		if strings.Contains(page, "<img src=x") || strings.Contains(page, `"><script>`) {
			t.Errorf("%s takes a stranger's text for markup", path)
		}
	}
	list := decode[struct{ Deliveries []deliveryJSON }](t, call(t, s, "GET", "/api/webhooks/deliveries?generation="+g.String(), ""), http.StatusOK)
	if len(list.Deliveries) != 1 || list.Deliveries[0].ID != d.ID || len(list.Deliveries[0].Tries) != 2 || list.Deliveries[0].Tries[0].Status != nil {
		t.Errorf("%+v", list)
	}
	again := decode[deliveryJSON](t, call(t, s, "POST", "/api/webhooks/deliveries/"+d.ID.String()+"/redeliver", ""), http.StatusAccepted)
	if again.State != studio.DeliveryPending {
		t.Errorf("%+v", again)
	}
	res := postForm(t, s, "/webhooks/deliveries/"+d.ID.String()+"/redeliver", url.Values{"back": {"/generations/" + g.String()}}, false)
	if res.Code != http.StatusSeeOther || res.Header().Get("Location") != "/generations/"+g.String() {
		t.Errorf("%d %q", res.Code, res.Header().Get("Location"))
	}
	for _, path := range []string{
		"/api/webhooks/deliveries/" + uuid.NewString() + "/redeliver", "/api/webhooks/deliveries/x/redeliver",
	} {
		decode[problem](t, call(t, s, "POST", path, ""), http.StatusNotFound)
	}
	decode[problem](t, call(t, s, "GET", "/api/webhooks/deliveries?limit=x", ""), http.StatusBadRequest)
	decode[problem](t, call(t, s, "GET", "/api/webhooks/deliveries?cursor=x", ""), http.StatusBadRequest)
	decode[problem](t, call(t, s, "GET", "/api/webhooks/deliveries?generation=x", ""), http.StatusNotFound)
}

// What is posted is what the API answers, byte for byte.
func TestWebhookBody(t *testing.T) {
	t.Parallel()
	f := newFake()
	s := newSite(t, f)
	state := newState(f, "a <lighthouse> & more", studio.Complete, 2)
	state.Progress = studio.RecordProgress(&state.Generation)
	id := f.put(state).Generation.ID
	body, err := WebhookBody("")(&state.Generation)
	if err != nil {
		t.Fatal(err)
	}
	if want := bodyOf(t, call(t, s, "GET", "/api/generations/"+id.String(), "")); string(body) != want {
		t.Errorf("posted  %s\nanswered %s", body, want)
	}
}

func postForm(t *testing.T, s http.Handler, path string, values url.Values, datastar bool) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(values.Encode()))
	r.Host = "localhost"
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Content-Type", formType)
	if datastar {
		r.Header.Set("Datastar-Request", "true")
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}
