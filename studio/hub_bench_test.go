package studio

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
)

// crowdedHub is a hub with as many generations that wait, of a hundred users, and somebody who looks at all of them.
func crowdedHub(b *testing.B, waiting int) (*hub, []uuid.UUID) {
	b.Helper()
	stored := make(map[uuid.UUID]*Generation, waiting)
	h := newHub(25*time.Millisecond, func(_ context.Context, ids []uuid.UUID) ([]Generation, error) {
		found := make([]Generation, len(ids))
		for i, id := range ids {
			stored[id].Rev++
			found[i] = stored[id].clone()
		}
		return found, nil
	}, slog.New(slog.DiscardHandler))
	h.missing = newForms().missing
	ids := make([]uuid.UUID, waiting)
	now := time.Now()
	for i := range ids {
		binary.BigEndian.PutUint64(ids[i][:8], uint64(i)) //nolint:gosec // a loop's
		user := uuid.UUID{byte(i % 100)}
		stored[ids[i]] = &Generation{
			ID: ids[i], UserID: user, Status: Pending, Rev: 1, CreatedAt: now, UpdatedAt: now, rank: float64(i),
			Images: []Image{{Index: 1, Status: Pending}},
		}
		h.put(stored[ids[i]].clone())
	}
	h.lore.teach(kind{}, &comfy.Work{}, partRest, false, 5*time.Second)
	h.servers = []Server{{ID: uuid.New(), State: ServerUp}}
	w := h.overview.watch(nil)
	b.Cleanup(w.Close)
	h.refresh()
	return h, ids
}

// BenchmarkHubOversee makes the overview anew when one of many has changed. The hub is locked meanwhile: nobody's
// progress moves.
func BenchmarkHubOversee(b *testing.B) {
	for _, waiting := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			h, _ := crowdedHub(b, waiting)
			for b.Loop() {
				h.refresh()
			}
		})
	}
}

// BenchmarkQueueOrder is the part of that which puts 10,000 that wait in order, by how many users share them.
func BenchmarkQueueOrder(b *testing.B) {
	for _, users := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(users), func(b *testing.B) {
			list := make([]uuid.UUID, users)
			for i := range list {
				list[i] = uuid.New()
			}
			records := make(map[uuid.UUID]*record)
			for i := range 10_000 {
				id := uuid.New()
				records[id] = &record{generation: Generation{
					ID: id, UserID: list[i%users], Status: Pending, rank: float64(i), Images: []Image{{Index: 1, Status: Pending}},
				}}
			}
			for b.Loop() {
				inOrder(records, nil)
			}
		})
	}
}

// BenchmarkBellStorm takes in bells about what other instances have changed, and reads what they are about, from a
// database that takes no time: 1,000 bells, and what is published of them. A second may bring as many.
func BenchmarkBellStorm(b *testing.B) {
	for _, waiting := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			h, ids := crowdedHub(b, waiting)
			const bells = 1000
			rev := int64(1)
			for b.Loop() {
				rev++
				for _, id := range ids[:bells] {
					h.invalidate(id, rev)
				}
				for more := true; more; {
					more, _ = h.reload(b.Context())
				}
				h.flush(time.Now())
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/bells, "us/bell")
		})
	}
}
