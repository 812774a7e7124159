package studio_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"easel/comfy/simulator"
	"easel/studio"
)

// bell is one as it goes over a bus.
type bell struct {
	Kind       string
	Generation uuid.UUID // or a server
	Rev        int64
}

// earBus notes the bells that go over a bus.
type earBus struct {
	studio.Bus

	mu   sync.Mutex
	rung []bell
}

func (b *earBus) Publish(ctx context.Context, messages ...[]byte) error {
	for _, raw := range messages {
		var m struct {
			Kind  string
			Bells []bell
		}
		if json.Unmarshal(raw, &m) == nil && m.Kind == "bells" {
			b.mu.Lock()
			b.rung = append(b.rung, m.Bells...)
			b.mu.Unlock()
		}
	}
	return b.Bus.Publish(ctx, messages...)
}

// heard: it was rung about what an event is about, in its revision or a later one.
func (b *earBus) heard(event bell) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.rung, func(rung bell) bool {
		if rung.Kind != event.Kind {
			return false
		}
		if event.Kind == "server" { // a server is read, whatever its revision; the zero id stands for all
			return rung.Generation == event.Generation || rung.Generation == uuid.Nil
		}
		return rung.Generation == event.Generation && rung.Rev >= event.Rev
	})
}

// Where the database rings no bell, every event that it leaves is rung for on the bus all the same; and it rings
// none, which would take a lock of the whole server at each commit.
func TestEveryEventRings(t *testing.T) {
	t.Parallel()
	bus := &earBus{Bus: new(studio.MemoryNet).NewBus()}
	w := open(t, stepping, func(w *workshop, _ *simulator.Config) { w.bus, w.quiet, w.unserved = bus, true, true })
	conn, err := pgx.Connect(t.Context(), w.pool.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "LISTEN easel"); err != nil {
		t.Fatal(err)
	}

	server, err := w.studio.AddServer(t.Context(), "added", w.comfy.URL())
	if err != nil {
		t.Fatal(err)
	}
	w.rung("the server is added", bus)
	w.awaitServer(studio.ServerUp)
	w.rung("its lease is taken, its classes and its state are stored", bus)
	if err := w.studio.RenameServer(t.Context(), server, "renamed"); err != nil {
		t.Fatal(err)
	}
	w.rung("it is renamed", bus)
	if err := w.studio.SetQueuePaused(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	waiting, doomed := w.create(request("moved")), w.create(request("cancelled"))
	user := w.stored(waiting.ID).UserID
	if _, err := w.studio.Move(t.Context(), user, waiting.ID, studio.Move{To: studio.MoveBack}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.studio.Prioritise(t.Context(), user, waiting.ID, studio.PriorityHigh); err != nil {
		t.Fatal(err)
	}
	for _, held := range []bool{true, false} {
		if _, err := w.studio.Hold(t.Context(), user, waiting.ID, held); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := w.studio.Cancel(t.Context(), doomed.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.studio.SetQueuePaused(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	w.rung("the queue is put in order", bus)
	brought := w.bring(ownWorkflow(t, "heard of"), "")
	if _, err := w.studio.EditWorkflow(t.Context(), brought.ID, studio.WorkflowEdit{Title: &brought.Title}); err != nil {
		t.Fatal(err)
	}
	if err := w.studio.DeleteWorkflow(t.Context(), brought.ID); err != nil {
		t.Fatal(err)
	}
	w.rung("a workflow is brought, edited and removed", bus)
	w.stepper.Open()
	w.awaitStatus(waiting.ID, studio.Complete)
	if err := w.studio.Delete(t.Context(), doomed.ID); err != nil {
		t.Fatal(err)
	}
	w.rung("one is complete and one is deleted", bus)
	if err := w.studio.SetServerMode(t.Context(), server, studio.ModeDraining); err != nil {
		t.Fatal(err)
	}
	w.eventually("drained", func() bool { return w.count("SELECT count(*) FROM servers WHERE mode = 'off' AND owner IS NULL") == 1 })
	if err := w.studio.RemoveServer(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	w.rung("the server is drained, off and removed", bus)

	if _, err := w.pool.Exec(t.Context(), "SELECT pg_notify('easel', 'the end')"); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.WaitForNotification(t.Context()); err != nil || n.Payload != "the end" {
		t.Errorf("the database has rung: %+v, %v", n, err)
	}
}

// rung waits until every event so far was rung for.
func (w *workshop) rung(after string, bus *earBus) {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), "SELECT kind, generation_id, rev FROM events ORDER BY id")
	if err != nil {
		w.t.Fatal(err)
	}
	events, err := pgx.CollectRows(rows, pgx.RowToStructByPos[bell])
	if err != nil {
		w.t.Fatal(err)
	}
	for _, event := range events {
		w.eventually(fmt.Sprintf("rung for %+v, after %s", event, after), func() bool { return bus.heard(event) })
	}
}
