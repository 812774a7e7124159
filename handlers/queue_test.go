package handlers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"easel/studio"
)

// The queue can be read and put in order by programs; what cannot be done is refused in words.
func TestQueueAPI(t *testing.T) {
	t.Parallel()
	f := newFake()
	runs := f.put(newState(f, "runs", studio.Generating, 1))
	ended := f.put(newState(f, "ended", studio.Complete, 1)).Generation.ID.String()
	waits := f.put(newState(f, "waits", studio.Pending, 2))
	start := f.now.Add(3 * time.Minute)
	f.update(waits.Generation.ID, func(s *studio.State) { s.Progress.ExpectedStart = start })
	_, ts := serve(t, f)
	id := waits.Generation.ID.String()
	post := func(path, body string) (int, string) {
		t.Helper()
		return askQueue(t, http.MethodPost, ts.URL+path, body)
	}
	for _, test := range []struct {
		path, body string
		status     int
		want       string // in the answer
		moved      string // the last of the studio's moves
	}{
		{"/api/generations/" + id + "/move", `{"to":"front"}`, 200, id, "front"},
		{"/api/generations/" + id + "/move", `{"to":"down"}`, 200, id, "down"},
		{"/api/generations/" + id + "/move", `{"before":"` + ended + `"}`, 200, id, "before " + ended},
		{"/api/generations/" + id + "/move", `{"to":"sideways"}`, 422, "front, back, up or down", ""},
		{"/api/generations/" + id + "/move", `{"to":"up","before":"` + ended + `"}`, 422, "front, back, up or down", ""},
		{"/api/generations/" + id + "/move", `{"before":"x"}`, 422, "no id", ""},
		{"/api/generations/" + id + "/move", `{"too":"up"}`, 422, "is not a field", ""},
		{"/api/generations/" + id + "/move", `{"to":1}`, 422, "must be text", ""},
		{"/api/generations/" + id + "/move", `[]`, 400, "JSON object", ""},
		{"/api/generations/" + id + "/priority", `{"priority":"high"}`, 200, `"priority":"high"`, "high"},
		{"/api/generations/" + id + "/priority", `{"priority":"urgent"}`, 422, "low, normal or high", ""},
		{"/api/generations/" + id + "/hold", ``, 200, `"held":true`, "hold"},
		{"/api/generations/" + id + "/release", ``, 200, `"held":false`, "hold"},
		{"/api/generations/" + ended + "/hold", ``, 409, "has ended", ""},
		{"/api/generations/" + runs.Generation.ID.String() + "/move", `{"to":"back"}`, 409, "A server has this generation", ""},
		{"/api/generations/nothing/hold", ``, 404, "no such generation", ""},
		{"/api/queue/pause", ``, 200, `"paused":true`, ""},
	} {
		before := len(f.moves)
		status, answer := post(test.path, test.body)
		if status != test.status || !strings.Contains(answer, test.want) {
			t.Errorf("%s %s: %d %s, want %d with %q", test.path, test.body, status, answer, test.status, test.want)
		}
		switch {
		case test.moved == "" && len(f.moves) != before:
			t.Errorf("%s %s moved %v", test.path, test.body, f.moves[before:])
		case test.moved != "" && (len(f.moves) != before+1 || f.moves[before].what != test.moved):
			t.Errorf("%s %s moved %v, want %s", test.path, test.body, f.moves[before:], test.moved)
		}
	}
	var queue queueJSON
	_, answer := askQueue(t, http.MethodGet, ts.URL+"/api/queue", "")
	if err := json.Unmarshal([]byte(answer), &queue); err != nil {
		t.Fatal(err)
	}
	if !queue.Paused || len(queue.Running) != 1 || len(queue.Waiting) != 1 || queue.Counts != (queueCounts{Running: 1, Waiting: 1}) {
		t.Errorf("queue = %s", answer)
	}
	if at := queue.Waiting[0].Progress.ExpectedStart; at == nil || *at != timeText(start) {
		t.Errorf("expectedStart = %v, want %s", at, timeText(start))
	}
	if status, answer := post("/api/queue/cancel", ""); status != 202 || !strings.Contains(answer, `"cancelling":2`) {
		t.Errorf("cancel all: %d %s", status, answer)
	}
}

// askQueue sends a request as a program does.
func askQueue(t *testing.T, method, url, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode, bodyOf(t, res)
}

// A queue of ten thousand is shown by its first hundred, and read in portions.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	f := newFake()
	for i := range 250 {
		state := newState(f, fmt.Sprintf("number %d", i), studio.Pending, 1)
		f.mu.Lock()
		f.states[state.Generation.ID] = state
		f.mu.Unlock()
	}
	f.publish()
	_, ts := serve(t, f)
	_, page := askQueue(t, http.MethodGet, ts.URL+"/api/queue?limit=100&cursor=200", "")
	var queue queueJSON
	if err := json.Unmarshal([]byte(page), &queue); err != nil || len(queue.Waiting) != 50 || queue.NextCursor != nil || queue.Counts.Waiting != 250 {
		t.Errorf("the last portion has %d of %d, next %v, %v", len(queue.Waiting), queue.Counts.Waiting, queue.NextCursor, err)
	}
	if status, _ := askQueue(t, http.MethodGet, ts.URL+"/api/queue?cursor=-1", ""); status != 400 {
		t.Errorf("a cursor that is not ours: %d", status)
	}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, ts.URL+"/queue", nil)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	html := bodyOf(t, res)
	if n := strings.Count(html, `class="waiting-row"`); n != queueShown || !strings.Contains(html, "and 150 more") {
		t.Errorf("%d rows are shown, want %d and the number of the others", n, queueShown)
	}
	if len(html) > 500_000 {
		t.Errorf("the page has %d bytes", len(html))
	}
}
