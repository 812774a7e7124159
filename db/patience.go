package db

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// patience bounds the wait for a free connection, which pgxpool leaves to the caller's context: a
// request that waits for long is one more that waits. It is a tracer because the pool hands those the
// context of the wait, and takes back the one to wait with.
type patience struct{}

type giveUp struct{}

// TraceAcquireStart is part of pgxpool.AcquireTracer.
func (patience) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	ctx, cancel := context.WithTimeout(ctx, AcquireTimeout)
	return context.WithValue(ctx, giveUp{}, cancel)
}

// TraceAcquireEnd is part of pgxpool.AcquireTracer.
func (patience) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	if cancel, ok := ctx.Value(giveUp{}).(context.CancelFunc); ok {
		cancel()
	}
}

// TraceQueryStart is part of pgx.QueryTracer, which every tracer has to be.
func (patience) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd is part of pgx.QueryTracer.
func (patience) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
