package studio_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"easel/blob"
	"easel/comfy"
	"easel/db/dbtest"
	"easel/studio"
)

// While a sampler runs: step, preview and overview say the same, and rendered bytes are shared.
func TestShownWhileRunning(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	g := w.create(request("watched"))
	w.atStep(3)
	state := w.await(g.ID, "at step 2", func(s *studio.State) bool {
		return s.Progress.CurrentStep == 2 && s.Progress.PreviewRev > 0
	})
	p := state.Progress
	if p.Phase != comfy.PhaseInference || p.Status != "Step 2 of 4" || p.Percentage != 50 || p.ImageIndex != 1 || p.PreviewImage != 1 {
		t.Errorf("progress = %+v", p)
	}
	preview, ok := w.studio.Preview(t.Context(), g.ID, 1)
	if !ok || preview.MIME != "image/jpeg" || len(preview.Bytes) == 0 {
		t.Errorf("Preview() = %v, %t", preview, ok)
	}
	if _, ok := w.studio.Preview(t.Context(), g.ID, 2); ok {
		t.Error("a preview of an image that is not there")
	}
	renders := 0
	for range 3 {
		state.Frame("test", func(*studio.State) []byte { renders++; return []byte("x") })
	}
	if renders != 1 {
		t.Errorf("one state was rendered %d times", renders)
	}
	w.eventually("on the stage", func() bool {
		o := w.studio.Overview()
		return o.Stage != nil && o.Stage.Generation.ID == g.ID && len(o.Live) == 1 && o.Servers[0].Running == state.Generation.Images[0].PromptID
	})
	w.stepper.Open()
	w.awaitStatus(g.ID, studio.Complete)
	w.eventually("among the newest", func() bool {
		o := w.studio.Overview()
		return len(o.Live) == 0 && len(o.Recent) == 1 && o.Stage != nil && o.Stage.Generation.Status == studio.Complete && o.Servers[0].Running == ""
	})
	if _, ok := w.studio.Preview(t.Context(), g.ID, 1); ok {
		t.Error("a live preview of a generation that has ended")
	}
}

// Pages may be asked for before Run has read the database: the servers of the configuration are
// there, without what is secret in their addresses.
func TestServersBeforeRun(t *testing.T) {
	t.Parallel()
	blobs, err := blob.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	s, err := studio.New(studio.Config{
		Pool: dbtest.New(t, dbtest.With("river", studio.Migrate)), Blobs: blobs,
		Servers: []studio.ServerConfig{{Name: "big", URL: "http://me:secret@127.0.0.1:1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []studio.Server{{
		Name: "big", URL: "http://127.0.0.1:1", Source: studio.SourceConfig, Mode: studio.ModeActive, State: studio.ServerUnknown,
	}}
	if diff := cmp.Diff(want, s.Overview().Servers); diff != "" {
		t.Errorf("servers (-want +got):\n%s", diff)
	}
}

// Those who wait are numbered, and move up.
func TestQueuePositions(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.comfy.Kill()
	w.awaitServer(studio.ServerDown)
	var ids []uuid.UUID
	for range 3 {
		ids = append(ids, w.create(request("in line")).ID)
	}
	for i, id := range ids {
		w.await(id, "in its place", func(s *studio.State) bool { return s.Progress.QueuePosition == i+1 })
	}
	if _, _, err := w.studio.Cancel(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	w.await(ids[2], "second", func(s *studio.State) bool {
		return s.Progress.QueuePosition == 2 && s.Progress.Status == "Position 2 in the queue"
	})
}

// A watcher of one that has ended gets its state; one of none, an error.
func TestWatchEnded(t *testing.T) {
	t.Parallel()
	w := open(t)
	g := w.create(request("long over"))
	w.awaitStatus(g.ID, studio.Complete)
	w.restart()
	state := w.awaitStatus(g.ID, studio.Complete)
	if state.Progress.Percentage != 100 || state.Progress.TotalSteps != 4 || len(state.Generation.Images[0].Outputs) != 1 {
		t.Errorf("state after a restart = %+v", state.Progress)
	}
	if _, err := w.studio.Watch(t.Context(), uuid.New()); !errors.Is(err, studio.ErrNotFound) {
		t.Errorf("Watch() of none = %v, want ErrNotFound", err)
	}
	if err := w.studio.Ready(t.Context()); err != nil {
		t.Errorf("Ready() = %v", err)
	}
}

// Without a database nothing is acknowledged, and the error says whose fault it is.
func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	w := open(t)
	config, err := pgxpool.ParseConfig("host=" + filepath.Join(t.TempDir(), "nobody") + " user=x dbname=x")
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s, err := studio.New(studio.Config{Pool: pool, Blobs: w.blobs, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	_, _, create := s.Create(t.Context(), request("nowhere"))
	_, _, cancel := s.Cancel(t.Context(), uuid.New())
	_, list := s.List(t.Context(), studio.Filter{})
	_, state := s.State(t.Context(), uuid.New())
	_, output := s.Output(t.Context(), uuid.New(), 1, 0, false)
	for name, err := range map[string]error{
		"Create": create, "Cancel": cancel, "List": list, "State": state, "Output": output,
		"Ready": s.Ready(t.Context()), "Delete": s.Delete(t.Context(), uuid.New()),
	} {
		if !errors.Is(err, studio.ErrUnavailable) {
			t.Errorf("%s() = %v, want ErrUnavailable", name, err)
		}
	}
}
