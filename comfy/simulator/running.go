package simulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Running is a Simulator on a TCP port of its own.
type Running struct {
	*Simulator

	addr string // host:port, fixed from the first listen on
	done sync.WaitGroup

	mu     sync.Mutex
	server *http.Server // nil while killed
}

// Start listens on addr (such as "127.0.0.1:0") and serves a new Simulator there until Close. The error is the
// listener's.
func Start(addr string, c Config) (*Running, error) {
	listener, err := listen(addr)
	if err != nil {
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	r := &Running{Simulator: New(c), addr: listener.Addr().String()}
	r.faults.crashed = r.Kill
	r.serve(listener)
	return r, nil
}

// URL returns the base address, such as http://127.0.0.1:40123, without a slash at its end.
func (r *Running) URL() string { return "http://" + r.addr }

// Kill ends the server like SIGKILL: connections are cut and, until Restart, new ones are refused.
func (r *Running) Kill() {
	r.unserve()
	r.Simulator.Kill()
}

// Restart kills the server, if it runs, and starts it again on the same port. The error tells that somebody else
// took the port in between.
func (r *Running) Restart() error {
	r.Kill()
	listener, err := listen(r.addr)
	if err != nil {
		return fmt.Errorf("restart simulator: %w", err)
	}
	r.Simulator.Restart()
	r.serve(listener)
	return nil
}

// Close ends the server and waits for all its goroutines.
func (r *Running) Close() {
	r.unserve()
	r.Simulator.Close()
	r.done.Wait()
}

func (r *Running) serve(listener net.Listener) {
	server := &http.Server{Handler: r.Simulator, ReadHeaderTimeout: 10 * time.Second}
	r.mu.Lock()
	r.server = server
	r.mu.Unlock()
	r.done.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			r.logger.Error("simulator stopped serving", "err", err)
		}
	})
}

// unserve closes the listener and every connection that HTTP still holds; sockets belong to the process.
func (r *Running) unserve() {
	r.mu.Lock()
	server := r.server
	r.server = nil
	r.mu.Unlock()
	if server != nil {
		_ = server.Close() // nothing is left to do about a connection that would not close
	}
}

// listen retries for a moment while the kernel still holds the port of a server that has just been killed.
func listen(addr string) (net.Listener, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
		if err == nil || ctx.Err() != nil {
			return listener, err
		}
		var op *net.OpError
		if !errors.As(err, &op) || !isAddrInUse(err) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}
