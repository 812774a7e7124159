// Package bustest is what every bus between instances must keep to, as a test for each of them.
package bustest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"easel/studio"
)

// patience bounds every wait for something that comes in milliseconds unless it never comes.
const patience = 2 * time.Minute

// Server is what the buses of a test are connected to.
type Server struct {
	NewBus  func(t *testing.T) studio.Bus
	Restart func(t *testing.T) // takes the server away and brings it back; nil: it cannot be
}

// Run tries a kind of bus. start gives each part a server of its own.
func Run(t *testing.T, start func(t *testing.T) Server) {
	t.Run("delivers to all, the sender too", func(t *testing.T) {
		s := start(t)
		first, second := listen(t, s.NewBus(t), nil), listen(t, s.NewBus(t), nil)
		first.publish("one", "two")
		second.publish("three")
		for _, m := range []string{"one", "two", "three"} {
			first.await(m)
			second.await(m)
		}
	})
	t.Run("carries bytes as they are, up to its size", func(t *testing.T) {
		bus := listen(t, start(t).NewBus(t), nil)
		large := make([]byte, bus.bus.MaxBytes())
		for i := range large {
			large[i] = byte('a' + i%26)
		}
		bus.publish(string(large))
		bus.await(string(large))
	})
	t.Run("says when nothing can be heard, and goes on", func(t *testing.T) {
		s := start(t)
		if s.Restart == nil {
			t.Skip("it cannot be taken away")
		}
		bus := listen(t, s.NewBus(t), nil)
		before := bus.count()
		s.Restart(t)
		bus.until("told of the loss", func() bool { return bus.count() > before })
		bus.untilHeard("after the restart")
		if err := bus.bus.Healthy(); err != nil {
			t.Errorf("Healthy() = %v", err)
		}
	})
	t.Run("dials again when asked", func(t *testing.T) {
		bus := listen(t, start(t).NewBus(t), nil)
		before := bus.count()
		bus.bus.Redial()
		bus.until("told of the loss", func() bool { return bus.count() > before })
		bus.untilHeard("after it")
	})
	t.Run("a slow subscriber holds up nobody and learns that it missed something", func(t *testing.T) {
		s := start(t)
		gate := make(chan struct{})
		slow, quick := listen(t, s.NewBus(t), gate), listen(t, s.NewBus(t), nil)
		before := slow.count()
		const many = 6000
		for i := range many {
			quick.publish(fmt.Sprint("number ", i))
		}
		quick.until("heard by the quick one, or known to be lost", func() bool { return quick.heardAll(many) || quick.count() > 1 })
		close(gate)
		slow.until("caught up, or told", func() bool { return slow.heardAll(many) || slow.count() > before })
		slow.untilHeard("still there")
	})
	t.Run("its end leaves it unhealthy", func(t *testing.T) {
		bus := listen(t, start(t).NewBus(t), nil)
		if err := bus.bus.Healthy(); err != nil {
			t.Errorf("Healthy() = %v while connected", err)
		}
		bus.stop()
		if bus.bus.Healthy() == nil {
			t.Error("Healthy() = nil after the end")
		}
	})
}

// ear is a running bus and what came by it.
type ear struct {
	t    *testing.T
	bus  studio.Bus
	stop func()

	mu     sync.Mutex // guards all below
	heard  map[string]int
	missed int
}

// listen runs a bus until the test ends, and returns when it is connected. Each message waits for gate, unless it
// is nil.
func listen(t *testing.T, bus studio.Bus, gate chan struct{}) *ear {
	t.Helper()
	e := &ear{t: t, bus: bus, heard: make(map[string]int)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- bus.Run(ctx, func(message []byte) {
			if gate != nil {
				<-gate
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			e.heard[string(message)]++
		}, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.missed++
		})
	}()
	e.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run() = %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not return")
		}
	})
	t.Cleanup(e.stop)
	e.until("connected", func() bool { return e.count() > 0 && bus.Healthy() == nil })
	return e
}

func (e *ear) publish(messages ...string) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	raw := make([][]byte, len(messages))
	for i, m := range messages {
		raw[i] = []byte(m)
	}
	if err := e.bus.Publish(ctx, raw...); err != nil {
		e.t.Fatalf("Publish() = %v", err)
	}
}

func (e *ear) await(message string) {
	e.t.Helper()
	e.until(fmt.Sprintf("heard %.20q", message), func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.heard[message] > 0
	})
}

// untilHeard says something until it is heard: while a connection is made anew, messages may be lost.
func (e *ear) untilHeard(message string) {
	e.t.Helper()
	i := 0
	e.until("heard "+message, func() bool {
		ctx, cancel := context.WithTimeout(e.t.Context(), time.Second)
		defer cancel()
		i++
		_ = e.bus.Publish(ctx, fmt.Appendf(nil, "%s, %d", message, i))
		e.mu.Lock()
		defer e.mu.Unlock()
		for j := range i {
			if e.heard[fmt.Sprintf("%s, %d", message, j+1)] > 0 {
				return true
			}
		}
		return false
	})
}

func (e *ear) heardAll(n int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.heard) >= n
}

func (e *ear) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.missed
}

func (e *ear) until(what string, done func() bool) {
	e.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-timeout:
			e.t.Fatalf("never %s", what)
		}
	}
}
