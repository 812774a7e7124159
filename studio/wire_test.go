package studio_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// wire is a studio's way to the database. It can be cut, and it can hold up what is under way: the studio has sent
// it then, and the database has not got it.
type wire struct {
	t        *testing.T
	config   *pgxpool.Config
	listener net.Listener
	passing  sync.WaitGroup

	mu    sync.Mutex // guards all below
	conns map[net.Conn]struct{}
	gate  chan struct{} // closed while everything passes
	left  int           // answers until the cut; 0: none is planned
	cut   int
}

// wire makes one, which lasts as long as the test.
func (w *workshop) wire() *wire {
	w.t.Helper()
	x := &wire{t: w.t, config: w.pool.Config(), conns: make(map[net.Conn]struct{}), gate: make(chan struct{})}
	close(x.gate)
	var err error
	if x.listener, err = (&net.ListenConfig{}).Listen(w.t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		w.t.Fatal(err)
	}
	x.passing.Go(x.accept)
	w.t.Cleanup(func() {
		_ = x.listener.Close()
		x.thaw()
		x.reset()
		x.passing.Wait()
	})
	return x
}

// pool is a pool whose connections all go this way, the listener's and those for leases too.
func (x *wire) pool() *pgxpool.Pool {
	x.t.Helper()
	config := x.config.Copy()
	// The address is not what DialFunc is given: to cancel a statement pgx dials whom it is connected with, which is us.
	config.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", x.listener.Addr().String())
	}
	pool, err := pgxpool.NewWithConfig(x.t.Context(), config)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(pool.Close)
	return pool
}

// cutAfter plans a cut of all connections in place of a later answer of the database.
func (x *wire) cutAfter(answers int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.left = answers
}

func (x *wire) cuts() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.cut
}

// freeze holds everything up, in both directions, until thaw. Connections stay open.
func (x *wire) freeze() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gate = make(chan struct{})
}

func (x *wire) thaw() {
	x.mu.Lock()
	defer x.mu.Unlock()
	select {
	case <-x.gate:
	default:
		close(x.gate)
	}
}

// reset cuts every connection.
func (x *wire) reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for c := range x.conns {
		_ = c.Close()
	}
}

func (x *wire) accept() {
	network, address := pgconn.NetworkAddress(x.config.ConnConfig.Host, x.config.ConnConfig.Port)
	for {
		studio, err := x.listener.Accept()
		if err != nil {
			return
		}
		database, err := new(net.Dialer).DialContext(context.Background(), network, address)
		if err != nil {
			_ = studio.Close()
			continue
		}
		x.mu.Lock()
		x.conns[studio], x.conns[database] = struct{}{}, struct{}{}
		x.mu.Unlock()
		x.passing.Go(func() { x.pass(database, studio, false) })
		x.passing.Go(func() { x.pass(studio, database, true) })
	}
}

// pass hands on what comes; what has been read is handed on even if whoever sent it has gone since.
func (x *wire) pass(to, from net.Conn, answer bool) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.conns, from)
	}()
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			x.mu.Lock()
			gate := x.gate
			x.mu.Unlock()
			<-gate
			if answer && x.planned() {
				x.reset()
				return
			}
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// planned counts an answer, and says whether it is the one to be cut off.
func (x *wire) planned() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.left == 0 {
		return false
	}
	x.left--
	if x.left > 0 {
		return false
	}
	x.cut++
	return true
}
