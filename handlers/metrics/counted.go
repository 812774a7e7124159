package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"easel/studio"
)

// counted tells what the studio of this process has counted.
type counted struct{ counters *studio.Counters }

func total(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("easel_"+name, help, labels, nil)
}

var (
	generations     = total("generations_total", "Generations that this process accepted, and saw end.", "state")
	attemptsLost    = total("attempts_lost_total", "Prompts that vanished from a ComfyUI.")
	retries         = total("retries_total", "Prompts sent for an image that had one before.")
	leaseLost       = total("lease_lost_total", "Leases of servers that ended by another way than a stop.")
	fenceRejections = total("fence_rejections_total", "Writes refused because another instance had the server.")
	wsReconnects    = total("ws_reconnects_total", "Sockets to a ComfyUI that were opened again.")
	resyncs         = total("sse_resyncs_total", "Times that everything live was read anew.")
	deliveries      = total("webhook_deliveries_total", "Tries to deliver a webhook.", "outcome")
	pushes          = total("push_messages_total", "Tries to tell a browser of an end.", "outcome")
	finalizeSeconds = total("finalize_seconds", "Time to fetch and store the files of one prompt.")
	busProbeSeconds = total("bus_probe_seconds", "A bell's way through the bus and back.")
	errorPoints     = total("progress_error_points", "Mean error of the progress of a run, in points of 100.")
	etaInRange      = total("eta_in_range_total", "Runs by whether they ended in the range of times foretold first.", "inside")
)

// Describe names the figures.
func (counted) Describe(into chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		generations, attemptsLost, retries, leaseLost, fenceRejections, wsReconnects, resyncs, deliveries, pushes,
		finalizeSeconds, busProbeSeconds, errorPoints, etaInRange,
	} {
		into <- d
	}
}

// Collect reads them.
func (c counted) Collect(into chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, n *atomic.Int64, labels ...string) {
		into <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n.Load()), labels...)
	}
	k := c.counters
	count(generations, &k.Accepted, "accepted")
	count(generations, &k.Completed, string(studio.Complete))
	count(generations, &k.Failed, string(studio.Failed))
	count(generations, &k.Cancelled, string(studio.Cancelled))
	count(attemptsLost, &k.AttemptsLost)
	count(retries, &k.Retries)
	count(leaseLost, &k.LeaseLost)
	count(fenceRejections, &k.FenceRejections)
	count(wsReconnects, &k.WSReconnects)
	count(resyncs, &k.Resyncs)
	count(deliveries, &k.WebhooksDelivered, "delivered")
	count(deliveries, &k.WebhooksFailed, "failed")
	count(pushes, &k.PushesDelivered, "delivered")
	count(pushes, &k.PushesFailed, "failed")
	count(etaInRange, &k.ETAInside, "yes")
	count(etaInRange, &k.ETAOutside, "no")
	n, sum, notAbove := k.ProgressErrors.Read()
	into <- prometheus.MustNewConstHistogram(errorPoints, n, sum, notAbove)
	for d, h := range map[*prometheus.Desc]*studio.Histogram{finalizeSeconds: &k.FinalizeSeconds, busProbeSeconds: &k.BusProbeSeconds} {
		n, sum, notAbove := h.Read()
		into <- prometheus.MustNewConstHistogram(d, n, sum, notAbove)
	}
}
