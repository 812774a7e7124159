package simulator

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A client that comes back in mid-run is told the node that runs, and hears the rest.
func TestReconnectInMidRun(t *testing.T) {
	t.Parallel()
	gate := NewStepper()
	r := start(t, Config{Gate: gate.Pass})
	first := listenAs(t, r, "me")
	post(t, r, "p", "me", graph("a", 1, 4))
	if _, err := gate.Until(testContext(t), func(at Point) bool { return at.Step == 3 }); err != nil {
		t.Fatal(err)
	}
	first.untilWhere("step 2", func(h heard) bool { return h.Type == "progress" && h.Data.Value == 2 })
	first.leave() // to its end: the server would forget the second with the first
	second := listenAs(t, r, "me")
	if h := second.until("executing"); h.Data.Node == nil || *h.Data.Node != "3" || h.Data.PromptID != "" {
		t.Errorf("after the return: %s", h.raw)
	}
	gate.Open()
	if h := second.until("progress"); h.Data.Value != 3 {
		t.Errorf("value %v, want 3", h.Data.Value)
	}
	second.over("p")
}

// The entry of the history is written after execution_success and before executing(null).
func TestHistoryComesAfterSuccess(t *testing.T) {
	t.Parallel()
	gate := NewStepper()
	r := start(t, Config{Gate: gate.Pass})
	e := listenAs(t, r, "me")
	post(t, r, "p", "me", graph("a", 1, 1))
	if _, err := gate.Until(testContext(t), func(at Point) bool { return at.Stage == StageFinish }); err != nil {
		t.Fatal(err)
	}
	e.until("execution_success")
	if historyHas(t, r, "p") {
		t.Error("the history has it at execution_success")
	}
	gate.Open()
	e.over("p")
	if !historyHas(t, r, "p") {
		t.Error("the history does not have it at the end")
	}
}

func TestPreviewFrames(t *testing.T) {
	t.Parallel()
	r := start(t, Config{PreviewSize: 64})
	e := listenAs(t, r, "me")
	post(t, r, "old", "me", graph("a", 1, 1))
	h := e.until("binary")
	if event, format := binary.BigEndian.Uint32(h.binary), binary.BigEndian.Uint32(h.binary[4:]); event != 1 || format != 1 {
		t.Errorf("event %d, format %d, want 1 and 1", event, format)
	}
	if !strings.HasPrefix(string(h.binary[8:]), "\xff\xd8\xff") {
		t.Errorf("no JPEG: %x", h.binary[8:12])
	}
	e.over("old")

	if err := e.conn.WriteMessage(1, []byte(`{"type": "feature_flags", "data": {"supports_preview_metadata": true}}`)); err != nil {
		t.Fatal(err)
	}
	e.until("feature_flags")
	post(t, r, "new", "me", graph("a", 2, 1))
	h = e.until("binary")
	size := binary.BigEndian.Uint32(h.binary[4:])
	var header struct {
		NodeID    string `json:"node_id"`
		PromptID  string `json:"prompt_id"`
		ImageType string `json:"image_type"`
	}
	if err := json.Unmarshal(h.binary[8:8+size], &header); err != nil {
		t.Fatal(err)
	}
	if binary.BigEndian.Uint32(h.binary) != 4 || header.NodeID != "3" || header.PromptID != "new" || header.ImageType != "image/jpeg" {
		t.Errorf("event %d with %+v", binary.BigEndian.Uint32(h.binary), header)
	}
}

func TestSavedPictureCarriesItsGraph(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	e := listenAs(t, r, "me")
	body := fmt.Sprintf(`{"prompt": %s, "prompt_id": "p", "client_id": "me", "extra_data": {"extra_pnginfo": {"workflow": {"id": "w"}}}}`,
		graph("a lake at dawn", 18446744073709551615, 1))
	if status, answer := ask(t, r, "POST", "/prompt", body); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	e.over("p")
	head, err := http.NewRequestWithContext(testContext(t), http.MethodHead, r.URL()+"/view?filename=test_00001_.png", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{200, 304} {
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(head)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("HEAD /view: %d, want %d", response.StatusCode, want)
		}
		head.Header.Set("If-None-Match", response.Header.Get("Etag"))
	}
	_, picture := ask(t, r, "GET", "/view?filename=test_00001_.png&type=output", "")
	for _, want := range []string{"tEXtprompt\x00{", `"seed": 18446744073709551615`, "a lake at dawn", "tEXtworkflow\x00{\"id\": \"w\"}"} {
		if !strings.Contains(picture, want) {
			t.Errorf("the PNG lacks %q", want)
		}
	}
}

func TestNewServer(t *testing.T) {
	t.Parallel()
	gate := NewStepper()
	r := start(t, Config{NewServer: true, Gate: gate.Pass})
	e := listenAs(t, r, "me")
	if status, answer := ask(t, r, "POST", "/prompt", promptBody("not-a-uuid", "me", graph("a", 1, 1))); status != 400 ||
		!strings.Contains(answer, "invalid_prompt_id") {
		t.Errorf("%d %s", status, answer)
	}
	const running, waiting = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	state := func(id string) string {
		_, answer := ask(t, r, "GET", "/api/jobs/"+id, "")
		var job struct{ Status string }
		if err := json.Unmarshal([]byte(answer), &job); err != nil {
			t.Fatalf("%v in %s", err, answer)
		}
		return job.Status
	}
	cancel := func(id string) string {
		_, answer := ask(t, r, "POST", "/api/jobs/"+id+"/cancel", "")
		return answer
	}
	post(t, r, running, "me", graph("a", 1, 3))
	if _, err := gate.Until(testContext(t), func(at Point) bool { return at.Step == 2 }); err != nil {
		t.Fatal(err)
	}
	post(t, r, waiting, "me", graph("a", 2, 3))
	if a, b := state(running), state(waiting); a != "in_progress" || b != "pending" {
		t.Errorf("states %s and %s, want in_progress and pending", a, b)
	}
	if got := cancel(waiting); got != `{"cancelled": true}` {
		t.Errorf("cancel of the waiting one: %s", got)
	}
	if status, _ := ask(t, r, "GET", "/api/jobs/"+waiting, ""); status != 404 {
		t.Errorf("the waiting one is still known: %d", status)
	}
	if got := cancel(running); got != `{"cancelled": true}` {
		t.Errorf("cancel of the running one: %s", got)
	}
	gate.Open()
	e.over(running)
	if got := state(running); got != "cancelled" {
		t.Errorf("state %s, want cancelled", got)
	}
	if got := r.Ledger().Cancels(); len(got) != 2 {
		t.Errorf("cancels = %v", got)
	}
	if status, _ := ask(t, start(t, Config{}), "GET", "/api/jobs", ""); status != 404 {
		t.Errorf("an older server has the jobs API: %d", status)
	}
}

func TestLedger(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	e := listenAs(t, r, "me")
	post(t, r, "p", "me", graph("a", 1, 1))
	e.over("p")
	ask(t, r, "POST", "/interrupt", `{"prompt_id": "p"}`)
	ask(t, r, "POST", "/interrupt", ``)
	ask(t, r, "POST", "/queue", `{"delete": ["p"]}`)
	ask(t, r, "POST", "/queue", `{"clear": true}`)
	ask(t, r, "POST", "/prompt", promptBody("refused", "me", `{}`))
	l := r.Ledger()
	if posts := l.Posts(); posts["p"] != 1 || posts["refused"] != 1 {
		t.Errorf("posts = %v", posts)
	}
	if runs := l.Runs(); runs["p"] != 1 || runs["refused"] != 0 {
		t.Errorf("runs = %v", runs)
	}
	if got := fmt.Sprint(l.Interrupts(), l.Deletes(), l.Clears(), l.Sockets(), l.PeakRequests()); got != "[p ] [p] 1 1 1" {
		t.Errorf("interrupts, deletes, clears, sockets, peak = %s", got)
	}
	if n := l.Requests()["POST /prompt"]; n != 2 {
		t.Errorf("%d requests for POST /prompt, want 2", n)
	}
}

func TestFilesAreBounded(t *testing.T) {
	t.Parallel()
	r := start(t, Config{MaxFiles: 2})
	e := listenAs(t, r, "me")
	for i := range 4 {
		id := fmt.Sprint("p", i)
		post(t, r, id, "me", graph("a", uint64(i), 1))
		e.over(id)
	}
	for i, want := range []int{404, 404, 200, 200} {
		if status, _ := ask(t, r, "GET", fmt.Sprintf("/view?filename=test_%05d_.png", i+1), ""); status != want {
			t.Errorf("file %d: %d, want %d", i+1, status, want)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	r := start(t, Config{MaxHistory: 2})
	e := listenAs(t, r, "me")
	for i := range 3 {
		id := fmt.Sprint("p", i)
		post(t, r, id, "me", graph("a", uint64(i), 1))
		e.over(id)
	}
	if historyHas(t, r, "p0") || !historyHas(t, r, "p1") || !historyHas(t, r, "p2") {
		t.Error("the history keeps other than the last two")
	}
}

// With a gate that never lets go, closing still ends everything: goleak would tell.
func TestCloseWhileHeld(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{})
	r, err := Start("127.0.0.1:0", Config{Gate: func(ctx context.Context, at Point) {
		if at.Stage == StageStart {
			close(reached)
			<-ctx.Done()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	post(t, r, "p", "me", graph("a", 1, 1))
	<-reached
	r.Close()
}
