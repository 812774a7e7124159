package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// BenchmarkMemory is what an Easel holds in memory with 100 pictures at work on as many servers, with
// previews, and ten viewers of each (P33).
func BenchmarkMemory(b *testing.B) {
	const servers, viewers = 100, 10
	for range b.N {
		ready, over := make(chan struct{}), make(chan struct{})
		gate := func(ctx context.Context, at simulator.Point) {
			var until chan struct{}
			switch {
			case at.Stage == simulator.StageStep && at.Step == 1:
				until = ready
			case at.Stage == simulator.StageNode && at.Class == "VAEDecode":
				until = over
			default:
				return
			}
			select {
			case <-until:
			case <-ctx.Done():
			}
		}
		var running []*simulator.Running
		var urls []string
		for range servers {
			comfy, err := simulator.Start("127.0.0.1:0", simulator.Config{Gate: gate, PreviewSize: 64, Pace: simulator.Pace{Step: time.Second}})
			if err != nil {
				b.Fatal(err)
			}
			running, urls = append(running, comfy), append(urls, comfy.URL())
		}
		easel := harness.Start(b, harness.Options{ComfyUI: strings.Join(urls, ","), Plain: true, Env: []string{"EASEL_MAX_STREAMS=2000"}})
		ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
		idle := resident(b, easel.PID())
		var crowds []*crowd
		for n := range servers {
			var generation struct{ ID string }
			if err := json.Unmarshal(post(b, easel.URL+"/api/generate",
				fmt.Sprintf(`{"prompt":"harbour %d","settings":{"steps":%d,"width":64,"height":64}}`, n, benchSteps)), &generation); err != nil {
				b.Fatal(err)
			}
			crowd, err := gather(ctx, easel.URL+"/api/generate/progress?promptId="+generation.ID, viewers, benchSteps, []byte(`"type":"complete"`), time.Now())
			if err != nil {
				b.Fatal(err)
			}
			crowds = append(crowds, crowd)
		}
		harness.Eventually(b, "are all at work", func() bool {
			return easel.Count("SELECT count(*) FROM attempts WHERE state = 'running'") == servers
		})
		close(ready)
		for _, crowd := range crowds {
			crowd.last.Wait()
		}
		b.ReportMetric(resident(b, easel.PID()), "rss-MiB")
		b.ReportMetric(idle, "idle-rss-MiB")
		b.ReportMetric(0, "ns/op")
		close(over)
		for _, crowd := range crowds {
			crowd.done.Wait()
			crowd.close()
			if crowd.lost > 0 {
				b.Fatalf("%d viewers lost their stream", crowd.lost)
			}
		}
		cancel()
		for _, comfy := range running {
			comfy.Close()
		}
	}
}

func resident(b *testing.B, pid int) float64 {
	b.Helper()
	bytes, err := residentBytes(pid)
	if err != nil {
		b.Fatal(err)
	}
	return float64(bytes) / (1 << 20)
}
