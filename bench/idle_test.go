package bench

import (
	"context"
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/test/harness"
)

const (
	idleWatchers = 10_000
	idleTime     = 20 * time.Second // a heartbeat and more
)

// BenchmarkIdle is what many watchers of a generation that waits cost one Easel, heartbeats included, beside what it
// costs alone: programs on the event stream, and pages.
func BenchmarkIdle(b *testing.B) {
	for range b.N {
		comfy, err := simulator.Start("127.0.0.1:0", simulator.Config{NoPreviews: true})
		if err != nil {
			b.Fatal(err)
		}
		comfy.Faults().Hold(true) // it stays in the queue
		easel := harness.Start(b, harness.Options{ComfyUI: comfy.URL(), Plain: true})
		id := easel.Generate(harness.Ask{Prompt: "watched by many", Steps: benchSteps})
		alone := idleCores(b, easel.PID())
		b.ReportMetric(alone*1e3, "millicores-alone")
		empty := resident(b, easel.PID()) // also of the pages, for memory is not given back at once
		for _, stream := range []struct{ name, path string }{
			{"watcher", "/api/generate/progress?promptId=" + id},
			{"page", "/embed/generations/" + id + "/live"},
		} {
			ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
			crowd, err := gather(ctx, easel.URL+stream.path, idleWatchers, benchSteps, []byte(`"type":"complete"`), time.Now())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric((idleCores(b, easel.PID())-alone)*1e3, "millicores/"+stream.name+"s")
			b.ReportMetric((resident(b, easel.PID())-empty)*1024/idleWatchers, "KiB/"+stream.name)
			if n := crowd.gone(); n > 0 {
				b.Fatalf("%d of %d watchers lost their stream", n, idleWatchers)
			}
			crowd.close()
			cancel()
		}
		b.ReportMetric(0, "ns/op")
		comfy.Close()
	}
}

// idleCores is how many cores a process takes while nothing happens.
func idleCores(b *testing.B, pid int) float64 {
	b.Helper()
	before := mustCPU(b, pid)
	<-time.After(idleTime)
	return float64(mustCPU(b, pid)-before) / float64(idleTime)
}
