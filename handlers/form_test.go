package handlers

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/uuid"

	"easel/studio"
)

const formType = "application/x-www-form-urlencoded"

// post sends a form as a browser does without scripts; header holds names and values in turn.
func post(t testing.TB, s http.Handler, target string, form url.Values, header ...string) *http.Response {
	t.Helper()
	return call(t, s, "POST", target, form.Encode(), append([]string{"Content-Type", formType, "Accept", "text/html"}, header...)...)
}

// patches sends it as Datastar does, and reads the elements that come back.
func patches(t testing.TB, s http.Handler, target string, form url.Values) string {
	t.Helper()
	res := post(t, s, target, form, "Datastar-Request", "true", "Accept", "text/event-stream, text/html, application/json")
	text := bodyOf(t, res)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("status = %d, type %q, want 200 and an event stream: %s", res.StatusCode, res.Header.Get("Content-Type"), text)
	}
	var elements strings.Builder
	for _, event := range parseEvents(text) {
		if event.Name != "datastar-patch-elements" {
			t.Errorf("event %q", event.Name)
		}
		for line := range strings.SplitSeq(event.Data, "\n") {
			if html, ok := strings.CutPrefix(line, "elements "); ok {
				elements.WriteString(html + "\n")
			}
		}
	}
	return elements.String()
}

func lamp() url.Values {
	return url.Values{
		"prompt": {"A lamp\r\nby a window"}, "negativePrompt": {"people"}, "workflow": {"text-to-image"}, "totalImages": {"2"},
		"shape": {"1280x832"}, "settings.width": {"64"}, "settings.height": {"64"}, "settings.steps": {"12"}, "settings.seed": {""},
		"settings.model": {"sd_xl_base_1.0.safetensors"}, "settings.tile": {"false", "true"}, "nonce": {uuid.NewString()},
	}
}

func TestPlainFormLeadsToTheGeneration(t *testing.T) {
	f := newFake()
	s := newSite(t, f)
	res := post(t, s, "/generations", lamp())
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("status = %d, want 303: %s", res.StatusCode, bodyOf(t, res))
	}
	made := f.newestFirst()[0].Generation
	if got, want := res.Header.Get("Location"), "/generations/"+made.ID.String(); got != want {
		t.Errorf("Location = %q, want %q", got, want)
	}
	request := f.created[0]
	if request.Prompt != "A lamp\nby a window" || *request.NegativePrompt != "people" || request.TotalImages != 2 || request.UserID != studio.LocalUser {
		t.Errorf("request = %+v", request)
	}
	for name, want := range map[string]string{
		"width": `"1280"`, "height": `"832"`, "steps": `"12"`, "model": `"sd_xl_base_1.0.safetensors"`, "tile": "true",
	} {
		if got := string(request.Settings[name]); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
	if _, ok := request.Settings["seed"]; ok {
		t.Error("an empty seed must be left out: it means a random one")
	}
	if _, ok := request.Settings["prompt"]; ok {
		t.Error("the prompt is no setting")
	}
	page(t, s, res.Header.Get("Location"), http.StatusOK)
}

// A generation may name an address of its own; without one that of the settings is meant.
func TestWebhookOfTheForm(t *testing.T) {
	f := newFake()
	s := newSite(t, f)
	doc, _ := page(t, s, "/", http.StatusOK)
	field := doc.Find("details.more input[name=webhook]")
	if help := words(doc.Find("[id='" + field.AttrOr("aria-describedby", "") + "']")); !strings.HasSuffix(help, "Empty: nowhere.") {
		t.Errorf("beside the empty field stands %q", help)
	}
	f.webhooks.settings.Webhook = "https://example.com/all"
	doc, _ = page(t, s, "/", http.StatusOK)
	if text := doc.Text(); !strings.Contains(text, "Empty: the address of the settings.") || strings.Contains(text, "example.com/all") {
		t.Error("the form does not say what an empty field means, or tells the address")
	}
	form := lamp()
	form.Set("webhook", "")
	post(t, s, "/generations", form)
	if got := f.created[0].Webhook; got != nil {
		t.Errorf("webhook = %q, want that of the settings", *got)
	}
	form = lamp()
	form.Set("webhook", " https://example.com/mine ")
	post(t, s, "/generations", form)
	if got := f.created[1].Webhook; got == nil || *got != "https://example.com/mine" {
		t.Errorf("webhook = %v, want what was typed", got)
	}
	form.Set("webhook", "ftp://example.com")
	doc = pageDocument(t, post(t, s, "/generations", form), http.StatusUnprocessableEntity)
	field = doc.Find("details.more[open] input[name=webhook]")
	if field.AttrOr("value", "") != "ftp://example.com" || field.AttrOr("aria-invalid", "") != "true" {
		t.Errorf("the refused address stands as %q, invalid %q", field.AttrOr("value", ""), field.AttrOr("aria-invalid", ""))
	}
	if got := words(doc.Find("#webhook-error")); got != "The address must begin with https://." {
		t.Errorf("the field says %q", got)
	}
	old := newState(f, "told elsewhere", studio.Complete, 1)
	for address, want := range map[string]string{"https://example.com/old": "https://example.com/old", "https://example.com/all": ""} {
		old.Generation.Webhook = address
		doc, _ = page(t, s, "/?from="+f.put(old).Generation.ID.String(), http.StatusOK)
		if got := doc.Find("input[name=webhook]").AttrOr("value", "none"); got != want {
			t.Errorf("made from one that was told to %s, the form has %q, want %q", address, got, want)
		}
	}
}

// A model that no server which takes work has is marked where it is chosen.
func TestModelAway(t *testing.T) {
	doc, _ := page(t, newSite(t, newFake()), "/", http.StatusOK)
	away := doc.Find("select[name='settings.model'] option[data-away]")
	if away.Length() != 1 || away.AttrOr("value", "") != "v1-5-pruned-emaonly.safetensors" || !strings.Contains(words(away), "(no server now)") {
		t.Errorf("%d options are marked: %q", away.Length(), words(away))
	}
	if notes := doc.Find(".field .away"); notes.Length() != 1 || notes.Closest(".field").Find("select[name='settings.model']").Length() != 1 {
		t.Errorf("%d fields have the note, want the model's", notes.Length())
	}
}

func TestSizeByHand(t *testing.T) {
	f := newFake()
	form := lamp()
	form.Set("shape", "free")
	post(t, newSite(t, f), "/generations", form)
	if got := string(f.created[0].Settings["width"]); got != `"64"` {
		t.Errorf("width = %s, want what was typed", got)
	}
}

func TestDoublePostIsOneGeneration(t *testing.T) {
	f := newFake()
	s := newSite(t, f)
	form := lamp()
	first, second := post(t, s, "/generations", form), post(t, s, "/generations", form)
	if first.Header.Get("Location") == "" || first.Header.Get("Location") != second.Header.Get("Location") {
		t.Errorf("the same form twice leads to %q and %q", first.Header.Get("Location"), second.Header.Get("Location"))
	}
	a, b := f.created[0], f.created[1]
	if !a.FormNonce || a.IdempotencyKey != form.Get("nonce") || !bytes.Equal(a.BodyHash, b.BodyHash) || len(a.BodyHash) != 32 {
		t.Errorf("keys %q %x and %q %x", a.IdempotencyKey, a.BodyHash, b.IdempotencyKey, b.BodyHash)
	}
	form.Set("prompt", "Another lamp")
	form.Set("again", "1")
	post(t, s, "/generations", form)
	if bytes.Equal(a.BodyHash, f.created[2].BodyHash) {
		t.Error("another prompt has the same hash")
	}
}

// What is wrong is said at the field, and everything typed is still there.
func TestRejectedFormKeepsWhatWasTyped(t *testing.T) {
	s := newSite(t, newFake())
	form := lamp()
	form.Set("settings.steps", "0")
	form.Set("settings.seed", "1e3")
	form.Set("shape", "832x1280")
	res := post(t, s, "/generations", form)
	doc := pageDocument(t, res, http.StatusUnprocessableEntity)
	steps := doc.Find("input[name='settings.steps']")
	if steps.AttrOr("value", "") != "0" || steps.AttrOr("aria-invalid", "") != "true" {
		t.Errorf("steps = %q, invalid %q", steps.AttrOr("value", ""), steps.AttrOr("aria-invalid", ""))
	}
	note := doc.Find("[id='" + steps.AttrOr("aria-describedby", "") + "']")
	if got, want := words(note), "Steps must be from 1 to 150."; got != want {
		t.Errorf("the field says %q, want %q", got, want)
	}
	if doc.Find("details.more[open]").Length() != 1 {
		t.Error("the wrong field is hidden in closed settings")
	}
	for selector, want := range map[string]string{
		"input[name=totalImages]": "2", "input[name='settings.seed']": "1e3", "input[name=shape][checked]": "832x1280",
		"select[name='settings.model'] option[selected]": "sd_xl_base_1.0.safetensors", "#nonce": form.Get("nonce"),
		"input[name='settings.tile'][type=checkbox][checked]": "true",
	} {
		if got := doc.Find(selector).AttrOr("value", "-"); got != want {
			t.Errorf("%s = %q, want %q", selector, got, want)
		}
	}
	if got := strings.TrimSpace(doc.Find("textarea[name=prompt]").Text()); got != "A lamp\nby a window" {
		t.Errorf("prompt = %q", got)
	}
}

func TestNumberOfImages(t *testing.T) {
	for _, typed := range []string{"0", "65", "two", "1.5", "-1"} {
		f := newFake()
		form := lamp()
		form.Set("totalImages", typed)
		form.Set("settings.steps", "0")
		doc := pageDocument(t, post(t, newSite(t, f), "/generations", form), http.StatusUnprocessableEntity)
		if got := words(doc.Find("#totalImages-error")); got != "The number of images must be between 1 and 64." {
			t.Errorf("%q: %q", typed, got)
		}
		if doc.Find("[id='settings.steps-error']").Length() != 1 {
			t.Errorf("%q: not all that is wrong is told at once", typed)
		}
		if len(f.created) != 0 {
			t.Errorf("%q was handed on", typed)
		}
	}
}

func TestLiveFormStaysAndSaysWhatIsWrong(t *testing.T) {
	s := newSite(t, newFake())
	form := lamp()
	form.Set("prompt", " ")
	got := patches(t, s, "/generations", form)
	for _, want := range []string{`id="composer"`, `Write a prompt.`, `aria-invalid="true"`, `name="again" value="1"`} {
		if !strings.Contains(got, want) {
			t.Errorf("the patch lacks %s", want)
		}
	}
	// Accepted after a complaint: the form comes back clean.
	form.Set("prompt", "A lamp")
	form.Set("again", "1")
	got = patches(t, s, "/generations", form)
	if !strings.Contains(got, `id="composer"`) || strings.Contains(got, `name="again"`) || strings.Contains(got, `aria-invalid="true"`) {
		t.Error("the complaint stays after the form was accepted")
	}
}

// Nothing in the form is touched while somebody may be writing in it; only the nonce is new.
func TestLiveFormLeavesTheFieldsAlone(t *testing.T) {
	form := lamp()
	got := patches(t, newSite(t, newFake()), "/generations", form)
	if strings.Contains(got, "composer") || !strings.Contains(got, `id="nonce"`) || strings.Contains(got, form.Get("nonce")) {
		t.Errorf("accepted: %s", got)
	}
}

func TestRefusalsComeBackInTheForm(t *testing.T) {
	for err, status := range map[error]int{studio.ErrQueueFull: 503, studio.ErrUnavailable: 503} {
		f := newFake()
		f.err = err
		s := newSite(t, f)
		doc := pageDocument(t, post(t, s, "/generations", lamp()), status)
		if words(doc.Find("#composer .error[role=alert]")) == "" || !strings.Contains(doc.Find("textarea[name=prompt]").Text(), "A lamp") {
			t.Errorf("%v: no reason, or the prompt is gone", err)
		}
		if got := patches(t, s, "/generations", lamp()); !strings.Contains(got, `role="alert"`) {
			t.Errorf("%v: the open page is not told", err)
		}
	}
}

func TestFormsOfOtherKinds(t *testing.T) {
	f := newFake()
	s := newSite(t, f)
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, values := range lamp() {
		if err := w.WriteField(name, values[0]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		kind, body string
		status     int
	}{
		{w.FormDataContentType(), body.String(), http.StatusSeeOther},
		{"multipart/form-data; boundary=x", "--y\r\nbroken", http.StatusBadRequest},
		{formType, "prompt=%zz", http.StatusBadRequest},
		{"text/plain", "prompt=x", http.StatusUnsupportedMediaType},
		{formType, "prompt=" + strings.Repeat("x", maxBodyBytes+1), http.StatusRequestEntityTooLarge},
		{formType, "prompt=x&workflow=none", http.StatusUnprocessableEntity},
	} {
		if res := call(t, s, "POST", "/generations", test.body, "Content-Type", test.kind); res.StatusCode != test.status {
			t.Errorf("%s %.20q: %d, want %d", test.kind, test.body, res.StatusCode, test.status)
		}
	}
}

func TestCancelRetryDeleteWithoutScripts(t *testing.T) {
	f := newFake()
	s := newSite(t, f)
	id := f.put(newState(f, "A lamp", studio.Generating, 1)).Generation.ID
	at := "/generations/" + id.String()
	expectRedirect := func(path, want string) string {
		t.Helper()
		res := post(t, s, path, url.Values{})
		got := res.Header.Get("Location")
		if res.StatusCode != http.StatusSeeOther || want != "" && got != want {
			t.Fatalf("POST %s: %d to %q, want 303 to %q", path, res.StatusCode, got, want)
		}
		return got
	}
	for _, path := range []string{"/retry", "/delete"} {
		if res := post(t, s, at+path, url.Values{}); res.StatusCode != http.StatusConflict {
			t.Errorf("%s while it runs: %d, want 409", path, res.StatusCode)
		}
	}
	expectRedirect(at+"/cancel", at)
	doc, _ := page(t, s, at, http.StatusOK)
	if got := words(doc.Find("form.cancel")); got != "Cancelling…" {
		t.Errorf("after cancelling the button says %q", got)
	}
	f.update(id, func(state *studio.State) {
		state.Generation.Status, state.Progress = studio.Cancelled, progressOf(studio.Cancelled, 1)
	})
	next := expectRedirect(at+"/retry", "")
	if next == at || f.newestFirst()[0].Generation.RetryOf == nil || *f.newestFirst()[0].Generation.RetryOf != id {
		t.Errorf("retry leads to %q", next)
	}
	doc, _ = page(t, s, at+"/delete", http.StatusOK)
	if form := doc.Find("main form"); form.AttrOr("action", "") != at+"/delete" || !strings.Contains(words(form), "A lamp") {
		t.Error("the question does not name what goes")
	}
	expectRedirect(at+"/delete", "/gallery")
	page(t, s, at, http.StatusNotFound)
}

// A page's own nonce goes with its Retry: pressed twice it makes one generation, and pressed again
// on a page that was opened later another one.
func TestRetryPressedTwice(t *testing.T) {
	f := newFake()
	id := f.put(newState(f, "A lamp", studio.Failed, 1)).Generation.ID
	s := newSite(t, f)
	at := "/generations/" + id.String()
	press := func(doc *goquery.Document) string {
		form := doc.Find("form#retry")
		if doc.Find("button[form=retry]").Length() != 1 || form.AttrOr("action", "") != at+"/retry" {
			t.Fatal("the page has no Retry")
		}
		res := post(t, s, at+"/retry", url.Values{"nonce": {form.Find("[name=nonce]").AttrOr("value", "")}})
		return res.Header.Get("Location")
	}
	doc, _ := page(t, s, at, http.StatusOK)
	first := press(doc)
	if second := press(doc); first == "" || second != first {
		t.Errorf("pressed twice it leads to %q and %q", first, second)
	}
	later, _ := page(t, s, at, http.StatusOK)
	if third := press(later); third == first {
		t.Errorf("pressed on a later page it leads to %q again", third)
	}
}

func TestCancelOnAnOpenPage(t *testing.T) {
	f := newFake()
	id := f.put(newState(f, "A lamp", studio.Generating, 1)).Generation.ID
	got := patches(t, newSite(t, f), "/generations/"+id.String()+"/cancel", url.Values{})
	if !strings.Contains(got, `id="progress-`+id.String()+`"`) || !strings.Contains(got, "Cancelling…") {
		t.Errorf("patch = %s", got)
	}
}

func TestRetryWithOtherSettingsNamesTheOld(t *testing.T) {
	f := newFake()
	old := f.put(newState(f, "A lamp", studio.Failed, 1)).Generation.ID
	s := newSite(t, f)
	form := lamp()
	form.Set("retryOf", old.String())
	form.Set("negativePrompt", "")
	form.Set("settings.seed", "")
	post(t, s, "/generations", form)
	// What was emptied is not filled up from the old one.
	if got := f.created[0]; got.RetryOf == nil || *got.RetryOf != old || string(got.Settings["steps"]) != `"12"` || *got.NegativePrompt != "" || got.Settings["seed"] != nil {
		t.Errorf("request = %+v", got)
	}
	form.Set("retryOf", uuid.NewString()) // deleted meanwhile
	if res := post(t, s, "/generations", form); res.StatusCode != http.StatusSeeOther {
		t.Errorf("retry of a deleted one: %d, want it accepted as a new one", res.StatusCode)
	}
}

func TestThemeIsRememberedAndReturnsOnlyHere(t *testing.T) {
	s := newSite(t, newFake())
	for back, want := range map[string]string{
		"/gallery?q=a": "/gallery?q=a", "/settings": "/settings?saved=1", "": "/",
		"//evil.example/": "/", "https://evil.example/": "/", `/\evil.example`: "/", "/\r\nSet-Cookie: a=b": "/", "javascript:alert(1)": "/",
	} {
		res := post(t, s, "/settings/theme", url.Values{"theme": {"dark"}, "back": {back}})
		if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != want {
			t.Errorf("back %q: %d to %q, want %q", back, res.StatusCode, res.Header.Get("Location"), want)
		}
		if got := fmt.Sprint(res.Cookies()); !strings.Contains(got, "easel_theme=dark") || !strings.Contains(got, "SameSite=Lax") {
			t.Errorf("cookie = %s", got)
		}
	}
	if res := post(t, s, "/settings/theme", url.Values{"theme": {"<b>"}}); res.StatusCode != http.StatusUnprocessableEntity || len(res.Cookies()) != 0 {
		t.Errorf("an unknown theme: %d, %v", res.StatusCode, res.Cookies())
	}
	for cookie, want := range map[string]string{"dark": "dark", "light": "light", "<script>": "auto", strings.Repeat("x", 8<<10): "auto"} {
		doc, _ := page(t, s, "/", http.StatusOK, "Cookie", "easel_theme="+cookie)
		if got := doc.Find("html").AttrOr("data-theme", ""); got != want {
			t.Errorf("cookie %.10q: theme %q, want %q", cookie, got, want)
		}
	}
}

func TestComplaintsAboutNoFieldStandAboveTheForm(t *testing.T) {
	s := newSite(t, newFake())
	r, err := http.NewRequestWithContext(t.Context(), "GET", "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	form, err := s.form(r, "")
	if err != nil {
		t.Fatal(err)
	}
	c := s.composer(r, form, map[string]string{"shape": "1024x1024"})
	complain(&c, []studio.FieldError{{Field: "settings.width", Message: "must be from 64 to 2048"}, {Field: "idempotencyKey", Message: "must be plain text"}})
	if c.Problem != "idempotencyKey must be plain text." || c.Size[0].Error != "Width must be from 64 to 2048." || !c.Free {
		t.Errorf("problem %q, width %q, by hand %v", c.Problem, c.Size[0].Error, c.Free)
	}
}
