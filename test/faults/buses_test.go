package faults

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// Over each bus two instances are one: what is asked for at one and runs at the other is shown, moved and ended at
// both, and a visitor whose requests go to another instance each time cannot tell.
func TestTwoInstances(t *testing.T) {
	t.Parallel()
	for name, bus := range map[string]func(*testing.T) string{
		"postgres": func(*testing.T) string { return "" },
		"redis":    func(t *testing.T) string { return harness.StartRedis(t).URL() },
		"nats":     func(t *testing.T) string { return startNATS(t).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stepper := simulator.NewStepper()
			in := harness.StartInstallation(t, harness.Scale{
				Instances: 2, Servers: 1, ComfyUI: simulator.Config{Gate: stepper.Pass, PreviewSize: 64}, Bus: bus(t),
			})
			at, _ := in.AwaitOwner("gpu1", func(int) bool { return true })
			p := &pair{t: t, owner: in.Easels[at], other: in.Easels[1-at], proxy: alternating(t, in.Easels)}
			p.decisions()
			ended := p.cancelled(stepper, in.ComfyUIs[0].Ledger())
			p.watchedInTurn(stepper, ended)
			checkOnce(t, in, 2)
		})
	}
}

// pair is two instances; the owner holds the lease of the only server.
type pair struct {
	t            *testing.T
	owner, other *harness.Easel
	proxy        string // leads each request to another of the two
}

// decisions: the queue and a server, changed at one instance, are so at the other.
func (p *pair) decisions() {
	p.t.Helper()
	awaitServer(p.t, p.other, "gpu1", "up")
	for _, word := range []string{"pause", "resume"} {
		p.ask(http.MethodPost, p.other.URL+"/api/queue/"+word, "")
		p.eventually("the queue, told to "+word+" elsewhere", func() bool {
			_, body := p.owner.Get("/api/queue")
			return strings.Contains(body, fmt.Sprintf(`"paused":%t`, word == "pause"))
		})
	}
	var servers struct{ Servers []struct{ ID, Mode string } }
	_, body := p.other.Get("/api/servers")
	if err := json.Unmarshal([]byte(body), &servers); err != nil || len(servers.Servers) != 1 {
		p.t.Fatalf("GET /api/servers = %s, %v", body, err)
	}
	for _, change := range []struct{ word, mode string }{{"pause", "paused"}, {"resume", "active"}} {
		p.ask(http.MethodPost, p.other.URL+"/api/servers/"+servers.Servers[0].ID+"/"+change.word, "")
		p.eventually("a server, told to "+change.word+" elsewhere", func() bool {
			_, body := p.owner.Get("/api/servers")
			return strings.Contains(body, `"mode":"`+change.mode+`"`)
		})
	}
}

// cancelled: progress, preview and end of what runs at the owner, seen and asked for at the other. The end comes
// when the worker goes on.
func (p *pair) cancelled(stepper *simulator.Stepper, ledger *simulator.Ledger) (ended func()) {
	p.t.Helper()
	id := p.other.Generate(harness.Ask{Prompt: "stopped from elsewhere"})
	events := p.stream(p.other.URL+"/api/generate/progress?promptId="+id, "", "")
	embed := p.stream(p.other.URL+"/embed/generations/"+id+"/live", "", "true")
	page := p.stream(p.other.URL+"/generations/"+id, "", "true")
	afterStep(p.t, stepper, 3)
	began := time.Now()
	events.await(`"currentStep":3`)
	harness.Within(p.t, "showing a step on the other instance (P12)", began, 500*time.Millisecond)
	embed.await("Step 3 of 20")
	page.await("Step 3 of 20")
	p.eventually("the preview on the other instance", func() bool {
		status, picture := p.other.Get("/generations/" + id + "/images/1/preview")
		return status == http.StatusOK && picture != ""
	})
	p.ask(http.MethodPost, p.other.URL+"/api/generate/"+id+"/cancel", "")
	p.eventually("the interrupt, asked for elsewhere", func() bool { return len(ledger.Interrupts()) == 1 })
	return func() {
		p.owner.AwaitStatus(id, "cancelled")
		for _, s := range []*stream{events, embed, page} {
			s.await("ancelled")
		}
	}
}

// watchedInTurn: a visitor comes back to the other instance after every event, with the id that the one before gave.
func (p *pair) watchedInTurn(stepper *simulator.Stepper, ended func()) {
	p.t.Helper()
	id := p.other.Generate(harness.Ask{Prompt: "seen by turns", Steps: 8})
	address := p.proxy + "/api/generate/progress?promptId=" + id
	var last string
	for _, step := range []int{2, 4, 6} {
		afterStep(p.t, stepper, step)
		ended()
		ended = func() {}
		for range 2 { // at each of the two
			s := p.stream(address, last, "")
			s.await(fmt.Sprintf(`"currentStep":%d`, step))
			last = s.id
			s.leave()
		}
	}
	stepper.Open()
	end := p.stream(address, last, "")
	end.await(`"type":"complete"`)
	last = end.id
	for _, e := range []*harness.Easel{p.owner, p.other} {
		e.AwaitStatus(id, "complete") // who has not heard of the end yet tells it again
		p.over(e.URL+"/api/generate/progress?promptId="+id, last, "")
	}
	// The end of an embedded generation, told by one, is known to the other.
	s := p.stream(p.owner.URL+"/embed/generations/"+id+"/live", "", "true")
	s.await("id: ")
	p.over(p.other.URL+"/embed/generations/"+id+"/live", s.id, "true")
	// A page that comes back to another instance is given all there is to see.
	p.stream(p.owner.URL+"/generations/"+id, "anything", "true").await("Complete")
	p.stream(p.other.URL+"/generations/"+id, "anything", "true").await("Complete")
}

// over: whoever comes back with the id of the end is told to stay away.
func (p *pair) over(address, last, datastar string) {
	p.t.Helper()
	response := p.open(address, last, datastar)
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		p.t.Errorf("GET %s with Last-Event-ID %q: %s, want 204", address, last, response.Status)
	}
}

func (p *pair) eventually(what string, done func() bool) {
	p.t.Helper()
	began := time.Now()
	harness.Eventually(p.t, what, done)
	harness.Within(p.t, what, began, 2*time.Second)
}

func (p *pair) ask(method, address, body string) {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, err := io.ReadAll(response.Body); err != nil || response.StatusCode >= 300 {
		p.t.Fatalf("%s %s: %s %s %v", method, address, response.Status, answer, err)
	}
}

func (p *pair) open(address, last, datastar string) *http.Response {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Accept", "text/event-stream")
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	if datastar != "" {
		request.Header.Set("Datastar-Request", datastar)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	return response
}

// stream is an open event stream, read by the test itself.
type stream struct {
	t     *testing.T
	body  io.ReadCloser
	lines *bufio.Scanner
	id    string // the last that it gave
}

func (p *pair) stream(address, last, datastar string) *stream {
	p.t.Helper()
	response := p.open(address, last, datastar)
	if response.StatusCode != http.StatusOK {
		p.t.Fatalf("GET %s: %s", address, response.Status)
	}
	s := &stream{t: p.t, body: response.Body, lines: bufio.NewScanner(response.Body)}
	s.lines.Buffer(nil, 1<<20)
	p.t.Cleanup(s.leave)
	return s
}

func (s *stream) leave() { _ = s.body.Close() }

// await reads on to a line that holds text, with the id of its event.
func (s *stream) await(text string) {
	s.t.Helper()
	late := time.AfterFunc(harness.Patience, s.leave)
	defer late.Stop()
	id := ""
	for s.lines.Scan() {
		line := s.lines.Text()
		if given, ok := strings.CutPrefix(line, "id: "); ok {
			id = given
		}
		if strings.Contains(line, text) {
			s.id = id
			return
		}
	}
	s.t.Fatalf("the stream ended before %q: %v", text, s.lines.Err())
}

// alternating is a proxy that leads each request to another instance than the one before.
func alternating(t *testing.T, easels []*harness.Easel) string {
	t.Helper()
	var turns atomic.Int64
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			target, err := url.Parse(easels[int(turns.Add(1))%len(easels)].URL)
			if err != nil {
				panic(err) // the harness made it
			}
			r.SetURL(target)
		},
	})
	t.Cleanup(proxy.Close)
	return proxy.URL
}
