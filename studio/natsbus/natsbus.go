// Package natsbus is the bus between instances over NATS: core NATS, at most once, nothing is kept. It
// knows NATS and none of our rooms.
package natsbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Bus is a connection to NATS; it is a studio.Bus.
type Bus struct {
	url     string
	subject string
	logger  *slog.Logger

	mu   sync.Mutex // guards conn
	conn *nats.Conn // nil: Run has not begun, or has ended
}

const (
	timeout      = 3 * time.Second
	minRedial    = 250 * time.Millisecond
	maxRedial    = 10 * time.Second
	pingEvery    = 10 * time.Second
	behind       = 4096     // messages that may wait to be heard; more are dropped
	behindBytes  = 16 << 20 // the same in bytes
	defaultBytes = 1 << 20  // of a message, by NATS's own default
)

var errNotConnected = errors.New("not connected")

// New makes a bus of a URL: nats:// or tls://, several with commas between. subject is the installation's own.
// Nothing is dialled before Run. No error holds the password.
func New(address, subject string, logger *slog.Logger) (*Bus, error) {
	if u, err := url.Parse(address); err != nil || u.Host == "" {
		return nil, errors.New("nats: the URL cannot be read; it looks like nats://user:password@host:4222")
	}
	if logger == nil {
		logger = slog.Default()
	}
	return &Bus{url: address, subject: subject, logger: logger}, nil
}

// Run connects and subscribes until ctx ends; see studio.Bus. NATS's client dials again by itself.
func (b *Bus) Run(ctx context.Context, hear func([]byte), missed func()) error {
	connected := func(*nats.Conn) { missed() }
	conn, err := nats.Connect(b.url,
		nats.Name("easel"), nats.Timeout(timeout), nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(2),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(delay),
		nats.ReconnectBufSize(-1), // what cannot be said now is found in the database
		nats.ConnectHandler(connected), nats.ReconnectHandler(connected),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if ctx.Err() == nil {
				b.logger.WarnContext(ctx, "not connected to NATS", "err", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrSlowConsumer) {
				missed()
			}
		}),
	)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	var closed sync.WaitGroup
	closed.Add(1)
	conn.SetClosedHandler(func(*nats.Conn) { closed.Done() })
	defer closed.Wait()
	defer conn.Close()
	sub, err := conn.Subscribe(b.subject, func(m *nats.Msg) { hear(m.Data) })
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if err := sub.SetPendingLimits(behind, behindBytes); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	b.set(conn)
	defer b.set(nil)
	first, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if conn.FlushWithContext(first) == nil { // connected before the subscription
		missed()
	}
	<-ctx.Done()
	return nil
}

// delay is how long to wait before a try to connect.
func delay(tries int) time.Duration {
	wait := min(minRedial<<min(tries, 6), maxRedial)
	return wait/2 + rand.N(wait) //nolint:gosec // jitter
}

func (b *Bus) set(conn *nats.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conn = conn
}

func (b *Bus) connection() (*nats.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil || !b.conn.IsConnected() {
		return nil, errNotConnected
	}
	return b.conn, nil
}

// Publish hands messages to the connection and waits until they are written.
func (b *Bus) Publish(ctx context.Context, messages ...[]byte) error {
	conn, err := b.connection()
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	for _, message := range messages {
		if err := conn.Publish(b.subject, message); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	if err := conn.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// Redial gives up the present connection.
func (b *Bus) Redial() {
	if conn, err := b.connection(); err == nil {
		_ = conn.ForceReconnect()
	}
}

// Healthy is nil while connected.
func (b *Bus) Healthy() error {
	_, err := b.connection()
	return err
}

// MaxBytes is what the server takes.
func (b *Bus) MaxBytes() int {
	if conn, err := b.connection(); err == nil && conn.MaxPayload() > 0 {
		return int(conn.MaxPayload())
	}
	return defaultBytes
}
