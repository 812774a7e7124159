package studio

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"easel/db"
)

// The channels of LISTEN: the function ring of the database rings bells on the first, instances talk
// on the second, which their predecessors do not know.
const (
	bellChannel = "easel"
	liveChannel = "easel_live"
)

// notifyBytes is the largest payload that NOTIFY takes; 8000 are refused.
const notifyBytes = 7900

// PostgresBus is the Bus of an installation that has nothing but its database: LISTEN on a connection
// of its own, NOTIFY through the pool. Bells are rung in the transaction that makes the change.
type PostgresBus struct {
	pool    *pgxpool.Pool
	queries *db.Queries
	logger  *slog.Logger

	mu   sync.Mutex // guards all below
	cut  context.CancelFunc
	well error // nil while connected
}

// NewPostgresBus makes a bus on a database; logger may be nil.
func NewPostgresBus(pool *pgxpool.Pool, logger *slog.Logger) *PostgresBus {
	if logger == nil {
		logger = slog.Default()
	}
	return &PostgresBus{pool: pool, queries: db.New(pool), logger: logger, well: errNotConnected}
}

const (
	minRedial = 250 * time.Millisecond
	maxRedial = 10 * time.Second
)

// Run is part of Bus.
func (b *PostgresBus) Run(ctx context.Context, hear func([]byte), missed func()) error {
	for wait := minRedial; ; wait = min(2*wait, maxRedial) {
		began := time.Now()
		err := b.listen(ctx, hear, missed)
		b.set(nil, err)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > maxRedial {
			wait = minRedial
		}
		pauseFor := wait/2 + rand.N(wait) //nolint:gosec // jitter
		b.logger.WarnContext(ctx, "not listening to the database", "err", err, "retry_in", pauseFor)
		if !sleep(ctx, pauseFor) {
			return nil
		}
	}
}

// listen hears until the connection ends, which is the error.
func (b *PostgresBus) listen(ctx context.Context, hear func([]byte), missed func()) error {
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	b.set(cut, errNotConnected)
	conn, err := pgx.ConnectConfig(ctx, b.pool.Config().ConnConfig.Copy())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	for _, channel := range []string{bellChannel, liveChannel} {
		if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	b.set(cut, nil)
	missed()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("wait for a notice: %w", err)
		}
		hear([]byte(n.Payload))
	}
}

func (b *PostgresBus) set(cut context.CancelFunc, well error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut, b.well = cut, well
}

// Publish is part of Bus.
func (b *PostgresBus) Publish(ctx context.Context, messages ...[]byte) error {
	texts := make([]string, len(messages))
	for i, message := range messages {
		texts[i] = string(message)
	}
	if err := b.queries.Tell(ctx, texts); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}

// Redial is part of Bus.
func (b *PostgresBus) Redial() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cut != nil {
		b.cut()
	}
}

// Healthy is part of Bus.
func (b *PostgresBus) Healthy() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.well
}

// MaxBytes is part of Bus.
func (*PostgresBus) MaxBytes() int { return notifyBytes }
