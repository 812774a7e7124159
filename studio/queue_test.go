package studio

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"easel/comfy"
)

func TestQueueOrder(t *testing.T) {
	t.Parallel()
	ann, bob := uuid.New(), uuid.New()
	records := map[uuid.UUID]*record{}
	names := map[uuid.UUID]string{}
	add := func(name string, user uuid.UUID, priority Priority, attempt string) *Generation {
		id := uuid.Must(uuid.NewV7())
		names[id] = name
		status := Pending
		if attempt != "" {
			status = Generating
		}
		records[id] = &record{generation: Generation{
			ID: id, UserID: user, Status: status, Priority: priority,
			Images: []Image{{Index: 1, Status: status, AttemptState: attempt}},
		}}
		return &records[id].generation
	}
	add("a1", ann, 0, "")
	add("a2", ann, 0, "")
	add("a3", ann, 0, "").rank = -1
	add("b1", bob, 0, "")
	now := time.Now()
	add("held", bob, PriorityHigh, "").HeldAt = &now
	add("urgent", ann, PriorityHigh, "")
	add("inside", bob, 0, attemptSubmitted)
	add("runs", ann, 0, attemptRunning)
	for _, test := range []struct {
		name   string
		served map[uuid.UUID]time.Time
		want   []string
	}{
		// Whoever has something urgent has had a turn when it comes to the others.
		{"nobody was served", nil, []string{"runs", "inside", "urgent", "b1", "a3", "a1", "a2", "held"}},
		{"bob was served last", map[uuid.UUID]time.Time{bob: now}, []string{"runs", "inside", "urgent", "b1", "a3", "a1", "a2", "held"}},
	} {
		live, _ := inOrder(records, test.served)
		var got []string
		for _, r := range live {
			got = append(got, names[r.generation.ID])
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	delete(records, records[slices.Collect(keysOf(names, "urgent"))[0]].generation.ID)
	if live, _ := inOrder(records, map[uuid.UUID]time.Time{bob: now}); names[live[2].generation.ID] != "a3" {
		t.Errorf("first comes %s, want the first of whom was not served", names[live[2].generation.ID])
	}
}

func keysOf(names map[uuid.UUID]string, name string) func(func(uuid.UUID) bool) {
	return func(yield func(uuid.UUID) bool) {
		for id, other := range names {
			if other == name && !yield(id) {
				return
			}
		}
	}
}

// The order that is worked out is the one that picking one image after the other gives, and so is
// the number of images that go before.
func TestTurnsAreThoseOfPicking(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		users := []uuid.UUID{{1}, {2}, {3}}
		served := map[uuid.UUID]time.Time{}
		start := time.Unix(1_000_000, 0)
		for _, user := range users {
			served[user] = start.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "served")) * time.Second)
		}
		var live []*record
		for i := range rapid.IntRange(0, 12).Draw(t, "generations") {
			g := Generation{
				UserID: rapid.SampledFrom(users).Draw(t, "user"), Status: Pending,
				Priority: Priority(rapid.IntRange(-1, 1).Draw(t, "priority")),
				rank:     float64(rapid.IntRange(0, 4).Draw(t, "rank")),
			}
			binary.BigEndian.PutUint64(g.ID[:], uint64(i)) //nolint:gosec // small
			for range rapid.IntRange(1, 4).Draw(t, "images") {
				g.Images = append(g.Images, Image{Status: rapid.SampledFrom([]Status{Pending, Pending, Complete}).Draw(t, "status")})
			}
			if rapid.IntRange(0, 5).Draw(t, "held") == 0 {
				g.HeldAt = &start
			}
			live = append(live, &record{generation: g})
		}
		got := takeTurns(live, served)
		want := pickAll(live, served, start.Add(time.Hour))
		if len(got) != len(want) {
			t.Fatalf("%d turns, want %d", len(got), len(want))
		}
		for i := range got {
			if got[i].record != want[i].record || got[i].ahead != want[i].ahead {
				t.Fatalf("turn %d is of %x after %d, want %x after %d", i,
					got[i].generation.ID[:8], got[i].ahead, want[i].generation.ID[:8], want[i].ahead)
			}
		}
	})
}

// pickAll does what ImagePick does, one image at a time, and notes when each generation had its first.
func pickAll(live []*record, served map[uuid.UUID]time.Time, now time.Time) []turn {
	left := map[*record]int{}
	for _, r := range live {
		if waits(&r.generation) {
			left[r] = pending(&r.generation)
		}
	}
	last := map[uuid.UUID]time.Time{}
	for user, at := range served {
		last[user] = at
	}
	var order []turn
	for picked := 0; len(left) > 0; picked++ {
		var next *record
		for r := range left {
			if next == nil || goesBefore(&r.generation, &next.generation, last) {
				next = r
			}
		}
		if left[next] == pending(&next.generation) {
			order = append(order, turn{record: next, ahead: picked})
		}
		if left[next]--; left[next] == 0 {
			delete(left, next)
		}
		now = now.Add(time.Millisecond)
		last[next.generation.UserID] = now
	}
	return order
}

func goesBefore(a, b *Generation, served map[uuid.UUID]time.Time) bool {
	switch at, bt := served[a.UserID], served[b.UserID]; {
	case a.Priority != b.Priority:
		return a.Priority > b.Priority
	case !at.Equal(bt):
		return at.Before(bt)
	case a.rank != b.rank:
		return a.rank < b.rank
	}
	return bytes.Compare(a.ID[:], b.ID[:]) < 0
}

// A server that is free takes the next image, whatever the others are at.
func TestForecastIsThatOfServersTakingTurns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		image := time.Duration(rapid.IntRange(1, 20).Draw(t, "image")) * time.Second
		h := newHub(0, nil, nil)
		h.lore.teach(kind{}, &comfy.Work{}, partRest, false, image)
		took, _ := h.lore.typical(kind{}, false)
		var free []float64
		for range rapid.IntRange(1, 5).Draw(t, "servers") {
			id := uuid.New()
			h.servers = append(h.servers, Server{ID: id, State: ServerUp})
			inside := rapid.IntRange(0, 5).Draw(t, "inside")
			free = append(free, float64(inside)*took.mean)
			for range inside {
				h.add(Generation{ID: uuid.New(), Status: Generating, Images: []Image{{Status: Generating, ServerID: id}}})
			}
		}
		users, images := rapid.IntRange(1, 3).Draw(t, "users"), rapid.IntRange(1, 3).Draw(t, "images")
		for i := range 10 * users { // of each the same, so that the turns stay even
			h.add(Generation{
				ID: uuid.New(), Status: Pending, rank: float64(i), UserID: uuid.UUID{byte(i % users)},
				Images: slices.Repeat([]Image{{Status: Pending}}, images),
			})
		}
		live, turns := inOrder(h.records, nil)
		f := h.foresee(live, turns, time.Now())
		picked := 0
		for _, turn := range turns {
			for ; picked < turn.ahead; picked++ {
				free[slices.Index(free, slices.Min(free))] += took.mean
			}
			want := slices.Min(free)
			if e := f.expected[turn.record]; e == nil || math.Abs(e.start.mean-want) > 1e-6*took.mean || e.end.mean < e.start.mean+took.mean-1e-6 {
				t.Fatalf("after %d images %+v, want a start after %v", turn.ahead, e, want)
			}
		}
	})
}

func TestForecastKnowsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		server Server
		image  time.Duration
		want   bool
	}{
		{"all is known", Server{State: ServerUp}, time.Second, true},
		{"polled", Server{State: ServerStalled}, time.Second, true},
		{"no image was seen", Server{State: ServerUp}, -1, false},
		{"down", Server{State: ServerDown}, time.Second, false},
		{"takes nothing new", Server{State: ServerUp, Mode: ModeDraining}, time.Second, false},
	} {
		h := newHub(0, nil, nil)
		h.servers = []Server{test.server}
		h.lore.teach(kind{}, &comfy.Work{}, partRest, false, test.image)
		r := h.add(Generation{ID: uuid.New(), Status: Pending, Images: []Image{{Status: Pending}}})
		live, turns := inOrder(h.records, nil)
		if _, ok := h.foresee(live, turns, time.Now()).expected[r]; ok != test.want {
			t.Errorf("%s: known = %t", test.name, ok)
		}
	}
}

// A model that has to be read costs its time, what needs the one that is loaded goes first, and a server gets nothing
// that it cannot run.
func TestForecastReadsModels(t *testing.T) {
	t.Parallel()
	const a, b = needModel + "a", needModel + "b"
	one, two := uuid.UUID{1}, uuid.UUID{2}
	for _, test := range []struct {
		name   string
		loaded map[uuid.UUID]string
		runs   string   // the only model that the second server has
		queue  []string // the need of each, all of one user
		want   []float64
	}{
		{"in turn", map[uuid.UUID]string{one: a}, "", []string{a, a, b, b}, []float64{0, 2, 4, 14}},
		{"nothing is loaded", nil, "", []string{a, a}, []float64{0, 10}},
		{"the loaded one first", map[uuid.UUID]string{one: a}, "", []string{b, a, b}, []float64{2, 0, 12}},
		{"four times at most", map[uuid.UUID]string{one: a}, "", []string{b, a, a, a, a, a}, []float64{8, 0, 2, 4, 6, 18}},
		{"two servers", map[uuid.UUID]string{one: a, two: b}, b, []string{a, a, b}, []float64{0, 2, 0}},
		{"only one can", map[uuid.UUID]string{one: a, two: b}, b, []string{a, a, a}, []float64{0, 2, 4}},
		{"none can", map[uuid.UUID]string{one: a}, "", []string{a, "node:None"}, []float64{0, -1}},
	} {
		h := newHub(0, nil, nil)
		h.fits = func(server uuid.UUID, d *demand) bool {
			return d.needs[0] != "node:None" && (server == one || d.needs[0] == test.runs)
		}
		h.servers = []Server{{ID: one, State: ServerUp}}
		if test.runs != "" {
			h.servers = append(h.servers, Server{ID: two, State: ServerUp})
		}
		for server, model := range test.loaded {
			h.setLoaded(server, []string{model})
		}
		h.lore.teach(kind{}, &comfy.Work{}, partRest, true, 10*time.Second)
		h.lore.teach(kind{}, &comfy.Work{}, partRest, false, 2*time.Second)
		var records []*record
		for i, need := range test.queue {
			records = append(records, h.add(Generation{ID: uuid.New(), Status: Pending, rank: float64(i), needs: []string{need}, Images: []Image{{Status: Pending}}}))
		}
		live, turns := inOrder(h.records, nil)
		f := h.foresee(live, turns, time.Now())
		for i, r := range records {
			e, known := f.expected[r]
			if known != (test.want[i] >= 0) || known && math.Abs(e.start.mean-test.want[i]) > 0.1 {
				t.Errorf("%s: number %d: %+v, want a start after %v s", test.name, i, e, test.want[i])
			}
		}
	}
}

// Whatever is in the gap, the middle lies strictly inside it, or is said not to exist.
func TestGapMiddle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := 1.8e9
		after := rapid.Float64Range(-1e9, 2e9).Draw(t, "after")
		before := after + rapid.Float64Range(0, 1).Draw(t, "width")
		if rank, ok := (gap{after: &after, before: &before}).middle(now); ok && (rank <= after || rank >= before) {
			t.Fatalf("%v is not between %v and %v", rank, after, before)
		}
		if rank, ok := (gap{before: &before}).middle(now); !ok || rank >= before {
			t.Fatalf("%v is not before %v", rank, before)
		}
		if rank, ok := (gap{after: &after}).middle(now); !ok || rank <= after || rank < now {
			t.Fatalf("%v is not after %v and now", rank, after)
		}
	})
}
