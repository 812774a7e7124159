package studio_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"easel/comfy/simulator"
	"easel/studio"
)

// another starts a further ComfyUI.
func (w *workshop) another(config simulator.Config) *simulator.Running {
	w.t.Helper()
	comfy, err := simulator.Start("127.0.0.1:0", config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(comfy.Close)
	return comfy
}

// add stores a server as the page of servers does.
func (w *workshop) add(name, url string) uuid.UUID {
	w.t.Helper()
	id := uuid.Must(uuid.NewV7())
	w.exec("INSERT INTO servers (id, key, name, url, kind, client_id, source) VALUES ($1, $2, $3, $4, 'comfyui', $5, 'added')",
		id, url, name, url, "easel-"+id.String())
	return id
}

// shown waits until a studio shows a server so; one that it does not show is the zero Server.
func (w *workshop) shown(s *studio.Studio, name, what string, want func(studio.Server) bool) studio.Server {
	w.t.Helper()
	watch := s.WatchOverview()
	defer watch.Close()
	timeout := time.After(patience)
	for {
		select {
		case <-watch.Changed():
			var found studio.Server
			for _, server := range watch.Latest().Servers {
				if server.Name == name {
					found = server
				}
			}
			if want(found) {
				return found
			}
		case <-timeout:
			w.t.Fatalf("server %s is never %s; at last %+v\n%s", name, what, watch.Latest().Servers, goroutines())
		}
	}
}

func isUp(s studio.Server) bool { return s.State == studio.ServerUp }

// A server that is added while Easel runs takes work; what is removed while it works at something gives it back.
func TestServerAddedAndRemoved(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.awaitServer(studio.ServerUp)
	w.exec("UPDATE servers SET mode = 'paused'")
	w.shown(w.studio, "easel-1", "paused", func(s studio.Server) bool { return s.Mode == studio.ModePaused })
	stepper := simulator.NewStepper()
	defer stepper.Open()
	extra := w.another(simulator.Config{PreviewSize: 64, Gate: stepper.Pass})
	id := w.add("extra", extra.URL())
	w.shown(w.studio, "extra", "up", isUp)
	g := w.create(request("begun on one, made by the other"))
	state := w.await(g.ID, "running", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "running" })
	if image := state.Generation.Images[0]; image.Server != "extra" || image.ServerID != id {
		t.Fatalf("it runs on %s, a server that is paused", image.Server)
	}
	w.exec("UPDATE servers SET enabled = false, removed_at = now() WHERE id = $1", id)
	w.shown(w.studio, "extra", "gone", func(s studio.Server) bool { return s.Name == "" })
	w.eventually("taken back from the server that is off", func() bool { return len(extra.Ledger().Interrupts()) > 0 })
	w.await(g.ID, "waiting again", func(s *studio.State) bool { return s.Generation.Images[0].Status == studio.Pending })
	w.eventually("nobody's", func() bool { return w.count("SELECT count(*) FROM servers WHERE id = $1 AND owner IS NULL", id) == 1 })
	w.exec("UPDATE servers SET mode = 'active' WHERE enabled")
	state = w.awaitStatus(g.ID, studio.Complete)
	if image := state.Generation.Images[0]; image.Server != "easel-1" || image.Attempts != 2 {
		t.Errorf("made by %s in attempt %d, want easel-1 in attempt 2", image.Server, image.Attempts)
	}
	if n := w.count("SELECT count(*) FROM attempts WHERE state = 'lost' AND loss_reason = 'server_removed' AND watch_until > now()"); n != 1 {
		t.Errorf("%d attempts are lost with the server and on watch, want 1: it may be on again soon", n)
	}
}

// A draining server ends what is inside it, takes nothing new, and is off then.
func TestServerDrained(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	w.awaitServer(studio.ServerUp)
	inside := w.create(request("inside"))
	w.atStep(1)
	w.await(inside.ID, "running", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "running" })
	w.exec("UPDATE servers SET mode = 'draining'")
	w.shown(w.studio, "easel-1", "draining", func(s studio.Server) bool { return s.Mode == studio.ModeDraining })
	waits := w.create(request("waits"))
	w.stepper.Open()
	w.awaitStatus(inside.ID, studio.Complete)
	w.shown(w.studio, "easel-1", "off", func(s studio.Server) bool { return s.Mode == studio.ModeOff && !s.Held })
	if got := w.stored(waits.ID); got.Status != studio.Pending {
		t.Errorf("a draining server was given work: %s", got.Status)
	}
	w.exec("UPDATE servers SET mode = 'active'")
	w.awaitStatus(waits.ID, studio.Complete)
	w.once()
}

// A server that moves is looked for under its new address, by another supervisor.
func TestServerMoves(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.awaitServer(studio.ServerUp)
	moved := w.another(simulator.Config{PreviewSize: 64})
	w.comfy.Kill()
	w.exec("UPDATE servers SET url = $1, config_rev = config_rev + 1, name = 'moved'", moved.URL())
	w.shown(w.studio, "moved", "up", func(s studio.Server) bool { return isUp(s) && s.URL == moved.URL() })
	g := w.create(request("at the new address"))
	if s := w.awaitStatus(g.ID, studio.Complete); s.Generation.Images[0].Server != "moved" {
		t.Errorf("made by %q", s.Generation.Images[0].Server)
	}
	if n := len(moved.Ledger().Posts()); n != 1 {
		t.Errorf("%d prompts were posted to the new address, want 1", n)
	}
}

// An instance that does not supervise a server shows it as the one that does.
func TestServerSeenFromElsewhere(t *testing.T) {
	t.Parallel()
	w := open(t)
	mine := w.awaitServer(studio.ServerUp)
	second, stop := w.run(w.pool, false)
	defer stop()
	theirs := w.shown(second, "easel-1", "up", isUp)
	if !mine.Mine || !mine.Held || theirs.Mine || !theirs.Held {
		t.Errorf("held, mine: %t, %t here; %t, %t elsewhere", mine.Held, mine.Mine, theirs.Held, theirs.Mine)
	}
	if theirs.Version == "" || theirs.Version != mine.Version || len(theirs.Devices) != len(mine.Devices) || theirs.VRAMTotal != mine.VRAMTotal {
		t.Errorf("elsewhere %+v, here %+v", theirs, mine)
	}
	w.comfy.Kill()
	down := w.shown(second, "easel-1", "down", func(s studio.Server) bool { return s.State == studio.ServerDown })
	if down.LastError == "" {
		t.Error("elsewhere nobody says why it is down")
	}
}

// A database that is cut off in the middle of the start must not end the process: the start goes on where it can.
func TestDatabaseCutWhileStarting(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.stop()
	g := w.create(request("accepted before"))
	for _, answers := range []int{1, 3, 7, 12, 20, 30} {
		wire := w.wire()
		wire.cutAfter(answers)
		s, stop := w.run(wire.pool(), true)
		w.shown(s, "easel-1", "up", isUp)
		w.eventually("cut", func() bool { return wire.cuts() > 0 })
		w.shown(s, "easel-1", "up", isUp)
		stop()
	}
	w.start()
	w.awaitStatus(g.ID, studio.Complete)
	w.once()
}
