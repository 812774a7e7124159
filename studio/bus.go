package studio

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// Bus carries messages between the instances of one installation: bells, progress, previews. It may
// lose them, repeat them and change their order. Nothing depends on it but speed: what must not be
// lost is in Postgres, and read there when the bell was not heard.
type Bus interface {
	// Run connects, and again after each loss, until ctx ends. Every message that arrives, our own
	// included, goes to hear, which does not wait and does not keep it. missed is called after each
	// connect, before the first message of that connection, and whenever messages had to be dropped:
	// something may have been said that was not heard. Run is called once.
	Run(ctx context.Context, hear func(message []byte), missed func()) error
	// Publish sends messages of at most MaxBytes each. It waits for the server as long as ctx
	// lets it, and for no subscriber.
	Publish(ctx context.Context, messages ...[]byte) error
	// Redial gives up the present connection, which looks alive and brings nothing.
	Redial()
	// Healthy is nil while there is a connection to hear by, else what is wrong with it.
	Healthy() error
	// MaxBytes is the size of the largest message that can be sent.
	MaxBytes() int
}

// errNotConnected is what Healthy says before the first connect and after the end.
var errNotConnected = errors.New("not connected")

// MemoryBus is a Bus within one process, for tests and for the only instance of an installation.
type MemoryBus struct {
	net   *MemoryNet
	queue chan []byte
	over  atomic.Bool // messages were dropped since the last that was heard
	wake  chan struct{}
}

// MemoryNet is what MemoryBuses are connected to. The zero value is ready.
type MemoryNet struct {
	mu    sync.Mutex // guards buses
	buses map[*MemoryBus]struct{}
}

// memoryQueue is how many messages a subscriber may be behind.
const memoryQueue = 1024

// memoryBytes is the largest message of a MemoryBus, as large as NATS allows by default.
const memoryBytes = 1 << 20

// NewBus makes a bus on the net.
func (n *MemoryNet) NewBus() *MemoryBus {
	return &MemoryBus{net: n, queue: make(chan []byte, memoryQueue), wake: make(chan struct{}, 1)}
}

// Run is part of Bus.
func (b *MemoryBus) Run(ctx context.Context, hear func([]byte), missed func()) error {
	b.net.join(b)
	defer b.net.leave(b)
	missed()
	for {
		select {
		case <-ctx.Done():
			return nil
		case message := <-b.queue:
			hear(message)
		case <-b.wake:
			if b.over.Swap(false) {
				missed()
			}
		}
	}
}

func (n *MemoryNet) join(b *MemoryBus) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.buses == nil {
		n.buses = make(map[*MemoryBus]struct{})
	}
	n.buses[b] = struct{}{}
}

func (n *MemoryNet) leave(b *MemoryBus) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.buses, b)
}

// Publish is part of Bus.
func (b *MemoryBus) Publish(_ context.Context, messages ...[]byte) error {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	for other := range b.net.buses {
		for _, message := range messages {
			select {
			case other.queue <- message:
			default:
				other.over.Store(true)
				ring(other.wake)
			}
		}
	}
	return nil
}

// Redial is part of Bus.
func (b *MemoryBus) Redial() {
	b.over.Store(true)
	ring(b.wake)
}

// Healthy is part of Bus.
func (b *MemoryBus) Healthy() error {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	if _, ok := b.net.buses[b]; !ok {
		return errNotConnected
	}
	return nil
}

// MaxBytes is part of Bus.
func (*MemoryBus) MaxBytes() int { return memoryBytes }
