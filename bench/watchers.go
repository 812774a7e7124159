package bench

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// crowd is many open streams of one URL, read by this process.
type crowd struct {
	steps int
	done  sync.WaitGroup
	last  sync.WaitGroup // one for each watcher that has not seen the last step
	conns []net.Conn

	mu       sync.Mutex
	arrivals []time.Duration // since the epoch of sent, step after step, watcher after watcher
	late     []int           // which step each arrival is
	events   int             // events of any kind
	ended    int             // watchers that saw the end
	lost     int             // watchers whose stream broke before the end
}

// gather opens n streams of rawURL (http://host:port/path) and returns when each has had its
// first event. They read until the event that end recognises.
func gather(ctx context.Context, rawURL string, n, steps int, end []byte, epoch time.Time) (*crowd, error) {
	host, path, ok := strings.Cut(strings.TrimPrefix(rawURL, "http://"), "/")
	if !ok {
		return nil, fmt.Errorf("%s has no path", rawURL)
	}
	c := &crowd{steps: steps}
	opened := make(chan error, n)
	gate := make(chan struct{}, 64) // connections being opened at one time
	for range n {
		gate <- struct{}{}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", host)
		if err != nil {
			c.close()
			return nil, err
		}
		c.conns = append(c.conns, conn)
		c.last.Add(1)
		c.done.Go(func() {
			c.read(conn, host, "/"+path, end, epoch, func(err error) { opened <- err; <-gate })
		})
	}
	for range n {
		select {
		case err := <-opened:
			if err != nil {
				c.close()
				return nil, err
			}
		case <-ctx.Done():
			c.close()
			return nil, ctx.Err()
		}
	}
	return c, nil
}

var stepField = []byte(`"currentStep":`)

// read follows one stream. Chunk sizes stand between the events and are simply passed over.
func (c *crowd) read(conn net.Conn, host, path string, end []byte, epoch time.Time, opened func(error)) {
	_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", path, host)
	buffer := make([]byte, 0, 8192)
	first, seen, events := true, 0, 0
	seenLast := sync.OnceFunc(c.last.Done)
	defer seenLast()
	var at []time.Duration
	var which []int
	finished := false
	for err == nil && !finished {
		if len(buffer) == cap(buffer) {
			err = fmt.Errorf("an event is longer than %d bytes", cap(buffer))
			break
		}
		var n int
		n, err = conn.Read(buffer[len(buffer):cap(buffer)])
		now := time.Since(epoch)
		buffer = buffer[:len(buffer)+n]
		for {
			i := bytes.Index(buffer, []byte("\n\n"))
			if i < 0 {
				break
			}
			event := buffer[:i]
			if bytes.Contains(event, []byte("data: ")) {
				events++
				if first {
					first = false
					opened(nil)
				}
			}
			if j := bytes.Index(event, stepField); j >= 0 {
				if step := leadingInt(event[j+len(stepField):]); step > seen {
					seen = step
					at, which = append(at, now), append(which, step)
					if step >= c.steps {
						seenLast()
					}
				}
			}
			finished = finished || bytes.Contains(event, end)
			buffer = append(buffer[:0], buffer[i+2:]...)
		}
	}
	if first {
		opened(fmt.Errorf("stream ended before its first event: %w", err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arrivals, c.late = append(c.arrivals, at...), append(c.late, which...)
	c.events += events
	if finished {
		c.ended++
	} else {
		c.lost++
	}
}

func leadingInt(b []byte) int {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	value, err := strconv.Atoi(string(b[:n]))
	if err != nil {
		return 0
	}
	return value
}

func (c *crowd) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.done.Wait()
}

// latencies are the times from sent[step] to each arrival of that step, sorted.
func (c *crowd) latencies(sent []time.Duration) []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]time.Duration, len(c.arrivals))
	for i, at := range c.arrivals {
		all[i] = at - sent[c.late[i]]
	}
	slices.Sort(all)
	return all
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
