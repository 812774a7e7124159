package comfy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"easel/comfy/transcript"
	"easel/comfy/workflow"
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

func (r *replay) plainly(f func(context.Context) error) act {
	return func(ctx context.Context) func(*transcript.Entry) {
		err := f(ctx)
		return func(a *transcript.Entry) { r.checkStatus(a, err) }
	}
}

// checkStatus holds an error against a status, for the routes that have no more to say.
func (r *replay) checkStatus(a *transcript.Entry, err error) {
	r.t.Helper()
	var status *StatusError
	switch {
	case a.Kind == transcript.HTTPError:
		if !errors.Is(err, ErrUnavailable) {
			r.t.Errorf("refused connection: error %v, want ErrUnavailable", err)
		}
	case a.Status == http.StatusOK:
		if err != nil {
			r.t.Errorf("status 200: error %v", err)
		}
	case !errors.As(err, &status) || status.Code != a.Status:
		r.t.Errorf("status %d: error %v", a.Status, err)
	}
}

func (r *replay) submitWords(l *transcript.Entry) act {
	var body struct {
		Prompt   json.RawMessage `json:"prompt"`
		PromptID any             `json:"prompt_id"`
		ClientID string          `json:"client_id"`
	}
	if l.Body == nil || json.Unmarshal([]byte(*l.Body), &body) != nil {
		return nil
	}
	graph, err := workflow.ParseGraph(body.Prompt)
	if err != nil {
		return nil
	}
	var nodes map[string]struct{ Inputs json.RawMessage }
	if err := json.Unmarshal(body.Prompt, &nodes); err != nil {
		r.t.Fatal(err)
	}
	for _, n := range nodes {
		if n.Inputs == nil {
			return nil // a Graph always says inputs, though it may say that there are none
		}
	}
	s := Submission{ClientID: body.ClientID, Graph: graph}
	s.PromptID, _ = body.PromptID.(string)
	var reply struct {
		PromptID string `json:"prompt_id"`
	}
	if a := r.answer(l.N); a.Body != nil && json.Unmarshal([]byte(*a.Body), &reply) == nil && reply.PromptID != "" {
		s.PromptID = reply.PromptID // where the recorder left it to the server
	}
	r.tracker.Expect(s.PromptID, NewPlan(graph, nil))
	return func(ctx context.Context) func(*transcript.Entry) {
		done, err := r.client.submit(ctx, s)
		return func(a *transcript.Entry) { r.checkSubmit(a, s.PromptID, done, err) }
	}
}

func (r *replay) checkSubmit(a *transcript.Entry, id string, done Submitted, err error) {
	var want struct {
		Error struct {
			Type, Message string
		}
		NodeErrors map[string]struct {
			ClassType string `json:"class_type"`
			Errors    []struct{ Type string }
		} `json:"node_errors"`
	}
	if a.Status == http.StatusOK || a.Status == http.StatusBadRequest {
		if err := json.Unmarshal([]byte(*a.Body), &want); err != nil {
			r.t.Fatal(err)
		}
	}
	got := done.NodeErrors
	switch a.Status {
	case http.StatusOK:
		if err != nil || done.PromptID != id {
			r.t.Errorf("submit: %+v, %v, want prompt %s", done, err, id)
		}
	case http.StatusBadRequest:
		var refused *PromptError
		if !errors.As(err, &refused) || refused.Type != want.Error.Type || refused.Message != want.Error.Message {
			r.t.Errorf("submit: error %v, want a *PromptError of type %s", err, want.Error.Type)
			return
		}
		got = refused.NodeErrors
	case http.StatusRequestEntityTooLarge:
		if !errors.Is(err, ErrTooLarge) {
			r.t.Errorf("submit: error %v, want ErrTooLarge", err)
		}
	default:
		if !errors.Is(err, ErrUnknownOutcome) || errors.Is(err, ErrUnavailable) {
			r.t.Errorf("status %d to submit: error %v, want ErrUnknownOutcome", a.Status, err)
		}
	}
	if !slices.Equal(ids(got), ids(want.NodeErrors)) {
		r.t.Errorf("submit: errors of nodes %v, want %v", ids(got), ids(want.NodeErrors))
	}
	for node, e := range want.NodeErrors {
		if got[node].ClassType != e.ClassType || len(got[node].Errors) != len(e.Errors) || got[node].Errors[0].Type != e.Errors[0].Type {
			r.t.Errorf("submit: node %s has %+v, want %+v", node, got[node], e)
		}
	}
}

func (r *replay) queueWords(ctx context.Context) func(*transcript.Entry) {
	q, err := r.client.Queue(ctx)
	return func(a *transcript.Entry) {
		r.checkStatus(a, err)
		if a.Kind == transcript.HTTPError {
			return
		}
		var want struct {
			Running [][]any `json:"queue_running"`
			Pending [][]any `json:"queue_pending"`
		}
		if err := json.Unmarshal([]byte(*a.Body), &want); err != nil {
			r.t.Fatal(err)
		}
		if len(q.Running) != len(want.Running) || len(q.Pending) != len(want.Pending) {
			r.t.Errorf("queue of %d running and %d pending, want %d and %d", len(q.Running), len(q.Pending), len(want.Running), len(want.Pending))
		}
		if !slices.IsSortedFunc(q.Pending, func(a, b QueueItem) int { return int(a.Number - b.Number) }) {
			r.t.Errorf("pending prompts are not in run order: %+v", q.Pending)
		}
		for i, item := range want.Running {
			if q.Running[i].PromptID != item[1] {
				r.t.Errorf("prompt %s runs, want %v", q.Running[i].PromptID, item[1])
			}
		}
	}
}

func (r *replay) historyWords(ctx context.Context, id string) func(*transcript.Entry) {
	e, err := r.client.history(ctx, id)
	return func(a *transcript.Entry) {
		r.checkStatus(a, err)
		if a.Kind == transcript.HTTPError {
			return
		}
		if absent := a.BodyLen == len("{}"); absent != (e == nil) {
			r.t.Errorf("history of %s: entry %v, want absent = %t", id, e, absent)
		}
		if e != nil {
			r.verdicts[id] = e.verdict()
		}
	}
}

func (r *replay) viewWords(q url.Values) act {
	for k := range q {
		if k != "filename" && k != "subfolder" && k != "type" {
			return nil // another encoding, one channel
		}
	}
	f := OutputFile{Filename: q.Get("filename"), Subfolder: q.Get("subfolder"), Type: q.Get("type")}
	if checkName(f.Filename, f.Subfolder, f.Type) != nil {
		return nil // TestUnsafeNames has these
	}
	return func(ctx context.Context) func(*transcript.Entry) {
		var body []byte
		d, err := r.client.View(ctx, f)
		if err == nil {
			body, err = io.ReadAll(d)
			_ = d.Close()
		}
		return func(a *transcript.Entry) {
			r.checkStatus(a, err)
			if (a.Status == http.StatusNotFound) != errors.Is(err, ErrNotFound) {
				r.t.Errorf("view, status %d: error %v", a.Status, err)
			}
			if a.Status == http.StatusOK && !bytes.Equal(body, wholeBody(r.t, a)) {
				r.t.Errorf("view: %d bytes, want %d", len(body), a.BodyLen)
			}
		}
	}
}

func (r *replay) uploadWords(l *transcript.Entry) act {
	_, params, err := mime.ParseMediaType(l.Headers["Content-Type"])
	if err != nil || params["boundary"] == "" || l.BodyTruncated {
		return nil
	}
	form, err := multipart.NewReader(bytes.NewReader(wholeBody(r.t, l)), params["boundary"]).ReadForm(1 << 20)
	if err != nil || len(form.File["image"]) != 1 || form.Value["type"] != nil && form.Value["type"][0] != "input" {
		return nil
	}
	u := Upload{Name: form.File["image"][0].Filename, Size: form.File["image"][0].Size}
	if u.Name == "" {
		return nil
	}
	if v := form.Value["subfolder"]; v != nil {
		u.Subfolder = v[0]
	}
	if v := form.Value["overwrite"]; v != nil {
		u.Overwrite = v[0] == "true" || v[0] == "1"
	}
	if u.Content, err = form.File["image"][0].Open(); err != nil {
		r.t.Fatal(err)
	}
	return func(ctx context.Context) func(*transcript.Entry) {
		name, err := r.client.Upload(ctx, u)
		return func(a *transcript.Entry) {
			r.checkStatus(a, err)
			if a.Status != http.StatusOK {
				return
			}
			var want struct{ Name, Subfolder string }
			if err := json.Unmarshal([]byte(*a.Body), &want); err != nil {
				r.t.Fatal(err)
			}
			if name != strings.TrimPrefix(want.Subfolder+"/"+want.Name, "/") {
				r.t.Errorf("upload: name %q, want that of %+v", name, want)
			}
		}
	}
}

func (r *replay) systemStatsWords(ctx context.Context) func(*transcript.Entry) {
	s, err := r.client.SystemStats(ctx)
	return func(a *transcript.Entry) {
		r.checkStatus(a, err)
		if s.System.ComfyUIVersion != "0.3.64" || len(s.Devices) != 1 || s.Devices[0].Type != "cpu" || s.Devices[0].VRAMTotal != 17179869184 {
			r.t.Errorf("system stats: %+v", s)
		}
	}
}

func (r *replay) featuresWords(ctx context.Context) func(*transcript.Entry) {
	f, err := r.client.Features(ctx)
	return func(a *transcript.Entry) {
		r.checkStatus(a, err)
		if !f.SupportsPreviewMetadata || f.MaxUploadSize != 104857600 {
			r.t.Errorf("features: %+v", f)
		}
	}
}

func (r *replay) objectInfoWords(ctx context.Context) func(*transcript.Entry) {
	raw, err := r.client.ObjectInfo(ctx)
	return func(a *transcript.Entry) {
		r.checkStatus(a, err)
		info, err := workflow.ParseObjectInfo(raw)
		if err != nil {
			r.t.Fatal(err)
		}
		if c, ok := info.Class("KSampler"); !ok || !c.IsSampler() {
			r.t.Errorf("object info: KSampler is no sampler: %+v", c)
		}
	}
}
