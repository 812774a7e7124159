package studio

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/comfy/workflow"
	"easel/db"
)

// roster knows the servers as the database has them, and keeps one supervisor for each that is on. People add,
// pause and remove servers while we run, on any instance; the bell says which, and a look at all of them now and
// then finds what no bell has told, such as a lease that ran out.
type roster struct {
	studio *Studio
	wake   chan struct{} // something is stale

	mu    sync.Mutex // guards stale
	stale map[uuid.UUID]struct{}

	// Of the goroutine alone.
	rows  map[uuid.UUID]db.ServersOnRow
	sums  map[uuid.UUID]string // of the node classes that forms have learned
	posts map[uuid.UUID]*post
	begun bool // supervisors were made once
}

// post is a supervisor at work.
type post struct {
	supervisor *supervisor
	stop       context.CancelFunc
	stopped    bool
	ended      chan struct{} // closed when it has returned, its lease given back
}

func newRoster(s *Studio) *roster {
	return &roster{
		studio: s,
		wake:   make(chan struct{}, 1),
		stale:  make(map[uuid.UUID]struct{}),
		rows:   make(map[uuid.UUID]db.ServersOnRow),
		sums:   make(map[uuid.UUID]string),
		posts:  make(map[uuid.UUID]*post),
	}
}

// serversChanged takes in that a server is another than it was; the zero id: any of them may be. It never waits.
func (s *Studio) serversChanged(id uuid.UUID) {
	r := s.roster
	r.mu.Lock()
	if len(r.stale) >= mostStaleServers {
		clear(r.stale)
		id = uuid.Nil
	}
	r.stale[id] = struct{}{}
	r.mu.Unlock()
	ring(r.wake)
}

const (
	rosterTimeout    = 10 * time.Second       // for one look at the table
	mostStaleServers = 1000                   // named; with more, all are read
	rosterGap        = 50 * time.Millisecond  // between two, however many bells ring
	claimSpread      = 200 * time.Millisecond // instances that wait for the same lease do not ask in one moment
)

// run keeps the set of supervisors as the table has it, until ctx ends and all of them have returned.
func (r *roster) run(ctx context.Context) error {
	defer func() {
		for _, p := range r.posts {
			p.stop()
		}
		for _, p := range r.posts {
			<-p.ended
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for first := true; ; first = false {
		next := r.studio.timing.Backoff
		if err := r.look(ctx, first); err == nil {
			next = r.next()
		} else if ctx.Err() == nil {
			r.studio.logger.Warn("could not read the servers", "err", err, "retry_in", next)
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			r.studio.serversChanged(uuid.Nil)
		case <-r.wake:
		}
		if !sleep(ctx, rosterGap) {
			return nil
		}
	}
}

// look reads what is stale and has everything follow from it.
func (r *roster) look(ctx context.Context, all bool) error {
	off, err := r.read(ctx, all)
	if err != nil {
		return err
	}
	r.staff(ctx)
	if !off {
		return nil
	}
	abandonCtx, cancel := context.WithTimeout(ctx, rosterTimeout)
	defer cancel()
	return r.studio.abandonOff(abandonCtx)
}

// next is how long until a look even if no bell rings: the moment when a lease that another holds may be free.
func (r *roster) next() time.Duration {
	least := jitter(r.studio.timing.Renew)
	for id, row := range r.rows {
		if p, ok := r.posts[id]; ok && !p.supervisor.holds.Load() && row.LeaseLeft > 0 {
			left := time.Duration(row.LeaseLeft*float64(time.Second)) + rand.N(claimSpread) //nolint:gosec // no secret
			least = min(least, left)
		}
	}
	return least
}

// read takes the servers that are stale, or all of them, from the table, and shows them. off: one that is off
// may be among them.
func (r *roster) read(ctx context.Context, all bool) (off bool, err error) {
	stale := r.takeStale()
	if _, any := stale[uuid.Nil]; any || all {
		clear(stale) // no ids: all rows
	}
	if err := r.readRows(ctx, stale); err != nil {
		r.studio.serversChanged(uuid.Nil)
		return false, err
	}
	off = len(stale) == 0
	for id := range stale {
		row, there := r.rows[id]
		off = off || !there || row.Mode == string(ModeOff)
	}
	return off, nil
}

func (r *roster) takeStale() map[uuid.UUID]struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	stale := r.stale
	r.stale = make(map[uuid.UUID]struct{})
	return stale
}

func (r *roster) readRows(ctx context.Context, stale map[uuid.UUID]struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, rosterTimeout)
	defer cancel()
	ids := make([]uuid.UUID, 0, len(stale))
	for id := range stale {
		ids = append(ids, id)
	}
	rows, err := r.studio.queries.ServersOn(ctx, ids)
	if err != nil {
		return fmt.Errorf("read servers: %w", err)
	}
	if len(ids) == 0 {
		clear(r.rows)
	}
	for _, id := range ids {
		delete(r.rows, id) // switched off or removed, unless it has come
	}
	for _, row := range rows {
		r.rows[row.ID] = row
		if p, ok := r.posts[row.ID]; ok {
			p.supervisor.latest.Store(&row) // before it is shown: what is shown as draining takes nothing
		}
	}
	for id := range r.sums {
		if _, there := r.rows[id]; !there {
			delete(r.sums, id)
			r.studio.forms.forget(id)
		}
	}
	for _, row := range rows {
		if err := r.learn(ctx, row); err != nil {
			return err
		}
	}
	r.show()
	return nil
}

// learn takes in the node classes of a server as they are stored, unless they are known: those of a server that we
// supervise come from itself.
func (r *roster) learn(ctx context.Context, row db.ServersOnRow) error {
	sum, known := r.sums[row.ID]
	if known && sum == row.InfoSum {
		return nil
	}
	if p, ok := r.posts[row.ID]; !ok || !p.supervisor.holds.Load() {
		raw, err := db.One(r.studio.queries.ServerClasses(ctx, row.ID))
		if err != nil {
			return fmt.Errorf("read object_info: %w", err)
		}
		if len(raw) > 0 {
			info, err := workflow.ParseObjectInfo(raw)
			if err != nil {
				r.studio.logger.Warn("stored object_info cannot be read", "server", row.Name, "err", err)
			} else {
				r.studio.forms.learn(row.ID, info)
				r.studio.hub.reorder()
			}
		}
	}
	r.sums[row.ID] = row.InfoSum
	return nil
}

// show tells everybody which servers there are.
func (r *roster) show() {
	list := make([]db.ServersOnRow, 0, len(r.rows))
	for _, row := range r.rows {
		list = append(list, row)
	}
	slices.SortFunc(list, func(a, b db.ServersOnRow) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), bytes.Compare(a.ID[:], b.ID[:]))
	})
	shown, loaded := make([]Server, len(list)), make(map[uuid.UUID][]string, len(list))
	for i, row := range list {
		shown[i] = serverOf(row)
		loaded[row.ID] = row.Loaded
	}
	r.studio.hub.setServers(shown, loaded)
}

// staleState is how long a state is shown that nobody keeps any more: longer than a take-over takes.
const staleState = 30 * time.Second

// serverOf is a server as the database tells it.
func serverOf(row db.ServersOnRow) Server {
	s := Server{
		ID: row.ID, Rev: row.Rev, Name: row.Name, URL: comfy.Redacted(row.URL), Demo: row.Kind == "demo",
		Source: row.Source, Mode: ServerMode(row.Mode), State: ServerState(row.State), Version: row.Version,
		Queue: int(row.Queue), LastError: row.LastError, Held: row.LeaseLeft > 0,
	}
	if err := json.Unmarshal(row.Devices, &s.Devices); err != nil || len(s.Devices) == 0 {
		s.Devices = nil
		if row.Device != "" { // stored by the release before this one
			s.Devices = []Device{{Name: row.Device, VRAMTotal: row.VRAMTotal, VRAMFree: row.VRAMFree}}
		}
	}
	s.showDevice()
	if row.LastSeen != nil {
		s.LastSeen = *row.LastSeen
	}
	if !s.Held && time.Since(s.LastSeen) > staleState {
		s.State, s.LastError = ServerUnknown, ""
	}
	return s
}

// staff ends the supervisors that should not be, makes those that are missing, and tells those that wait for
// their lease when it is to be had.
func (r *roster) staff(ctx context.Context) {
	for id, p := range r.posts {
		row, there := r.rows[id]
		if !p.stopped && there && row.Mode != string(ModeOff) && !p.supervisor.outdated(row) {
			continue
		}
		p.stopped = true // for good: if the server is on again, the next supervisor is another
		p.stop()
		select {
		case <-p.ended:
			delete(r.posts, id)
			r.withdraw(id)
		default: // it says so when it has ended
		}
	}
	for id, row := range r.rows {
		if row.Mode == string(ModeOff) {
			continue
		}
		p, there := r.posts[id]
		if !there {
			if p = r.hire(ctx, row); p == nil {
				continue
			}
		}
		p.supervisor.latest.Store(&row)
		ring(p.supervisor.wake) // its mode may be another
		if row.LeaseLeft <= 0 || row.Owner != nil && *row.Owner == r.studio.config.Instance {
			ring(p.supervisor.free)
		}
	}
	r.begun = true
}

// hire makes the supervisor of a server and lets it work; nil if that cannot be.
func (r *roster) hire(ctx context.Context, row db.ServersOnRow) *post {
	v, err := newSupervisor(r.studio, row)
	if err != nil { // its address is no address: whoever stored it did not look
		r.studio.logger.Error("server cannot be supervised", "server", row.Name, "err", err)
		r.studio.hub.setServer(row.ID, func(s *Server) { s.LastError = "Its address cannot be used." })
		return nil
	}
	v.force = r.studio.config.Sole && !r.begun // what is ours by right at the start may be another's later
	if v.force {
		ring(v.free)
	}
	ctx, stop := context.WithCancel(ctx)
	p := &post{supervisor: v, stop: stop, ended: make(chan struct{})}
	r.posts[row.ID] = p
	r.studio.mu.Lock()
	r.studio.supervisors[row.ID] = v
	r.studio.mu.Unlock()
	go func() {
		defer r.studio.serversChanged(row.ID) // what it leaves behind is put back, or another takes its place
		defer close(p.ended)
		v.run(ctx)
	}()
	return p
}

// withdraw takes a supervisor that has ended off the list, unless there is another by now.
func (r *roster) withdraw(id uuid.UUID) {
	r.studio.mu.Lock()
	defer r.studio.mu.Unlock()
	delete(r.studio.supervisors, id)
}
