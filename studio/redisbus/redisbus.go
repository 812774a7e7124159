// Package redisbus is the bus between instances over Redis Pub/Sub: at most once, nothing is kept. It
// knows Redis and none of our rooms.
package redisbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Bus is a connection to one Redis; it is a studio.Bus.
type Bus struct {
	client  *redis.Client
	channel string
	logger  *slog.Logger

	mu   sync.Mutex // guards all below
	sub  *redis.PubSub
	well error // nil while subscribed
}

const (
	timeout   = 3 * time.Second // for dialling, and for one command
	poolSize  = 4               // connections to publish by
	minRedial = 250 * time.Millisecond
	maxRedial = 10 * time.Second
	maxBytes  = 1 << 20
)

var errNotConnected = errors.New("not connected")

// New makes a bus of a URL: redis://, rediss:// (TLS) or unix://. channel is the installation's own, since several may
// share a Redis. Nothing is dialled before Run or Publish. No error holds the password.
func New(url, channel string, logger *slog.Logger) (*Bus, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("redis: the URL cannot be read; it looks like redis://user:password@host:6379")
	}
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = timeout, timeout, timeout
	options.ContextTimeoutEnabled = true
	options.DialerRetries, options.MaxRetries = 1, -1 // what cannot be said now is found in the database
	options.PoolSize = poolSize
	options.DisableIdentity = true
	options.Protocol = 2
	options.MaintNotificationsConfig = nil
	redis.SetLogger(quiet{})
	if logger == nil {
		logger = slog.Default()
	}
	return &Bus{client: redis.NewClient(options), channel: channel, logger: logger, well: errNotConnected}, nil
}

// quiet keeps the client from writing to standard error: what it says comes as an error as well.
type quiet struct{}

// Printf is part of the client's logger.
func (quiet) Printf(context.Context, string, ...any) {}

// Run subscribes, and again after each loss, until ctx ends; see studio.Bus.
func (b *Bus) Run(ctx context.Context, hear func([]byte), missed func()) error {
	defer func() { _ = b.client.Close() }()
	for wait := minRedial; ; wait = min(2*wait, maxRedial) {
		began := time.Now()
		err := b.listen(ctx, hear, missed)
		b.set(nil, cmp.Or(err, errNotConnected))
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > maxRedial {
			wait = minRedial
		}
		retryIn := wait/2 + rand.N(wait) //nolint:gosec // jitter
		b.logger.WarnContext(ctx, "not listening to Redis", "err", err, "retry_in", retryIn)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryIn):
		}
	}
}

// listen hears until the connection ends, which is the error.
func (b *Bus) listen(ctx context.Context, hear func([]byte), missed func()) error {
	sub := b.client.Subscribe(ctx) // nothing yet, so that Redial can break off the first answer too
	b.set(sub, errNotConnected)
	defer func() { _ = sub.Close() }()
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })() // its reads do not heed a context
	if err := sub.Subscribe(ctx, b.channel); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	answer, err := sub.ReceiveTimeout(ctx, timeout)
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if _, ok := answer.(*redis.Subscription); !ok {
		return fmt.Errorf("subscribe: answered with %T", answer)
	}
	b.set(sub, nil)
	missed()
	for {
		// Each error ends the subscription: the client would dial again by itself, and we would not know
		// that something was missed.
		message, err := sub.ReceiveTimeout(ctx, 0)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if m, ok := message.(*redis.Message); ok {
			hear([]byte(m.Payload))
		}
	}
}

func (b *Bus) set(sub *redis.PubSub, well error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sub, b.well = sub, well
}

// Publish sends messages in one round trip.
func (b *Bus) Publish(ctx context.Context, messages ...[]byte) error {
	_, err := b.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, message := range messages {
			p.Publish(ctx, b.channel, message)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// Redial gives up the present subscription.
func (b *Bus) Redial() {
	b.mu.Lock()
	sub := b.sub
	b.mu.Unlock()
	if sub != nil {
		_ = sub.Close()
	}
}

// Healthy is nil while subscribed.
func (b *Bus) Healthy() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.well
}

// MaxBytes is far below what Redis takes: its subscribers are cut off at 32 MB behind.
func (*Bus) MaxBytes() int { return maxBytes }
