package studio_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"easel/comfy/simulator"
	"easel/db"
	"easel/studio"
)

// shown are the prompts of what waits, in the order and with the positions that people see.
func shown(o *studio.Overview) string {
	var b strings.Builder
	for _, state := range o.Live {
		switch p := state.Progress; {
		case p.QueuePosition > 0:
			fmt.Fprintf(&b, "%d %s, ", p.QueuePosition, state.Generation.Prompt)
		case state.Generation.HeldAt != nil && p.Phase == "queued":
			fmt.Fprintf(&b, "held %s, ", state.Generation.Prompt)
		}
	}
	return strings.TrimSuffix(b.String(), ", ")
}

// sees waits until s shows that order.
func (w *workshop) sees(s *studio.Studio, want string) {
	w.t.Helper()
	watch := s.WatchOverview()
	defer watch.Close()
	timeout := time.After(patience)
	for {
		select {
		case <-watch.Changed():
			if shown(watch.Latest()) == want {
				return
			}
		case <-timeout:
			w.t.Fatalf("shown is %q, want %q", shown(watch.Latest()), want)
		}
	}
}

// busy is a workshop whose server is at one generation, has another inside, and takes no more.
func busy(t *testing.T) *workshop {
	t.Helper()
	w := open(t, stepping)
	w.create(request("runs"))
	w.atStep(1)
	inside := w.create(request("inside"))
	w.await(inside.ID, "submitted", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "submitted" })
	return w
}

func TestMove(t *testing.T) {
	t.Parallel()
	w := busy(t)
	ids := map[string]uuid.UUID{}
	for _, name := range []string{"a", "b", "c", "d"} {
		ids[name] = w.create(request(name)).ID
	}
	w.sees(w.studio, "1 inside, 2 a, 3 b, 4 c, 5 d")
	for _, test := range []struct {
		what string
		move studio.Move
		want string
	}{
		{"c", studio.Move{To: studio.MoveUp}, "a c b d"},
		{"c", studio.Move{To: studio.MoveUp}, "c a b d"},
		{"c", studio.Move{To: studio.MoveUp}, "c a b d"}, // no higher
		{"a", studio.Move{To: studio.MoveDown}, "c b a d"},
		{"a", studio.Move{To: studio.MoveDown}, "c b d a"},
		{"a", studio.Move{To: studio.MoveDown}, "c b d a"}, // no lower
		{"d", studio.Move{To: studio.MoveFront}, "d c b a"},
		{"d", studio.Move{To: studio.MoveFront}, "d c b a"},
		{"c", studio.Move{To: studio.MoveBack}, "d b a c"},
		{"c", studio.Move{To: studio.MoveBack}, "d b a c"},
		{"c", studio.Move{Before: ids["b"]}, "d c b a"},
		{"c", studio.Move{Before: ids["b"]}, "d c b a"},
		{"a", studio.Move{Before: ids["d"]}, "a d c b"},
		{"a", studio.Move{Before: ids["a"]}, "a d c b"},
	} {
		if _, err := w.studio.Move(t.Context(), studio.LocalUser, ids[test.what], test.move); err != nil {
			t.Fatalf("move %s %+v: %v", test.what, test.move, err)
		}
		want := "1 inside"
		for i, name := range strings.Fields(test.want) {
			want += fmt.Sprintf(", %d %s", i+2, name)
		}
		w.sees(w.studio, want)
	}
	// What is asked for later comes behind what was moved to the end.
	ids["e"] = w.create(request("e")).ID
	w.sees(w.studio, "1 inside, 2 a, 3 d, 4 c, 5 b, 6 e")

	g, err := w.studio.Prioritise(t.Context(), studio.LocalUser, ids["e"], studio.PriorityHigh)
	if err != nil || g.Priority != studio.PriorityHigh {
		t.Errorf("Prioritise() = %v, %v", g.Priority, err)
	}
	if _, err := w.studio.Prioritise(t.Context(), studio.LocalUser, ids["a"], studio.PriorityLow); err != nil {
		t.Error(err)
	}
	w.sees(w.studio, "1 inside, 2 e, 3 d, 4 c, 5 b, 6 a")
	if g, err = w.studio.Hold(t.Context(), studio.LocalUser, ids["d"], true); err != nil || g.HeldAt == nil {
		t.Errorf("Hold() = %v, %v", g.HeldAt, err)
	}
	rev := g.Rev
	if g, err = w.studio.Hold(t.Context(), studio.LocalUser, ids["d"], true); err != nil || g.Rev != rev {
		t.Errorf("Hold() again = revision %d, want %d, %v", g.Rev, rev, err)
	}
	w.sees(w.studio, "1 inside, 2 e, 3 c, 4 b, 5 a, held d")
	if state, _ := w.studio.State(t.Context(), ids["d"]); state.Progress.Status != "Held back" {
		t.Errorf("status of what is held = %q", state.Progress.Status)
	}
	w.refusals(ids)

	w.stepper.Open()
	for _, name := range []string{"a", "b", "c", "e"} {
		w.awaitStatus(ids[name], studio.Complete)
	}
	if stored := w.stored(ids["d"]); stored.Status != studio.Pending || stored.HeldAt == nil {
		t.Errorf("what is held back is %s", stored.Status)
	}
	if _, err := w.studio.Hold(t.Context(), studio.LocalUser, ids["d"], false); err != nil {
		t.Error(err)
	}
	w.awaitStatus(ids["d"], studio.Complete)
	order := w.order()
	if want := []string{"runs", "inside", "e", "c", "b", "a", "d"}; !slices.Equal(order, want) {
		t.Errorf("ran %q, want %q", order, want)
	}
	w.once()
}

// refusals are what cannot be done with what has begun, has ended, is not there or is another's.
func (w *workshop) refusals(ids map[string]uuid.UUID) {
	w.t.Helper()
	ctx := w.t.Context()
	runs := w.studio.Overview().Live[0].Generation.ID
	for _, test := range []struct {
		name string
		do   func() error
		want error
	}{
		{"move what runs", func() error {
			_, err := w.studio.Move(ctx, studio.LocalUser, runs, studio.Move{To: studio.MoveBack})
			return err
		}, studio.ErrBegun},
		{"hold what runs", func() error { _, err := w.studio.Hold(ctx, studio.LocalUser, runs, true); return err }, studio.ErrBegun},
		{"hold what is not there", func() error { _, err := w.studio.Hold(ctx, studio.LocalUser, uuid.New(), true); return err }, studio.ErrNotFound},
		{"prioritise another's", func() error { _, err := w.studio.Prioritise(ctx, uuid.New(), ids["a"], 1); return err }, studio.ErrNotFound},
	} {
		if err := test.do(); !errors.Is(err, test.want) {
			w.t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	for name, before := range map[string]uuid.UUID{"what runs": runs, "another priority": ids["e"], "what is not there": uuid.New()} {
		_, err := w.studio.Move(ctx, studio.LocalUser, ids["b"], studio.Move{Before: before})
		var invalid *studio.InvalidError
		if !errors.As(err, &invalid) || invalid.Fields[0].Field != "before" {
			w.t.Errorf("move in front of %s: %v", name, err)
		}
	}
	ended := w.create(request("ended"))
	if _, _, err := w.studio.Cancel(ctx, ended.ID); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.studio.Hold(ctx, studio.LocalUser, ended.ID, true); !errors.Is(err, studio.ErrEnded) {
		w.t.Errorf("hold what has ended: %v", err)
	}
}

// order are the prompts in the order in which they were sent to a server.
func (w *workshop) order() []string {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), `SELECT g.prompt FROM attempts a JOIN generations g ON g.id = a.generation_id ORDER BY a.created_at`)
	if err != nil {
		w.t.Fatal(err)
	}
	order, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatal(err)
	}
	return order
}

// Many moves into one gap use up the numbers in it; all are then numbered anew.
func TestMoveIntoOneGap(t *testing.T) {
	t.Parallel()
	w := busy(t)
	first, second, last := w.create(request("first")).ID, w.create(request("second")).ID, w.create(request("last")).ID
	for i := range 120 {
		if _, err := w.studio.Move(t.Context(), studio.LocalUser, []uuid.UUID{first, second}[i%2], studio.Move{Before: last}); err != nil {
			t.Fatalf("move %d: %v", i, err)
		}
	}
	w.sees(w.studio, "1 inside, 2 first, 3 second, 4 last")
	w.create(request("later"))
	w.sees(w.studio, "1 inside, 2 first, 3 second, 4 last, 5 later")
	w.stepper.Open()
}

// Two people put the same queue in order at once, each on an instance of their own: nothing is
// lost, and both see the order that the database has.
func TestTwoMoveAtOnce(t *testing.T) {
	t.Parallel()
	w := busy(t)
	other, stop := w.run(w.pool, false)
	defer stop()
	var ids []uuid.UUID
	for i := range 8 {
		ids = append(ids, w.create(request(string(rune('a'+i)))).ID)
	}
	w.sees(other, "1 inside, 2 a, 3 b, 4 c, 5 d, 6 e, 7 f, 8 g, 9 h")
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any number
	t.Logf("seed %d", seed)
	var people sync.WaitGroup
	for person, s := range []*studio.Studio{w.studio, other} {
		people.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(person))) //nolint:gosec // no secret
			for range 40 {
				id := ids[random.IntN(len(ids))]
				move := studio.Move{To: []studio.MoveTo{studio.MoveFront, studio.MoveBack, studio.MoveUp, studio.MoveDown, ""}[random.IntN(5)]}
				if move.To == "" {
					move.Before = ids[random.IntN(len(ids))]
				}
				if _, err := s.Move(context.WithoutCancel(t.Context()), studio.LocalUser, id, move); err != nil {
					t.Errorf("move %v: %v", move, err)
				}
			}
		})
	}
	people.Wait()
	if n := w.count(`SELECT count(DISTINCT rank) FROM generations WHERE status = 'pending'`); n != len(ids) {
		t.Errorf("%d ranks of %d generations", n, len(ids))
	}
	rows, _ := w.pool.Query(t.Context(), `SELECT prompt FROM generations WHERE status = 'pending' ORDER BY rank, id`)
	stored, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(stored) != len(ids) {
		t.Fatalf("stored are %q, %v", stored, err)
	}
	want := "1 inside"
	for i, prompt := range stored {
		want += fmt.Sprintf(", %d %s", i+2, prompt)
	}
	w.sees(w.studio, want)
	w.sees(other, want)
	w.stepper.Open()
}

func TestCancelAll(t *testing.T) {
	t.Parallel()
	w := busy(t)
	r := request("many")
	r.TotalImages = 3
	for range 210 { // two portions
		w.create(r)
	}
	counts, err := w.studio.CancelAll(t.Context(), studio.LocalUser)
	if err != nil || counts.Cancelled != 210 || counts.Cancelling != 2 {
		t.Errorf("CancelAll() = %+v, %v, want 210 cancelled and 2 cancelling", counts, err)
	}
	if counts, err = w.studio.CancelAll(t.Context(), studio.LocalUser); err != nil || counts != (studio.CancelCounts{}) {
		t.Errorf("CancelAll() again = %+v, %v", counts, err)
	}
	w.stepper.Open()
	w.eventually("all ended", func() bool { return len(w.studio.Overview().Live) == 0 })
	if n := w.count(`SELECT count(*) FROM generations WHERE status = 'cancelled'`); n < 210 { // what was inside may have been done before it was stopped
		t.Errorf("%d are cancelled", n)
	}
	if n := w.count(`SELECT count(*) FROM images WHERE status IN ('pending', 'generating')`); n != 0 {
		t.Errorf("%d images are left", n)
	}
	w.once()
}

// The order that people see is the one in which ImagePick takes from the queue.
func TestShownOrderIsPickedOrder(t *testing.T) {
	t.Parallel()
	w := open(t, func(w *workshop, _ *simulator.Config) { w.unserved = true })
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any number
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // no secret
	for range 20 {
		held := w.fill(random)
		watch := w.studio.WatchOverview()
		timeout := time.After(patience)
		for len(watch.Latest().Live) != filled {
			select {
			case <-watch.Changed():
			case <-timeout:
				t.Fatalf("%d of %d generations are shown", len(watch.Latest().Live), filled)
			}
		}
		var seen []string
		for i, state := range watch.Latest().Live {
			if g, p := state.Generation, state.Progress; g.HeldAt == nil {
				seen = append(seen, g.Prompt)
				if p.QueuePosition != i+1 {
					t.Errorf("%s has position %d, want %d", g.Prompt, p.QueuePosition, i+1)
				}
			} else if p.QueuePosition != 0 {
				t.Errorf("%s is held back in position %d", g.Prompt, p.QueuePosition)
			}
		}
		watch.Close()
		picked := w.pickAll()
		if len(picked) != filled-held {
			t.Errorf("%d were picked, and %d of %d held back", len(picked), held, filled)
		}
		if !slices.Equal(seen, picked) {
			t.Fatalf("seen   %q\npicked %q", seen, picked)
		}
		if _, err := w.pool.Exec(t.Context(), `DELETE FROM generations`); err != nil {
			t.Fatal(err)
		}
		w.eventually("the queue to be empty", func() bool { return len(w.studio.Overview().Live) == 0 })
	}
}

// filled is how many generations fill puts into the queue.
const filled = 14

// fill puts generations of new users into the queue, with random priorities, ranks, images and holds, and
// returns how many are held back.
func (w *workshop) fill(random *rand.Rand) (held int) {
	w.t.Helper()
	err := pgx.BeginFunc(w.t.Context(), w.pool, func(tx pgx.Tx) error {
		var users []uuid.UUID
		for range 3 {
			users = append(users, uuid.New())
			if _, err := tx.Exec(w.t.Context(), `INSERT INTO users (id, name, served_at) VALUES ($1, 'somebody', to_timestamp($2))`,
				users[len(users)-1], random.IntN(3)); err != nil {
				return err
			}
		}
		for i := range filled {
			id, images := uuid.Must(uuid.NewV7()), 1+random.IntN(3)
			hold := random.IntN(5) == 0
			if hold {
				held++
			}
			if _, err := tx.Exec(w.t.Context(), `INSERT INTO generations
				(id, user_id, prompt, workflow, settings, request, total_images, images_left, origin, priority, rank, held_at)
				VALUES ($1, $2, $3, 'text-to-image', '{}', '', $4, $4, $5, $6, $7, CASE WHEN $8 THEN now() END)`,
				id, users[random.IntN(len(users))], fmt.Sprint("g", i), images, uuid.Nil, random.IntN(3)-1, float64(random.IntN(5)), hold); err != nil {
				return err
			}
			if _, err := tx.Exec(w.t.Context(), `INSERT INTO images (generation_id, index, seed)
				SELECT $1, generate_series(1, $2), 1`, id, images); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return held
}

// pickAll picks until nothing is left, as supervisors do, and returns the prompts in the order of
// their first images.
func (w *workshop) pickAll() (order []string) {
	w.t.Helper()
	for {
		err := pgx.BeginFunc(w.t.Context(), w.pool, func(tx pgx.Tx) error {
			q := db.New(tx)
			next, err := q.ImageCandidates(w.t.Context(), db.ImageCandidatesParams{Lacks: []string{}, Most: 1})
			if err != nil {
				return err
			}
			if len(next) == 0 {
				return db.ErrNotFound
			}
			row, err := db.One(q.ImagePick(w.t.Context(), db.ImagePickParams{GenerationID: next[0].GenerationID, Index: next[0].Index}))
			if err != nil {
				return err
			}
			if !slices.Contains(order, row.Prompt) {
				order = append(order, row.Prompt)
			}
			_, err = tx.Exec(w.t.Context(), `WITH served AS (UPDATE users SET served_at = clock_timestamp() WHERE id = $3)
				UPDATE images SET status = 'generating' WHERE generation_id = $1 AND index = $2`, row.GenerationID, row.Index, row.UserID)
			return err
		})
		if errors.Is(err, db.ErrNotFound) {
			return order
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// What waits is told when it will begin, once it was seen how long an image takes.
func TestExpectedStart(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	waiting := func(s *studio.State) bool { return s.Progress.QueuePosition > 0 }
	first := w.create(request("first"))
	w.atStep(1)
	w.create(request("inside"))
	third, fourth := w.create(request("third")), w.create(request("fourth"))
	if s := w.await(third.ID, "waiting", waiting); !s.Progress.ExpectedStart.IsZero() {
		t.Errorf("expected at %s before any image was made", s.Progress.ExpectedStart)
	}
	w.at(func(p simulator.Point) bool {
		return p.PromptID != w.stored(first.ID).Images[0].PromptID && p.Step == 1
	})
	w.awaitStatus(first.ID, studio.Complete)
	known := func(s *studio.State) bool { return waiting(s) && !s.Progress.ExpectedStart.IsZero() }
	last := w.await(fourth.ID, "expected", known).Progress
	if !last.ETAKnown {
		t.Error("when it begins is known, but not when it ends")
	}
	if _, err := w.studio.Hold(t.Context(), studio.LocalUser, fourth.ID, true); err != nil {
		t.Fatal(err)
	}
	w.await(fourth.ID, "held", func(s *studio.State) bool { return s.Progress.ExpectedStart.IsZero() && s.Progress.QueuePosition == 0 })
	if err := w.studio.SetQueuePaused(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	fifth := w.create(request("fifth"))
	s := w.await(fifth.ID, "paused", func(s *studio.State) bool { return s.Progress.Status == "The queue is paused" })
	if !s.Progress.ExpectedStart.IsZero() {
		t.Errorf("expected at %s while the queue is paused", s.Progress.ExpectedStart)
	}
	w.stepper.Open()
}
