package studio_test

import (
	"context"
	"io"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"easel/blob"
	"easel/comfy/simulator"
	"easel/studio"
)

// hanging is a storage whose first Put takes for ever, as that of an instance which died in it.
type hanging struct {
	blob.Store

	puts atomic.Int32
}

func (h *hanging) Put(ctx context.Context, r io.Reader, most int64) (blob.Info, error) {
	if h.puts.Add(1) == 1 {
		<-ctx.Done()
		return blob.Info{}, ctx.Err()
	}
	return h.Store.Put(ctx, r, most)
}

// The job of an instance that gives no sign of life any more is taken up by another, long before
// River would: a picture says "Storing" no longer than a lease lasts.
func TestJobsOfADeadInstance(t *testing.T) {
	t.Parallel()
	storage := &hanging{}
	w := open(t, func(w *workshop, _ *simulator.Config) {
		w.storage = func(s blob.Store) blob.Store {
			storage.Store = s
			return storage
		}
	})
	g := w.create(request("left behind"))
	w.eventually("being stored", func() bool { return storage.puts.Load() == 1 })
	// As if another had died at it.
	dead := uuid.New()
	for _, sql := range []string{
		"INSERT INTO instances (id, seen_at) VALUES ($1, now() - interval '1 hour')",
		"UPDATE river.river_job SET attempted_by = ARRAY[$1::uuid::text] WHERE kind = 'finalize' AND state = 'running'",
	} {
		if tag, err := w.pool.Exec(t.Context(), sql, dead); err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("%s: %v, %v", sql, tag, err)
		}
	}
	w.awaitStatus(g.ID, studio.Complete)
	w.once()
	w.stop()
	if n := w.count("SELECT count(*) FROM instances WHERE id <> $1", dead); n != 0 {
		t.Errorf("%d instances have not said goodbye", n)
	}
}
