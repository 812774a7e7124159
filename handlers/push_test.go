package handlers

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"easel/studio"
)

// A browser subscribes with what its own toJSON says, is known again, can be asked about, tested and forgotten.
func TestPushSubscription(t *testing.T) {
	t.Parallel()
	f := newFake()
	live, ended := f.put(newState(f, "runs", studio.Generating, 1)), f.put(newState(f, "ran", studio.Complete, 1))
	s := newSite(t, f)
	if key := decode[map[string]string](t, call(t, s, "GET", "/api/push", ""), 200)["publicKey"]; key != "BKey_-" {
		t.Errorf("publicKey = %q", key)
	}
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, auth := key.PublicKey().Bytes(), []byte("sixteen bytes...")
	body := func(encode *base64.Encoding, more string) string {
		return fmt.Sprintf(`{"endpoint":"https://push.example.com/1","expirationTime":null,"keys":{"p256dh":%q,"auth":%q}%s}`,
			encode.EncodeToString(point), encode.EncodeToString(auth), more)
	}
	first := decode[subscriptionJSON](t, call(t, s, "POST", "/api/push/subscriptions", body(base64.RawURLEncoding, "")), 201)
	if first.Every || len(first.Generations) != 0 {
		t.Errorf("a subscription to nothing: %+v", first)
	}
	wish := `,"generation":"` + live.Generation.ID.String() + `"`
	second := decode[subscriptionJSON](t, call(t, s, "POST", "/api/push/subscriptions", body(base64.StdEncoding, `,"every":true`+wish)), 201)
	if second.ID != first.ID || !second.Every || !slices.Equal(second.Generations, []uuid.UUID{live.Generation.ID}) {
		t.Errorf("the same browser again: %+v after %+v", second, first)
	}
	f.mu.Lock()
	if kept := f.push[first.ID]; kept.Endpoint != "https://push.example.com/1" || string(kept.PublicKey) != string(point) || string(kept.Auth) != string(auth) {
		t.Errorf("stored: %+v", kept)
	}
	f.mu.Unlock()
	moved := strings.Replace(body(base64.RawURLEncoding, `,"replaces":"https://push.example.com/1"`), "com/1", "com/2", 1)
	if third := decode[subscriptionJSON](t, call(t, s, "POST", "/api/push/subscriptions", moved), 201); third.ID != first.ID || !third.Every {
		t.Errorf("with another endpoint: %+v after %+v", third, second)
	}
	path := "/api/push/subscriptions/" + first.ID.String()
	for _, step := range []struct {
		method, path string
		want         int
	}{
		{"POST", path + "/test", 202},
		{"DELETE", path + "/generations/" + live.Generation.ID.String(), 204},
		{"DELETE", path + "/generations/x", 404},
		{"GET", path, 200},
		{"DELETE", path, 204},
		{"DELETE", path, 404},
		{"GET", path, 404},
		{"POST", path + "/test", 404},
		{"GET", "/api/push/subscriptions/x", 404},
		{"GET", "/api/push/subscriptions", 405},
	} {
		res := call(t, s, step.method, step.path, "")
		if text := bodyOf(t, res); res.StatusCode != step.want {
			t.Errorf("%s %s = %d, want %d: %s", step.method, step.path, res.StatusCode, step.want, text)
		}
	}

	for _, bad := range []struct {
		more   string
		status int
		fields string
	}{
		{`,"generation":"` + ended.Generation.ID.String() + `"`, 409, "[]"},
		{`,"generation":"` + uuid.NewString() + `"`, 404, "[]"},
		{`,"generation":"x"`, 422, "[generation]"},
		{`,"every":"yes","replaces":1,"other":1`, 422, "[every other replaces]"},
	} {
		p := decode[problem](t, call(t, s, "POST", "/api/push/subscriptions", body(base64.RawURLEncoding, bad.more)), bad.status)
		names := fields(p)
		slices.Sort(names)
		if fmt.Sprint(names) != bad.fields {
			t.Errorf("%s: %v, want %s", bad.more, names, bad.fields)
		}
	}
	for text, status := range map[string]int{
		`{"endpoint":1,"keys":[]}`: 422, `{"endpoint":"https://push.example.com/1","keys":{"p256dh":"?","auth":"?"}}`: 422, `{}`: 422, `[]`: 400,
	} {
		if res := call(t, s, "POST", "/api/push/subscriptions", text); res.StatusCode != status {
			t.Errorf("%s = %d, want %d", text, res.StatusCode, status)
		}
	}
	if res := call(t, s, "POST", "/api/push/subscriptions", "a=b", "Content-Type", "application/x-www-form-urlencoded"); res.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("a form = %d", res.StatusCode)
	}
	if res := call(t, s, "POST", "/api/push/subscriptions", body(base64.RawURLEncoding, ""), "Sec-Fetch-Site", "cross-site"); res.StatusCode != http.StatusForbidden {
		t.Errorf("from another site = %d", res.StatusCode)
	}
}

// What a browser is told: words for people, paths under the base, and little enough for one record whatever the prompt.
func TestPushBody(t *testing.T) {
	t.Parallel()
	f := newFake()
	made := PushBody("/studio")
	tell := func(g *studio.Generation) (told pushJSON, size int) {
		t.Helper()
		body, err := made(g)
		if err == nil {
			err = json.Unmarshal(body, &told)
		}
		if err != nil {
			t.Fatal(err)
		}
		return told, len(body)
	}
	if told, _ := tell(nil); told.URL != "/studio/settings" || told.Tag != "" {
		t.Errorf("a test: %+v", told)
	}
	one := newState(f, "a boat\nat dawn", studio.Complete, 1).Generation
	told, _ := tell(&one)
	path := "/studio/generations/" + one.ID.String()
	if told.Title != "Picture complete" || told.Body != "a boat at dawn" || told.Tag != one.ID.String() || told.URL != path ||
		!strings.HasPrefix(told.Icon, path+"/images/1/") {
		t.Errorf("one: %+v", told)
	}
	many := newState(f, strings.Repeat("😀", 5000), studio.Complete, 64).Generation
	if told, size := tell(&many); told.Title != "64 pictures complete" || size > 1024 {
		t.Errorf("many: %q in %d bytes", told.Title, size)
	}
	cancelled := newState(f, "x", studio.Cancelled, 1).Generation
	if told, _ := tell(&cancelled); told.Title != "Generation cancelled" || told.Icon != "" {
		t.Errorf("cancelled: %+v", told)
	}
	failed := newState(f, "x", studio.Failed, 1).Generation
	failed.ErrorMessage = "The server ran out of memory."
	if told, _ := tell(&failed); told.Title != "Generation failed" || told.Body != failed.ErrorMessage {
		t.Errorf("failed: %+v", told)
	}
}

// The service worker lies where all pages are below it, and is asked for anew each time.
func TestServiceWorker(t *testing.T) {
	t.Parallel()
	s := newSite(t, newFake(), func(c *Config) { c.BasePath = "/studio" })
	res := call(t, s, "GET", "/studio/sw.js", "")
	if text := bodyOf(t, res); res.StatusCode != 200 || !strings.Contains(text, "showNotification") ||
		!strings.HasPrefix(res.Header.Get("Content-Type"), "text/javascript") || res.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	page := bodyOf(t, call(t, s, "GET", "/studio/settings", "", "Accept", "text/html", "Cookie", "easel_sound=1; easel_push=x"))
	for _, want := range []string{`data-base="/studio/" data-key="BKey_-"`, `<input type="checkbox" checked data-done="sound"`, `<input type="checkbox" data-done="push"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of settings lacks %s", want)
		}
	}
}
