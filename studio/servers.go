package studio

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/db"
)

// demoKey is what the demo server is known by: its URL may be another at every start.
const demoKey = "demo"

// configure stores the servers of the configuration, and switches off those that it no longer names. Servers that
// people have added are left as they are.
func (s *Studio) configure(ctx context.Context) error {
	ids := make([]uuid.UUID, 0, len(s.config.Servers))
	for _, c := range s.config.Servers {
		id, err := s.configureServer(ctx, c)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := s.queries.ServersDisableOthers(ctx, ids); err != nil {
		return fmt.Errorf("switch off servers that are not configured: %w", err)
	}
	return nil
}

// asConfigured is what is known of the servers before the database was asked: that there are some.
func asConfigured(servers []ServerConfig) []Server {
	shown := make([]Server, 0, len(servers))
	for _, c := range servers {
		shown = append(shown, Server{
			Name: c.Name, URL: comfy.Redacted(c.URL), Demo: c.Demo, Source: SourceConfig, Mode: ModeActive, State: ServerUnknown,
		})
	}
	return shown
}

func (s *Studio) configureServer(ctx context.Context, c ServerConfig) (uuid.UUID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil, fmt.Errorf("draw an id: %w", err)
	}
	key, kind := c.URL, "comfyui"
	if c.Demo {
		key, kind = demoKey, "demo"
	}
	id, err = s.queries.ServerConfigure(ctx, db.ServerConfigureParams{
		ID: id, Key: key, Name: c.Name, URL: c.URL, Kind: kind, ClientID: "easel-" + id.String(),
	})
	if err != nil {
		return uuid.Nil, fmt.Errorf("store server %s: %w", c.Name, err)
	}
	return id, nil
}

// abandonOff puts back into the queue what still lies on servers that are off: no supervisor will ever look there
// again. Of all instances it is done by the one that gets the lease, which nobody prolongs.
func (s *Studio) abandonOff(ctx context.Context) error {
	rows, err := s.queries.ServersAbandoned(ctx, db.ServersAbandonedParams{Owner: s.config.Instance, Force: s.config.Sole})
	if err != nil {
		return fmt.Errorf("read attempts of servers that are off: %w", err)
	}
	for begin, end := 0, 0; begin < len(rows); begin = end {
		end = begin + 1
		for end < len(rows) && rows[end].ServerID == rows[begin].ServerID {
			end++
		}
		if err := s.abandonServer(ctx, rows[begin:end]); err != nil {
			return err
		}
	}
	return nil
}

// abandonServer puts back what lies on one server that is off.
func (s *Studio) abandonServer(ctx context.Context, rows []db.ServersAbandonedRow) error {
	server := rows[0].ServerID
	l, err := takeLease(ctx, s.leases, s.timing, server, s.config.Instance, takeAbandoned)
	if errors.Is(err, db.ErrNotFound) {
		return nil // another instance is at it, or it is on again
	}
	if err != nil {
		return err
	}
	defer func() {
		if err := l.release(ctx); err != nil {
			s.logger.WarnContext(ctx, "could not release the lease", "err", err)
		}
	}()
	client, found := s.lastWords(ctx, rows)
	if client != nil {
		defer client.Close()
	}
	for _, row := range rows {
		reason, message := abandoned(row.State, found != nil, found[row.PromptID.String()])
		ended, err := db.One(s.queries.AttemptEnd(ctx, db.AttemptEndParams{
			ServerID: server, Owner: s.config.Instance, Fence: l.fence, PromptID: row.PromptID,
			State: attemptLost, LossReason: reason, ImageStatus: string(Pending), ErrorMessage: message,
			WatchSeconds: s.timing.Watch.Seconds(), // it may be on again by then, with the prompt inside
		}))
		switch {
		case errors.Is(err, db.ErrNotFound): // it has ended by itself
		case err != nil:
			return fmt.Errorf("put back an image of a server that is off: %w", err)
		default:
			s.counters.AttemptsLost.Add(1)
			s.counters.ended(Status(ended.Status))
			s.relay.announce(bellChanged, row.GenerationID, ended.Rev)
		}
		s.tellUnread(row.GenerationID) // the bell of our own changes is not heard by us
	}
	s.logger.InfoContext(ctx, "server is off, what was inside is back in the queue", "server", rows[0].Name, "count", len(rows))
	s.wakeSupervisors()
	s.takeBack(ctx, client, rows, found)
	return nil
}

// unread is a revision that nobody has read yet.
const unread = math.MaxInt64

// lastWordsTimeout bounds what a ComfyUI that is switched off may cost, twice.
const lastWordsTimeout = 3 * time.Second

// lastWords asks a server that is off what became of the prompts inside it; nil: it does not answer.
func (s *Studio) lastWords(ctx context.Context, rows []db.ServersAbandonedRow) (*comfy.Client, map[string]comfy.Lookup) {
	client, err := comfy.NewClient(rows[0].URL, comfy.ClientOptions{})
	if err != nil {
		return nil, nil // it was never reached under this address
	}
	ctx, cancel := context.WithTimeout(ctx, lastWordsTimeout)
	defer cancel()
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.PromptID.String()
	}
	found, err := client.LookupAll(ctx, ids)
	if err != nil {
		s.logger.InfoContext(ctx, "server that is off does not answer", "server", rows[0].Name, "err", err)
		return client, nil
	}
	return client, found
}

// takeBack asks a server that is off, while it can be reached, not to make what others make now.
func (s *Studio) takeBack(ctx context.Context, client *comfy.Client, rows []db.ServersAbandonedRow, found map[string]comfy.Lookup) {
	ctx, cancel := context.WithTimeout(ctx, lastWordsTimeout)
	defer cancel()
	for _, row := range rows {
		id := row.PromptID.String()
		if state := found[id].State; state != comfy.Waiting && state != comfy.Running {
			continue
		}
		if err := client.Cancel(ctx, id); err != nil {
			s.logger.InfoContext(ctx, "could not take a prompt back from a server that is off", "server", row.Name,
				"prompt_id", row.PromptID, "err", err)
			return // it is gone; asking for the others would only take time
		}
	}
}

// wakeOne has one supervisor look into the queue, into which something has come that needs this: the one whose server
// has the least inside of those that could take it. If all woke, all but one would ask the database in vain, at every
// generation. Nobody is woken when none could; whoever has room again looks by itself. It reports whether one was.
func (s *Studio) wakeOne(needs []string) bool {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var best *supervisor
	least := math.MaxInt
	for _, v := range s.supervisors { // in another order each time
		if h := v.held.Load(); h != nil && h.inside() < least && h.hasRoom() && h.pause(now) == 0 &&
			len(lacking(needs, h.objectInfo())) == 0 {
			best, least = v, h.inside()
		}
	}
	if best == nil {
		return false
	}
	ring(best.wake)
	return true
}

// passOn wakes another supervisor while more waits than one has taken.
func (s *Studio) passOn() {
	for _, needs := range s.hub.needed(passedOn) {
		if s.wakeOne(needs) {
			return
		}
	}
}

// passedOn is for how many of those that wait a server is looked for at once.
const passedOn = 16

// wakeSupervisors tells every supervisor that there may be something to pick.
func (s *Studio) wakeSupervisors() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.supervisors {
		ring(v.wake)
	}
}

// wakeFollowers tells whoever follows an image of a generation to look at it again.
func (s *Studio) wakeFollowers(generation uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.supervisors {
		v.wakeFollowers(func(f *follower) bool { return f.generation == generation })
	}
}

// supervisor finds the supervisor of a server, if this instance has one.
func (s *Studio) supervisor(id uuid.UUID) (*supervisor, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.supervisors[id]
	return v, ok
}
