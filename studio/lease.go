package studio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"easel/db"
)

// errLeaseLost ends the supervision of a server that may be another instance's by now.
var errLeaseLost = errors.New("the lease of the server is lost")

// lease is the right to supervise a server. It is counted by the database's clock; our own, which
// only runs forward, decides when we let go, a margin earlier.
type lease struct {
	queries *db.Queries
	timing  Timing
	server  uuid.UUID
	owner   uuid.UUID
	fence   int64
	until   time.Time // by our clock, measured from before the request
}

// takeLease takes the lease of a server, if it is free or ours; force takes it from whoever has
// it. db.ErrNotFound: somebody else has it.
func takeLease(ctx context.Context, q *db.Queries, t Timing, server, owner uuid.UUID, force bool) (*lease, error) {
	asked := time.Now()
	fence, err := db.One(q.ServerTake(ctx, db.ServerTakeParams{
		ID: server, Owner: owner, TTLSeconds: t.Lease.Seconds(), Force: force,
	}))
	if err != nil {
		return nil, fmt.Errorf("take lease: %w", err)
	}
	return &lease{queries: q, timing: t, server: server, owner: owner, fence: fence, until: asked.Add(t.Lease)}, nil
}

// keep renews the lease until ctx ends, which is no error, or until it cannot be ours for sure any
// more. A renewal that fails is tried again while there is time.
func (l *lease) keep(ctx context.Context) error {
	for sleep(ctx, l.timing.Renew) {
		for {
			asked := time.Now()
			deadline := l.until.Add(-l.timing.Margin)
			renewCtx, cancel := context.WithDeadline(ctx, deadline)
			rows, err := l.queries.ServerRenew(renewCtx, db.ServerRenewParams{
				TTLSeconds: l.timing.Lease.Seconds(), ID: l.server, Owner: l.owner, Fence: l.fence,
			})
			cancel()
			if err == nil && rows == 0 {
				return fmt.Errorf("%w: another instance has taken it", errLeaseLost)
			}
			if err == nil {
				l.until = asked.Add(l.timing.Lease)
				break
			}
			again := l.timing.Renew / 10
			if ctx.Err() == nil && time.Now().Add(again).After(deadline) {
				return fmt.Errorf("%w: it could not be renewed in time: %w", errLeaseLost, err)
			}
			if !sleep(ctx, again) {
				return nil
			}
		}
	}
	return nil
}

// releaseTimeout bounds what a graceful stop waits for the database.
const releaseTimeout = 2 * time.Second

// release gives the lease back; the next owner need not wait for its end.
func (l *lease) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	return l.queries.ServerRelease(ctx, db.ServerReleaseParams{ID: l.server, Owner: l.owner, Fence: l.fence})
}
