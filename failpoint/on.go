//go:build failpoints

package failpoint

import (
	"context"
	"io"
	"net/http/httptrace"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Enabled is true in builds for tests of crashes.
const Enabled = true

// armed is the point of the variable and how many of its hits are survived.
var armed = fromEnvironment()

type point struct {
	name string
	left atomic.Int64
}

func fromEnvironment() *point {
	name, count, _ := strings.Cut(os.Getenv(Variable), ":")
	p := &point{name: name}
	p.left.Store(1)
	if n, err := strconv.ParseInt(count, 10, 64); err == nil {
		p.left.Store(n)
	}
	return p
}

// Hit kills the process at its n-th call with the name that EASEL_FAILPOINT holds.
func Hit(name string) {
	if name != armed.name || armed.left.Add(-1) != 0 {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way: nothing may happen in between
}

// Reader is r with a point after its first piece.
func Reader(name string, r io.Reader) io.Reader { return &reader{name, r} }

type reader struct {
	name string
	io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p[:min(len(p), 512)])
	Hit(r.name)
	return n, err
}

// Answered is ctx for a request that has a point where its answer has begun to arrive and was not read.
func Answered(ctx context.Context, name string) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotFirstResponseByte: func() { Hit(name) },
	})
}
