package studio

import (
	"math"
	"testing"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/db"
	"easel/db/dbtest"
)

// What is asked for and was never seen is taken from what is nearest to it.
func TestLoreFallsBackStepByStep(t *testing.T) {
	t.Parallel()
	here, there := uuid.New(), uuid.New()
	sampler := comfy.Work{NodeTime: comfy.NodeTime{Node: "3", Class: "KSampler"}, Sampler: true, Pictures: true}
	loader := comfy.Work{NodeTime: comfy.NodeTime{Node: "4", Class: "CheckpointLoaderSimple"}, Loads: true}
	seen := kind{server: here, workflow: "w", model: "m", width: 1000, height: 1000}
	l := &lore{}
	l.teach(seen, &sampler, partStep, false, time.Second)
	l.teach(seen, &loader, partWhole, true, 8*time.Second)
	for _, test := range []struct {
		name string
		kind kind
		work comfy.Work
		part part
		cold bool
		want float64 // seconds; 0: not known
	}{
		{"the same", seen, sampler, partStep, false, 1},
		{"a picture of twice the size", kind{server: here, workflow: "w", model: "m", width: 2000, height: 1000}, sampler, partStep, false, 2},
		{"loading is the same for any size", kind{server: here, workflow: "w", model: "m", width: 2000, height: 1000}, loader, partWhole, true, 8},
		{"another model", kind{server: here, workflow: "w", model: "n", width: 1000, height: 500}, sampler, partStep, false, 0.5},
		{"another server", kind{server: there, workflow: "w", model: "m", width: 1000, height: 1000}, sampler, partStep, false, 1},
		{"warm, and only cold was seen", seen, loader, partWhole, false, 8},
		{"a class that was never seen", seen, comfy.Work{NodeTime: comfy.NodeTime{Node: "9", Class: "SaveImage"}}, partWhole, false, 0},
		{"a part that was never seen", seen, sampler, partFirst, false, 0},
	} {
		g, ok := find(l, test.kind, test.work, test.part, test.cold)
		if ok != (test.want > 0) || ok && math.Abs(g.amount().mean-test.want) > 0.01*test.want {
			t.Errorf("%s: %v s, known = %t, want %v s", test.name, g.amount().mean, ok, test.want)
		}
	}
	exact, _ := find(l, seen, sampler, partStep, false)
	wide, _ := find(l, kind{server: there}, sampler, partStep, false)
	if wide.variance <= exact.variance {
		t.Errorf("a variance of %v for what is like it, %v for the same", wide.variance, exact.variance)
	}
}

// What was learned of one version of a workflow is not taken for what another takes, whose nodes may have changed places.
func TestLoreOfVersions(t *testing.T) {
	t.Parallel()
	loader := comfy.Work{NodeTime: comfy.NodeTime{Node: "4", Class: "CheckpointLoaderSimple"}}
	saver := comfy.Work{NodeTime: comfy.NodeTime{Node: "4", Class: "SaveImage"}}
	l := &lore{}
	l.teach(kindOf(&Generation{Workflow: "w", WorkflowVersion: 1}), &loader, partWhole, false, time.Minute)
	if g, ok := find(l, kindOf(&Generation{Workflow: "w", WorkflowVersion: 2}), saver, partWhole, false); ok {
		t.Errorf("node 4 saves now, and is believed to take %v s", g.amount().mean)
	}
	if _, ok := find(l, kindOf(&Generation{Workflow: "w", WorkflowVersion: 1}), loader, partWhole, false); !ok {
		t.Error("node 4 of the same version is not known")
	}
}

func find(l *lore, k kind, w comfy.Work, p part, cold bool) (guess, bool) {
	a := l.about(k)
	return a.find(&w, p, cold)
}

// The table learns what memory learns, in one statement for all that came together, and another instance reads it.
func TestLoreIsStored(t *testing.T) {
	t.Parallel()
	s := &Studio{queries: ringer{Queries: db.New(dbtest.New(t))}, lore: &lore{}}
	k := kind{server: uuid.New(), workflow: "w", model: "a\x00b", width: 512, height: 512}
	work := &comfy.Work{NodeTime: comfy.NodeTime{Node: "8", Class: "VAEDecode"}, Pictures: true}
	foreign := &comfy.Work{NodeTime: comfy.NodeTime{Node: "8\x00", Class: "VAEDecode"}}
	batches := [][]time.Duration{{time.Second, 1100 * time.Millisecond}, {900 * time.Millisecond}, {time.Minute}, {time.Second, 2 * time.Second, 3 * time.Second}}
	for _, batch := range batches {
		for _, took := range batch {
			s.lore.teach(k, work, partWhole, false, took)
			s.lore.teach(k, foreign, partWhole, false, took)
			s.lore.mu.Lock()
			s.lore.take(subject{scope: "all", part: momentQueued.late}, min(took.Seconds(), 2))
			s.lore.mu.Unlock()
		}
		if err := s.storeLore(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// In memory each came alone, in the table a batch is one: the same but for the order of two roundings.
	other := &Studio{queries: s.queries, lore: &lore{}}
	if upTo, err := other.readLore(t.Context(), time.Time{}); err != nil || upTo.IsZero() {
		t.Fatalf("readLore = %v, %v", upTo, err)
	}
	scopes := k.scopes()
	exact, _ := k.at(0, &scopes, work, partWhole, false)
	for _, told := range []struct {
		of subject
		x  func(time.Duration) float64
	}{
		{exact, func(took time.Duration) float64 { return math.Log(took.Seconds()) }},
		{subject{scope: "all", part: momentQueued.late}, func(took time.Duration) float64 { return min(took.Seconds(), 2) }},
	} {
		want := learned{}
		for _, batch := range batches {
			n := lesson{}
			for _, took := range batch {
				x := told.x(took)
				n = lesson{n.sum + x, n.squares + x*x, n.count + 1}
			}
			want = want.after(n, told.of.part)
		}
		got, ok := other.lore.known[told.of]
		if !ok || math.Abs(got.mean-want.mean) > 1e-9 || math.Abs(got.variance-want.variance) > 1e-9 || got.count != 7 {
			t.Errorf("of %+v the table has %+v, want %+v", told.of, got, want)
		}
		if here := s.lore.known[told.of]; here.count != 7 || math.Abs(here.mean-want.mean) > 0.2 {
			t.Errorf("of %+v memory has %+v, the table %+v", told.of, here, want)
		}
	}
	if len(other.lore.known) != levels+1 {
		t.Errorf("%d subjects are stored, want %d", len(other.lore.known), levels+1)
	}
	if err := s.queries.TimingsPrune(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
}
