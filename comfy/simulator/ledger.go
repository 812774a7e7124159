package simulator

import (
	"maps"
	"slices"
	"sync"
)

// Ledger is the record of what clients asked for and what was run, for tests to hold them to their promises. It
// outlives restarts.
type Ledger struct {
	mu         sync.Mutex
	posts      map[string]int
	runs       map[string]int
	interrupts []string
	deletes    []string
	cancels    []string
	clears     int
	requests   map[string]int
	inFlight   int
	peak       int
	sockets    int
}

func newLedger() *Ledger {
	return &Ledger{posts: map[string]int{}, runs: map[string]int{}, requests: map[string]int{}}
}

// Posts returns how often each prompt_id came with POST /prompt, refused ones included.
func (l *Ledger) Posts() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.posts)
}

// Runs returns how often the worker began each prompt_id.
func (l *Ledger) Runs() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.runs)
}

// Interrupts returns the prompt_id of each POST /interrupt in order, "" for one that named none and so hit whatever
// ran.
func (l *Ledger) Interrupts() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.interrupts)
}

// Deletes returns the ids that POST /queue was asked to delete, in order.
func (l *Ledger) Deletes() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.deletes)
}

// Cancels returns the ids that were asked for through the jobs API's cancel, in order.
func (l *Ledger) Cancels() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.cancels)
}

// Clears returns how often a client cleared the whole queue or the whole history.
func (l *Ledger) Clears() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clears
}

// Requests returns how often each route was asked for, keyed like "GET /view".
func (l *Ledger) Requests() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.requests)
}

// PeakRequests returns the largest number of requests that were under way at once; sockets do not count.
func (l *Ledger) PeakRequests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.peak
}

// Sockets returns how many WebSockets were opened.
func (l *Ledger) Sockets() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sockets
}

// note runs change with the ledger locked.
func (l *Ledger) note(change func(l *Ledger)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}
