package comfy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"easel/comfy/workflow"
)

func submission() Submission { return Submission{PromptID: promptID, ClientID: "easel"} }

// hijack takes the connection from the server, request read.
func hijack(t *testing.T, w http.ResponseWriter) *net.TCPConn {
	t.Helper()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		panic(http.ErrAbortHandler)
	}
	return conn.(*net.TCPConn)
}

// TestUnknownOutcome is about everything after which a prompt may be in the queue: it must be told apart from what
// surely was not sent, and nothing may be sent twice.
func TestUnknownOutcome(t *testing.T) {
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		want    error // what it is; the other two of the three it must not be
	}{
		{"timeout", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, ErrUnknownOutcome},
		{"502 of a proxy", status(502, "<html>bad gateway"), ErrUnknownOutcome},
		{"500 of ComfyUI", status(500, "500 Internal Server Error\n\nServer got itself in trouble"), ErrUnknownOutcome},
		{"504", status(504, ""), ErrUnknownOutcome},
		{"408", status(408, ""), ErrUnknownOutcome},
		{"reset after the request", func(w http.ResponseWriter, _ *http.Request) {
			conn := hijack(t, w)
			_ = conn.SetLinger(0)
			_ = conn.Close()
		}, ErrUnknownOutcome},
		{"closed without an answer", func(w http.ResponseWriter, _ *http.Request) { _ = hijack(t, w).Close() }, ErrUnknownOutcome},
		{"answer cut short", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"prompt_id": "`)
		}, ErrUnknownOutcome},
		{"login page", status(200, "<html>"), ErrNotComfyUI},
		{"200 without an id", status(200, "{}"), ErrNotComfyUI},
		{"404", status(404, ""), ErrNotComfyUI},
		{"403", status(403, ""), nil},
		{"413", status(413, ""), ErrTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			var requests atomic.Int32
			c := fake(t, ClientOptions{SubmitTimeout: 100 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client leaves
				test.handler(w, r)
			})
			_, err := c.Submit(t.Context(), submission())
			if err == nil {
				t.Fatal("no error")
			}
			for _, e := range []error{ErrUnknownOutcome, ErrUnavailable, ErrNotComfyUI, ErrTooLarge} {
				if errors.Is(err, e) != (e == test.want) { //nolint:errorlint // the table's own values
					t.Errorf("error is %v; is it %q? want %t", err, e, e == test.want) //nolint:errorlint // see above
				}
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

// TestSurelyNotSent is the other half: no connection, so nothing to look up.
func TestSurelyNotSent(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	refusing := clientOf(t, s, ClientOptions{})
	s.Close()

	// Speaks no TLS, so the handshake fails and the request stays here.
	var requests atomic.Int32
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	t.Cleanup(plain.Close)
	noTLS, err := NewClient(strings.Replace(plain.URL, "http:", "https:", 1), ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	willing := clientOf(t, httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) })), ClientOptions{})

	for name, call := range map[string]func() error{
		"connection refused": func() error { _, err := refusing.Submit(t.Context(), submission()); return err },
		"no TLS there":       func() error { _, err := noTLS.Submit(t.Context(), submission()); return err },
		"caller gone before": func() error { _, err := willing.Submit(over, submission()); return err },
	} {
		if err := call(); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("%s: error %v, want ErrUnavailable and not ErrUnknownOutcome", name, err)
		}
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests were made, want none", n)
	}
}

func TestACallerWhoLeavesDoesNotUndoThePost(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := fake(t, ClientOptions{}, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	})
	if _, err := c.Submit(ctx, submission()); !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want ErrUnknownOutcome and context.Canceled", err)
	}
}

func TestSubmitTakesOnlyLowercaseUUIDs(t *testing.T) {
	var requests atomic.Int32
	c := fake(t, ClientOptions{}, func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	for _, id := range []string{"", "7", strings.ToUpper(promptID), "{" + promptID + "}", "urn:uuid:" + promptID, strings.ReplaceAll(promptID, "-", "")} {
		if _, err := c.Submit(t.Context(), Submission{PromptID: id, ClientID: "easel"}); err == nil {
			t.Errorf("prompt_id %q was taken", id)
		}
	}
	if _, err := c.Submit(t.Context(), Submission{PromptID: promptID}); err == nil {
		t.Error("no client_id was taken")
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests were made, want none", n)
	}
}

func TestSubmitSendsEveryDigit(t *testing.T) {
	var body []byte
	c := fake(t, ClientOptions{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, `{"prompt_id": "`+promptID+`", "number": -1.5, "node_errors": {"9": {"class_type": "SaveImage", "errors": [
			{"type": "required_input_missing", "message": "m", "details": "images", "extra_info": {"input_name": "images"}},
			{"type": "odd", "message": "m", "details": "", "extra_info": []}], "dependent_outputs": ["9"]}, "x": "odd"}}`)
	})
	g, err := workflow.ParseGraph([]byte(`{"10": {"class_type": "KSampler", "inputs": {"seed": 18446744073709551615, "cfg": 7.10, "text": "<é>"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	done, err := c.Submit(t.Context(), Submission{
		PromptID: promptID, ClientID: "easel", Graph: g, ExtraData: map[string]any{"easel": uint64(1<<64 - 1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"seed":18446744073709551615`, `"cfg":7.10`, `"easel":18446744073709551615`, `"client_id":"easel"`, `"prompt_id":"` + promptID + `"`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the request lacks %s: %s", want, body)
		}
	}
	if !json.Valid(body) || done.Number != -1.5 {
		t.Errorf("body %s, number %v", body, done.Number)
	}
	e := done.NodeErrors["9"]
	if len(done.NodeErrors) != 2 || e.ClassType != "SaveImage" || len(e.Errors) != 2 || len(e.Input("images")) != 1 || e.DependentOutputs[0] != "9" {
		t.Errorf("node errors %+v", done.NodeErrors)
	}
}

func TestPromptErrors(t *testing.T) {
	for _, test := range []struct {
		body string
		want PromptError
	}{
		{
			`{"error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", "details": "", "extra_info": {}},
		  "node_errors": {"4": {"errors": [{"type": "value_not_in_list", "message": "Value not in list", "details": "ckpt_name: 'x'", "extra_info": {"input_name": "ckpt_name", "received_value": NaN}}],
		  "dependent_outputs": ["9"], "class_type": "CheckpointLoaderSimple"}}}`,
			PromptError{Type: "prompt_outputs_failed_validation", Message: "Prompt outputs failed validation"},
		},
		{`{"error": "no prompt", "node_errors": []}`, PromptError{Message: "no prompt"}},
	} {
		c := fake(t, ClientOptions{}, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, test.body)
		})
		_, err := c.Submit(t.Context(), submission())
		var got *PromptError
		if !errors.As(err, &got) || got.Type != test.want.Type || got.Message != test.want.Message {
			t.Errorf("error %v, want %+v", err, test.want)
			continue
		}
		if got.Type != "" {
			if in := got.Input("4", "ckpt_name"); len(in) != 1 || in[0].Type != "value_not_in_list" || in[0].Details != "ckpt_name: 'x'" {
				t.Errorf("complaints about ckpt_name: %+v", in)
			}
			if in := got.Input("4", "other"); len(in) != 0 {
				t.Errorf("complaints about another input: %+v", in)
			}
		}
	}
	c := fake(t, ClientOptions{}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "who are you?")
	})
	_, err := c.Submit(t.Context(), submission())
	var status *StatusError
	if !errors.As(err, &status) || status.Code != 400 || string(status.Body) != "who are you?" || strings.Contains(err.Error(), "who") {
		t.Errorf("a 400 in plain text: %v", err)
	}
}
