package studio_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"easel/blob"
	"easel/comfy/simulator"
	"easel/db"
	"easel/db/dbtest"
	"easel/studio"
)

// patience bounds every wait for something that comes in milliseconds unless it never comes.
const patience = 2 * time.Minute

// quick are the real timings, shortened: what takes seconds by protocol takes tens of milliseconds.
var quick = studio.Timing{
	Lease: 5 * time.Second, Renew: time.Second, Margin: 500 * time.Millisecond,
	Poll: 2 * time.Second, FastPoll: 50 * time.Millisecond, LatePoll: 50 * time.Millisecond,
	Settle: 300 * time.Millisecond, AbsentGap: 50 * time.Millisecond, AskAgain: 100 * time.Millisecond,
	Backoff: 50 * time.Millisecond, StatusWithin: 2 * time.Second, Silence: 2 * time.Second,
	Health: 500 * time.Millisecond, Publish: 5 * time.Millisecond, RetryFinish: 20 * time.Millisecond,
	Storage: 500 * time.Millisecond, JobPoll: 200 * time.Millisecond, CatchUp: time.Second, Probe: time.Second, RetryWebhook: 20 * time.Millisecond,
}

// workshop is a studio with a database, a folder for files and one simulated ComfyUI.
type workshop struct {
	t       *testing.T
	pool    *pgxpool.Pool
	blobs   *blob.Folder
	comfy   *simulator.Running
	stepper *simulator.Stepper // nil: the simulator runs freely
	timing  studio.Timing
	servers []studio.ServerConfig
	bus     studio.Bus                  // of the studios that are started from now on; nil: the database's
	quiet   bool                        // the database rings no bells: the bus does
	running int                         // images of one user at once; 0: no limit
	storage func(blob.Store) blob.Store // nil: the folder as it is
	webhook string                      // as configuration gives it

	publicWebhooks bool // webhooks may not lie in private networks

	unserved bool // its studio knows of no server

	studio *studio.Studio
	stop   func()
}

type setting func(*workshop, *simulator.Config)

// stepping lets the simulator's worker go on only when the test says so.
func stepping(w *workshop, c *simulator.Config) {
	w.stepper = simulator.NewStepper()
	c.Gate = w.stepper.Pass
}

// open makes a workshop and starts its studio.
func open(t *testing.T, settings ...setting) *workshop {
	t.Helper()
	w := &workshop{t: t, timing: quick}
	config := simulator.Config{PreviewSize: 64}
	for _, set := range settings {
		set(w, &config)
	}
	w.pool = database(t, w.quiet)
	var err error
	if w.blobs, err = blob.NewFolder(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.blobs.Close() })
	if w.comfy, err = simulator.Start("127.0.0.1:0", config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.comfy.Close)
	if !w.unserved {
		w.servers = []studio.ServerConfig{{Name: "easel-1", URL: w.comfy.URL()}}
	}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

// database is one of the test's own; a quiet one leaves bells to another bus.
func database(t *testing.T, quiet bool) *pgxpool.Pool {
	t.Helper()
	if !quiet {
		return dbtest.New(t, dbtest.With("river", studio.Migrate))
	}
	pool, err := db.OpenQuiet(t.Context(), dbtest.URL(t, dbtest.With("river", studio.Migrate)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// start runs a new studio on the same database, as a restart of the program does.
func (w *workshop) start() {
	w.t.Helper()
	w.studio, w.stop = w.run(w.pool, true)
}

func (w *workshop) run(pool *pgxpool.Pool, sole bool) (*studio.Studio, func()) {
	w.t.Helper()
	var blobs blob.Store = w.blobs
	if w.storage != nil {
		blobs = w.storage(w.blobs)
	}
	s, err := studio.New(studio.Config{
		Pool: pool, Blobs: blobs, Servers: w.servers, Sole: sole, Bus: w.bus, Logger: logger(w.t), Timing: w.timing,
		MaxWaiting: 2000, MaxRunning: w.running,
		Webhook: w.webhook, WebhookSecret: webhookSecret, PrivateWebhooks: !w.publicWebhooks, PushContact: "keeper@example.org",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return s, sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				w.t.Errorf("Run() = %v", err)
			}
		case <-time.After(patience):
			w.t.Error("Run does not return")
		}
	})
}

// restart ends the studio and starts another on the same database.
func (w *workshop) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

// logger prints what the studio says when EASEL_TEST_LOG is set.
func logger(t *testing.T) *slog.Logger {
	if os.Getenv("EASEL_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// request asks for a small picture.
func request(prompt string) studio.Request {
	return studio.Request{Prompt: prompt, Settings: map[string]json.RawMessage{
		"width": json.RawMessage("64"), "height": json.RawMessage("64"), "steps": json.RawMessage("4"),
	}, Original: []byte(`{"prompt":"` + prompt + `"}`)}
}

func (w *workshop) create(r studio.Request) studio.Generation {
	w.t.Helper()
	g, created, err := w.studio.Create(w.t.Context(), r)
	if err != nil || !created {
		w.t.Fatalf("Create() = created %t, %v", created, err)
	}
	return g
}

// await follows a generation until done says so, and returns that state.
func (w *workshop) await(id uuid.UUID, what string, done func(*studio.State) bool) *studio.State {
	w.t.Helper()
	watch, err := w.studio.Watch(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	defer watch.Close()
	timeout := time.After(patience)
	for {
		select {
		case <-watch.Changed():
			if state := watch.Latest(); done(state) {
				return state
			}
		case <-timeout:
			w.t.Fatalf("never %s; at last %+v\nimages %+v", what, watch.Latest().Progress, watch.Latest().Generation.Images)
		}
	}
}

func (w *workshop) awaitStatus(id uuid.UUID, status studio.Status) *studio.State {
	w.t.Helper()
	state := w.await(id, string(status), func(s *studio.State) bool { return s.Generation.Status.Ended() })
	if state.Generation.Status != status {
		w.t.Fatalf("generation ended as %s (%s), want %s", state.Generation.Status, state.Generation.ErrorMessage, status)
	}
	return state
}

// awaitServer waits until the server's state is shown.
func (w *workshop) awaitServer(want studio.ServerState) studio.Server {
	w.t.Helper()
	watch := w.studio.WatchOverview()
	defer watch.Close()
	timeout := time.After(patience)
	for {
		select {
		case <-watch.Changed():
			if servers := watch.Latest().Servers; len(servers) > 0 && servers[0].State == want {
				return servers[0]
			}
		case <-timeout:
			w.t.Fatalf("server is never %s; at last %+v", want, watch.Latest().Servers)
		}
	}
}

// stored is a generation as the database alone tells it: by a studio that never ran.
func (w *workshop) stored(id uuid.UUID) studio.Generation {
	w.t.Helper()
	s, err := studio.New(studio.Config{Pool: w.pool, Blobs: w.blobs, Logger: logger(w.t)})
	if err != nil {
		w.t.Fatal(err)
	}
	state, err := s.State(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return state.Generation
}

func (w *workshop) count(sql string, args ...any) (n int) {
	w.t.Helper()
	if err := w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// content reads an output through the studio.
func (w *workshop) content(id uuid.UUID, image, output int, thumbnail bool) ([]byte, *studio.File) {
	w.t.Helper()
	f, err := w.studio.Output(w.t.Context(), id, image, output, thumbnail)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Body.Close()
	data, err := io.ReadAll(f.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return data, f
}

// at leads the stepping simulator to the first point that want accepts, and leaves it there.
func (w *workshop) at(want func(simulator.Point) bool) simulator.Point {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	p, err := w.stepper.Until(ctx, want)
	if err != nil {
		w.t.Fatalf("the simulator did not get there: %v", err)
	}
	return p
}

// atStep leads it to the moment before the progress of a step.
func (w *workshop) atStep(step int) simulator.Point {
	w.t.Helper()
	return w.at(func(p simulator.Point) bool { return p.Stage == simulator.StageStep && p.Step == step })
}

// once checks what the simulator was asked for: each prompt posted once, run at most once, and
// nothing stopped or cleared that was not named.
func (w *workshop) once() {
	w.t.Helper()
	ledger := w.comfy.Ledger()
	for id, n := range ledger.Posts() {
		if n != 1 {
			w.t.Errorf("prompt %s was posted %d times", id, n)
		}
	}
	for id, n := range ledger.Runs() {
		if n != 1 {
			w.t.Errorf("prompt %s ran %d times", id, n)
		}
	}
	for _, id := range ledger.Interrupts() {
		if id == "" {
			w.t.Error("a global interrupt was sent")
		}
	}
	if n := ledger.Clears(); n != 0 {
		w.t.Errorf("the queue was cleared %d times", n)
	}
}

// eventually waits for what nobody announces.
func (w *workshop) eventually(what string, done func() bool) {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-timeout:
			w.t.Fatalf("never %s", what)
		}
	}
}

// goroutines tells where every goroutine is, for what should have come and never did.
func goroutines() []byte {
	text := make([]byte, 1<<20)
	return text[:runtime.Stack(text, true)]
}
