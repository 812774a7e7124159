// Package metrics counts what the handlers do and shows it, with the state of the installation,
// in Prometheus' format. Labels are patterns, names and states: never text of a visitor.
package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"easel/studio"
)

// Metrics has a registry of its own, so that a program that mounts Easel keeps its default one.
type Metrics struct {
	Registry *prometheus.Registry // others may register their own figures
	handler  http.Handler
	requests *prometheus.HistogramVec
	streams  prometheus.Gauge
}

// New makes the figures. overview and counters are read at each scrape.
func New(overview func() *studio.Overview, counters *studio.Counters) *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "easel_http_request_seconds", Help: "Time to answer a request, streams left out.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"route", "method", "status"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "easel_sse_streams", Help: "Event streams open now."}),
	}
	m.Registry.MustRegister(m.requests, m.streams, installation{overview}, counted{counters},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2, Timeout: 10 * time.Second})
	return m
}

// ServeHTTP shows all figures.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// Requested counts an answer. route is the pattern that matched, empty for none.
func (m *Metrics) Requested(route, method string, status int, took time.Duration) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete:
	default:
		method = "other" // it is the visitor's to choose
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Observe(took.Seconds())
}

// StreamOpened and StreamClosed count the open streams.
func (m *Metrics) StreamOpened() { m.streams.Inc() }

// StreamClosed is the other half of StreamOpened.
func (m *Metrics) StreamClosed() { m.streams.Dec() }

// installation tells of servers and queue as the overview has them at the moment.
type installation struct{ overview func() *studio.Overview }

var (
	queueDepth    = prometheus.NewDesc("easel_queue_depth", "Generations that wait or run.", nil, nil)
	queueOldest   = prometheus.NewDesc("easel_queue_oldest_seconds", "Age of the oldest generation that waits.", nil, nil)
	serverUp      = prometheus.NewDesc("easel_comfyui_up", "1 when the ComfyUI answers.", []string{"server"}, nil)
	serverStalled = prometheus.NewDesc("easel_comfyui_events_stalled", "1 when the ComfyUI answers, but its events do not arrive.", []string{"server"}, nil)
	serverQueue   = prometheus.NewDesc("easel_comfyui_queue", "Prompts inside the ComfyUI, anybody's.", []string{"server"}, nil)
)

// Describe names the figures.
func (installation) Describe(into chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queueDepth, queueOldest, serverUp, serverStalled, serverQueue} {
		into <- d
	}
}

// Collect reads them.
func (i installation) Collect(into chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		into <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	o := i.overview()
	var oldest time.Duration
	for _, state := range o.Live {
		if g := &state.Generation; g.Status == studio.Pending {
			oldest = max(oldest, time.Since(g.CreatedAt))
		}
	}
	gauge(queueDepth, float64(len(o.Live)))
	gauge(queueOldest, oldest.Seconds())
	for _, server := range o.Servers {
		gauge(serverUp, one(server.State == studio.ServerUp || server.State == studio.ServerStalled), server.Name)
		gauge(serverStalled, one(server.State == studio.ServerStalled), server.Name)
		gauge(serverQueue, float64(server.Queue), server.Name)
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
