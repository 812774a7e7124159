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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/test/harness"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv(bareVariable); socket != "" {
		_ = runBare(socket, os.Getenv(rawVariable) != "") // the socket's end is the end
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

// fanoutRounds is how often each subject has its turn.
const fanoutRounds = 3

// BenchmarkFanout (P12) sends steps to many watchers of one generation: through Easel, through a bare net/http loop (B),
// through two loops over raw sockets (B2, the frontier), and through a Node server that treats each watcher by itself
// (A; left out where there is no node). They take turns, and what is reported is medians, and Easel's ratios to the
// others. Times are from handing a step to ComfyUI's WebSocket to a watcher having read that step or a later one, all on
// this machine.
func BenchmarkFanout(b *testing.B) {
	for _, load := range []struct {
		watchers, rate int // steps a second
	}{{100, 10}, {1000, 10}, {5000, 10}, {10_000, 5}, {10_000, 10}, {10_000, 20}} {
		b.Run(fmt.Sprintf("%dx%d", load.watchers, load.rate), func(b *testing.B) {
			for range b.N {
				compareFanout(b, load.watchers, time.Second/time.Duration(load.rate))
			}
		})
	}
}

// fanout is what one run of one subject has shown.
type fanout struct {
	connect, p50, p99, cpu float64 // s, ms, ms, µs of CPU an event
	memory                 float64 // KiB resident a watcher, more than before they came
	steps                  float64 // seen by a watcher
}

// figures names those that are reported.
var figures = []struct {
	name string
	of   func(fanout) float64
}{
	{"p99-ms", func(f fanout) float64 { return f.p99 }},
	{"cpu-us/event", func(f fanout) float64 { return f.cpu }},
	{"KiB/watcher", func(f fanout) float64 { return f.memory }},
	{"connect-s", func(f fanout) float64 { return f.connect }},
}

func compareFanout(b *testing.B, watchers int, every time.Duration) {
	subjects := []struct {
		name  string
		start func(*testing.B, *simulator.Running) subject
	}{{"easel", startEasel}, {"bare", startBare}, {"raw", startRaw}, {"node", startNode}}
	if _, err := exec.LookPath("node"); err != nil {
		subjects = subjects[:len(subjects)-1]
	}
	runs := map[string][]fanout{}
	for range fanoutRounds {
		for _, s := range subjects {
			runs[s.name] = append(runs[s.name], runFanout(b, watchers, every, s.start))
		}
	}
	var table strings.Builder // at most ten lines of a benchmark's log are shown
	for _, s := range subjects {
		fmt.Fprintf(&table, "\n%-5s", s.name)
		for _, run := range runs[s.name] {
			fmt.Fprintf(&table, " | p50 %.1f p99 %.1f ms, %.1f us CPU, %.1f KiB, %.2f s, %.1f steps",
				run.p50, run.p99, run.cpu, run.memory, run.connect, run.steps)
		}
		for _, figure := range figures {
			median := medianOf(runs[s.name], figure.of)
			if s.name == "easel" {
				b.ReportMetric(median, figure.name)
				continue
			}
			b.ReportMetric(medianOf(runs["easel"], figure.of)/median, figure.name+"/"+s.name)
		}
	}
	b.Log(table.String())
	b.ReportMetric(0, "ns/op")
}

func medianOf(runs []fanout, of func(fanout) float64) float64 {
	var all []float64
	for _, run := range runs {
		all = append(all, of(run))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// subject is a server under test: its process, and how a run begins there.
type subject struct {
	pid   int
	begin func() (stream string) // starts one prompt, gives the URL to watch
	end   []byte                 // what the last event holds
	stop  func()
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

func runFanout(b *testing.B, watchers int, every time.Duration, start func(*testing.B, *simulator.Running) subject) fanout {
	run := &script{epoch: time.Now(), ready: make(chan struct{}), over: make(chan struct{}), sent: make([]time.Duration, benchSteps+1)}
	comfy, err := simulator.Start("127.0.0.1:0", simulator.Config{Models: []string{"bench.safetensors"}, NoPreviews: true, Pace: simulator.Pace{Step: every}, Gate: run.pass})
	if err != nil {
		b.Fatal(err)
	}
	defer comfy.Close()
	under := start(b, comfy)
	defer under.stop()
	stream := under.begin()
	empty := resident(b, under.pid)
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	began := time.Now()
	crowd, err := gather(ctx, stream, watchers, benchSteps, under.end, run.epoch)
	if err != nil {
		b.Fatal(err)
	}
	connect := time.Since(began)
	before := mustCPU(b, under.pid)
	close(run.ready)
	crowd.last.Wait()
	cpu := mustCPU(b, under.pid) - before
	full := resident(b, under.pid)
	close(run.over)
	crowd.done.Wait()
	crowd.close()
	if crowd.lost > 0 {
		b.Fatalf("%d of %d watchers lost their stream", crowd.lost, watchers)
	}
	latencies := crowd.latencies(run.sent)
	return fanout{
		connect: connect.Seconds(),
		p50:     quantile(latencies, 0.50).Seconds() * 1e3,
		p99:     quantile(latencies, 0.99).Seconds() * 1e3,
		cpu:     float64(cpu.Microseconds()) / float64(crowd.steps),
		memory:  (full - empty) * 1024 / float64(watchers),
		steps:   float64(crowd.steps) / float64(watchers),
	}
}

func startBare(b *testing.B, comfy *simulator.Running) subject { return startSelf(b, comfy) }

func startRaw(b *testing.B, comfy *simulator.Running) subject {
	return startSelf(b, comfy, rawVariable+"=1")
}

// startSelf runs this test binary as a bare server.
func startSelf(b *testing.B, comfy *simulator.Running, env ...string) subject {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	command := exec.CommandContext(b.Context(), self)
	command.Env = append(append(os.Environ(), bareVariable+"="+socketOf(comfy)), env...)
	return startServer(b, comfy, command)
}

func startNode(b *testing.B, comfy *simulator.Running) subject {
	return startServer(b, comfy, exec.CommandContext(b.Context(), "node", "--no-warnings", "--experimental-websocket", "node/server.mjs", socketOf(comfy)))
}

func socketOf(comfy *simulator.Running) string {
	return strings.Replace(comfy.URL(), "http", "ws", 1) + "/ws?clientId=bench"
}

// startServer runs a program that prints the address of its stream.
func startServer(b *testing.B, comfy *simulator.Running, command *exec.Cmd) subject {
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	stop := sync.OnceFunc(func() { _ = command.Process.Kill(); _ = command.Wait() })
	b.Cleanup(stop)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return subject{pid: command.Process.Pid, end: []byte(`"type":"complete"`), stop: stop, begin: func() string {
		post(b, comfy.URL()+"/prompt", fmt.Sprintf(`{"client_id":"bench","prompt":%s}`, bareGraph))
		return strings.TrimSpace(line)
	}}
}

func startEasel(b *testing.B, comfy *simulator.Running) subject {
	easel := harness.Start(b, harness.Options{ComfyUI: comfy.URL(), Plain: true})
	return subject{pid: easel.PID(), end: []byte(`"type":"complete"`), stop: func() { easel.Stop() }, begin: func() string {
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
