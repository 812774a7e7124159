package studio

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/google/uuid"

	"easel/comfy/workflow"
	"easel/db"
)

// demoKey is what the demo server is known by: its URL may be another at every start.
const demoKey = "demo"

// configure stores the servers of the configuration, switches off the others, and makes a
// supervisor for each that is on.
func (s *Studio) configure(ctx context.Context) ([]*supervisor, error) {
	ids := make([]uuid.UUID, 0, len(s.config.Servers))
	for _, c := range s.config.Servers {
		id, err := s.configureServer(ctx, c)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if err := s.queries.ServersDisableOthers(ctx, ids); err != nil {
		return nil, fmt.Errorf("switch off servers that are not configured: %w", err)
	}
	if err := s.abandonDisabled(ctx); err != nil {
		return nil, err
	}
	rows, err := s.queries.ServersEnabled(ctx)
	if err != nil {
		return nil, fmt.Errorf("read servers: %w", err)
	}
	list := make([]*supervisor, 0, len(rows))
	shown := make([]Server, 0, len(rows))
	byID := make(map[uuid.UUID]*supervisor, len(rows))
	for _, row := range rows {
		v, err := newSupervisor(s, row)
		if err != nil {
			return nil, err
		}
		list, shown, byID[row.ID] = append(list, v), append(shown, v.asLastKnown(row)), v
		s.learnStored(row)
	}
	s.mu.Lock()
	s.supervisors = byID
	s.mu.Unlock()
	s.hub.setServers(shown)
	s.hub.refresh()
	return list, nil
}

// asConfigured is what is known of the servers before the database was asked: that there are some.
func asConfigured(servers []ServerConfig) []Server {
	shown := make([]Server, 0, len(servers))
	for _, c := range servers {
		address := c.URL
		if u, err := url.Parse(c.URL); err == nil {
			u.User = nil
			address = u.String()
		}
		shown = append(shown, Server{
			Name: c.Name, URL: address, Demo: c.Demo, Source: SourceConfig, Mode: ModeActive, State: ServerUnknown,
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

// learnStored takes the node classes of a server as last known, for the time until it answers.
func (s *Studio) learnStored(row db.ServersEnabledRow) {
	if len(row.ObjectInfo) == 0 {
		return
	}
	info, err := workflow.ParseObjectInfo(row.ObjectInfo)
	if err != nil {
		s.logger.Warn("stored object_info cannot be read", "server", row.Name, "err", err)
		return
	}
	s.forms.learn(row.ID, info)
}

// abandonDisabled puts back into the queue what still lies on servers that are switched off: no
// supervisor will ever look there again.
func (s *Studio) abandonDisabled(ctx context.Context) error {
	rows, err := s.queries.AttemptsOfDisabled(ctx)
	if err != nil {
		return fmt.Errorf("read attempts of removed servers: %w", err)
	}
	for _, row := range rows {
		fence, err := db.One(s.queries.ServerTake(ctx, db.ServerTakeParams{
			ID: row.ServerID, Owner: s.config.Instance, TTLSeconds: s.timing.Lease.Seconds(), Force: s.config.Sole,
		}))
		if errors.Is(err, db.ErrNotFound) {
			continue // its supervisor is another instance's, which has not heard yet
		}
		if err != nil {
			return fmt.Errorf("take removed server: %w", err)
		}
		_, err = db.One(s.queries.AttemptEnd(ctx, db.AttemptEndParams{
			ServerID: row.ServerID, Owner: s.config.Instance, Fence: fence, PromptID: row.PromptID,
			State: attemptLost, LossReason: lossServer, ImageStatus: string(Pending),
			ErrorMessage: "Its server was removed from the configuration.",
		}))
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return fmt.Errorf("put back an image of a removed server: %w", err)
		}
	}
	return nil
}

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
