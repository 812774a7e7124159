package studio_test

import (
	"sync"
	"testing"

	"easel/studio"
)

// Many who come to one generation at the same moment, as after a restart, cost one statement.
func TestWatchedByManyAtOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	g := w.create(request("looked at by many"))
	w.awaitStatus(g.ID, studio.Complete)
	tx, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE generations IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	var coming sync.WaitGroup
	const many = 100
	for range many {
		coming.Go(func() {
			watch, err := w.studio.Watch(t.Context(), g.ID)
			if err != nil {
				t.Error(err)
				return
			}
			watch.Close()
		})
	}
	const waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%GenerationsByID %'"
	w.eventually("does one wait", func() bool { return w.count(waiting) > 0 })
	if n := w.count(waiting); n != 1 {
		t.Errorf("%d connections read the same generation, want 1", n)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	coming.Wait()
}
