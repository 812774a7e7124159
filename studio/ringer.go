package studio

import (
	"context"

	"github.com/google/uuid"

	"easel/db"
)

// ringer is the queries of a studio. Those that change servers and settings ring the bell that goes with it, so
// that no caller can forget it; changes of generations ring where the hub takes them in. Within a transaction it
// is for whoever commits it. TestEveryEventRings holds all of them against the events that the database leaves.
type ringer struct {
	*db.Queries

	announce func(kind string, subject uuid.UUID, rev int64)
}

// announce tells every other instance of a committed change where the database does not. Ours knows what it
// does to generations; servers it reads like everybody, at once.
func (s *Studio) announce(kind string, subject uuid.UUID, rev int64) {
	if kind == bellServer {
		s.serversChanged(subject)
	}
	s.relay.announce(kind, subject, rev)
}

// tellUnread has everybody, us included, read a generation that was changed past the hub.
func (s *Studio) tellUnread(id uuid.UUID) {
	s.announce(bellChanged, id, unread)
	s.hub.invalidate(id, unread)
}

// server rings for a server if its change was stored.
func (q ringer) server(id uuid.UUID, err error) {
	if err == nil {
		q.announce(bellServer, id, 0)
	}
}

// ServerConfigure is db.Queries' with its bell.
func (q ringer) ServerConfigure(ctx context.Context, arg db.ServerConfigureParams) (uuid.UUID, error) {
	id, err := q.Queries.ServerConfigure(ctx, arg)
	q.server(id, err)
	return id, err
}

// ServersDisableOthers is db.Queries' with its bell.
func (q ringer) ServersDisableOthers(ctx context.Context, ids []uuid.UUID) error {
	err := q.Queries.ServersDisableOthers(ctx, ids)
	q.server(uuid.Nil, err)
	return err
}

// ServerTake is db.Queries' with its bell.
func (q ringer) ServerTake(ctx context.Context, arg db.ServerTakeParams) (int64, error) {
	fence, err := q.Queries.ServerTake(ctx, arg)
	q.server(arg.ID, err)
	return fence, err
}

// ServerRelease is db.Queries' with its bell.
func (q ringer) ServerRelease(ctx context.Context, arg db.ServerReleaseParams) error {
	err := q.Queries.ServerRelease(ctx, arg)
	q.server(arg.ID, err)
	return err
}

// ServerLearned is db.Queries' with its bell.
func (q ringer) ServerLearned(ctx context.Context, arg db.ServerLearnedParams) error {
	err := q.Queries.ServerLearned(ctx, arg)
	q.server(arg.ID, err)
	return err
}

// ServerDrained is db.Queries' with its bell.
func (q ringer) ServerDrained(ctx context.Context, arg db.ServerDrainedParams) (int64, error) {
	rows, err := q.Queries.ServerDrained(ctx, arg)
	if rows > 0 {
		q.server(arg.ID, err)
	}
	return rows, err
}

// ServerSetMode is db.Queries' with its bell.
func (q ringer) ServerSetMode(ctx context.Context, arg db.ServerSetModeParams) (int64, error) {
	rows, err := q.Queries.ServerSetMode(ctx, arg)
	if rows > 0 {
		q.server(arg.ID, err)
	}
	return rows, err
}

// SettingSet is db.Queries' with its bell.
func (q ringer) SettingSet(ctx context.Context, arg db.SettingSetParams) error {
	err := q.Queries.SettingSet(ctx, arg)
	if err == nil {
		q.announce(bellSettings, uuid.Nil, 0)
	}
	return err
}
