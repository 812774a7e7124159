package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"easel/handlers"
	"easel/studio"
)

var _ handlers.Metrics = (*Metrics)(nil)

func TestFigures(t *testing.T) {
	overview := &studio.Overview{
		Servers: []studio.Server{
			{Name: "a", State: studio.ServerUp, Queue: 2}, {Name: "b", State: studio.ServerDown}, {Name: "c", State: studio.ServerStalled},
		},
		Live: []*studio.State{
			{Generation: studio.Generation{Status: studio.Generating, CreatedAt: time.Now().Add(-time.Hour)}},
			{Generation: studio.Generation{Status: studio.Pending, CreatedAt: time.Now().Add(-time.Minute)}},
		},
	}
	var counters studio.Counters
	counters.Accepted.Add(3)
	counters.Failed.Add(1)
	counters.LeaseLost.Add(2)
	counters.FinalizeSeconds.Observe(40 * time.Millisecond)
	counters.ETAOutside.Add(1)
	m := New(func() *studio.Overview { return overview }, &counters)
	m.StreamOpened()
	m.StreamOpened()
	m.StreamClosed()
	m.Requested("GET /gallery", "GET", 200, 3*time.Millisecond)
	m.Requested("", "BREW-"+strings.Repeat("x", 100), 405, time.Millisecond)
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	rec := httptest.NewRecorder()
	m.ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	text := rec.Body.String()
	for _, want := range []string{
		"easel_queue_depth 2\n", "easel_queue_oldest_seconds 60.", `easel_comfyui_up{server="a"} 1`, `easel_comfyui_up{server="b"} 0`, `easel_comfyui_up{server="c"} 1`,
		`easel_comfyui_events_stalled{server="c"} 1`, `easel_comfyui_queue{server="a"} 2`, "easel_sse_streams 1\n",
		`easel_http_request_seconds_count{method="GET",route="GET /gallery",status="200"} 1`, `easel_http_request_seconds_count{method="other",route="",status="405"} 1`,
		"go_goroutines ", `easel_generations_total{state="accepted"} 3`, `easel_generations_total{state="failed"} 1`,
		`easel_generations_total{state="complete"} 0`, "easel_lease_lost_total 2\n", "easel_fence_rejections_total 0\n",
		"easel_ws_reconnects_total 0\n", "easel_sse_resyncs_total 0\n", "easel_attempts_lost_total 0\n", "easel_retries_total 0\n",
		`easel_webhook_deliveries_total{outcome="delivered"} 0`, `easel_finalize_seconds_bucket{le="0.05"} 1`, "easel_bus_probe_seconds_count 0\n",
		`easel_progress_error_points_bucket{le="5"} 0`, "easel_progress_error_points_count 0\n",
		`easel_eta_in_range_total{inside="yes"} 0`, `easel_eta_in_range_total{inside="no"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(text, "BREW") {
		t.Error("a visitor's method is a label")
	}
}
