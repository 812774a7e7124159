package comfy

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// paths records what was asked for, in order.
type paths struct {
	mu  sync.Mutex
	all []string
}

func (p *paths) wrap(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.all = append(p.all, r.Method+" "+strings.ReplaceAll(r.URL.Path, promptID, "ID"))
		p.mu.Unlock()
		h(w, r)
	}
}

func (p *paths) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.all
	p.all = nil
	return all
}

const emptyQueue = `{"queue_running": [], "queue_pending": []}`

func queueItem(number, id string) string {
	return `[` + number + `, "` + id + `", {"3": {"class_type": "X", "inputs": {"seed": NaN}}}, {"client_id": "easel", "create_time": 1}, ["9"]]`
}

func history(status, outputs string) string {
	return `{"` + promptID + `": {"prompt": ` + queueItem("0", promptID) + `, "outputs": ` + outputs + `, "status": ` + status + `, "meta": {}}}`
}

func TestLookupReadsTheQueueFirst(t *testing.T) {
	var asked paths
	c := fake(t, ClientOptions{}, asked.wrap(routes(map[string]string{"GET /queue": emptyQueue, "GET /history/" + promptID: `{}`})))
	for _, want := range [][]string{
		{"GET /api/jobs/ID", "GET /queue", "GET /history/ID"},
		{"GET /queue", "GET /history/ID"}, // it is an old server; that is remembered
	} {
		l, err := c.Lookup(t.Context(), promptID)
		if err != nil || l.State != Absent {
			t.Errorf("Lookup = %+v, %v, want absent", l, err)
		}
		if got := asked.take(); !slices.Equal(got, want) {
			t.Errorf("asked %v, want %v", got, want)
		}
	}
	c.Reconnected()
	if _, err := c.Lookup(t.Context(), promptID); err != nil {
		t.Fatal(err)
	}
	if got := asked.take(); got[0] != "GET /api/jobs/ID" {
		t.Errorf("after a reconnect asked %v, want the jobs API first", got)
	}
}

// TestAPromptThatMovesBetweenTheReadsIsNotLost is about a server that ends the prompt right after the first read,
// whichever that is.
func TestAPromptThatMovesBetweenTheReadsIsNotLost(t *testing.T) {
	var over bool
	c := fake(t, ClientOptions{}, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/queue" && !over:
			_, _ = io.WriteString(w, `{"queue_running": [`+queueItem("0", promptID)+`], "queue_pending": []}`)
		case r.URL.Path == "/queue":
			_, _ = io.WriteString(w, emptyQueue)
		case r.URL.Path == "/history/"+promptID && over:
			_, _ = io.WriteString(w, history(`{"status_str": "success", "completed": true, "messages": []}`, `{}`))
		case r.URL.Path == "/history/"+promptID:
			_, _ = io.WriteString(w, `{}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			return
		}
		over = true
	})
	for _, want := range []State{Running, Succeeded} {
		if l, err := c.Lookup(t.Context(), promptID); err != nil || l.State != want {
			t.Errorf("Lookup = %s, %v, want %s", l.State, err, want)
		}
	}
}

func TestLookupInTheQueue(t *testing.T) {
	const first, other = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
	for _, test := range []struct {
		name, queue string
		state       State
		ahead       int
	}{
		{"runs", `{"queue_running": [` + queueItem("5", promptID) + `], "queue_pending": [` + queueItem("6", other) + `]}`, Running, 0},
		{"next", `{"queue_running": [` + queueItem("0", first) + `], "queue_pending": [` + queueItem("6", promptID) + `]}`, Waiting, 1},
		{"heap order is not run order", `{"queue_running": [` + queueItem("0", "r") + `], "queue_pending": [` +
			queueItem("-3", "a") + `,` + queueItem("9", promptID) + `,` + queueItem("8.5", "b") + `,` + queueItem("9", first) + `,` + queueItem("10", "c") + `]}`, Waiting, 4},
	} {
		c := fake(t, ClientOptions{}, routes(map[string]string{"GET /queue": test.queue}))
		if l, err := c.Lookup(t.Context(), promptID); err != nil || l.State != test.state || l.Ahead != test.ahead {
			t.Errorf("%s: Lookup = %+v, %v, want %s, %d ahead", test.name, l, err, test.state, test.ahead)
		}
	}
}

func TestHistoryVerdicts(t *testing.T) {
	const failure = `["execution_error", {"prompt_id": "x", "node_id": "12", "node_type": "BenchFail", "executed": ["1"], "exception_message": "it broke\n",
		"exception_type": "RuntimeError", "traceback": ["  File 1\n", "  File 2\n"], "current_inputs": {"a": [NaN, Infinity]}, "current_outputs": []}]`
	const blockedNode = `["execution_error", {"node_id": "7", "node_type": "SaveImage", "exception_type": "ExecutionBlocked", "exception_message": "blocked", "traceback": [], "current_inputs": [], "current_outputs": []}]`
	const start = `["execution_start", {"prompt_id": "x", "timestamp": 1}], ["execution_cached", {"nodes": []}]`
	for _, test := range []struct {
		name, status string
		state        State
		node, words  string
	}{
		{"done", `{"status_str": "success", "completed": true, "messages": [` + start + `, ["execution_success", {}]]}`, Succeeded, "", ""},
		{"done though a node was blocked", `{"status_str": "success", "completed": true, "messages": [` + start + `, ` + blockedNode + `, ["execution_success", {}]]}`, Succeeded, "", ""},
		{"raised", `{"status_str": "error", "completed": false, "messages": [` + start + `, ` + failure + `]}`, Failed, "12", "it broke"},
		{"blocked, then raised", `{"status_str": "error", "completed": false, "messages": [` + start + `, ` + failure + `, ` + blockedNode + `]}`, Failed, "12", "it broke"},
		{"interrupted", `{"status_str": "error", "completed": false, "messages": [` + start + `, ["execution_interrupted", {"node_id": "3", "executed": []}]]}`, Interrupted, "", ""},
		{"error without a word", `{"status_str": "error", "completed": false, "messages": []}`, Failed, "", `history says "error"`},
		{"words of other shapes", `{"status_str": "error", "completed": -1, "messages": [5, ["execution_error"], [1, 2], ` + failure + `, ["a", {}, 3]]}`, Failed, "12", "it broke"},
		{"words that are no list", `{"status_str": "success", "completed": "yes", "messages": {"a": 1}}`, Succeeded, "", ""},
		{"a status that nobody knows", `{"status_str": "odd", "completed": true, "messages": []}`, Failed, "", `history says "odd"`},
		{"no status", `null`, Failed, "", "does not say"},
	} {
		c := fake(t, ClientOptions{}, routes(map[string]string{
			"GET /queue": emptyQueue, "GET /history/" + promptID: history(test.status, `{}`),
		}))
		l, err := c.Lookup(t.Context(), promptID)
		if err != nil || l.State != test.state || !l.State.Ended() {
			t.Errorf("%s: Lookup = %+v, %v, want %s", test.name, l, err, test.state)
			continue
		}
		if (l.Error != nil) != (test.state == Failed) {
			t.Errorf("%s: error %+v", test.name, l.Error)
		}
		if l.Error != nil && (l.Error.NodeID != test.node || !strings.Contains(l.Error.Message, test.words)) {
			t.Errorf("%s: error %+v, want node %q and %q", test.name, l.Error, test.node, test.words)
		}
		if test.node == "12" && (l.Error.NodeType != "BenchFail" || l.Error.ExceptionType != "RuntimeError" || l.Error.Traceback != "  File 1\n  File 2\n") {
			t.Errorf("%s: error %+v", test.name, l.Error)
		}
	}
}

func TestOutputsKeepTheirPlaces(t *testing.T) {
	c := fake(t, ClientOptions{}, routes(map[string]string{
		"GET /queue": emptyQueue,
		"GET /history/" + promptID: history(`{"status_str": "success", "completed": true, "messages": []}`, `{
			"10": {"images": [{"filename": "c.png", "subfolder": "s", "type": "output"}, {"filename": "d\n.png", "subfolder": "", "type": "temp"}], "animated": [true]},
			"9": {"images": [{"filename": "b.png", "subfolder": "", "type": "output"}], "gifs": [null, {"filename": "a.mp4", "subfolder": "", "type": "output", "frame_rate": NaN}]},
			"x:1": {"audio": [{"filename": "e.flac"}], "text": ["words"], "odd": {"filename": "no"}, "other": [[1], 5, {"filename": 7}]},
			"11": null}`),
	}))
	l, err := c.Lookup(t.Context(), promptID)
	if err != nil {
		t.Fatal(err)
	}
	want := []OutputFile{
		{Node: "9", Kind: "gifs", Index: 1, Filename: "a.mp4", Type: "output"},
		{Node: "9", Kind: "images", Index: 0, Filename: "b.png", Type: "output"},
		{Node: "10", Kind: "images", Index: 0, Filename: "c.png", Subfolder: "s", Type: "output"},
		{Node: "10", Kind: "images", Index: 1, Filename: "d\n.png", Type: "temp"},
		{Node: "x:1", Kind: "audio", Index: 0, Filename: "e.flac", Type: "output"},
	}
	if !slices.Equal(l.Outputs, want) {
		t.Errorf("outputs %+v\nwant %+v", l.Outputs, want)
	}
	if _, err := c.View(t.Context(), l.Outputs[3]); !errors.Is(err, ErrUnsafeName) {
		t.Errorf("View of a name with a newline: error %v, want ErrUnsafeName", err)
	}
}

func TestAFailedReadIsNotAbsence(t *testing.T) {
	for _, broken := range []string{"/queue", "/history/" + promptID, "/api/jobs/" + promptID} {
		c := fake(t, ClientOptions{}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == broken {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			routes(map[string]string{"GET /queue": emptyQueue, "GET /history/" + promptID: `{}`})(w, r)
		})
		if l, err := c.Lookup(t.Context(), promptID); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s broken: Lookup = %+v, %v, want ErrUnavailable", broken, l, err)
		}
	}
	other := strings.Replace(history(`{}`, `{}`), promptID, "other", 1)
	c := fake(t, ClientOptions{}, routes(map[string]string{"GET /queue": emptyQueue, "GET /history/" + promptID: other}))
	if l, err := c.Lookup(t.Context(), promptID); err == nil {
		t.Errorf("an entry of another prompt: Lookup = %+v, want an error", l)
	}
}

func TestLookupByTheJobsAPI(t *testing.T) {
	job := func(status, rest string) string {
		return `{"id": "` + promptID + `", "status": "` + status + `"` + rest + `}`
	}
	const outputs = `, "outputs": {"9": {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}}`
	for _, test := range []struct {
		name, job string
		state     State
		ahead     int
	}{
		{"pending", job("pending", `, "priority": 1`), Waiting, 1},
		{"in progress", job("in_progress", ``), Running, 0},
		{"completed", job("completed", outputs+`, "execution_status": {"status_str": "success", "completed": true, "messages": []}`), Succeeded, 0},
		{"completed without a status", job("completed", outputs+`, "execution_status": null`), Failed, 0},
		{"failed", job("failed", outputs+`, "execution_status": {"status_str": "error", "messages": [["execution_error", {"exception_type": "X"}]]}`), Failed, 0},
		{"cancelled", job("cancelled", outputs+`, "execution_status": {"status_str": "error", "messages": [["execution_interrupted", {}]]}`), Interrupted, 0},
	} {
		var asked paths
		c := fake(t, ClientOptions{}, asked.wrap(routes(map[string]string{
			"GET /api/jobs/" + promptID: test.job,
			"GET /queue":                `{"queue_running": [` + queueItem("0", "r") + `], "queue_pending": [` + queueItem("1", promptID) + `]}`,
		})))
		l, err := c.Lookup(t.Context(), promptID)
		if err != nil || l.State != test.state || l.Ahead != test.ahead {
			t.Errorf("%s: Lookup = %+v, %v, want %s, %d ahead", test.name, l, err, test.state, test.ahead)
		}
		if l.State.Ended() && len(l.Outputs) != 1 {
			t.Errorf("%s: outputs %+v, want one", test.name, l.Outputs)
		}
		if asked := asked.take(); test.state != Waiting && len(asked) != 1 {
			t.Errorf("%s: asked %v, want the job alone", test.name, asked)
		}
	}
	for _, odd := range []string{job("new word", ``), `{"id": "other", "status": "completed"}`, `[]`} {
		c := fake(t, ClientOptions{}, routes(map[string]string{"GET /api/jobs/" + promptID: odd}))
		if l, err := c.Lookup(t.Context(), promptID); err == nil {
			t.Errorf("%s: Lookup = %+v, want an error", odd, l)
		}
	}
}

// TestAJobThatIsNotFoundIsLookedForElsewhere: the 404 of a job looks like that of a missing route or a proxy's.
func TestAJobThatIsNotFoundIsLookedForElsewhere(t *testing.T) {
	var asked paths
	c := fake(t, ClientOptions{}, asked.wrap(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/queue":
			_, _ = io.WriteString(w, emptyQueue)
		case "/history/" + promptID:
			_, _ = io.WriteString(w, history(`{"status_str": "success", "completed": true, "messages": []}`, `{}`))
		default:
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": "Job not found"})
		}
	}))
	for range 2 { // the route is there, so it is asked again
		if l, err := c.Lookup(t.Context(), promptID); err != nil || l.State != Succeeded {
			t.Errorf("Lookup = %+v, %v, want succeeded", l, err)
		}
		if got, want := asked.take(), []string{"GET /api/jobs/ID", "GET /queue", "GET /history/ID"}; !slices.Equal(got, want) {
			t.Errorf("asked %v, want %v", got, want)
		}
	}
}

// TestHistoryLaterThanExecutionSuccess: when execution_success is heard the prompt still stands in the queue as
// running, and that is what Lookup must say; no error, no absence, no end.
func TestHistoryLaterThanExecutionSuccess(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{})
	conn := s.open()
	c, err := NewClient(s.url(), ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.jobs.noRead.Store(true)

	lookup := func(queue, entry string) Lookup {
		t.Helper()
		result := make(chan Lookup, 1)
		go func() {
			l, err := c.Lookup(t.Context(), promptID)
			if err != nil {
				t.Error(err)
			}
			result <- l
		}()
		for _, body := range []string{queue, entry} {
			if body != "" {
				q := await(t, "a request", s.requests)
				q.respond <- func(w http.ResponseWriter) { _, _ = io.WriteString(w, body) }
			}
		}
		return await(t, "the lookup", result)
	}
	conn.say(t, `{"type": "execution_success", "data": {"prompt_id": "`+promptID+`", "timestamp": 1}}`)
	if m := await(t, "execution_success", a.messages); m.Type != TypeExecutionSuccess {
		t.Fatalf("message %+v", m)
	}
	if l := lookup(`{"queue_running": [`+queueItem("0", promptID)+`], "queue_pending": []}`, ""); l.State != Running {
		t.Errorf("at execution_success: %s, want running", l.State)
	}
	conn.say(t, `{"type": "executing", "data": {"node": null, "prompt_id": "`+promptID+`"}}`)
	if m := await(t, "executing", a.messages); !m.EndsPrompt() {
		t.Fatalf("message %+v", m)
	}
	if l := lookup(emptyQueue, history(`{"status_str": "success", "completed": true, "messages": []}`, `{}`)); l.State != Succeeded {
		t.Errorf("at executing null: %s, want succeeded", l.State)
	}
}
