package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// crowd is many open streams of one URL, read by one goroutine with epoll: a goroutine for each would measure itself.
type crowd struct {
	final int    // the last step
	end   []byte // what the last event holds
	epoch time.Time
	done  sync.WaitGroup // one for each watcher that has not ended
	last  sync.WaitGroup // one for each watcher that has not seen the last step
	conns []net.Conn
	epoll int
	stop  chan struct{} // closed when nobody waits for more
	read  sync.WaitGroup

	opened chan error // an answer for each that was asked for

	mu       sync.Mutex
	watchers map[int]*watcher // by file descriptor
	arrivals []time.Duration  // since epoch
	late     []int            // which step each arrival is
	ends     []time.Duration  // since epoch: when each watcher had its last event
	events   int              // events of any kind
	steps    int              // of them such as told of a later step than the one before
	lost     int              // watchers whose stream broke before the end
}

// watcher is what one of them has seen.
type watcher struct {
	begun, sawLast bool
	step           int
	part           []byte // of an event
}

// opening is how many connections are opened at one time.
const opening = 64

// gather opens n streams of rawURL (http://host:port/path) and returns when each has had its
// first event. They are read until the event that holds end.
func gather(ctx context.Context, rawURL string, n, steps int, end []byte, epoch time.Time) (*crowd, error) {
	host, path, ok := strings.Cut(strings.TrimPrefix(rawURL, "http://"), "/")
	if !ok {
		return nil, fmt.Errorf("%s has no path", rawURL)
	}
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	c := &crowd{final: steps, end: end, epoch: epoch, epoll: epoll, stop: make(chan struct{}), opened: make(chan error, n), watchers: make(map[int]*watcher, n)}
	c.read.Go(c.watch)
	request := fmt.Sprintf("GET /%s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", path, host)
	for waiting := 0; len(c.conns) < n || waiting > 0; {
		if len(c.conns) < n && waiting < opening {
			if err := c.open(ctx, host, request); err != nil {
				c.close()
				return nil, err
			}
			waiting++
			continue
		}
		select {
		case err := <-c.opened:
			if err != nil {
				c.close()
				return nil, err
			}
			waiting--
		case <-ctx.Done():
			c.close()
			return nil, ctx.Err()
		}
	}
	return c, nil
}

func (c *crowd) open(ctx context.Context, host, request string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	c.conns = append(c.conns, conn)
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	c.last.Add(1)
	c.done.Add(1)
	var failed error
	err = raw.Control(func(fd uintptr) {
		c.mu.Lock()
		c.watchers[int(fd)] = &watcher{}
		c.mu.Unlock()
		failed = syscall.EpollCtl(c.epoll, syscall.EPOLL_CTL_ADD, int(fd), &syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP, Fd: int32(fd)})
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	_, err = conn.Write([]byte(request))
	return err
}

// watch reads whatever arrives until the crowd is closed.
func (c *crowd) watch() {
	events := make([]syscall.EpollEvent, 1024)
	buffer := make([]byte, 64<<10)
	for {
		n, err := syscall.EpollWait(c.epoll, events, 20)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return
		}
		select {
		case <-c.stop:
			return
		default:
		}
		c.mu.Lock()
		for _, e := range events[:max(n, 0)] {
			if w := c.watchers[int(e.Fd)]; w != nil {
				c.take(int(e.Fd), w, buffer)
			}
		}
		c.mu.Unlock()
	}
}

var stepField = []byte(`"currentStep":`)

// take reads once what one watcher was sent. Chunk sizes stand between the events and are simply passed over. mu is held.
func (c *crowd) take(fd int, w *watcher, buffer []byte) {
	n, err := syscall.Read(fd, buffer)
	now := time.Since(c.epoch)
	switch {
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR):
		return
	case err != nil || n == 0:
		c.leave(fd, w, true)
		return
	}
	text := buffer[:n]
	if len(w.part) > 0 {
		text = append(w.part, text...)
	}
	for {
		event, rest, whole := bytes.Cut(text, []byte("\n\n"))
		if !whole {
			w.part = append(w.part[:0:0], text...)
			return
		}
		text = rest
		if !bytes.Contains(event, []byte("data: ")) {
			continue
		}
		c.events++
		if !w.begun {
			w.begun = true
			c.opened <- nil
		}
		if j := bytes.Index(event, stepField); j >= 0 {
			if step := leadingInt(event[j+len(stepField):]); step > w.step {
				c.steps++
				for ; w.step < step; w.step++ { // those that were skipped are shown by it too
					c.arrivals, c.late = append(c.arrivals, now), append(c.late, w.step+1)
				}
				if step >= c.final && !w.sawLast {
					w.sawLast = true
					c.last.Done()
				}
			}
		}
		if bytes.Contains(event, c.end) {
			c.ends = append(c.ends, now)
			c.leave(fd, w, false)
			return
		}
	}
}

// leave ends the watching of one; mu is held.
func (c *crowd) leave(fd int, w *watcher, lost bool) {
	_ = syscall.EpollCtl(c.epoll, syscall.EPOLL_CTL_DEL, fd, nil)
	delete(c.watchers, fd)
	if lost {
		c.lost++
	}
	if !w.begun {
		c.opened <- errors.New("a stream ended before its first event")
	}
	if !w.sawLast {
		c.last.Done()
	}
	c.done.Done()
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
	close(c.stop)
	c.read.Wait()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	_ = syscall.Close(c.epoll)
}

// gone is how many streams broke before their end.
func (c *crowd) gone() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// delivered is how many events all watchers have had.
func (c *crowd) delivered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.events
}

// latencies are the times from sent[step] to when a watcher had that step or a later one, sorted.
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

// endings are the times from ended to when a watcher had its last event, sorted.
func (c *crowd) endings(ended time.Duration) []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]time.Duration, len(c.ends))
	for i, at := range c.ends {
		all[i] = at - ended
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
