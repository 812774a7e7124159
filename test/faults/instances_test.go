package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// gated is an installation whose ComfyUIs work only when the test says so.
func gated(t *testing.T, instances, servers int, env ...string) (*harness.Installation, *simulator.Stepper) {
	t.Helper()
	stepper := simulator.NewStepper()
	return harness.StartInstallation(t, harness.Scale{
		Instances: instances, Servers: servers, ComfyUI: simulator.Config{Gate: stepper.Pass, PreviewSize: 64}, Env: env,
	}), stepper
}

// afterStep leads the worker of the only ComfyUI to where the progress of step has been sent.
func afterStep(t *testing.T, stepper *simulator.Stepper, step int) {
	t.Helper()
	if _, err := stepper.Until(t.Context(), func(p simulator.Point) bool {
		return p.Stage == simulator.StageStep && p.Step == step+1
	}); err != nil {
		t.Fatal(err)
	}
}

func awaitStep(e *harness.Easel, id string, step int) {
	e.Await(id, fmt.Sprint("at step ", step), func(g harness.Generation) bool { return g.Progress.CurrentStep == step })
}

// said is when the log of an Easel told something for the last time; zero: never.
func said(e *harness.Easel, message string) (at time.Time) {
	for line := range strings.Lines(e.Logs()) {
		var record struct {
			Time time.Time
			Msg  string
		}
		if strings.Contains(line, message) && json.Unmarshal([]byte(line), &record) == nil && record.Msg == message {
			at = record.Time
		}
	}
	return at
}

// metric is the sum of a figure of /metrics over its labels.
func metric(t *testing.T, e *harness.Easel, name string) (sum float64) {
	t.Helper()
	status, page := e.Get("/metrics")
	if status != http.StatusOK {
		t.Fatalf("GET /metrics: %d", status)
	}
	for line := range strings.Lines(page) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		sum += value
	}
	return sum
}

// The owner of a server is killed in the middle of a run (P09): another takes the server over and the
// run goes on, watched on the other instance.
func TestFault04_OwnerKilledWhileRunning(t *testing.T) {
	t.Parallel()
	in, stepper := gated(t, 2, 1)
	owner, _ := in.AwaitOwner("gpu1", func(int) bool { return true })
	other := in.Easels[1-owner]
	id := in.Easels[owner].Generate(harness.Ask{Prompt: "outlives its owner"})
	afterStep(t, stepper, 5)
	awaitStep(in.Easels[owner], id, 5)
	sockets := in.ComfyUIs[0].Ledger().Sockets()
	in.Easels[owner].Kill()
	killed := time.Now()
	in.AwaitOwner("gpu1", func(i int) bool { return i == 1-owner })
	harness.Within(t, "take-over after kill -9 (P09)", killed, 20*time.Second)
	harness.Eventually(t, "has the new owner a socket", func() bool { return in.ComfyUIs[0].Ledger().Sockets() > sockets })
	awaitServer(t, other, "gpu1", "up")
	afterStep(t, stepper, 12)
	awaitStep(other, id, 12)
	stepper.Open()
	other.AwaitStatus(id, "complete")
	checkOnce(t, in, 1)
}

// awaitServer waits until an Easel tells that a server is in a state.
func awaitServer(t *testing.T, e *harness.Easel, name, state string) {
	t.Helper()
	var last string
	harness.Eventually(t, "is "+name+" "+state, func() bool {
		var answer struct {
			Servers []struct{ Name, State string }
		}
		_, last = e.Get("/api/servers")
		if json.Unmarshal([]byte(last), &answer) != nil {
			return false
		}
		for _, s := range answer.Servers {
			if s.Name == name && s.State == state {
				return true
			}
		}
		return false
	}, func() string { return last })
}

// checkOnce: so many prompts were posted, each once, and each was run once.
func checkOnce(t *testing.T, in *harness.Installation, prompts int) {
	t.Helper()
	posted := 0
	for i, comfy := range in.ComfyUIs {
		for id, n := range comfy.Ledger().Posts() {
			posted++
			if n != 1 {
				t.Errorf("ComfyUI %d: prompt %s was posted %d times", i+1, id, n)
			}
		}
		for id, n := range comfy.Ledger().Runs() {
			if n != 1 {
				t.Errorf("ComfyUI %d: prompt %s ran %d times", i+1, id, n)
			}
		}
	}
	if posted != prompts {
		t.Errorf("%d prompts were posted, want %d", posted, prompts)
	}
}

// The owner is stopped (SIGSTOP) until another has its server, and goes on (P10): it finds out, changes
// no row, and lets go.
func TestFault08_OwnerFrozenAndBack(t *testing.T) {
	t.Parallel()
	in, stepper := gated(t, 2, 1)
	owner, fence := in.AwaitOwner("gpu1", func(int) bool { return true })
	old, other := in.Easels[owner], in.Easels[1-owner]
	id := other.Generate(harness.Ask{Prompt: "two masters"})
	afterStep(t, stepper, 5)
	awaitStep(old, id, 5)
	old.Signal(syscall.SIGSTOP)
	frozen := time.Now()
	_, newFence := in.AwaitOwner("gpu1", func(i int) bool { return i == 1-owner })
	harness.Within(t, "take-over from a frozen owner (P09)", frozen, 20*time.Second)
	stepper.Open()
	other.AwaitStatus(id, "complete")
	old.Signal(syscall.SIGCONT)
	harness.Eventually(t, "does the old owner know", func() bool { return !said(old, "lease lost").IsZero() })
	if n := metric(t, old, "easel_lease_lost_total"); n != 1 {
		t.Errorf("the old owner counts %g lost leases, want 1", n)
	}
	if n := in.Count("SELECT count(*) FROM attempts WHERE generation_id = $1", id); n != 1 || newFence <= fence {
		t.Errorf("%d attempts, fences %d and %d; want 1 attempt and a greater fence", n, fence, newFence)
	}
	next := old.Generate(harness.Ask{Prompt: "after the thaw", Steps: 4})
	other.AwaitStatus(next, "complete")
	old.AwaitStatus(next, "complete")
	checkOnce(t, in, 2)
}

// All instances start in the same moment, on an empty database: each migration runs once (P24), each server has
// one owner (P04, P09), and no fence was given twice.
func TestFault09_AllStartAtOnce(t *testing.T) {
	t.Parallel()
	in := harness.StartInstallation(t, harness.Scale{Instances: 3, Servers: 3, ComfyUI: simulator.Config{PreviewSize: 64}})
	for _, e := range in.Easels {
		e.Stop()
	}
	if _, err := in.Pool.Exec(t.Context(), "DROP SCHEMA public, river CASCADE; CREATE SCHEMA public"); err != nil {
		t.Fatal(err)
	}
	emptied := time.Now()
	var starting sync.WaitGroup
	for i, e := range in.Easels {
		starting.Go(func() {
			if err := e.TryRestart(); err != nil {
				t.Errorf("instance %d: %v", i, err)
			}
		})
	}
	starting.Wait()
	if t.Failed() {
		return
	}
	if n := in.Count("SELECT count(*) - count(DISTINCT version_id) FROM goose_db_version"); n != 0 {
		t.Errorf("%d migrations ran more than once", n)
	}
	for n := range 3 {
		in.AwaitOwner(fmt.Sprint("gpu", n+1), func(int) bool { return true })
	}
	var ids []string
	for n := range 9 {
		ids = append(ids, in.Easels[n%3].Generate(harness.Ask{Prompt: fmt.Sprint("race ", n), Steps: 4}))
	}
	for n, id := range ids {
		in.Easels[(n+1)%3].AwaitStatus(id, "complete")
	}
	fences := map[string]int{}
	for i, e := range in.Easels {
		for _, l := range e.Leases() {
			name := fmt.Sprint(l.Server, " ", l.Fence)
			if l.Time.Before(emptied) {
				continue
			}
			if before, twice := fences[name]; twice {
				t.Errorf("%s was given to instance %d and to instance %d", name, before, i)
			}
			fences[name] = i
		}
		if at := said(e, "lease lost"); !at.IsZero() {
			t.Errorf("instance %d lost a lease at %s", i, at)
		}
	}
	checkOnce(t, in, len(ids))
}

// An instance is told to stop with fifty generations under way (P09): it ends within 10 s, nothing has
// failed, and the other has its servers at once.
func TestFault10_ToldToStopWithFiftyUnderWay(t *testing.T) {
	t.Parallel()
	in, stepper := gated(t, 2, 2)
	first, _ := in.AwaitOwner("gpu1", func(int) bool { return true })
	second, _ := in.AwaitOwner("gpu2", func(int) bool { return true })
	leaving := in.Easels[first]
	staying := in.Easels[1-first]
	var ids []string
	for n := range 50 {
		ids = append(ids, leaving.Generate(harness.Ask{Prompt: fmt.Sprint("under way ", n), Steps: 3}))
	}
	leaving.Await(ids[0], "is at work", func(g harness.Generation) bool { return g.Status == "generating" })
	watching := leaving.Follow(ids[49])
	asked := time.Now()
	leaving.Signal(syscall.SIGTERM)
	leaving.AwaitDeath()
	harness.Within(t, "the end (row 10)", asked, 10*time.Second)
	<-watching
	ended := time.Now()
	in.AwaitOwner("gpu1", func(i int) bool { return i == 1-first })
	harness.Within(t, "take-over after a graceful stop (P09)", ended, time.Second)
	in.AwaitOwner("gpu2", func(i int) bool { return i == 1-first || i == second && second != first })
	if n := in.Count("SELECT count(*) FROM generations WHERE status IN ('failed', 'cancelled')"); n != 0 {
		t.Errorf("%d generations were marked as failed", n)
	}
	stepper.Open()
	for _, id := range ids {
		staying.AwaitStatus(id, "complete")
	}
	checkOnce(t, in, len(ids))
}

// The owner's way to Postgres swallows everything (P10): it lets go of its server before another can
// have it, and the run goes on there.
func TestFault13_PostgresBlackHole(t *testing.T) {
	t.Parallel()
	in, stepper := gated(t, 2, 1)
	owner, _ := in.AwaitOwner("gpu1", func(int) bool { return true })
	old, other := in.Easels[owner], in.Easels[1-owner]
	id := other.Generate(harness.Ask{Prompt: "over the event horizon"})
	afterStep(t, stepper, 5)
	awaitStep(old, id, 5)
	in.Roads[owner].Stall(true)
	stalled := time.Now()
	in.AwaitOwner("gpu1", func(i int) bool { return i == 1-owner })
	harness.Within(t, "take-over from an owner that is cut off (P09)", stalled, 20*time.Second)
	taken, lost := said(other, "lease taken"), said(old, "lease lost")
	if lost.IsZero() || !lost.Before(taken) {
		t.Errorf("the old owner let go at %s, the other took the lease at %s", lost, taken)
	}
	stepper.Open()
	other.AwaitStatus(id, "complete")
	in.Roads[owner].Stall(false)
	old.AwaitStatus(id, "complete")
	next := old.Generate(harness.Ask{Prompt: "back again", Steps: 4})
	other.AwaitStatus(next, "complete")
	checkOnce(t, in, 2)
}

// Every connection of an instance is taken: requests are told to come again, and the lease is kept.
func TestFault16_PoolExhausted(t *testing.T) {
	t.Parallel()
	in := harness.StartInstallation(t, harness.Scale{Instances: 1, Servers: 1, ComfyUI: simulator.Config{PreviewSize: 64}})
	e := in.Easels[0]
	_, fence := in.AwaitOwner("gpu1", func(int) bool { return true })
	tx, err := in.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE generations IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	var asking sync.WaitGroup
	const visitors = 60
	refusals := make(chan time.Duration, visitors)
	for range visitors {
		asking.Go(func() {
			began := time.Now()
			_, status, err := e.Look(t.Context(), "01890000-0000-7000-8000-000000000000")
			took := time.Since(began)
			if err != nil || status < 500 || took < 10*time.Second && status != http.StatusServiceUnavailable {
				t.Errorf("status %d, %v; want 503", status, err) // 500 when the statement itself was cut
			}
			refusals <- took
		})
	}
	asking.Wait() // longer than a lease: those who have a connection wait for their statement to be cut
	list := make([]time.Duration, visitors)
	for i := range list {
		list[i] = <-refusals
	}
	slices.Sort(list)
	t.Logf("refused after %s at first, half of them after %s, the last after %s", list[0], list[visitors/2], list[visitors-1])
	if half := list[visitors/2]; half > 20*time.Second {
		t.Errorf("half of the refusals took %s, promised are 3 s without a connection", half)
	}
	if owner, now := in.Owner("gpu1"); owner != 0 || now != fence {
		t.Errorf("the lease went from fence %d to %d", fence, now)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.AwaitStatus(e.Generate(harness.Ask{Prompt: "room again", Steps: 4}), "complete")
}

// Postgres' disk is full: it says so to whoever writes, and reads go on.
func TestFault18_DiskFullForPostgres(t *testing.T) {
	t.Parallel()
	in := harness.StartInstallation(t, harness.Scale{Instances: 1, Servers: 1, ComfyUI: simulator.Config{PreviewSize: 64}})
	e := in.Easels[0]
	kept := e.Generate(harness.Ask{Prompt: "before", Steps: 4})
	e.AwaitStatus(kept, "complete")
	// A disk that is really full needs a file system of its own; this is what Postgres says then.
	if _, err := in.Pool.Exec(t.Context(), `
		CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
		CREATE TRIGGER disk_full BEFORE INSERT ON generations FOR EACH ROW EXECUTE FUNCTION disk_full()`); err != nil {
		t.Fatal(err)
	}
	if g, status, err := e.Try(t.Context(), harness.Ask{Prompt: "no room", Key: "no room", Steps: 4}); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("POST: status %d, %v, %+v; want 503", status, err, g)
	}
	for _, path := range []string{"/", "/gallery", "/api/generations", "/generations/" + kept} {
		if status, _ := e.Get(path); status != http.StatusOK {
			t.Errorf("GET %s: %d", path, status)
		}
	}
	if _, err := in.Pool.Exec(t.Context(), "DROP TRIGGER disk_full ON generations"); err != nil {
		t.Fatal(err)
	}
	g, status, err := e.Try(t.Context(), harness.Ask{Prompt: "no room", Key: "no room", Steps: 4})
	if err != nil || status != http.StatusCreated {
		t.Fatalf("POST with room again: status %d, %v", status, err)
	}
	e.AwaitStatus(g.ID, "complete")
	checkOnce(t, in, 2)
}
