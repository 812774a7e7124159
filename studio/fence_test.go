package studio_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"easel/comfy/simulator"
	"easel/db"
	"easel/studio"
)

// queued puts a generation of one image into the queue of an office.
func (w *workshop) queued() uuid.UUID {
	w.t.Helper()
	id := uuid.Must(uuid.NewV7())
	w.exec(`INSERT INTO generations (id, user_id, prompt, workflow, settings, request, total_images, images_left, origin)
		VALUES ($1, $2, 'p', 'text-to-image', '{}', '', 1, 1, $1)`, id, studio.LocalUser)
	w.exec("INSERT INTO images (generation_id, index, seed) VALUES ($1, 1, 1)", id)
	return id
}

// Instances take, prolong, lose and give back the lease of a server in any order: at most one has it at a time, and
// what a former owner still writes changes no row (P10).
func TestLeaseAgainstModel_P10(t *testing.T) {
	t.Parallel()
	w := office(t)
	server, q := w.serverID("big"), db.New(w.pool)
	prompt, generation := uuid.New(), w.queued()
	w.exec(`INSERT INTO attempts (prompt_id, generation_id, image_index, number, server_id, fence, graph, state, was_running)
		VALUES ($1, $2, 1, 1, $3, 1, '', 'running', true)`, prompt, generation, server)
	owners := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	written := 0
	rapid.Check(t, func(t *rapid.T) {
		w.exec("UPDATE servers SET owner = NULL, lease_until = 'epoch' WHERE id = $1", server)
		fence := int64(w.count("SELECT fence FROM servers WHERE id = $1", server))
		fences := make([]int64, len(owners)) // as each was told when it took the lease last
		holder, over := -1, true             // over: the lease has run out
		for range rapid.IntRange(5, 25).Draw(t, "deeds") {
			who := rapid.IntRange(0, len(owners)-1).Draw(t, "who")
			owner, current := owners[who], holder == who && fences[who] == fence
			switch deed := rapid.SampledFrom([]string{"take", "take", "renew", "write", "write", "run out", "release"}).Draw(t, "deed"); deed {
			case "take":
				got, err := db.One(q.ServerTake(t.Context(), db.ServerTakeParams{ID: server, Owner: owner, TTLSeconds: 3600}))
				if may := holder < 0 || over || holder == who; (err == nil) != may || err == nil && got != fence+1 {
					t.Fatalf("take by %d: fence %d, %v; may %t, fence before %d", who, got, err, may, fence)
				}
				if err == nil {
					holder, over, fence, fences[who] = who, false, got, got
				}
			case "renew":
				rows, err := q.ServerRenew(t.Context(), db.ServerRenewParams{ID: server, Owner: owner, Fence: fences[who], TTLSeconds: 3600})
				if err != nil || (rows == 1) != current {
					t.Fatalf("renewal by %d: %d rows, %v; holder %d", who, rows, err, holder)
				}
				over = over && !current
			case "write":
				written++
				if err := q.AttemptProgress(t.Context(), db.AttemptProgressParams{
					ServerID: server, Owner: owner, Fence: fences[who], PromptID: prompt, StepsDone: int32(written), //nolint:gosec // small
				}); err != nil {
					t.Fatal(err)
				}
				stored := w.count("SELECT steps_done FROM attempts WHERE prompt_id = $1", prompt) == written
				if stored != (current && !over) {
					t.Fatalf("write by %d stored: %t; holder %d, run out %t", who, stored, holder, over)
				}
			case "run out":
				w.exec("UPDATE servers SET lease_until = now() - interval '1 second' WHERE id = $1", server)
				over = true
			case "release":
				if err := q.ServerRelease(t.Context(), db.ServerReleaseParams{ID: server, Owner: owner, Fence: fences[who]}); err != nil {
					t.Fatal(err)
				}
				if current {
					holder = -1
				}
			}
		}
	})
}

// However many want an image at once, one attempt is made of it (P04).
func TestOneLiveAttempt_P04(t *testing.T) {
	t.Parallel()
	w := office(t)
	q, owner := db.New(w.pool), uuid.New()
	servers := []uuid.UUID{w.serverID("big"), w.serverID("demo")}
	fences := make([]int64, len(servers))
	for i, server := range servers {
		var err error
		if fences[i], err = q.ServerTake(t.Context(), db.ServerTakeParams{ID: server, Owner: owner, TTLSeconds: 3600}); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		generation := w.queued()
		var made atomic.Int32
		var picking sync.WaitGroup
		for n := range 8 {
			picking.Go(func() {
				_, err := db.One(q.AttemptInsert(t.Context(), db.AttemptInsertParams{
					ServerID: servers[n%2], Owner: owner, Fence: fences[n%2], GenerationID: generation, ImageIndex: 1,
					PromptID: uuid.New(), Number: int32(n + 1), Graph: []byte("{}"), UserID: studio.LocalUser, //nolint:gosec // small
				}))
				switch {
				case err == nil:
					made.Add(1)
				case !errors.Is(err, db.ErrNotFound):
					t.Error(err)
				}
			})
		}
		picking.Wait()
		if n := w.count("SELECT count(*) FROM attempts WHERE generation_id = $1", generation); n != 1 || made.Load() != 1 {
			t.Errorf("%d attempts are stored, %d were told to be, want 1", n, made.Load())
		}
		// Nor could one be written by a program that has forgotten to ask.
		if _, err := w.pool.Exec(t.Context(), `INSERT INTO attempts (prompt_id, generation_id, image_index, number, server_id, fence, graph)
			VALUES (gen_random_uuid(), $1, 1, 100, $2, 1, '')`, generation, servers[0]); err == nil {
			t.Error("a second live attempt was stored")
		}
	}
}

func isMine(s studio.Server) bool { return s.Mine }

// The owner of a server is cut off from the database in the middle of a run: another takes the server over and ends
// what runs (P09). What the first had sent by then arrives when the way is free again, and changes nothing (P10).
func TestOwnerCutOffFromTheDatabase(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	w.stop()
	wire := w.wire()
	first, stopFirst := w.run(wire.pool(), false)
	defer stopFirst()
	w.shown(first, "easel-1", "up and its own", func(s studio.Server) bool { return s.Mine && isUp(s) })
	second, stopSecond := w.run(w.pool, false)
	defer stopSecond()
	w.shown(second, "easel-1", "up", isUp)
	w.studio = first
	g := w.create(request("two masters"))
	w.atStep(2)
	w.await(g.ID, "running", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "running" })
	wire.freeze()
	defer wire.thaw() // before it is stopped
	frozen := time.Now()
	w.stepper.Open() // it sees the end, and what it says of it to the database is held up
	w.shown(second, "easel-1", "the other's", isMine)
	t.Logf("taken over after %s, a lease lasts %s", time.Since(frozen), w.timing.Lease)
	w.studio = second
	w.awaitStatus(g.ID, studio.Complete)
	w.shown(first, "easel-1", "let go", func(s studio.Server) bool { return !s.Mine })
	before, fence := w.stored(g.ID), w.count("SELECT fence FROM servers")
	wire.thaw()
	w.eventually("known to the former owner", func() bool {
		s, err := first.State(t.Context(), g.ID)
		return err == nil && s.Generation.Status == studio.Complete
	})
	w.shown(first, "easel-1", "the other's to it too", func(s studio.Server) bool { return s.Held && !s.Mine })
	if after := w.stored(g.ID); after.Rev != before.Rev || w.count("SELECT fence FROM servers") != fence {
		t.Errorf("the former owner has written: revision %d, was %d", after.Rev, before.Rev)
	}
	if attempts, outputs := w.count("SELECT count(*) FROM attempts"), w.count("SELECT count(*) FROM outputs"); attempts != 1 || outputs != 1 {
		t.Errorf("%d attempts and %d outputs, want one each", attempts, outputs)
	}
	if n := first.Counters().LeaseLost.Load(); n != 1 {
		t.Errorf("it counts %d lost leases, want 1", n)
	}
	w.once()
}

// An owner that is stopped gives its server back: nobody waits for the end of its lease (P09).
func TestTakeOverAfterStop_P09(t *testing.T) {
	t.Parallel()
	w := open(t, stepping, func(w *workshop, _ *simulator.Config) { w.timing.Lease = 10 * patience })
	w.awaitServer(studio.ServerUp)
	second, stop := w.run(w.pool, false)
	defer stop()
	w.shown(second, "easel-1", "up", isUp)
	g := w.create(request("handed over"))
	w.atStep(2)
	w.await(g.ID, "running", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "running" })
	w.stop()
	stopped := time.Now()
	w.shown(second, "easel-1", "its own", isMine)
	t.Logf("taken over after %s, the promise is 1 s", time.Since(stopped))
	w.studio = second
	w.stepper.Open()
	w.awaitStatus(g.ID, studio.Complete)
	w.once()
}
