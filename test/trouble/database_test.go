package trouble

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/db/embedded"
	"easel/test/browser"
	"easel/test/harness"
)

// startPostgres runs a Postgres for DATABASE_URL. Called again with the same folder after its Stop,
// it brings the same one back. The caller stops it.
func startPostgres(t *testing.T, dir string) *embedded.Server {
	t.Helper()
	postgres, err := embedded.Start(t.Context(), embedded.Config{
		DataDir: dir, BinDir: os.Getenv("EASEL_PG_BIN"), User: os.Getenv("EASEL_PG_USER"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return postgres
}

// The database of DATABASE_URL is stopped and comes back (rows 11, 12, 18): pages say so with 503,
// nothing is acknowledged meanwhile, what runs goes on, and Easel needs no hand.
func TestFault12_PostgresRestarted(t *testing.T) {
	t.Parallel()
	dir := harness.DataDir(t)
	postgres := startPostgres(t, dir)
	t.Cleanup(func() { _ = postgres.Stop(context.Background()) }) // whichever it is by then, after Easel
	stepper := simulator.NewStepper()
	comfy := startComfyUI(t, simulator.Config{Gate: stepper.Pass, PreviewSize: 64})
	r := &rig{t: t, comfy: comfy, stepper: stepper}
	r.Easel = harness.Start(t, harness.Options{ComfyUI: comfy.URL(), Env: []string{"DATABASE_URL=" + postgres.URL()}})
	running := r.Generate(harness.Ask{Prompt: "runs on"})
	r.afterStep(5)
	r.awaitStep(running, 5)
	tab := browser.Open(t, r.Easel.URL, browser.TabOptions{})
	tab.Goto("/generations/" + running)
	showsStep(tab, running, 5)

	if err := postgres.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g, status, err := r.Try(t.Context(), harness.Ask{Prompt: "not taken"}); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("POST without a database: status %d, %v, %+v; want 503", status, err, g)
	}
	for _, path := range []string{"/gallery", "/api/generations", "/readyz"} {
		if status, body := r.Get(path); status != http.StatusServiceUnavailable {
			t.Errorf("GET %s without a database: %d\n%s", path, status, body)
		}
	}
	if _, page := r.Get("/gallery"); !contains(page, "The database cannot be reached just now.") {
		t.Errorf("the gallery does not say why it is not there:\n%s", page)
	}
	if status, _ := r.Get("/healthz"); status != http.StatusOK {
		t.Errorf("GET /healthz without a database: %d", status)
	}
	r.afterStep(9) // progress needs no database
	showsStep(tab, running, 9)
	stepper.Open()
	harness.Eventually(t, "has ComfyUI an end", func() bool { return inHistory(t, comfy) > 0 })

	postgres = startPostgres(t, dir)
	r.AwaitStatus(running, "complete")
	tab.WaitText("#progress-"+running, "Complete")
	r.AwaitStatus(r.Generate(harness.Ask{Prompt: "taken again", Steps: 4}), "complete")
	if _, list := r.Get("/api/generations"); contains(list, "not taken") {
		t.Error("what was refused is there")
	}
	tab.NoComplaints()
	r.once()
}

// The private Postgres is killed while many ask (row 11): Easel starts it again, and all that was
// acknowledged is there.
func TestFault11_PostgresKilledUnderLoad(t *testing.T) {
	t.Parallel()
	comfy := startComfyUI(t, simulator.Config{PreviewSize: 64})
	e := harness.Start(t, harness.Options{ComfyUI: comfy.URL()})
	e.AwaitStatus(e.Generate(harness.Ask{Prompt: "before", Steps: 4}), "complete")

	var acknowledged sync.Map
	var refused, answered atomic.Int32
	var asking sync.WaitGroup
	for n := range 40 {
		asking.Go(func() {
			for again := time.NewTicker(50 * time.Millisecond); ; {
				g, status, err := e.Try(t.Context(), harness.Ask{Prompt: fmt.Sprintf("load %d", n), Key: fmt.Sprintf("load-%d", n), Steps: 4})
				switch {
				case err == nil && status == http.StatusCreated:
					acknowledged.Store(g.ID, true)
					answered.Add(1)
					again.Stop()
					return
				case err != nil || status != http.StatusServiceUnavailable:
					t.Errorf("POST: status %d, %v; want 201 or 503", status, err)
					again.Stop()
					return
				}
				refused.Add(1)
				<-again.C
			}
		})
	}
	harness.Eventually(t, "are some acknowledged", func() bool { return answered.Load() >= 5 })
	killed := time.Now()
	if err := syscall.Kill(e.Postgres(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	asking.Wait()
	harness.Within(t, "taking all requests again (row 11)", killed, 15*time.Second)
	t.Logf("%d requests were told to come again", refused.Load())
	acknowledged.Range(func(id, _ any) bool {
		e.AwaitStatus(id.(string), "complete")
		return true
	})
	if n := e.Count("SELECT count(*) FROM generations"); n != 41 {
		t.Errorf("%d generations are stored, want 41", n)
	}
	once(t, comfy.Ledger())
}

// Easel and its Postgres are killed in the same moment: the next start needs no hand (P23).
func TestEaselAndPostgresKilled(t *testing.T) {
	t.Parallel()
	r := open(t)
	id := r.Generate(harness.Ask{Prompt: "power cut"})
	r.afterStep(5)
	r.awaitStep(id, 5)
	if err := syscall.Kill(r.Postgres(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.Kill()
	r.Restart()
	r.stepper.Open()
	r.AwaitStatus(id, "complete")
	same(t, r, id)
	r.once()
}
