package studio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"easel/db"
)

// errLeaseLost ends the supervision of a server that may be another instance's by now.
var errLeaseLost = errors.New("the lease of the server is lost")

// lease is the right to supervise a server. It is counted by the database's clock; our own, which
// only runs forward, decides when we let go, a margin earlier.
type lease struct {
	queries ringer
	timing  Timing
	server  uuid.UUID
	owner   uuid.UUID
	fence   int64
	until   time.Time // by our clock, measured from before the request
}

// taking says how a lease is taken.
type taking int

const (
	takeFree      taking = iota // if it is free or ours
	takeByForce                 // from whoever has it
	takeAbandoned               // if it is free or ours, of a server that is off
)

// takeTimeout bounds what one try to take a lease waits for the database.
const takeTimeout = 5 * time.Second

// takeLease takes the lease of a server. db.ErrNotFound: it is not to be had.
func takeLease(ctx context.Context, q ringer, t Timing, server, owner uuid.UUID, how taking) (*lease, error) {
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	asked := time.Now()
	fence, err := db.One(q.ServerTake(ctx, db.ServerTakeParams{
		ID: server, Owner: owner, TTLSeconds: t.Lease.Seconds(), Force: how == takeByForce, Abandon: how == takeAbandoned,
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
			// A try that hangs is given up while there is time for another, on another connection.
			renewCtx, cancel := context.WithTimeout(ctx, min(l.timing.Renew, time.Until(deadline)))
			rows, err := l.queries.ServerRenew(renewCtx, db.ServerRenewParams{
				TTLSeconds: l.timing.Lease.Seconds(), ID: l.server, Owner: l.owner, Fence: l.fence,
			})
			cancel()
			if err == nil && rows == 0 {
				return fmt.Errorf("%w: another instance has taken it, or the server was switched off", errLeaseLost)
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

// leaseConnections is how many connections renewals have of their own, so that no lease is lost because visitors
// have all the others: one, and another while the first hangs.
const leaseConnections = 2

// openLeases makes the connections for leases. The caller closes them.
func (s *Studio) openLeases(ctx context.Context) (*pgxpool.Pool, error) {
	config := s.pool.Config()
	config.MaxConns, config.MinConns, config.MinIdleConns = leaseConnections, 0, 0
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connections for leases: %w", err)
	}
	return pool, nil
}

// releaseTimeout bounds what a graceful stop waits for the database.
const releaseTimeout = 2 * time.Second

// release gives the lease back; the next owner need not wait for its end.
func (l *lease) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	return l.queries.ServerRelease(ctx, db.ServerReleaseParams{ID: l.server, Owner: l.owner, Fence: l.fence})
}
