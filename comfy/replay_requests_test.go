package comfy

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"easel/comfy/transcript"
)

// replayRequest is a recorded request, made anew by the client.
type replayRequest struct {
	arrived *stageRequest
	check   chan func(response *transcript.Entry) // sent when the client's call has returned
}

// act makes a call and returns how to hold its result against the recorded answer.
type act func(ctx context.Context) (check func(answer *transcript.Entry))

// startRequest makes the recorded request, if a Client has words for it, and waits until it has arrived.
func (r *replay) startRequest(l *transcript.Entry) {
	do := r.words(l)
	if do == nil {
		r.passedOver++
		return
	}
	r.made++
	q := &replayRequest{check: make(chan func(*transcript.Entry), 1)}
	r.request[l.N] = q
	if r.answer(l.N).Kind == transcript.HTTPError {
		r.stage.close() // as the server was at that moment: nobody listens
	}
	go func() { q.check <- do(context.Background()) }()
	if r.answer(l.N).Kind == transcript.HTTPError {
		return
	}
	q.arrived = await(r.t, l.Method+" "+l.Path, r.stage.requests)
	r.compareRequests(l, q.arrived)
}

func (r *replay) answer(n int) *transcript.Entry {
	for i := range r.lines {
		if l := &r.lines[i]; l.N == n && (l.Kind == transcript.HTTPResponse || l.Kind == transcript.HTTPError) {
			return l
		}
	}
	r.t.Fatalf("request %d has no answer", n)
	return nil
}

// finishRequest answers as the server did and checks what the client makes of it.
func (r *replay) finishRequest(l *transcript.Entry) {
	q := r.request[l.N]
	if q == nil {
		return
	}
	body := r.answerBody(l, q)
	q.arrived.respond <- func(w http.ResponseWriter) {
		for k, v := range l.Headers {
			if k != "Content-Length" && k != "Connection" && k != "Server" {
				w.Header().Set(k, v)
			}
		}
		w.WriteHeader(l.Status)
		_, _ = w.Write(body)
	}
	check := await(r.t, q.arrived.Method+" "+q.arrived.URL.String(), q.check)
	check(l)
}

// answerBody is the recorded body; object_info, which the recording leaves out, is in a file of its own.
func (r *replay) answerBody(l *transcript.Entry, q *replayRequest) []byte {
	if !l.BodyOmitted {
		return wholeBody(r.t, l)
	}
	if q.arrived.URL.Path != "/object_info" {
		r.t.Fatalf("the answer to %s is left out of the recording", q.arrived.URL)
	}
	b, err := os.ReadFile(filepath.Join(transcript.Dir(), "object_info.json"))
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// refuseRequest is the end of a request to a server that is gone; it comes back at the same address.
func (r *replay) refuseRequest(l *transcript.Entry) {
	q := r.request[l.N]
	if q == nil {
		return
	}
	await(r.t, "the refused request", q.check)(l)
	r.stage.listen(r.stage.address)
}

// compareRequests holds what the client sent against what the recorder sent.
func (r *replay) compareRequests(l *transcript.Entry, q *stageRequest) {
	want, err := url.Parse(l.Path)
	if err != nil {
		r.t.Fatal(err)
	}
	if q.Method != l.Method || q.URL.Path != want.Path {
		r.t.Errorf("request %d is %s %s, want %s %s", l.N, q.Method, q.URL.Path, l.Method, want.Path)
	}
	for k := range want.Query() {
		if got := q.URL.Query().Get(k); got != want.Query().Get(k) {
			r.t.Errorf("request %d has %s=%q, want %q", l.N, k, got, want.Query().Get(k))
		}
	}
	if l.Method == http.MethodPost && want.Path != "/upload/image" && l.Body != nil {
		got, want := exactly(r, q.body), exactly(r, []byte(*l.Body))
		if m, ok := want.(map[string]any); ok && want.(map[string]any)["prompt"] != nil {
			// The recorder left the id to the server at times, and asked for things a Client does not.
			got, want = got.(map[string]any)["prompt"], m["prompt"]
		}
		if !reflect.DeepEqual(got, want) {
			r.t.Errorf("request %d says %s, want %s", l.N, q.body, *l.Body)
		}
	}
}

// exactly decodes JSON with every digit of its numbers.
func exactly(r *replay, b []byte) any {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		r.t.Fatalf("%v in %s", err, b)
	}
	return v
}

// words is the call that makes a recorded request, or nil if a Client cannot say that.
func (r *replay) words(l *transcript.Entry) act {
	u, err := url.Parse(l.Path)
	if err != nil || l.Headers["Range"] != "" || l.Headers["If-None-Match"] != "" || l.Headers["Origin"] != "" {
		return nil
	}
	switch route := l.Method + " " + u.Path; {
	case route == "POST /prompt":
		return r.submitWords(l)
	case route == "GET /queue":
		return r.queueWords
	case strings.HasPrefix(route, "GET /history/"):
		id, err := url.PathUnescape(strings.TrimPrefix(u.EscapedPath(), "/history/"))
		if err != nil {
			return nil
		}
		return func(ctx context.Context) func(*transcript.Entry) { return r.historyWords(ctx, id) }
	case route == "POST /queue":
		var body map[string]json.RawMessage
		var deleted []string
		if l.Body == nil || json.Unmarshal([]byte(*l.Body), &body) != nil || len(body) != 1 ||
			json.Unmarshal(body["delete"], &deleted) != nil || len(deleted) != 1 {
			return nil
		}
		return r.plainly(func(ctx context.Context) error { return r.client.deletePending(ctx, deleted[0]) })
	case route == "POST /interrupt":
		var body map[string]string
		if l.Body == nil || json.Unmarshal([]byte(*l.Body), &body) != nil || body["prompt_id"] == "" {
			return nil
		}
		return r.plainly(func(ctx context.Context) error { return r.client.interrupt(ctx, body["prompt_id"]) })
	case route == "POST /free":
		var body map[string]bool
		if l.Body == nil || json.Unmarshal([]byte(*l.Body), &body) != nil || !body["unload_models"] || !body["free_memory"] {
			return nil
		}
		return r.plainly(r.client.Free)
	case route == "GET /view":
		return r.viewWords(u.Query())
	case route == "POST /upload/image":
		return r.uploadWords(l)
	case route == "GET /system_stats":
		return r.systemStatsWords
	case route == "GET /features":
		return r.featuresWords
	case route == "GET /object_info":
		return r.objectInfoWords
	}
	return nil
}
