package bench

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// elsewhereWatchers is how many watch on each instance.
const elsewhereWatchers = 20

// BenchmarkElsewhere sends 20 steps at 10 a second to watchers on the instance that follows the prompt (here) and on
// another (elsewhere), over each bus in turn. Steps are told at most four times a second to other instances, so
// that not each of them arrives there; what is measured is the age of those that do.
func BenchmarkElsewhere(b *testing.B) {
	for _, bus := range []struct {
		name  string
		start func(testing.TB) string
	}{
		{"postgres", func(testing.TB) string { return "" }},
		{"redis", func(t testing.TB) string { return harness.StartRedis(t).URL() }},
		{"nats", startNATS},
	} {
		b.Run(bus.name, func(b *testing.B) {
			for range b.N {
				benchElsewhere(b, bus.start(b))
			}
		})
	}
}

func benchElsewhere(b *testing.B, bus string) {
	run := &script{epoch: time.Now(), ready: make(chan struct{}), over: make(chan struct{}), sent: make([]time.Duration, benchSteps+1)}
	in := harness.StartInstallation(b, harness.Scale{
		Instances: 2, Servers: 1, Bus: bus, Plain: true, Env: []string{"EASEL_LOG_LEVEL=info"}, // it names the owner
		ComfyUI: simulator.Config{NoPreviews: true, Pace: simulator.Pace{Step: stepEvery}, Gate: run.pass},
	})
	owner, _ := in.AwaitOwner("gpu1", func(int) bool { return true })
	id := in.Easels[owner].Generate(harness.Ask{Prompt: "a harbour in the morning", Steps: benchSteps})
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	crowds := make([]*crowd, 2)
	for i, at := range []int{owner, 1 - owner} {
		var err error
		crowds[i], err = gather(ctx, in.Easels[at].URL+"/api/generate/progress?promptId="+id, elsewhereWatchers, benchSteps,
			[]byte(`"type":"complete"`), run.epoch)
		if err != nil {
			b.Fatal(err)
		}
		defer crowds[i].close()
	}
	close(run.ready)
	for _, c := range crowds {
		c.last.Wait()
	}
	close(run.over)
	for i, where := range []string{"here", "elsewhere"} {
		crowds[i].done.Wait()
		if crowds[i].lost > 0 {
			b.Fatalf("%d of %d watchers %s lost their stream", crowds[i].lost, elsewhereWatchers, where)
		}
		latencies := crowds[i].latencies(run.sent)
		b.ReportMetric(quantile(latencies, 0.50).Seconds()*1e3, where+"-p50-ms")
		b.ReportMetric(quantile(latencies, 0.95).Seconds()*1e3, where+"-p95-ms")
		b.ReportMetric(float64(len(latencies))/elsewhereWatchers, where+"-steps/watcher")
	}
	b.ReportMetric(0, "ns/op")
}

// startNATS runs a NATS server in this process until the benchmark ends, and gives its EASEL_BUS.
func startNATS(t testing.TB) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the NATS server is not ready")
	}
	return s.ClientURL()
}
