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

	ProgressErrors        PointHistogram // mean absolute error of the percentage, of each image that is complete
	ETAInside, ETAOutside atomic.Int64   // of these, those that ended within the range that was stated first, and those that did not
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

// The upper ends of all buckets but the last.
var (
	secondBounds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 180}
	pointBounds  = []float64{1, 2, 3, 5, 7.5, 10, 15, 20, 30, 50}
)

// Histogram counts durations. Its zero value is empty and ready.
type Histogram struct{ tally }

// Observe adds a duration.
func (h *Histogram) Observe(d time.Duration) { h.add(secondBounds, d.Seconds()) }

// Read gives how many there were, their sum in seconds, and for each bound how many were not above it.
func (h *Histogram) Read() (count uint64, sum float64, notAbove map[float64]uint64) {
	return h.read(secondBounds)
}

// PointHistogram counts errors in points of 100. Its zero value is empty and ready.
type PointHistogram struct{ tally }

func (h *PointHistogram) observe(points float64) { h.add(pointBounds, points) }

// Read gives how many there were, their sum in points, and for each bound how many were not above it.
func (h *PointHistogram) Read() (count uint64, sum float64, notAbove map[float64]uint64) {
	return h.read(pointBounds)
}

// tally is the counts of a histogram.
type tally struct {
	mu      sync.Mutex // guards all below
	count   uint64
	sum     float64
	buckets [15]uint64 // not cumulative; at least one more than there are bounds
}

func (t *tally) add(bounds []float64, v float64) {
	place, _ := slices.BinarySearch(bounds, v)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	t.sum += v
	t.buckets[place]++
}

func (t *tally) read(bounds []float64) (count uint64, sum float64, notAbove map[float64]uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	notAbove = make(map[float64]uint64, len(bounds))
	var total uint64
	for i, bound := range bounds {
		total += t.buckets[i]
		notAbove[bound] = total
	}
	return t.count, t.sum, notAbove
}
