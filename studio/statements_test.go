package studio_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"easel/studio"
)

// mostStatements is what one generation of one image may cost the database, from the POST to
// complete, whatever the number of watchers: twelve, and room for a word to other instances.
const mostStatements = 13

// statements counts what is run on a pool: neither BEGIN and COMMIT, nor what River and the signs of life do for
// themselves.
type statements struct {
	mu  sync.Mutex
	ran []string
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	sql := strings.ToLower(strings.TrimSpace(data.SQL))
	for _, not := range []string{"begin", "commit", "rollback", "-- name: instanceseen"} {
		if strings.HasPrefix(sql, not) {
			return ctx
		}
	}
	if strings.Contains(sql, "river") {
		return ctx
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(data.SQL, "-- name: "), " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ran = append(s.ran, name)
	return ctx
}

func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *statements) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ran := s.ran
	s.ran = nil
	return ran
}

func TestStatementsPerGeneration(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.stop()
	counter := &statements{}
	config := w.pool.Config()
	config.ConnConfig.Tracer = counter
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	w.timing.Poll, w.timing.Health = 0, 0 // as in earnest
	// What is done by the clock, work or no work, stays out.
	w.timing.Renew, w.timing.Lease, w.timing.CatchUp, w.timing.Probe = time.Hour, 3*time.Hour, time.Hour, time.Hour
	var stop func()
	w.studio, stop = w.run(pool, true)
	defer stop()
	w.awaitServer(studio.ServerUp)
	first := w.create(request("warms up"))
	w.awaitStatus(first.ID, studio.Complete)

	counter.take()
	g := w.create(request("counted"))
	const watchers = 100
	var watching sync.WaitGroup
	for range watchers {
		watching.Go(func() { w.awaitStatus(g.ID, studio.Complete) })
	}
	watching.Wait()
	ran := counter.take()
	if len(ran) > mostStatements || !slices.Contains(ran, "AttemptSucceed") {
		t.Errorf("%d statements, want at most %d: %v", len(ran), mostStatements, ran)
	}
	t.Logf("%d statements: %v", len(ran), ran)
}
