package studio

import (
	"sync"
	"time"
)

// One receiver that hangs must not hold up the others: it is posted to by a few workers at once, and what
// is turned away comes again, later the more of it there is.
const (
	webhooksPerHost  = 2
	webhookSpacing   = 250 * time.Millisecond // between two that were turned away
	maxWebhookSnooze = time.Minute
)

// receivers are the hosts that are being posted to from here.
type receivers struct {
	mu   sync.Mutex // guards busy
	busy map[string]*receiverLoad
}

type receiverLoad struct {
	posts  int // under way
	turned int // away, since it was last idle
}

// enter takes one of a host's places until leave is called. A nil leave means that all are taken; then snooze is when
// to come again.
func (r *receivers) enter(host string) (leave func(), snooze time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy == nil {
		r.busy = make(map[string]*receiverLoad)
	}
	load := r.busy[host]
	if load == nil {
		load = &receiverLoad{}
		r.busy[host] = load
	}
	if load.posts >= webhooksPerHost {
		load.turned++
		return nil, min(time.Second+time.Duration(load.turned)*webhookSpacing, maxWebhookSnooze)
	}
	load.posts++
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if load.posts--; load.posts == 0 {
			delete(r.busy, host)
		}
	}), 0
}
