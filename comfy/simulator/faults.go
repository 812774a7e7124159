package simulator

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// Faults are the switches with which the simulator misbehaves like real servers do. All are off at first, outlive
// restarts, and can be thrown at any time from any goroutine. Those that take a count wear off by themselves.
type Faults struct {
	sim *Simulator

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change, for those who wait for one

	refuse, unavailable, html bool
	frozen, stalled, held     bool
	historyLate               bool
	hangPosts                 bool
	duplicate                 bool
	reorder                   bool
	delay                     time.Duration
	bytesPerSecond            int

	postsLost, postsBadGateway, postsOtherID int
	viewsTruncated, viewsMissing             int
	outOfMemory, crashes                     int
	clearAtEnd                               int
	cutFrames                                int
	postsDelayed                             int
	delayed                                  []func() // posts that were cut and are still to be queued
	reordered                                *frame   // waits for the next one, to go out after it
	crashed                                  func()   // what a crash is: Running also stops to listen
}

func newFaults(s *Simulator) *Faults {
	return &Faults{sim: s, changed: make(chan struct{}), crashed: s.Kill}
}

// set changes switches and wakes whoever waits for a change.
func (f *Faults) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	close(f.changed)
	f.changed = make(chan struct{})
}

// Reset throws every switch back.
func (f *Faults) Reset() {
	f.set(func() {
		f.refuse, f.unavailable, f.html = false, false, false
		f.frozen, f.stalled, f.held = false, false, false
		f.historyLate, f.hangPosts, f.duplicate, f.reorder = false, false, false, false
		f.delay, f.bytesPerSecond = 0, 0
		f.postsLost, f.postsBadGateway, f.postsOtherID = 0, 0, 0
		f.postsDelayed, f.delayed = 0, nil
		f.viewsTruncated, f.viewsMissing = 0, 0
		f.outOfMemory, f.crashes, f.clearAtEnd, f.cutFrames = 0, 0, 0, 0
	})
}

// Refuse resets every new connection that asks for something, sockets included; open sockets stay.
func (f *Faults) Refuse(on bool) { f.set(func() { f.refuse = on }) }

// Unavailable answers everything with 503, as a proxy in front of a dead server.
func (f *Faults) Unavailable(on bool) { f.set(func() { f.unavailable = on }) }

// HTML answers everything with 200 and a web page: something else listens on the port.
func (f *Faults) HTML(on bool) { f.set(func() { f.html = on }) }

// Delay makes every request wait so long before it is looked at; 0 ends it.
func (f *Faults) Delay(d time.Duration) { f.set(func() { f.delay = d }) }

// Throttle slows the bodies of HTTP answers down; 0 ends it.
func (f *Faults) Throttle(bytesPerSecond int) { f.set(func() { f.bytesPerSecond = bytesPerSecond }) }

// Freeze is SIGSTOP: connections are accepted by the kernel, but nothing is answered, run or sent until it ends.
func (f *Faults) Freeze(on bool) { f.set(func() { f.frozen = on }) }

// Hold keeps the worker from doing anything; HTTP and sockets go on.
func (f *Faults) Hold(on bool) { f.set(func() { f.held = on }) }

// StallEvents stops the loop that sends events: all clients go silent, HTTP answers, a new socket still gets its first
// status. When it ends, everything comes in one burst.
func (f *Faults) StallEvents(on bool) { f.set(func() { f.stalled = on }) }

// HistoryLate hides the history of prompts that end while it is on; they show when it is switched off.
func (f *Faults) HistoryLate(on bool) { f.set(func() { f.historyLate = on }) }

// HangPosts lets every POST /prompt hang before it is queued; when it ends they are queued, even those whose client
// has left.
func (f *Faults) HangPosts(on bool) { f.set(func() { f.hangPosts = on }) }

// LosePosts cuts the next n POST /prompt before anything is queued.
func (f *Faults) LosePosts(n int) { f.set(func() { f.postsLost = n }) }

// BadGatewayPosts queues the next n POST /prompt and answers 502 all the same.
func (f *Faults) BadGatewayPosts(n int) { f.set(func() { f.postsBadGateway = n }) }

// DelayPosts cuts the next n POST /prompt; ReleasePosts queues them after all.
func (f *Faults) DelayPosts(n int) { f.set(func() { f.postsDelayed = n }) }

// Delayed is how many posts wait for ReleasePosts.
func (f *Faults) Delayed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.delayed)
}

// ReleasePosts queues what DelayPosts has kept.
func (f *Faults) ReleasePosts() {
	f.mu.Lock()
	posts := f.delayed
	f.delayed = nil
	f.mu.Unlock()
	for _, post := range posts {
		post()
	}
}

// OtherIDPosts answers the next n POST /prompt with a prompt_id that is not the one queued.
func (f *Faults) OtherIDPosts(n int) { f.set(func() { f.postsOtherID = n }) }

// TruncateViews cuts the next n answers of /view in the middle of the file.
func (f *Faults) TruncateViews(n int) { f.set(func() { f.viewsTruncated = n }) }

// MissViews answers the next n requests of /view for an existing file with 404.
func (f *Faults) MissViews(n int) { f.set(func() { f.viewsMissing = n }) }

// OutOfMemory lets the next n sampler or progress steps raise torch.OutOfMemoryError.
func (f *Faults) OutOfMemory(n int) { f.set(func() { f.outOfMemory = n }) }

// Crash kills the server at the next n steps that a node reports, as a segmentation fault does. It stays down until
// Restart.
func (f *Faults) Crash(n int) { f.set(func() { f.crashes = n }) }

// ClearHistoryAtEnd wipes the history right after the next n prompts have entered it, as an impatient user does.
func (f *Faults) ClearHistoryAtEnd(n int) { f.set(func() { f.clearAtEnd = n }) }

// Duplicate sends every event twice.
func (f *Faults) Duplicate(on bool) { f.set(func() { f.duplicate = on }) }

// Reorder swaps neighbouring events.
func (f *Faults) Reorder(on bool) { f.set(func() { f.reorder = on }) }

// CutFrames sends only half of each of the next n frames and cuts its connections.
func (f *Faults) CutFrames(n int) { f.set(func() { f.cutFrames = n }) }

// CutSockets resets every open socket now.
func (f *Faults) CutSockets() { f.now(func(p *process) { p.hub.cutAll() }) }

// Deafen forgets every open socket: they stay open and answer pings, but hear nothing more, not even status.
func (f *Faults) Deafen() { f.now(func(p *process) { p.hub.deafen() }) }

// ClearQueue drops every pending prompt, as another user may.
func (f *Faults) ClearQueue() { f.now(func(p *process) { p.queue.clear() }) }

// ClearHistory wipes the history, as another user may.
func (f *Faults) ClearHistory() { f.now(func(p *process) { p.queue.forgetAll() }) }

// ClearInputs empties the input folder, as somebody with a shell may.
func (f *Faults) ClearInputs() { f.now(func(p *process) { p.sim.files.empty(folderInput) }) }

// InjectText sends a text frame, which need not be JSON, to every socket.
func (f *Faults) InjectText(text string) {
	f.now(func(p *process) { p.hub.queue(frame{everyone: true, data: []byte(text)}) })
}

// InjectBinary sends a binary frame to every socket.
func (f *Faults) InjectBinary(data []byte) {
	f.now(func(p *process) { p.hub.queue(frame{everyone: true, binary: true, data: data}) })
}

// Strangers sends every socket what the prompt of somebody without client_id would: progress, progress_state and an
// old-style preview, all of a prompt that is not the client's.
func (f *Faults) Strangers() {
	f.now(func(p *process) {
		const stranger = "00000000-0000-4000-8000-57a96e400000"
		state := pairs("value", 3, "max", 4, "state", "running", "node_id", "3", "prompt_id", stranger,
			"display_node_id", "3", "parent_node_id", nil, "real_node_id", "3")
		p.hub.broadcast("progress_state", pairs("prompt_id", stranger, "nodes", pairs("3", state)))
		p.hub.broadcast("progress", pairs("value", 3, "max", 4, "prompt_id", stranger, "node", "3"))
		p.hub.sendBinary(eventPreview, append([]byte{0, 0, 0, formatJPEG}, "\xff\xd8\xff\xe0 not ours"...), nil)
	})
}

// HugeFrame sends every socket an old-style preview of that many bytes.
func (f *Faults) HugeFrame(size int) {
	f.InjectBinary(append([]byte{0, 0, 0, eventPreview, 0, 0, 0, formatJPEG}, bytes.Repeat([]byte{0xff}, max(0, size-8))...))
}

// now acts on the process that runs, if one does.
func (f *Faults) now(act func(p *process)) {
	if p := f.sim.process(); p != nil {
		act(p)
	}
}

// take counts one of n down and reports whether there was one.
func (f *Faults) take(n *int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *n == 0 {
		return false
	}
	*n--
	return true
}

func (f *Faults) takeViewMissing() bool   { return f.take(&f.viewsMissing) }
func (f *Faults) takeViewTruncated() bool { return f.take(&f.viewsTruncated) }

func (f *Faults) is(on *bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *on
}

func (f *Faults) isHistoryLate() bool { return f.is(&f.historyLate) }

// waitWhile returns when blocked reports false; it reports false itself when ctx ended first.
func (f *Faults) waitWhile(ctx context.Context, blocked func() bool) bool {
	for {
		f.mu.Lock()
		wait, changed := blocked(), f.changed
		f.mu.Unlock()
		if !wait {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

func (f *Faults) waitHeld(ctx context.Context) bool {
	return f.waitWhile(ctx, func() bool { return f.held || f.frozen })
}

func (f *Faults) waitStalled(ctx context.Context) bool {
	return f.waitWhile(ctx, func() bool { return f.stalled || f.frozen })
}

// stepped is asked by nodes before they report a step.
func (f *Faults) stepped(p *process) error {
	if f.take(&f.outOfMemory) {
		return &nodeError{
			"torch.OutOfMemoryError",
			"Allocation on device 0 would exceed allowed memory. (out of memory)\nThis error means you ran out of memory on your GPU.",
		}
	}
	if f.take(&f.crashes) {
		f.mu.Lock()
		crash := f.crashed
		f.mu.Unlock()
		f.sim.background.Go(crash) // not here: it waits for this goroutine
		<-p.ctx.Done()
		return errKilled
	}
	return nil
}

// ended is told when a prompt has entered the history.
func (f *Faults) ended(p *process) {
	if f.take(&f.clearAtEnd) {
		p.queue.forgetAll()
	}
}

// mangle turns one frame into what is really sent.
func (f *Faults) mangle(next frame) []frame {
	f.mu.Lock()
	defer f.mu.Unlock()
	frames := []frame{next}
	if f.cutFrames > 0 {
		f.cutFrames--
		next.cut = true
		return []frame{next}
	}
	if f.duplicate {
		frames = append(frames, next)
	}
	switch {
	case f.reordered != nil:
		frames = append(frames, *f.reordered)
		f.reordered = nil
	case f.reorder:
		f.reordered = &next
		return nil
	}
	return frames
}

// serve lets the HTTP faults have their way with a request, and passes it on to the routes.
func (f *Faults) serve(p *process, w http.ResponseWriter, r *http.Request) {
	p.sim.ledger.note(func(l *Ledger) {
		if r.URL.Path != "/ws" && r.URL.Path != "/api/ws" {
			l.inFlight++
			l.peak = max(l.peak, l.inFlight)
		}
	})
	defer p.sim.ledger.note(func(l *Ledger) {
		if r.URL.Path != "/ws" && r.URL.Path != "/api/ws" {
			l.inFlight--
		}
	})
	f.mu.Lock()
	refuse, unavailable, html, delay, rate := f.refuse, f.unavailable, f.html, f.delay, f.bytesPerSecond
	f.mu.Unlock()
	if refuse {
		reset(w)
		return
	}
	if sleep(p.ctx, delay) != nil || !f.waitWhile(p.ctx, func() bool { return f.frozen }) {
		reset(w)
		return
	}
	switch {
	case unavailable:
		plain(w, http.StatusServiceUnavailable, "upstream connect error")
		return
	case html:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><title>Router</title><p>Please log in.")
		return
	}
	if rate > 0 {
		w = &slowWriter{ResponseWriter: w, p: p, rate: rate}
	}
	if r.Method == http.MethodPost && (r.URL.Path == "/prompt" || r.URL.Path == "/api/prompt") {
		f.post(p, w, r)
		return
	}
	p.route(w, r)
}

// post is POST /prompt with its own faults. The body is read first: a client that leaves while its POST hangs is
// queued all the same, as aiohttp does.
func (f *Faults) post(p *process, w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody+1))
	if err != nil && !tooLarge(err) {
		return // the client left before it had said what it wants
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	if !f.waitWhile(p.ctx, func() bool { return f.hangPosts }) || f.take(&f.postsLost) {
		reset(w)
		return
	}
	switch {
	case f.take(&f.postsBadGateway):
		p.route(&discard{}, r)
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html><head><title>502 Bad Gateway</title></head></html>")
	case f.take(&f.postsDelayed):
		f.mu.Lock()
		f.delayed = append(f.delayed, func() {
			p.route(&discard{}, r.WithContext(context.WithoutCancel(r.Context())))
		})
		f.mu.Unlock()
		reset(w)
	case f.take(&f.postsOtherID):
		p.route(&discard{}, r)
		_ = answer(w, http.StatusOK, pairs("prompt_id", "00000000-0000-4000-8000-07e400000000", "number", 0,
			"node_errors", newObject()))
	default:
		p.route(w, r)
	}
}

// discard takes an answer that nobody gets.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header {
	if d.header == nil {
		d.header = http.Header{}
	}
	return d.header
}
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// slowWriter passes a body on at a given rate.
type slowWriter struct {
	http.ResponseWriter
	p    *process
	rate int // bytes a second
}

func (s *slowWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *slowWriter) Write(b []byte) (int, error) {
	const tick = 50 * time.Millisecond
	piece := max(1, s.rate/int(time.Second/tick))
	written := 0
	for written < len(b) {
		n, err := s.ResponseWriter.Write(b[written:min(len(b), written+piece)])
		written += n
		if err != nil {
			return written, err
		}
		_ = http.NewResponseController(s.ResponseWriter).Flush() // a writer that cannot flush is only less slow
		if err := sleep(s.p.ctx, tick); err != nil {
			return written, err
		}
	}
	return written, nil
}
