package studio

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Counters is what this process has counted since it began: the owner of each thing adds to it
// where it happens, /metrics shows it.
type Counters struct {
	Accepted, Completed, Failed, Cancelled atomic.Int64 // generations

	AttemptsLost    atomic.Int64 // prompts that vanished, whatever followed
	Retries         atomic.Int64 // prompts sent for an image that had one before
	LeaseLost       atomic.Int64 // leases that ended by another way than a stop
	FenceRejections atomic.Int64 // statements that changed no row because the lease was another's
	WSReconnects    atomic.Int64 // sockets opened after the first of a lease
	Resyncs         atomic.Int64 // times that everything live was read anew

	WebhooksDelivered, WebhooksFailed atomic.Int64 // single tries
	PushesDelivered, PushesFailed     atomic.Int64 // the same, to browsers

	FinalizeSeconds Histogram // fetching and storing the files of a prompt, one try
	BusProbeSeconds Histogram // a bell's way through the bus and back
}

// Counters are this process's. They may be read and added to at any time.
func (s *Studio) Counters() *Counters { return &s.counters }

// ended counts a generation whose status after a change is this one; a live one does not count.
func (c *Counters) ended(status Status) {
	switch status {
	case Complete:
		c.Completed.Add(1)
	case Failed:
		c.Failed.Add(1)
	case Cancelled:
		c.Cancelled.Add(1)
	}
}

// histogramBounds are the upper ends of all buckets but the last, in seconds.
var histogramBounds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 180}

// Histogram counts durations. Its zero value is empty and ready.
type Histogram struct {
	mu      sync.Mutex // guards all below
	count   uint64
	sum     float64
	buckets [15]uint64 // not cumulative; one more than histogramBounds
}

// Observe adds a duration.
func (h *Histogram) Observe(d time.Duration) {
	seconds := d.Seconds()
	place, _ := slices.BinarySearch(histogramBounds, seconds)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count++
	h.sum += seconds
	h.buckets[place]++
}

// Read gives how many there were, their sum in seconds, and for each bound how many were not above it.
func (h *Histogram) Read() (count uint64, sum float64, notAbove map[float64]uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	notAbove = make(map[float64]uint64, len(histogramBounds))
	var total uint64
	for i, bound := range histogramBounds {
		total += h.buckets[i]
		notAbove[bound] = total
	}
	return h.count, h.sum, notAbove
}
