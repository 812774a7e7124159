package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/test/harness"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv(bareVariable); socket != "" {
		_ = runBare(socket) // the socket's end is the end
		return
	}
	code := m.Run()
	harness.RemoveBinary()
	os.Exit(code)
}

const (
	benchSteps = 20
	stepEvery  = 100 * time.Millisecond
)

// BenchmarkFanout (P12) sends 20 steps at 10 a second to many watchers of one generation: through
// Easel, and through the bare loop. p50 and p99 are from the moment ComfyUI's step is handed to
// the WebSocket to the moment a watcher has read it, all on this machine.
func BenchmarkFanout(b *testing.B) {
	for _, watchers := range []int{100, 1000} {
		b.Run(fmt.Sprintf("bare/%d", watchers), func(b *testing.B) { benchFanout(b, watchers, startBare) })
		b.Run(fmt.Sprintf("easel/%d", watchers), func(b *testing.B) { benchFanout(b, watchers, startEasel) })
	}
}

// subject is a server under test: its process, and how a run begins there.
type subject struct {
	pid   int
	begin func() (stream string) // starts one prompt, gives the URL to watch
	end   []byte                 // what the last event holds
}

// script holds the simulator at the first step until all watchers are there, and behind the last
// until they have it: what is measured is the delivery of steps, not the finishing of a picture.
type script struct {
	epoch time.Time
	ready chan struct{}
	over  chan struct{}

	mu   sync.Mutex
	sent []time.Duration // by step
}

func (s *script) pass(ctx context.Context, at simulator.Point) {
	hold := func(until chan struct{}) {
		select {
		case <-until:
		case <-ctx.Done():
		}
	}
	switch {
	case at.Stage == simulator.StageNode && at.Class == "VAEDecode":
		hold(s.over)
		return
	case at.Stage != simulator.StageStep:
		return
	case at.Step == 1:
		hold(s.ready)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[at.Step] = time.Since(s.epoch)
}

func benchFanout(b *testing.B, watchers int, start func(*testing.B, *simulator.Running) subject) {
	for range b.N {
		run := &script{epoch: time.Now(), ready: make(chan struct{}), over: make(chan struct{}), sent: make([]time.Duration, benchSteps+1)}
		comfy, err := simulator.Start("127.0.0.1:0", simulator.Config{Models: []string{"bench.safetensors"}, NoPreviews: true, Pace: simulator.Pace{Step: stepEvery}, Gate: run.pass})
		if err != nil {
			b.Fatal(err)
		}
		under := start(b, comfy)
		stream := under.begin()
		ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
		crowd, err := gather(ctx, stream, watchers, benchSteps, under.end, run.epoch)
		if err != nil {
			b.Fatal(err)
		}
		before, err := cpuTime(under.pid)
		if err != nil {
			b.Fatal(err)
		}
		close(run.ready)
		crowd.last.Wait()
		after, err := cpuTime(under.pid)
		if err != nil {
			b.Fatal(err)
		}
		memory, err := residentBytes(under.pid)
		if err != nil {
			b.Fatal(err)
		}
		close(run.over)
		crowd.done.Wait()
		cancel()
		crowd.close()
		comfy.Close()
		if crowd.lost > 0 {
			b.Fatalf("%d of %d watchers lost their stream", crowd.lost, watchers)
		}
		latencies := crowd.latencies(run.sent)
		b.ReportMetric(quantile(latencies, 0.50).Seconds()*1e3, "p50-ms")
		b.ReportMetric(quantile(latencies, 0.99).Seconds()*1e3, "p99-ms")
		b.ReportMetric(float64((after-before).Microseconds())/float64(crowd.events), "cpu-us/event")
		b.ReportMetric(float64(len(latencies))/float64(watchers), "steps/watcher")
		b.ReportMetric(float64(memory)/float64(1<<20), "rss-MiB")
		b.ReportMetric(0, "ns/op")
	}
}

func startBare(b *testing.B, comfy *simulator.Running) subject {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	command := exec.CommandContext(b.Context(), self)
	command.Env = append(os.Environ(), bareVariable+"="+strings.Replace(comfy.URL(), "http", "ws", 1)+"/ws?clientId=bare")
	out, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return subject{pid: command.Process.Pid, end: []byte(`"type":"complete"`), begin: func() string {
		post(b, comfy.URL()+"/prompt", fmt.Sprintf(`{"client_id":"bare","prompt":%s}`, bareGraph))
		return strings.TrimSpace(line)
	}}
}

func startEasel(b *testing.B, comfy *simulator.Running) subject {
	easel := harness.Start(b, harness.Options{ComfyUI: comfy.URL(), Plain: true})
	return subject{pid: easel.PID(), end: []byte(`"type":"complete"`), begin: func() string {
		var generation struct{ ID string }
		answer := post(b, easel.URL+"/api/generate", fmt.Sprintf(`{"prompt":"a harbour in the morning","settings":{"steps":%d,"width":64,"height":64}}`, benchSteps))
		if err := json.Unmarshal(answer, &generation); err != nil {
			b.Fatal(err)
		}
		return easel.URL + "/api/generate/progress?promptId=" + generation.ID
	}}
}

func post(b *testing.B, address, body string) []byte {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(response.Body); err != nil || response.StatusCode >= 300 {
		b.Fatalf("POST %s: %s %s %v", address, response.Status, answer.String(), err)
	}
	return answer.Bytes()
}

// bareGraph is the usual text-to-image graph.
const bareGraph = `{"3":{"class_type":"KSampler","inputs":{"seed":1,"steps":20,"cfg":7,"sampler_name":"euler","scheduler":"normal","denoise":1,"model":["4",0],"positive":["6",0],"negative":["7",0],"latent_image":["5",0]}},
"4":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":"bench.safetensors"}},"5":{"class_type":"EmptyLatentImage","inputs":{"width":64,"height":64,"batch_size":1}},
"6":{"class_type":"CLIPTextEncode","inputs":{"text":"a harbour","clip":["4",1]}},"7":{"class_type":"CLIPTextEncode","inputs":{"text":"","clip":["4",1]}},
"8":{"class_type":"VAEDecode","inputs":{"samples":["3",0],"vae":["4",2]}},"9":{"class_type":"SaveImage","inputs":{"filename_prefix":"bench","images":["8",0]}}}`
