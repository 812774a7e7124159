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
	"slices"
	"strings"

	"easel/comfy/transcript"
	"easel/comfy/workflow"
)

// plainly is for calls whose answer is nothing but a status.
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
