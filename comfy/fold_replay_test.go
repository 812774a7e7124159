package comfy

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"easel/comfy/transcript"
	"easel/comfy/workflow"
)

// recording is a transcript as a program would have lived it: the prompts that it sent, and what
// history said of them at last.
type recording struct {
	file    *transcript.File
	prompts []recordedPrompt // in the order of their POSTs
	history map[string]historyVerdict
}

type recordedPrompt struct {
	id, client string
	plan       Plan
}

// historyVerdict is the status of a history entry.
type historyVerdict struct {
	Status   string              `json:"status_str"`
	Messages [][]json.RawMessage `json:"messages"`
}

// phase is the verdict in the tracker's words.
func (v historyVerdict) phase() Phase {
	if v.Status == "success" {
		return PhaseComplete
	}
	for _, m := range v.Messages {
		if string(m[0]) == `"execution_interrupted"` {
			return PhaseCancelled
		}
	}
	return PhaseFailed
}

func readRecording(t testing.TB, name string) *recording {
	t.Helper()
	file, err := transcript.Read("", name)
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{file: file, history: map[string]historyVerdict{}}
	for _, x := range file.Exchanges() {
		if x.Response == nil || x.Response.Status != 200 || x.Response.Body == nil {
			continue
		}
		path := strings.TrimPrefix(x.Request.Path, "/api")
		switch {
		case x.Request.Method == "POST" && path == "/prompt" && x.Request.Body != nil:
			r.addPrompt(t, *x.Request.Body, *x.Response.Body)
		case x.Request.Method == "GET" && strings.HasPrefix(path, "/history") && x.Response.Whole():
			var entries map[string]struct{ Status historyVerdict }
			if err := json.Unmarshal([]byte(*x.Response.Body), &entries); err != nil {
				t.Fatalf("%s: %s: %v", name, path, err)
			}
			for id, entry := range entries {
				r.history[id] = entry.Status
			}
		}
	}
	return r
}

func (r *recording) addPrompt(t testing.TB, request, response string) {
	t.Helper()
	var sent struct {
		Prompt    json.RawMessage `json:"prompt"`
		ClientID  string          `json:"client_id"`
		ExtraData struct {
			ClientID string `json:"client_id"`
		} `json:"extra_data"`
	}
	var answer struct {
		PromptID string `json:"prompt_id"`
	}
	if json.Unmarshal([]byte(request), &sent) != nil { // a body that the recorder meant to be odd
		return
	}
	if err := json.Unmarshal([]byte(response), &answer); err != nil {
		t.Fatal(err)
	}
	g, err := workflow.ParseGraph(sent.Prompt)
	if err != nil {
		t.Fatalf("%s: %v", r.file.Name, err)
	}
	if sent.ClientID == "" {
		sent.ClientID = sent.ExtraData.ClientID
	}
	r.prompts = append(r.prompts, recordedPrompt{answer.PromptID, sent.ClientID, NewPlan(g, stockInfo(t))})
}

// clients maps each socket of the file to its client id.
func (r *recording) clients(t testing.TB) map[string]string {
	t.Helper()
	clients := map[string]string{}
	for _, e := range r.file.Entries {
		if e.Kind == transcript.WSConnect {
			u, err := url.Parse(e.Path)
			if err != nil {
				t.Fatal(err)
			}
			clients[e.WS] = u.Query().Get("clientId")
		}
	}
	return clients
}

// change is one message that a tracker was given.
type change struct {
	Message
	prompt        string // that Apply named
	changed       bool
	before, after Progress // of that prompt
}

// play gives all that one client heard, over all its sockets, to a tracker that expects the client's
// prompts. A bare executing is answered as the studio would, with the running prompt from /queue: the
// first that has not ended.
func (r *recording) play(t testing.TB, client string) (*Tracker, []change) {
	t.Helper()
	tracker := NewTracker()
	for _, p := range r.prompts {
		if p.client == client {
			tracker.Expect(p.id, p.plan)
		}
	}
	clients := r.clients(t)
	var changes []change
	for _, e := range r.file.Received("") {
		if clients[e.WS] != client {
			continue
		}
		m := decodeEntry(t, e)
		c := change{Message: m}
		before := map[string]Progress{}
		for _, p := range r.prompts {
			before[p.id], _ = tracker.Snapshot(p.id)
		}
		c.prompt, c.changed = tracker.Apply(m, at(e.At()))
		c.before = before[c.prompt]
		c.after, _ = tracker.Snapshot(c.prompt)
		changes = append(changes, c)
		if m.Type == TypeExecuting && m.PromptID == "" {
			for _, p := range r.prompts {
				if p.client == client && !before[p.id].Ended {
					tracker.Resumed(p.id)
					break
				}
			}
		}
	}
	return tracker, changes
}

// heard plays the recording to the client of its n-th prompt and returns the messages that
// concerned that prompt.
func heard(t testing.TB, name string, n int) []change {
	t.Helper()
	r := readRecording(t, name)
	_, changes := r.play(t, r.prompts[n].client)
	var own []change
	for _, c := range changes {
		if c.prompt == r.prompts[n].id {
			own = append(own, c)
		}
	}
	if len(own) == 0 {
		t.Fatalf("%s: nothing was heard of prompt %d", name, n)
	}
	return own
}

// of selects the changes by messages of one type.
func of(changes []change, messageType string) []change {
	return slices.DeleteFunc(slices.Clone(changes), func(c change) bool { return c.Type != messageType })
}

func decodeEntry(t testing.TB, e transcript.Entry) Message {
	t.Helper()
	frame, err := e.Frame()
	if err != nil {
		t.Fatalf("at %v: %v", e.At(), err)
	}
	var m Message
	if e.Op == "text" {
		m, err = DecodeText(frame)
	} else {
		m, err = DecodeBinary(frame)
	}
	if err != nil {
		t.Fatalf("at %v: %v", e.At(), err)
	}
	return m
}

// unheard lists the prompts whose end no socket of their client heard, by file. Their ends are
// known from /history alone, which is what the rest of the program is for.
var unheard = map[string]string{
	"08-reconnect/half-open-then-reset": "the new socket is forgotten by the server",
	"08-reconnect/return-after-the-end": "nobody listened",
	"08-reconnect/return-with-other-id": "the new socket has another client id",
}

// TestFoldEveryTranscript folds what each client of each recording heard, checks what must hold
// after every message, and compares the verdicts with the last word of history.
func TestFoldEveryTranscript(t *testing.T) {
	names, err := transcript.Names("")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 70 {
		t.Fatalf("%d recordings found, want all of them", len(names))
	}
	compared := 0
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			r := readRecording(t, name)
			seen := map[string]bool{}
			for _, client := range r.clients(t) {
				if seen[client] {
					continue
				}
				seen[client] = true
				tracker, changes := r.play(t, client)
				for _, c := range changes {
					checkChange(t, c)
				}
				for _, p := range r.prompts {
					// An empty prompt_id, which the server takes, cannot be told from none.
					if p.client == client && p.id != "" {
						compared += compareWithHistory(t, r, tracker, p.id)
					}
				}
			}
		})
	}
	if compared < 110 {
		t.Errorf("%d verdicts compared, want all of the 114 that are in the recordings", compared)
	}
}

// compareWithHistory compares the tracker's verdict with that of history and returns 1 if there
// were both.
func compareWithHistory(t *testing.T, r *recording, tracker *Tracker, id string) int {
	t.Helper()
	got, _ := tracker.Snapshot(id)
	verdict, known := r.history[id]
	if !known {
		return 0
	}
	if !got.Phase.Ended() {
		if unheard[r.file.Name] == "" {
			t.Errorf("prompt %s: phase = %s, history says %s", id, got.Phase, verdict.phase())
		}
		return 0
	}
	if got.Phase != verdict.phase() {
		t.Errorf("prompt %s: phase = %s, history says %s", id, got.Phase, verdict.phase())
	}
	if !got.Ended {
		t.Errorf("prompt %s: Ended = false after its end", id)
	}
	if got.Phase == PhaseComplete && (got.Percent != 100 || got.Fraction != 1 || got.StepsDone != got.StepsPlanned) {
		t.Errorf("prompt %s: complete at %d %%, %v, %d of %d steps", id, got.Percent, got.Fraction, got.StepsDone, got.StepsPlanned)
	}
	return 1
}

// checkChange checks what holds for any message on any state.
func checkChange(t testing.TB, c change) {
	t.Helper()
	p, q := c.before, c.after
	if c.prompt == "" {
		return
	}
	checkNumbers(t, q)
	switch {
	case q.Percent < p.Percent, q.Fraction < p.Fraction, q.StepsDone < p.StepsDone:
		t.Errorf("%s: went back: %d %% %v, then %d %% %v", c.Type, p.Percent, p.Fraction, q.Percent, q.Fraction)
	case q.Percent == 100 && p.Percent < 100 && q.Phase != PhaseFinishing && q.Phase != PhaseComplete:
		t.Errorf("%s: 100 %% in phase %s", c.Type, q.Phase)
	case q.Fraction == 1 && !q.Ended:
		t.Errorf("%s: Fraction = 1 before the end", c.Type)
	case q.Ended != (p.Ended || c.Type == TypeExecuting && c.Node == ""):
		t.Errorf("%s: Ended = %v", c.Type, q.Ended)
	case c.changed != (p != q):
		t.Errorf("%s: changed = %v", c.Type, c.changed)
	case c.changed && q.UpdatedAt.IsZero():
		t.Errorf("%s: changed at no time", c.Type)
	}
}

// checkNumbers checks what holds for any state.
func checkNumbers(t interface {
	Helper()
	Errorf(string, ...any)
}, p Progress,
) {
	t.Helper()
	if p.Percent < 0 || p.Percent > 100 || !(p.Fraction >= 0 && p.Fraction <= 1) ||
		p.Step < 0 || p.Step > p.Steps || p.StepsDone < 0 || p.StepsDone > p.StepsPlanned || p.Pass > p.Passes {
		t.Errorf("impossible state: %s, Fraction %v", words(p), p.Fraction)
	}
}
