package faults

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// Five hundred readers take nothing of what they asked for (P18): they cost little, and others see each step as
// soon as without them.
func TestFault33_StuckReaders(t *testing.T) {
	t.Parallel()
	const readers = 500
	in, stepper := gated(t, 1, 1, "EASEL_MAX_STREAMS=2000")
	e := in.Easels[0]
	id := e.Generate(harness.Ask{Prompt: "read by few"})
	afterStep(t, stepper, 2)
	awaitStep(e, id, 2)
	before := metric(t, e, "go_memstats_heap_alloc_bytes")
	for range readers {
		stuck(t, e, "/generations/"+id)
	}
	harness.Eventually(t, "are all streams open", func() bool { return metric(t, e, "easel_sse_streams") >= readers })
	var slowest time.Duration
	for step := 3; step <= 18; step++ {
		began := time.Now()
		afterStep(t, stepper, step)
		awaitStep(e, id, step)
		slowest = max(slowest, time.Since(began))
	}
	t.Logf("with %d readers that do not read, a step is seen after %s at most, asked for every 40 ms", readers, slowest)
	if slowest > 20*time.Second {
		t.Errorf("a step was seen after %s, promised are 0.2 s", slowest)
	}
	cost := metric(t, e, "go_memstats_heap_alloc_bytes") - before
	t.Logf("the heap grew by %.1f MiB", cost/(1<<20))
	if cost > 100<<20 {
		t.Errorf("stuck readers cost %.0f MiB, promised are less than 100", cost/(1<<20))
	}
	stepper.Open()
	e.AwaitStatus(id, "complete")
}

// stuck opens the live stream of a page on a connection with little room, and never reads it.
func stuck(t *testing.T, e *harness.Easel, path string) {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(e.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.(*net.TCPConn).SetReadBuffer(2 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\nDatastar-Request: true\r\n\r\n",
		path, strings.TrimPrefix(e.URL, "http://")); err != nil {
		t.Fatal(err)
	}
}

// An instance is replaced while a thousand streams are open: it cuts them with a hint when to come back, and all of
// them are back on its successor with the present state. (The pages themselves: trouble.TestPageWhileEaselRestarts.)
func TestFault34_DeployWithThousandStreams(t *testing.T) {
	t.Parallel()
	const streams = 1000
	in := harness.StartInstallation(t, harness.Scale{
		Instances: 1, Servers: 1, ComfyUI: simulator.Config{PreviewSize: 64}, Env: []string{"EASEL_MAX_STREAMS=2000", "EASEL_LOG_LEVEL=info"},
	})
	e := in.Easels[0]
	in.ComfyUIs[0].Faults().Hold(true) // it stays alive
	id := e.Generate(harness.Ask{Prompt: "watched by a thousand", Steps: 4})
	ctx, leave := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	t.Cleanup(watching.Wait)
	t.Cleanup(leave)
	var hints, connects atomic.Int64
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: -1, DisableKeepAlives: true}}
	for range streams {
		watching.Go(func() {
			for ctx.Err() == nil {
				watchOnce(ctx, client, e.URL+"/api/generate/progress?promptId="+id, &connects, &hints)
				select { // as a browser does, after the hint
				case <-time.After(250*time.Millisecond + rand.N(time.Second)):
				case <-ctx.Done():
				}
			}
		})
	}
	harness.Eventually(t, "are all streams open", func() bool { return metric(t, e, "easel_sse_streams") >= streams })
	first := connects.Load()
	e.Stop()
	stopped := time.Now()
	e.Restart()
	harness.Eventually(t, "are all streams back", func() bool {
		return connects.Load() >= first+streams && metric(t, e, "easel_sse_streams") >= streams
	}, func() string { return fmt.Sprint(metric(t, e, "easel_sse_streams"), " streams") })
	harness.Within(t, "having a thousand streams back (row 34)", stopped, 30*time.Second)
	if n := hints.Load(); n < streams*9/10 {
		t.Errorf("%d of %d streams were told when to come back", n, streams)
	}
	in.ComfyUIs[0].Faults().Hold(false)
	e.AwaitStatus(id, "complete")
}

// watchOnce reads a stream to its end. It counts one that begins with a state, and one that says when to come back.
func watchOnce(ctx context.Context, client *http.Client, address string, connects, hints *atomic.Int64) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return
	}
	response, err := client.Do(request)
	if err != nil {
		return // nobody there just now
	}
	defer response.Body.Close()
	known := false
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		switch text := lines.Text(); {
		case !known && strings.Contains(text, `"type":"progress"`):
			known = true
			connects.Add(1)
		case strings.HasPrefix(text, "retry:"):
			hints.Add(1)
		}
	}
}
