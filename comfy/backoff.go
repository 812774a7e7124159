package comfy

import (
	"math/rand/v2"
	"time"
)

// backoff spreads attempts to connect. Each wait is between half of a bound and the bound; the bound doubles from
// twice the shortest wait up to the longest. So every wait lies between shortest and longest, and the clients of
// a server that has restarted do not all come at once.
type backoff struct {
	shortest, longest time.Duration
	bound             time.Duration // 0 after reset
}

// next returns how long to wait before the next attempt.
func (b *backoff) next() time.Duration {
	b.bound = min(max(2*b.bound, 2*b.shortest), b.longest)
	half := max(b.bound/2, b.shortest)
	return half + rand.N(b.bound-half+1)
}

// reset makes the next wait one of the shortest again.
func (b *backoff) reset() { b.bound = 0 }
