package handlers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"easel/studio"
)

// call sends one request to the site without a network, and reads the answer. header holds
// names and values in turn.
func call(t testing.TB, s http.Handler, method, target, body string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "localhost"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	return rec.Result()
}

func bodyOf(t testing.TB, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// decode reads a JSON answer, and wants its status.
func decode[T any](t testing.TB, res *http.Response, status int) T {
	t.Helper()
	text := bodyOf(t, res)
	if res.StatusCode != status {
		t.Fatalf("status = %d, want %d: %s", res.StatusCode, status, text)
	}
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// fields are the fields that a problem names.
func fields(p problem) []string {
	names := []string{}
	for _, e := range p.Errors {
		names = append(names, e.Field)
	}
	return names
}

func TestGenerateAnswersWithTheGeneration(t *testing.T) {
	f := newStrict()
	s := newSite(t, f)
	res := call(t, s, "POST", "/api/generate", `{"prompt":"a lighthouse","negativePrompt":"fog","settings":{"seed":18446744073709551615,"steps":"12"},"totalImages":2}`)
	location := res.Header.Get("Location")
	text := bodyOf(t, res)
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("status = %d: %s", res.StatusCode, text)
	}
	if kind := res.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("Content-Type = %q", kind)
	}
	var g generationJSON
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		t.Fatal(err)
	}
	if location != "/api/generations/"+g.ID.String() {
		t.Errorf("Location = %q", location)
	}
	if !strings.Contains(text, `"seed":18446744073709551615`) {
		t.Errorf("the seed is not exact: %s", text)
	}
	if len(g.Images) != 2 || g.Images[1].Seed != 0 {
		t.Errorf("images = %+v, want two, the second with the seed after the last", g.Images)
	}
	if g.Status != studio.Pending || g.Progress.Phase != "queued" || g.CreatedAt != "2026-05-01T10:00:00.123456Z" {
		t.Errorf("generation = %+v", g)
	}
	if again := bodyOf(t, call(t, s, "GET", location, "")); again != text {
		t.Errorf("GET Location = %s\nwant what POST said: %s", again, text)
	}
}

// The shape is a contract: every name, and null for what is not there.
func TestGenerationShape(t *testing.T) {
	f := newStrict()
	id := f.add("a\u2028prompt <b>", 1)
	f.picture(id, "image/png", "easel.png", []byte("x"))
	s := newSite(t, f, func(c *Config) { c.BasePath = "/studio" })
	got := decode[map[string]any](t, call(t, s, "GET", "/studio/api/generations/"+id.String(), ""), 200)
	at := "/studio/generations/" + id.String() + "/images/1/0"
	want := map[string]any{
		"id": id.String(), "prompt": "a\u2028prompt <b>", "negativePrompt": "", "workflow": "text-to-image", "workflowVersion": nil,
		"settings": map[string]any{"steps": 20.0, "guidance": 7.5, "seed": 18446744073709551615.0, "model": "dream.safetensors"},
		"status":   "pending", "errorMessage": nil, "warnings": []any{}, "comfyuiPromptId": nil,
		"images": []any{map[string]any{
			"index": 1.0, "status": "pending", "comfyuiPromptId": nil, "seed": 18446744073709551615.0, "url": at, "thumbnailUrl": at + "/thumbnail",
			"width": 512.0, "height": 512.0, "mime": "image/png",
			"outputs":  []any{map[string]any{"node": "9", "kind": "image", "url": at, "thumbnailUrl": at + "/thumbnail", "mime": "image/png"}},
			"attempts": 1.0, "retryReason": nil,
		}},
		"progress": map[string]any{
			"currentStep": 0.0, "totalSteps": 0.0, "percentage": 0.0, "status": "Position 2 in the queue", "phase": "queued", "overall": 0.0,
			"etaSeconds": nil, "etaLowSeconds": nil, "etaHighSeconds": nil, "queuePosition": 2.0, "expectedStart": nil, "expectedFinish": nil, "imageIndex": nil, "totalImages": 1.0, "node": nil,
		},
		"retryOf": nil, "priority": "normal", "held": false, "cancelRequestedAt": nil, "createdAt": "2026-05-01T10:00:00.123456Z", "updatedAt": "2026-05-01T10:00:00.123456Z",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("generation (-want +got):\n%s", diff)
	}
}

func TestCancelRetryDelete(t *testing.T) {
	f := newStrict()
	s := newSite(t, f)
	id := f.add("one", 1)
	at := "/api/generate/" + id.String()

	decode[problem](t, call(t, s, "POST", at+"/retry", ""), http.StatusConflict)
	decode[problem](t, call(t, s, "DELETE", "/api/generations/"+id.String(), ""), http.StatusConflict)
	if g := decode[generationJSON](t, call(t, s, "POST", at+"/cancel", ""), http.StatusAccepted); g.CancelRequestedAt == nil {
		t.Errorf("cancelled: %+v", g)
	}
	f.end(id, studio.Cancelled, "")
	before := bodyOf(t, call(t, s, "GET", "/api/generations/"+id.String(), ""))
	if after := bodyOf(t, call(t, s, "POST", at+"/cancel", "")); after != before {
		t.Errorf("cancel of an ended one changed it: %s\n%s", before, after)
	}

	res := call(t, s, "POST", at+"/retry", `{"settings":{"steps":5}}`)
	g := decode[generationJSON](t, res, http.StatusCreated)
	if g.RetryOf == nil || *g.RetryOf != id || g.ID == id || res.Header.Get("Location") != "/api/generations/"+g.ID.String() {
		t.Errorf("retry = %+v, Location %q", g, res.Header.Get("Location"))
	}
	if fmt.Sprint(g.Settings["steps"]) != "5" {
		t.Errorf("steps of the retry = %v, want 5", g.Settings["steps"])
	}
	decode[generationJSON](t, call(t, s, "POST", at+"/retry", ""), http.StatusCreated)

	if res := call(t, s, "DELETE", "/api/generations/"+id.String(), ""); res.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE = %d", res.StatusCode)
	}
	decode[problem](t, call(t, s, "DELETE", "/api/generations/"+id.String(), ""), http.StatusNotFound)
}

// Row 34: every id that is not one of ours gets the same answer, to the byte.
func TestUnknownIDsLookAlike(t *testing.T) {
	f := newStrict()
	s := newSite(t, f)
	deleted := f.add("gone", 1)
	f.end(deleted, studio.Complete, "")
	if err := f.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	known := f.add("here", 1)
	ids := []string{
		deleted.String(), uuid.NewString(), strings.ToUpper(known.String()), "x", "1", "..%2f..", "%00", "{" + known.String() + "}",
		strings.ReplaceAll(known.String(), "-", ""), "urn:uuid:" + known.String(), known.String() + "%20",
	}
	for _, route := range []struct{ method, path string }{
		{"GET", "/api/generations/%s"},
		{"DELETE", "/api/generations/%s"},
		{"POST", "/api/generate/%s/cancel"},
		{"POST", "/api/generate/%s/retry"},
		{"GET", "/api/generate/progress?promptId=%s"},
	} {
		var first string
		for _, id := range ids {
			target := strings.Replace(route.path, "%s", id, 1)
			res := call(t, s, route.method, target, "")
			text := bodyOf(t, res)
			if res.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s = %d, want 404: %s", route.method, target, res.StatusCode, text)
			}
			if first == "" {
				first = text
			}
			if text != first {
				t.Errorf("%s %s tells more than another id: %s", route.method, target, text)
			}
		}
	}
}

// Row 25, and its good side.
func TestIdempotencyKey(t *testing.T) {
	f := newStrict()
	s := newSite(t, f)
	post := func(body, key string) *http.Response {
		return call(t, s, "POST", "/api/generate", body, "Idempotency-Key", key)
	}
	first := decode[generationJSON](t, post(`{"prompt":"a","totalImages":1}`, "k1"), http.StatusCreated)
	again := post("{ \"totalImages\": 1,\n \"prompt\": \"a\" }", "k1")
	if again.Header.Get("Idempotent-Replayed") != "true" || again.Header.Get("Location") == "" {
		t.Errorf("headers of the second answer: %v", again.Header)
	}
	if g := decode[generationJSON](t, again, http.StatusCreated); g.ID != first.ID {
		t.Errorf("the same key and body made %s, want %s", g.ID, first.ID)
	}
	p := decode[problem](t, post(`{"prompt":"b"}`, "k1"), http.StatusUnprocessableEntity)
	if diff := cmp.Diff([]string{"Idempotency-Key"}, fields(p)); diff != "" {
		t.Error(diff)
	}
	if g := decode[generationJSON](t, post(`{"prompt":"b"}`, "k2"), http.StatusCreated); g.ID == first.ID {
		t.Error("another key gave the same generation")
	}
	for _, key := range []string{strings.Repeat("k", 256), "ä", "a\tb", ""} {
		decode[problem](t, post(`{"prompt":"b"}`, key), http.StatusBadRequest)
	}
	decode[generationJSON](t, post(`{"prompt":"b"}`, strings.Repeat("k", 255)), http.StatusCreated)
}

// Row 26.
func TestParallelPostsOfOneKeyMakeOneGeneration(t *testing.T) {
	f := newStrict()
	s := newSite(t, f)
	const posts = 1000
	ids := make([]uuid.UUID, posts)
	var posted sync.WaitGroup
	for i := range posts {
		posted.Go(func() {
			r := httptest.NewRequest("POST", "/api/generate", strings.NewReader(`{"prompt":"one"}`))
			r.Host = "localhost"
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Idempotency-Key", "same")
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, r)
			var g generationJSON
			if err := json.Unmarshal(rec.Body.Bytes(), &g); err != nil || rec.Code != http.StatusCreated {
				t.Errorf("post: %d %v", rec.Code, err)
			}
			ids[i] = g.ID
		})
	}
	posted.Wait()
	for _, id := range ids {
		if id != ids[0] || id == uuid.Nil {
			t.Fatalf("posts gave %s and %s", ids[0], id)
		}
	}
	if list := decode[struct{ Generations []generationJSON }](t, call(t, s, "GET", "/api/generations", ""), 200); len(list.Generations) != 1 {
		t.Errorf("%d generations exist, want 1", len(list.Generations))
	}
}

// Row 35, and the ends of a list.
func TestListQuery(t *testing.T) {
	f := newStrict()
	s := newSite(t, f)
	var ids []uuid.UUID
	for i := range 5 {
		ids = append(ids, f.add(fmt.Sprintf("number %d", i), 1))
	}
	type list struct {
		Generations []generationJSON `json:"generations"`
		NextCursor  *string          `json:"nextCursor"`
	}
	first := decode[list](t, call(t, s, "GET", "/api/generations?limit=2", ""), 200)
	if len(first.Generations) != 2 || first.Generations[0].ID != ids[4] || first.NextCursor == nil {
		t.Fatalf("first part: %+v", first)
	}
	last := decode[list](t, call(t, s, "GET", "/api/generations?limit=10&cursor="+url.QueryEscape(*first.NextCursor), ""), 200)
	if len(last.Generations) != 3 || last.Generations[2].ID != ids[0] || last.NextCursor != nil {
		t.Errorf("last part: %+v", last)
	}
	if text := bodyOf(t, call(t, s, "GET", "/api/generations?status=failed", "")); text != `{"generations":[],"nextCursor":null}`+"\n" {
		t.Errorf("an empty list is %s", text)
	}
	for query, want := range map[string]int{"limit=-1": 1, "limit=0": 1, "limit=1000000000": 200, "limit=99999999999999999999": 200, "page=-1": 50, "sort=;drop": 50, "": 50} {
		decode[list](t, call(t, s, "GET", "/api/generations?"+query, ""), 200)
		if f.filter.Limit != want {
			t.Errorf("%q asked for %d, want %d", query, f.filter.Limit, want)
		}
	}
	for _, query := range []string{"limit=x", "cursor=nonsense", "status=done", "from=yesterday", "to=2026-13-01", "q=%00", "q=%ff", "model=" + strings.Repeat("x", 2001)} {
		p := decode[problem](t, call(t, s, "GET", "/api/generations?"+query, ""), http.StatusBadRequest)
		name, _, _ := strings.Cut(query, "=")
		if diff := cmp.Diff([]string{name}, fields(p)); diff != "" {
			t.Errorf("%q: %s", query, diff)
		}
	}
	decode[list](t, call(t, s, "GET", "/api/generations?from=2026-05-01&to=2026-05-02T00:00:00%2B02:00&q=a+b&model=m&workflow=w", ""), 200)
	if f.filter.From.Format("2006-01-02") != "2026-05-01" || f.filter.To.UTC().Hour() != 22 || f.filter.Query != "a b" || f.filter.Model != "m" || f.filter.Workflow != "w" {
		t.Errorf("filter = %+v", f.filter)
	}
}

func TestCatalogue(t *testing.T) {
	s := newSite(t, newStrict())
	servers := decode[struct{ Servers []serverJSON }](t, call(t, s, "GET", "/api/servers", ""), 200)
	if len(servers.Servers) != 1 || servers.Servers[0].State != studio.ServerUp || *servers.Servers[0].VRAMTotal != 25_757_220_864 {
		t.Errorf("servers = %+v", servers)
	}
	workflows := decode[struct{ Workflows []workflowJSON }](t, call(t, s, "GET", "/api/workflows", ""), 200)
	if len(workflows.Workflows) == 0 || workflows.Workflows[0].ID != "text-to-image" || len(workflows.Workflows[0].Fields) < 5 {
		t.Errorf("workflows = %+v", workflows)
	}
	models := decode[struct{ Models []modelJSON }](t, call(t, s, "GET", "/api/models", ""), 200)
	if models.Models == nil {
		t.Error("models is null, want a list")
	}
}

// An error of the studio becomes a status, a sentence and, where it helps, a time to come back.
func TestStudioErrorsBecomeAnswers(t *testing.T) {
	for _, test := range []struct {
		err        error
		status     int
		retryAfter string
	}{
		{studio.ErrUnavailable, 503, "5"},
		{fmt.Errorf("insert generation: %w", studio.ErrUnavailable), 503, "5"},
		{studio.ErrQueueFull, 503, "30"},
		{studio.ErrLive, 409, ""},
		{studio.ErrNotFound, 404, ""},
		{errors.New("pq: password=hunter2 at 10.0.0.1"), 500, ""},
	} {
		f := newStrict()
		f.fails(test.err)
		res := call(t, newSite(t, f), "POST", "/api/generate", `{"prompt":"x"}`)
		text := bodyOf(t, res)
		if res.StatusCode != test.status || res.Header.Get("Retry-After") != test.retryAfter || res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v: status %d, Retry-After %q, Content-Type %q", test.err, res.StatusCode, res.Header.Get("Retry-After"), res.Header.Get("Content-Type"))
		}
		if strings.Contains(text, "hunter2") || strings.Contains(text, "insert") {
			t.Errorf("the visitor reads %s", text)
		}
		if test.status >= 500 && !strings.Contains(text, res.Header.Get("X-Request-Id")) {
			t.Errorf("no request id in %s", text)
		}
	}
}
