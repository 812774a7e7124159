package comfy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Caps on bodies, in bytes after decompression. Source of the sizes: 354 KB of object_info and 1 KB a history
// entry on a plain server; custom nodes were seen to put whole images as text into either.
const (
	maxBody      = 64 << 20 // queue, history, object_info
	maxSmallBody = 8 << 20  // every other answer in JSON
	maxStats     = 1 << 20  // system_stats, which is asked for first of whoever answers at an address
	maxErrorBody = 4 << 10  // kept of an answer that is only reported

	defaultMaxDownload = 256 << 20
	maxUpload          = 100 << 20 // ComfyUI's own default for --max-upload-size

	maxHeader = 256 << 10
)

// readAll reads at most limit bytes and then one more, to tell a full body from one that goes on.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	var buf bytes.Buffer
	n, err := io.Copy(&buf, io.LimitReader(r, limit+1))
	switch {
	case n > limit:
		return nil, fmt.Errorf("body over %d bytes: %w", limit, ErrTooLarge)
	case err != nil:
		return nil, err
	}
	return buf.Bytes(), nil
}

// slots limits what runs at once against one server, whose single event loop also feeds the socket. Transfers
// may not take the last slot, so that a look-up never waits behind downloads.
type slots struct{ all, transfers chan struct{} }

func newSlots(n int) *slots {
	return &slots{all: make(chan struct{}, n), transfers: make(chan struct{}, n-1)}
}

// take waits for a slot. release may be called more than once.
func (s *slots) take(ctx context.Context, transfer bool) (release func(), err error) {
	var held []chan struct{}
	free := func() {
		for _, ch := range held {
			<-ch
		}
		held = nil
	}
	wanted := []chan struct{}{s.all}
	if transfer {
		wanted = []chan struct{}{s.transfers, s.all}
	}
	for _, ch := range wanted {
		select {
		case ch <- struct{}{}:
			held = append(held, ch)
		case <-ctx.Done():
			free()
			return nil, context.Cause(ctx)
		}
	}
	return sync.OnceFunc(free), nil
}

var errStalled = errors.New("nothing was received in time")

// patience ends a context once nothing has been heard for a while. A transfer over a slow line may take long; a
// silent one may not.
type patience struct {
	wait   time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func withPatience(ctx context.Context, wait time.Duration) (context.Context, *patience) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &patience{
		wait:   wait,
		timer:  time.AfterFunc(wait, func() { cancel(errStalled) }),
		cancel: cancel,
	}
}

func (p *patience) heard() { p.timer.Reset(p.wait) }

func (p *patience) stop() {
	p.timer.Stop()
	p.cancel(nil)
}

// patientReader tells p of every byte that passes.
type patientReader struct {
	io.Reader
	p *patience
}

func (r patientReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if n > 0 {
		r.p.heard()
	}
	return n, err
}

// errorBody keeps the beginning of a body that is only reported.
func errorBody(resp *http.Response) []byte {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what came is what there is to report
	return b
}
