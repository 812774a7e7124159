package simulator

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

func historyHas(t *testing.T, r *Running, id string) bool {
	t.Helper()
	_, answer := ask(t, r, "GET", "/history/"+id, "")
	return answer != "{}"
}

func TestHTTPFaults(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	f := r.Faults()

	f.Unavailable(true)
	if status, _ := ask(t, r, "GET", "/queue", ""); status != http.StatusServiceUnavailable {
		t.Errorf("unavailable: %d, want 503", status)
	}
	f.Unavailable(false)
	f.HTML(true)
	if status, answer := ask(t, r, "GET", "/queue", ""); status != 200 || !strings.Contains(answer, "<title>") {
		t.Errorf("HTML: %d %s", status, answer)
	}
	f.Reset()
	f.Refuse(true)
	if status, _, err := exchange(t, r, "GET", "/queue", ""); err == nil {
		t.Errorf("refused: status %d, want an error", status)
	}
	f.Reset()
	if status, _ := ask(t, r, "GET", "/queue", ""); status != 200 {
		t.Errorf("after Reset: %d, want 200", status)
	}
}

func TestPostFaults(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	e := listenAs(t, r, "me")
	f := r.Faults()

	f.BadGatewayPosts(1)
	if status, _ := ask(t, r, "POST", "/prompt", promptBody("gateway", "me", graph("a", 1, 1))); status != http.StatusBadGateway {
		t.Errorf("status %d, want 502", status)
	}
	e.over("gateway")

	f.OtherIDPosts(1)
	if _, answer := ask(t, r, "POST", "/prompt", promptBody("other", "me", graph("a", 2, 1))); strings.Contains(answer, `"other"`) {
		t.Errorf("answered with our id: %s", answer)
	}
	e.over("other")

	f.LosePosts(1)
	if status, _, err := exchange(t, r, "POST", "/prompt", promptBody("lost", "me", graph("a", 3, 1))); err == nil {
		t.Errorf("lost POST was answered with %d", status)
	}

	f.HangPosts(true)
	hung := make(chan int, 1)
	go func() {
		status, _, _ := exchange(t, r, "POST", "/prompt", promptBody("hung", "me", graph("a", 4, 1)))
		hung <- status
	}()
	post := func() int { return r.Ledger().Runs()["hung"] }
	if n := post(); n != 0 {
		t.Errorf("ran %d times while its POST hung", n)
	}
	f.HangPosts(false)
	e.over("hung")
	if status := <-hung; status != 200 {
		t.Errorf("status %d after hanging, want 200", status)
	}

	runs := r.Ledger().Runs()
	if runs["gateway"] != 1 || runs["other"] != 1 || runs["lost"] != 0 || runs["hung"] != 1 {
		t.Errorf("runs = %v", runs)
	}
}

func TestViewFaults(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	e := listenAs(t, r, "me")
	post(t, r, "p", "me", graph("a", 1, 1))
	e.over("p")
	const view = "/view?filename=test_00001_.png"
	r.Faults().MissViews(1)
	if status, _ := ask(t, r, "GET", view, ""); status != http.StatusNotFound {
		t.Errorf("missing: %d, want 404", status)
	}
	r.Faults().TruncateViews(1)
	if _, answer, err := exchange(t, r, "GET", view, ""); err == nil {
		t.Errorf("truncated: %d bytes and no error", len(answer))
	}
	if status, answer := ask(t, r, "GET", view, ""); status != 200 || !strings.HasPrefix(answer, "\x89PNG") {
		t.Errorf("afterwards: %d, %d bytes", status, len(answer))
	}
}

func TestRunFaults(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	e := listenAs(t, r, "me")
	r.Faults().OutOfMemory(1)
	post(t, r, "oom", "me", graph("a", 1, 2))
	if h := e.until("execution_error"); !strings.Contains(h.raw, "torch.OutOfMemoryError") {
		t.Errorf("error: %s", h.raw)
	}
	e.over("oom")

	r.Faults().ClearHistoryAtEnd(1)
	post(t, r, "cleared", "me", graph("a", 2, 1))
	e.over("cleared")
	if historyHas(t, r, "cleared") {
		t.Error("the history was not cleared")
	}

	r.Faults().HistoryLate(true)
	post(t, r, "late", "me", graph("a", 3, 1))
	e.over("late")
	if historyHas(t, r, "late") {
		t.Error("the late history is there")
	}
	r.Faults().HistoryLate(false)
	if !historyHas(t, r, "late") {
		t.Error("the late history never came")
	}

	r.Faults().Hold(true)
	post(t, r, "held", "me", graph("a", 4, 1))
	e.until("status")
	if n := r.Ledger().Runs()["held"]; n != 0 {
		t.Errorf("a held worker ran %d prompts", n)
	}
	r.Faults().Hold(false)
	e.over("held")
}

func TestCrashAndRestart(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	e := listenAs(t, r, "me")
	post(t, r, "before", "me", graph("a", 1, 1))
	e.over("before")
	r.Faults().Crash(1)
	post(t, r, "victim", "me", graph("a", 2, 3))
	e.ended()
	if err := r.Restart(); err != nil {
		t.Fatal(err)
	}
	if historyHas(t, r, "before") || historyHas(t, r, "victim") {
		t.Error("the history outlived the crash")
	}
	if _, answer := ask(t, r, "GET", "/queue", ""); answer != `{"queue_running": [], "queue_pending": []}` {
		t.Errorf("queue after the crash: %s", answer)
	}
	if status, _ := ask(t, r, "GET", "/view?filename=test_00001_.png", ""); status != 200 {
		t.Errorf("the file of before: %d, want 200", status)
	}
	again := listenAs(t, r, "me")
	post(t, r, "after", "me", graph("a", 1, 1))
	again.over("after")
	if status, _ := ask(t, r, "GET", "/view?filename=test_00002_.png", ""); status != 200 {
		t.Errorf("names do not count on after a restart: %d", status)
	}
}

func TestKilledServerRefuses(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	r.Kill()
	if status, _, err := exchange(t, r, "GET", "/queue", ""); err == nil {
		t.Errorf("a killed server answered %d", status)
	}
	r.Kill() // nothing left to kill
	if err := r.Restart(); err != nil {
		t.Fatal(err)
	}
	if status, _ := ask(t, r, "GET", "/queue", ""); status != 200 {
		t.Errorf("after Restart: %d", status)
	}
}

func TestSocketFaults(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	f := r.Faults()
	e := listenAs(t, r, "me")

	f.InjectText(`{"type": "progress", "data": {"value": NaN}}`)
	e.untilWhere("NaN", func(h heard) bool { return strings.Contains(h.raw, "NaN") })
	f.InjectText(`{"type": "kaytool.resources", "data": {"cpu": 1}}`)
	e.until("kaytool.resources")
	f.Strangers()
	if h := e.until("progress"); h.Data.PromptID == "" {
		t.Errorf("a stranger without prompt: %s", h.raw)
	}
	if h := e.until("binary"); h.binary[3] != eventPreview {
		t.Errorf("event %d, want 1", h.binary[3])
	}
	f.HugeFrame(5 << 20)
	if h := e.until("binary"); len(h.binary) != 5<<20 {
		t.Errorf("%d bytes, want 5 MiB", len(h.binary))
	}

	f.Duplicate(true)
	f.InjectText(`{"type": "twice", "data": {}}`)
	e.until("twice")
	e.until("twice")
	f.Duplicate(false)

	f.Reorder(true)
	f.InjectText(`{"type": "first", "data": {}}`)
	f.InjectText(`{"type": "second", "data": {}}`)
	h := e.untilWhere("either", func(h heard) bool { return h.Type == "first" || h.Type == "second" })
	if h.Type != "second" {
		t.Errorf("%s came first", h.Type)
	}
	f.Reorder(false)

	f.CutFrames(1)
	f.InjectText(strings.Repeat("x", 100))
	e.ended()

	e = listenAs(t, r, "me")
	f.CutSockets()
	e.ended()
}

// A deaf socket stays open and answers pings, but hears nothing; a new one hears again.
func TestDeafSocket(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	deaf := listenAs(t, r, "me")
	r.Faults().Deafen()
	post(t, r, "p", "me", graph("a", 1, 1))
	other := listenAs(t, r, "other")
	post(t, r, "q", "other", graph("a", 2, 1))
	other.over("q")
	deaf.ping()
	select {
	case h := <-deaf.frames:
		t.Errorf("a deaf socket heard %s", h.raw)
	default:
	}
}

// When the older of two sockets with one id ends, ComfyUI forgets the newer one, too.
func TestOlderSocketTakesTheNewerAlong(t *testing.T) {
	t.Parallel()
	for _, fixed := range []bool{false, true} {
		r := start(t, Config{FixedSocketTable: fixed})
		older := listenAs(t, r, "me")
		newer := listenAs(t, r, "me")
		older.leave()
		witness := listenAs(t, r, "witness")
		post(t, r, "p", "me", graph("a", 1, 1))
		post(t, r, "q", "witness", graph("a", 2, 1))
		witness.over("q")
		if fixed {
			newer.over("p")
			continue
		}
		newer.ping()
		select {
		case h := <-newer.frames:
			t.Errorf("the newer socket heard %s", h.raw)
		default:
		}
	}
}

// While the sending loop is stuck, HTTP answers, prompts run, and a new socket gets its first status.
func TestStalledEvents(t *testing.T) {
	t.Parallel()
	gate := NewStepper()
	r := start(t, Config{Gate: gate.Pass})
	e := listenAs(t, r, "me")
	r.Faults().StallEvents(true)
	post(t, r, "p", "me", graph("a", 1, 2))
	if _, err := gate.Until(testContext(t), func(at Point) bool { return at.Stage == StageFinish }); err != nil {
		t.Fatal(err)
	}
	late := listenAs(t, r, "late")
	select {
	case h := <-e.frames:
		t.Errorf("heard %s", h.raw)
	default:
	}
	r.Faults().StallEvents(false)
	gate.Open()
	e.over("p")
	late.until("status")
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	r.Faults().Freeze(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL()+"/queue", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := new(http.Transport).RoundTrip(request)
	if err == nil {
		response.Body.Close()
		t.Errorf("a frozen server answered %s", response.Status)
	}
	r.Faults().Freeze(false)
	if status, _ := ask(t, r, "GET", "/queue", ""); status != 200 {
		t.Errorf("after the thaw: %d", status)
	}
}
