package studio_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"easel/comfy/simulator"
	"easel/comfy/workflow"
	"easel/db"
	"easel/studio"
)

// withModel asks for a picture of a model.
func withModel(prompt, model string) studio.Request {
	r := request(prompt)
	r.Settings["model"], _ = json.Marshal(model)
	return r
}

// A graph goes only to a server that has its model; while none has it, the generation says which one is missing.
func TestModelsAndNodes(t *testing.T) {
	t.Parallel()
	w := open(t, func(_ *workshop, c *simulator.Config) { c.Models = []string{"one.safetensors"} })
	w.awaitServer(studio.ServerUp)
	extra := w.another(simulator.Config{PreviewSize: 64, Models: []string{"two.safetensors"}})
	id := w.add("extra", extra.URL())
	w.shown(w.studio, "extra", "up", isUp)
	for range 3 {
		g := w.create(withModel("of two", "two.safetensors"))
		if s := w.awaitStatus(g.ID, studio.Complete); s.Generation.Images[0].Server != "extra" {
			t.Errorf("made by %s, which lacks the model", s.Generation.Images[0].Server)
		}
	}
	waits := func(id uuid.UUID) { // and what comes after it does not
		w.await(id, "waiting in words", func(s *studio.State) bool {
			return s.Progress.Status == "No server has the model two.safetensors"
		})
		after := w.create(withModel("of one", "one.safetensors"))
		w.awaitStatus(after.ID, studio.Complete)
		if got := w.stored(id); got.Status != studio.Pending {
			t.Errorf("what no server has the model of is %s", got.Status)
		}
	}
	if away := w.studio.Away(t.Context(), workflow.TextToImage); len(away) > 0 {
		t.Errorf("while both servers take work %v are away", away)
	}
	w.exec("UPDATE servers SET mode = 'paused' WHERE id = $1", id)
	w.shown(w.studio, "extra", "paused", func(s studio.Server) bool { return s.Mode == studio.ModePaused })
	want := map[string]map[string]bool{"model": {"two.safetensors": true}}
	if away := w.studio.Away(t.Context(), workflow.TextToImage); !reflect.DeepEqual(away, want) {
		t.Errorf("while the second is paused the models away are %v, want %v", away, want)
	}
	g := w.create(withModel("of two", "two.safetensors"))
	w.exec("UPDATE servers SET enabled = false, removed_at = now() WHERE id = $1", id)
	waits(g.ID)
	// One that was accepted before needs were stored is found out when its turn comes.
	w.exec("UPDATE generations SET needs = '{}' WHERE id = $1", g.ID)
	waits(g.ID)
	w.exec("UPDATE servers SET enabled = true, removed_at = NULL, mode = 'active' WHERE id = $1", id)
	w.awaitStatus(g.ID, studio.Complete)
	for _, one := range w.comfy.Ledger().Posts() {
		if one != 1 {
			t.Error("a prompt was posted twice")
		}
	}
}

// With two servers idle, an image goes to the one that has its model loaded.
func TestLoadedModelIsPreferred(t *testing.T) {
	t.Parallel()
	models := []string{"one.safetensors", "two.safetensors"}
	w := open(t, func(w *workshop, c *simulator.Config) { c.Models = models; w.timing.Yield = 20 * time.Second })
	w.awaitServer(studio.ServerUp)
	extra := w.another(simulator.Config{PreviewSize: 64, Models: models})
	w.add("extra", extra.URL())
	w.shown(w.studio, "extra", "up", isUp)
	w.exec(`UPDATE servers SET mode = CASE WHEN name = 'extra' THEN 'paused' ELSE 'active' END`)
	w.shown(w.studio, "extra", "paused", func(s studio.Server) bool { return s.Mode == studio.ModePaused })
	w.awaitStatus(w.create(withModel("first", models[0])).ID, studio.Complete)
	w.exec(`UPDATE servers SET mode = CASE WHEN name = 'extra' THEN 'active' ELSE 'paused' END`)
	w.shown(w.studio, "easel-1", "paused", func(s studio.Server) bool { return s.Mode == studio.ModePaused })
	w.awaitStatus(w.create(withModel("second", models[1])).ID, studio.Complete)
	w.exec(`UPDATE servers SET mode = 'active'`)
	w.shown(w.studio, "easel-1", "active", func(s studio.Server) bool { return s.Mode == studio.ModeActive })
	w.shown(w.studio, "extra", "active", func(s studio.Server) bool { return s.Mode == studio.ModeActive })
	for i := range 6 {
		want := []string{"easel-1", "extra"}[i%2]
		g := w.create(withModel(fmt.Sprint("picture ", i), models[i%2]))
		if s := w.awaitStatus(g.ID, studio.Complete); s.Generation.Images[0].Server != want {
			t.Errorf("%s was made by %s, want %s, where it is loaded", models[i%2], s.Generation.Images[0].Server, want)
		}
	}
	// A ComfyUI that was away may have started anew: nobody counts on its models.
	w.comfy.Faults().CutSockets()
	w.eventually("without a model", func() bool {
		return w.count("SELECT count(*) FROM servers WHERE name = 'easel-1' AND capabilities -> 'loaded' = '[]'") == 1
	})
}

// No more images of one user are at work than the limit says, on all servers together, and never more than two of
// ours inside one ComfyUI (P13).
func TestLimits_P13(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	w.awaitServer(studio.ServerUp)
	r := request("many")
	r.TotalImages = 8
	g := w.create(r)
	w.atStep(1)
	w.eventually("two inside", func() bool {
		return w.count("SELECT count(*) FROM attempts WHERE state IN ('submitted', 'running')") == 2
	})
	w.stepper.Open()
	w.awaitStatus(g.ID, studio.Complete)
	w.once()
	most := w.count(`SELECT coalesce(max(n), 0) FROM (
		SELECT count(*) AS n FROM attempts a JOIN attempts b ON b.server_id = a.server_id
			AND b.created_at <= a.created_at AND coalesce(b.finalizing_at, b.finished_at) > a.created_at
		GROUP BY a.prompt_id) AS inside`)
	if most > 2 {
		t.Errorf("%d prompts were inside one ComfyUI", most)
	}
	w.stop()
	w.running = 1
	w.start()
	again := w.create(r)
	w.awaitStatus(again.ID, studio.Complete)
	if most := w.count(`SELECT coalesce(max(n), 0) FROM (
		SELECT count(*) AS n FROM attempts a JOIN attempts b ON b.generation_id = a.generation_id
			AND b.created_at <= a.created_at AND b.finished_at > a.created_at
		WHERE a.generation_id = $1 GROUP BY a.prompt_id) AS inside`, again.ID); most > 1 {
		t.Errorf("%d images of one user were at work, want 1 at most", most)
	}
}

// With several users on several servers, each has as many images at work as the limit says, all at the same time.
func TestLimitOfEachUser(t *testing.T) {
	t.Parallel()
	w := open(t, stepping, func(w *workshop, _ *simulator.Config) { w.running = 1 })
	w.awaitServer(studio.ServerUp)
	extra := w.another(simulator.Config{PreviewSize: 64, Gate: w.stepper.Pass})
	w.add("extra", extra.URL())
	w.shown(w.studio, "extra", "up", isUp)
	var list []uuid.UUID
	for range 3 {
		user := uuid.New()
		w.exec("INSERT INTO users (id, name) VALUES ($1, 'somebody')", user)
		r := request("three of them")
		r.UserID, r.TotalImages = user, 3
		list = append(list, w.create(r).ID)
	}
	w.eventually("one image of each at work", func() bool {
		return w.count(`SELECT count(DISTINCT generation_id) FROM attempts WHERE state IN ('submitting', 'submitted', 'running')`) == 3
	})
	w.stepper.Open()
	for _, id := range list {
		w.awaitStatus(id, studio.Complete)
	}
	if most := w.count(`SELECT max(n) FROM (
		SELECT count(*) AS n FROM attempts a JOIN attempts b ON b.generation_id = a.generation_id
			AND b.created_at <= a.created_at AND b.finished_at > a.created_at
		GROUP BY a.prompt_id) AS at_work`); most != 1 {
		t.Errorf("%d images of one user were at work, want 1", most)
	}
}

// explained has a query of the program explained instead of answered.
type explained struct {
	*pgxpool.Pool
	plan strings.Builder
}

var errExplained = errors.New("explained")

func (e *explained) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := e.Pool.Query(ctx, "EXPLAIN (ANALYZE, COSTS OFF)\n"+sql, args...)
	if err != nil {
		return nil, err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	e.plan.WriteString(strings.Join(lines, "\n"))
	return nil, cmp.Or(err, errExplained)
}

// The next image is found fast however many wait, and however many people there are.
func TestPickAmongTenThousand(t *testing.T) {
	t.Parallel()
	w := office(t)
	w.exec(`INSERT INTO users (id, name) SELECT gen_random_uuid(), 'somebody' FROM generate_series(1, 10000)`)
	w.exec(`INSERT INTO generations (id, user_id, prompt, workflow, settings, request, total_images, images_left, origin)
		SELECT gen_random_uuid(), '00000000-0000-7000-8000-000000000001', 'p', 'text-to-image', '{}', '', 1, 1, gen_random_uuid()
		FROM generate_series(1, 10000)`)
	w.exec(`INSERT INTO generations (id, user_id, prompt, workflow, settings, request, total_images, images_left, origin)
		SELECT gen_random_uuid(), id, 'p', 'text-to-image', '{}', '', 1, 1, gen_random_uuid() FROM users LIMIT 500`)
	w.exec("INSERT INTO images (generation_id, index, seed) SELECT id, 1, 1 FROM generations")
	w.exec("ANALYZE users, generations, images")
	for _, running := range []int32{0, 2} { // without and with a limit
		e := &explained{Pool: w.pool}
		_, err := db.New(e).ImageCandidates(t.Context(), db.ImageCandidatesParams{
			Lacks: []string{"node:Missing"}, Most: 16, MostRunning: running,
		})
		if !errors.Is(err, errExplained) {
			t.Fatal(err)
		}
		plan := e.plan.String()
		t.Log(plan)
		if !strings.Contains(plan, "generations_pick") || strings.Contains(plan, "Seq Scan on generations") || strings.Contains(plan, "Seq Scan on images") {
			t.Error("the queue is sorted instead of read in its order")
		}
	}
}

// Who picks waits for no other who does: two that wait for each other would be told so by the database after a second.
func TestPickingWaitsForNobody(t *testing.T) {
	t.Parallel()
	w := open(t, func(w *workshop, _ *simulator.Config) { w.unserved = true })
	g := w.create(request("picked by another"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	other, err := w.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback(context.WithoutCancel(ctx)) }()
	theirs, ours := db.New(w.pool).WithTx(other), db.New(w.pool)
	if n, err := theirs.UserTurn(ctx, studio.LocalUser); err != nil || n != 1 {
		t.Fatalf("UserTurn() = %d, %v", n, err)
	}
	if _, err := theirs.ImagePick(ctx, db.ImagePickParams{GenerationID: g.ID, Index: 1}); err != nil {
		t.Fatal(err)
	}
	if n, err := ours.UserTurn(ctx, studio.LocalUser); err != nil || n != 0 {
		t.Errorf("UserTurn() of another's turn = %d, %v", n, err)
	}
	overtaken := db.ImageOvertakenParams{GenerationID: g.ID, Index: 1}
	if err := ours.ImageOvertaken(ctx, overtaken); err != nil {
		t.Error(err)
	}
	if err := other.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if err := ours.ImageOvertaken(ctx, overtaken); err != nil {
		t.Error(err)
	}
	if n := w.count("SELECT overtaken FROM images"); n != 1 {
		t.Errorf("overtaken %d times, want once", n)
	}
}
