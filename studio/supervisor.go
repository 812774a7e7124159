package studio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"easel/comfy"
	"easel/comfy/workflow"
	"easel/db"
)

// supervisor cares for one server: it holds the server's lease whenever it can, and while it does,
// it alone sends prompts there and says what became of them.
type supervisor struct {
	studio  *Studio
	server  db.ServersOnRow // as it was when this began; see latest
	force   bool            // take the first lease from whoever has it
	client  *comfy.Client
	tracker *comfy.Tracker
	pulse   *pulse
	logger  *slog.Logger
	wake    chan struct{} // there may be something to pick
	free    chan struct{} // the lease may be to be had
	holds   atomic.Bool   // it is ours
	held    atomic.Pointer[hold]
	info    atomic.Pointer[workflow.ObjectInfo]
	latest  atomic.Pointer[db.ServersOnRow] // as last read: what people have decided about the server

	mu        sync.Mutex // guards followers
	followers map[string]*follower
}

func newSupervisor(s *Studio, row db.ServersOnRow) (*supervisor, error) {
	client, err := comfy.NewClient(row.URL, comfy.ClientOptions{})
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", row.Name, err)
	}
	v := &supervisor{
		studio: s, server: row, client: client,
		tracker:   comfy.NewTracker(),
		pulse:     &pulse{timing: s.timing},
		logger:    s.logger.With("server", row.Name),
		wake:      make(chan struct{}, 1),
		free:      make(chan struct{}, 1),
		followers: make(map[string]*follower),
	}
	v.latest.Store(&row)
	v.info.Store(s.forms.info(row.ID))
	return v, nil
}

// outdated: the server that row describes needs another supervisor than this.
func (v *supervisor) outdated(row db.ServersOnRow) bool {
	return v.server.ConfigRev != row.ConfigRev || v.server.URL != row.URL || v.server.ClientID != row.ClientID ||
		v.server.MaxInflight != row.MaxInflight
}

// mode is what people let the server do at present.
func (v *supervisor) mode() ServerMode { return ServerMode(v.latest.Load().Mode) }

// run supervises whenever the lease can be had, until ctx ends.
func (v *supervisor) run(ctx context.Context) {
	defer v.client.Close()
	how := takeFree
	if v.force {
		how = takeByForce
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.free:
		}
		l, err := takeLease(ctx, v.studio.leases, v.studio.timing, v.server.ID, v.studio.config.Instance, how)
		switch {
		case err == nil:
			how = takeFree
			v.supervise(ctx, l)
			v.studio.serversChanged(v.server.ID)
		case !errors.Is(err, db.ErrNotFound) && ctx.Err() == nil:
			v.logger.Warn("could not take the lease", "err", err, "retry_in", v.studio.timing.Backoff)
			if sleep(ctx, v.studio.timing.Backoff) {
				ring(v.free)
			}
		}
	}
}

// supervise does the work of one lease.
func (v *supervisor) supervise(ctx context.Context, l *lease) {
	v.logger.Info("lease taken", "fence", l.fence)
	v.holds.Store(true)
	v.studio.hub.setServer(v.server.ID, func(s *Server) { s.Held, s.Mine = true, true })
	h := &hold{
		supervisor: v, lease: l,
		examine: make(chan struct{}, 1), late: make(chan struct{}, 1), tell: make(chan struct{}, 1),
		heard:  time.Now(), // it is given time
		loaded: v.latest.Load().Loaded,
	}
	v.held.Store(h)
	err := h.run(ctx)
	v.held.Store(nil)
	if errors.Is(err, errLeaseLost) {
		v.studio.counters.LeaseLost.Add(1)
		v.logger.Warn("lease lost", "fence", l.fence, "err", err)
	} else if err != nil {
		v.logger.Error("supervision ended", "err", err)
	}
	v.holds.Store(false)
	v.studio.hub.setServer(v.server.ID, func(s *Server) { s.Held, s.Mine = false, false })
	if err := l.release(ctx); err != nil {
		v.logger.Warn("could not release the lease", "err", err)
		return
	}
	v.logger.Info("lease released", "fence", l.fence)
}

// hold is the time of one lease: everything in it ends before the lease is given back.
type hold struct {
	*supervisor
	lease   *lease
	socket  *comfy.Socket
	examine chan struct{} // rung to look at the server at once
	late    chan struct{} // rung to look for what turns up late
	tell    chan struct{} // rung to store how it is
	inputs  sentInputs
	looked  atomic.Bool  // it was looked at since the socket connected: its classes are known, or cannot be
	anew    atomic.Bool  // it has been away since something was sent: its models may not be loaded any more
	behind  atomic.Int32 // attempts taken over whose fate is not known yet

	// Of feed's goroutine alone.
	lacks        []string             // what waits needs these, and the server does not have them
	lacksOf      *workflow.ObjectInfo // as it was when they were found
	loaded       []string             // models of what was sent last
	yielded      imageKey             // left to another server, until then
	yieldedUntil time.Time

	unanswered uint64 // of the socket's counts, for onState alone
	connected  bool   // the socket was, once; for onState alone

	learned time.Time // when its classes were asked for last; of watchServer's goroutine

	stored Server // what was last stored of its state; of watchServer's goroutine

	mu      sync.Mutex // guards all below
	backoff time.Duration
	paused  time.Time // no picking until then
	heard   time.Time // the server has answered, or sent something
}

// run takes over what is under way, connects, and only then picks. It returns when ctx has ended
// or the lease is lost, after all its goroutines.
func (h *hold) run(ctx context.Context) error {
	defer h.studio.hub.letGo(h.tracker)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.lease.keep(ctx) })
	g.Go(func() error {
		// Before the socket: what it brings about them must find them expected.
		taken, err := h.takeOver(ctx)
		if err != nil {
			return err
		}
		for _, f := range taken {
			g.Go(func() error { return f.run(ctx) })
		}
		h.socket = comfy.NewSocket(comfy.SocketConfig{
			URL: h.server.URL, ClientID: h.server.ClientID,
			OnMessage: h.onMessage, OnState: h.onState, Logger: h.logger,
		})
		g.Go(func() error { return unlessEnded(ctx, h.socket.Run(ctx)) })
		g.Go(func() error { return h.watchServer(ctx) })
		g.Go(func() error { return h.watchPulse(ctx) })
		g.Go(func() error { return h.watchLate(ctx) })
		return h.feed(ctx, g)
	})
	return g.Wait()
}

func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// feed keeps the server busy: it picks while fewer than its share is inside.
func (h *hold) feed(ctx context.Context, g *errgroup.Group) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := time.Now() // to look in the table, whatever memory says: a bell may have been missed
	for {
		next := jitter(h.studio.timing.Poll)
		if left := time.Until(due); left > 0 {
			next = min(next, left) // however often we are woken
		}
		if pause := h.pause(time.Now()); pause > 0 {
			next = min(next, pause)
		} else if h.mode() == ModeDraining {
			next = h.drain(ctx)
		} else if h.hasRoom() && (!time.Now().Before(due) || h.studio.hub.anyPending()) {
			f, err := h.pick(ctx)
			var unsendable *unsendableError
			var lack *lackError
			switch {
			case err == nil:
				g.Go(func() error { return f.run(ctx) })
				h.studio.passOn()
				select {
				case <-f.begun: // the next must not overtake it on its way into ComfyUI's queue
					continue
				case <-ctx.Done():
					return nil
				}
			case errors.Is(err, errNothingToPick):
				due = time.Now().Add(next)
			case errors.Is(err, errContended):
				next = jitter(contendedWait)
			case errors.Is(err, errYielded):
				next = h.studio.timing.Yield
			case errors.As(err, &lack):
				if err := h.remember(ctx, lack); err != nil && ctx.Err() == nil {
					h.logger.Warn("could not store what an image needs", "err", err)
					next = h.studio.timing.Backoff
				} else {
					continue
				}
			case errors.As(err, &unsendable):
				if err := h.failUnsendable(ctx, unsendable); err != nil {
					h.logger.Warn("could not fail an image", "err", err)
					next = h.studio.timing.Backoff
				} else {
					continue
				}
			case errors.Is(err, errLeaseLost), ctx.Err() != nil:
				return unlessEnded(ctx, err)
			default:
				h.logger.Warn("could not pick", "err", err)
				next = h.studio.timing.Backoff
			}
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
		case <-timer.C:
		}
	}
}

// hasRoom: people let it take work, events can come, what was taken over is accounted for, and fewer than the server's
// share of prompts is inside it.
func (h *hold) hasRoom() bool {
	h.supervisor.mu.Lock()
	defer h.supervisor.mu.Unlock()
	return h.mode() == ModeActive && !h.studio.Settings().QueuePaused && h.pulse.isConnected() && h.looked.Load() && h.behind.Load() == 0 &&
		len(h.followers) < int(h.server.MaxInflight)
}

// drain switches the server off once nothing of ours is inside; the roster, which hears of it, ends us. next is when
// to try again.
func (h *hold) drain(ctx context.Context) (next time.Duration) {
	rows, err := h.studio.queries.ServerDrained(ctx, db.ServerDrainedParams{
		ID: h.server.ID, Owner: h.lease.owner, Fence: h.lease.fence,
	})
	switch {
	case err != nil && ctx.Err() == nil:
		h.logger.Warn("could not switch off a server that is drained", "err", err)
	case rows > 0:
		h.logger.Info("server is drained and off")
		h.studio.serversChanged(h.server.ID)
	}
	return h.studio.timing.Backoff
}

// pause is how long nothing may be picked.
func (h *hold) pause(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(h.paused.Sub(now), h.studio.storageAfter(now), 0)
}

const maxBackoff = 30 * time.Second

// holdOff pauses picking after the server took nothing.
func (h *hold) holdOff(why string, err error) {
	h.mu.Lock()
	h.backoff = min(max(2*h.backoff, h.studio.timing.Backoff), maxBackoff)
	h.paused = time.Now().Add(h.backoff)
	retryIn := h.backoff
	h.mu.Unlock()
	h.logger.Warn("server takes nothing", "err", err, "retry_in", retryIn)
	h.studio.hub.setServer(h.server.ID, func(s *Server) { s.LastError = why })
	ring(h.examine)
}

// accepted ends the doubts that holdOff had.
func (h *hold) accepted() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.backoff = 0
}

// answered notes that the server is there.
func (h *hold) answered(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = now
}

// silence is for how long nothing has come from the server.
func (h *hold) silence(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Sub(h.heard)
}

// takeOver reads what may be inside the server, from before a restart or from another owner, and
// makes a follower for each. Their graphs are the stored bytes: what was sent, not what would be
// sent today.
func (h *hold) takeOver(ctx context.Context) ([]*follower, error) {
	rows, err := h.studio.queries.AttemptsInside(ctx, h.server.ID)
	if err != nil {
		return nil, fmt.Errorf("read attempts to take over: %w", err)
	}
	list := make([]*follower, 0, len(rows))
	for _, row := range rows {
		graph, err := workflow.ParseGraph(row.Graph)
		if err != nil {
			h.logger.Error("stored graph cannot be read", "prompt_id", row.PromptID, "err", err)
		}
		f := h.newFollower(row.PromptID, row.GenerationID, int(row.ImageIndex), graph)
		f.life = life{
			State: row.State, Seen: row.State != attemptSubmitting,
			Posted: time.Now().Add(-time.Duration(row.AgeSeconds * float64(time.Second))),
			Losses: int(row.Losses), Crashes: int(row.Crashes), OutOfMemory: int(row.OutOfMemory),
		}
		f.steps = steps{int(row.StepsDone), int(row.StepsPlanned), int(row.Overall)}
		f.look.Store(true)
		f.missed.Store(true)
		f.behind = true
		f.running.Store(row.State == attemptRunning)
		h.behind.Add(1)
		h.expect(f)
		list = append(list, f)
	}
	if len(list) > 0 {
		h.logger.Info("attempts taken over", "count", len(list))
	}
	return list, nil
}

func (h *hold) objectInfo() *workflow.ObjectInfo { return h.info.Load() }

// newFollower makes the follower of an attempt.
func (h *hold) newFollower(prompt, generation uuid.UUID, image int, graph workflow.Graph) *follower {
	return &follower{
		hold: h, prompt: prompt, promptID: prompt.String(), generation: generation, image: image, graph: graph,
		wake: make(chan struct{}, 1), begun: make(chan struct{}),
	}
}

// expect announces an attempt to all who will hear of it, before ComfyUI does.
func (h *hold) expect(f *follower) {
	h.tracker.Expect(f.promptID, comfy.NewPlan(f.graph, h.objectInfo()))
	h.studio.hub.follow(f.promptID, f.generation, f.image, h.tracker)
	h.supervisor.mu.Lock()
	defer h.supervisor.mu.Unlock()
	h.followers[f.promptID] = f
}

// leave takes out a follower whose attempt is over, or that is being stopped.
func (h *hold) leave(f *follower) {
	h.supervisor.mu.Lock()
	delete(h.followers, f.promptID)
	h.supervisor.mu.Unlock()
	ring(h.supervisor.wake)
}

// wakeFollowers has the followers that are asked for look at ComfyUI at once.
func (v *supervisor) wakeFollowers(which func(*follower) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, f := range v.followers {
		if which(f) {
			f.look.Store(true)
			ring(f.wake)
		}
	}
}

func (v *supervisor) follower(promptID string) *follower {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.followers[promptID]
}

// running is the prompt of ours that the server works at, or empty.
func (v *supervisor) running() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, f := range v.followers {
		if f.running.Load() {
			return id
		}
	}
	return ""
}

// jitter spreads d by 20 % to both sides, so that many do not do the same at once.
func jitter(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1) //nolint:gosec // no secret
}
