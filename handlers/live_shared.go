package handlers

import (
	"context"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"

	"easel/handlers/fanout"
)

// sharedPage is a page that shows the same to all who have it open.
type sharedPage struct {
	key           any                      // names it among all of them
	first, second <-chan struct{}          // what it is made from has changed; either may be nil
	parts         func() func(sent) []part // a way through its parts from the beginning
	last          func() []byte            // the event that ends its stream, once nothing more will come; nil: there is none
	close         func()                   // ends first and second
}

// pageKey names a shared page.
type pageKey struct {
	page string
	id   uuid.UUID // of the generation, if it shows one
}

// followShared is follow for such a page, and closes it. Where the connection can be handed over one goroutine makes
// the patches for all who have the page open, and they cost what a program's stream does; else each has its own.
func (s *Server) followShared(w http.ResponseWriter, r *http.Request, p sharedPage) error {
	own := true // of p
	defer func() {
		if own {
			p.close()
		}
	}()
	if s.fanout.Takes(r) {
		w.Header().Set("Connection", "close") // net/http does not get it back
	}
	st, err := s.openStream(w, r)
	if err != nil {
		return err
	}
	defer st.Close()
	if st.Heartbeat, err = pageBeat(); err != nil {
		return err
	}
	f := &pageFeed{server: s, sharedPage: p, seen: sent{}, next: p.parts()}
	if st.handOver(p.key, f, nil) {
		own = false
		return nil
	}
	for early := false; ; {
		if !early {
			if _, err := st.Wait(p.first, p.second); err != nil {
				return err
			}
		}
		var events, end []byte
		events, end, early = f.look(time.Now())
		if err := st.Send(append(events, end...)); err != nil || end != nil {
			return err
		}
		if err := rest(st, patchEvery); err != nil {
			return err
		}
	}
}

// pageBeat is the heartbeat of a page: an event, not a comment, for the page's watchdog must see it.
func pageBeat() ([]byte, error) { return Signals("", map[string]int{"_hb": 1}) }

// pageFeed is a shared page as its streams show it (fanout.Source). Its patches are made by a goroutine of its own: at
// most ten times a second, and what they are made from may have to be read.
type pageFeed struct {
	server *Server
	sharedPage

	// Of whoever looks.
	seen sent
	next func(sent) []part

	stop context.CancelFunc // since Notify
	wake chan struct{}      // somebody has come

	mu      sync.Mutex // guards below
	another bool       // pending is not what Events gave last
	pending fanout.State
}

// look makes the patches for what has changed since the look before, and the event behind them that is the last.
func (f *pageFeed) look(now time.Time) (events, end []byte, early bool) {
	if f.last != nil {
		end = f.last() // before the parts, so that they show the end as well
	}
	events, early = f.seen.changed(f.next(f.seen), now)
	return events, end, early
}

// Notify is part of fanout.Source.
func (f *pageFeed) Notify(changed func()) {
	var ctx context.Context
	ctx, f.stop = context.WithCancel(context.Background()) // until Close
	f.wake = make(chan struct{}, 1)
	f.server.feeds.Go(func() { f.run(ctx, changed) })
}

// run looks until ctx or the page is at its end.
func (f *pageFeed) run(ctx context.Context, changed func()) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for early, over := false, false; !over; {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		came := false // somebody, who is to get a state though it looks the same
		if early {
			select {
			case <-f.wake:
				came = true
			default:
			}
		} else {
			select {
			case <-ctx.Done():
				return
			case <-f.first:
			case <-f.second:
			case <-f.wake:
				came = true
			}
		}
		early, over = f.turn(came)
		changed()
		pause.Reset(patchEvery)
	}
}

// turn looks once, and puts what there is to send. A page that cannot be made ends its streams, as it would have ended
// its handler, and nobody else's.
func (f *pageFeed) turn(came bool) (early, over bool) {
	defer func() {
		if cause := recover(); cause != nil {
			f.server.logger.Error("panic in the stream of a page", "err", cause, "stack", string(debug.Stack()))
			f.put(fanout.State{Last: true})
			early, over = false, true
		}
	}()
	now := time.Now()
	events, end, early := f.look(now)
	if len(events) == 0 && end == nil && !came {
		return early, false
	}
	fresh := sent{}
	whole, _ := fresh.changed(f.parts()(fresh), now)
	f.put(fanout.State{Change: append(events, end...), Whole: append(whole, end...), Last: end != nil})
	return early, end != nil
}

// put makes s what Events gives next. What it has not given yet is part of it.
func (f *pageFeed) put(s fanout.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.another {
		s.Change = append(f.pending.Change, s.Change...)
	}
	if len(s.Change) > len(s.Whole) {
		s.Change = s.Whole // shorter, and says as much
	}
	f.another, f.pending = true, s
}

// Events is part of fanout.Source.
func (f *pageFeed) Events() (s fanout.State, another bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, another = f.pending, f.another
	f.another, f.pending = false, fanout.State{}
	return s, another
}

// Again is part of fanout.Source.
func (f *pageFeed) Again() bool {
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return true
}

// Close is part of fanout.Source.
func (f *pageFeed) Close() {
	if f.stop != nil {
		f.stop()
	}
	f.close()
}
