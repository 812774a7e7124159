package studio_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"easel/blob"
	"easel/comfy/simulator"
	"easel/db/dbtest"
	"easel/studio"
)

// complaints expects a complaint about a field, in words that hold want and no password.
func complaints(t *testing.T, err error, field, want string) {
	t.Helper()
	invalid, ok := errors.AsType[*studio.InvalidError](err)
	if !ok || len(invalid.Fields) == 0 {
		t.Errorf("error %v, want a complaint about %s with %q", err, field, want)
		return
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the complaint names the password: %v", err)
	}
	for _, f := range invalid.Fields {
		if f.Field == field && strings.Contains(f.Message, want) {
			return
		}
	}
	t.Errorf("complaints %+v, want one about %s with %q", invalid.Fields, field, want)
}

// office is a studio on a database of its own that supervises nothing: what is asked of it is in the
// table, and nobody acts on it.
func office(t *testing.T) *workshop {
	t.Helper()
	w := &workshop{t: t, timing: quick, pool: dbtest.New(t, dbtest.With("river", studio.Migrate))}
	var err error
	if w.blobs, err = blob.NewFolder(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.blobs.Close() })
	if w.studio, err = studio.New(studio.Config{Pool: w.pool, Blobs: w.blobs, Logger: logger(t)}); err != nil {
		t.Fatal(err)
	}
	// As a start leaves them that was told of one server, and one that knows the demo.
	w.exec(`INSERT INTO servers (id, key, name, url, kind, client_id) VALUES
		(gen_random_uuid(), 'http://me:secret@gpu:1', 'big', 'http://me:secret@gpu:1', 'comfyui', 'c1'),
		(gen_random_uuid(), 'demo', 'demo', 'http://127.0.0.1:9', 'demo', 'c2')`)
	return w
}

func (w *workshop) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *workshop) serverID(name string) (id uuid.UUID) {
	w.t.Helper()
	if err := w.pool.QueryRow(w.t.Context(), "SELECT id FROM servers WHERE name = $1", name).Scan(&id); err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *workshop) serverRow(id uuid.UUID) (row serverRow) {
	w.t.Helper()
	if err := w.pool.QueryRow(w.t.Context(), "SELECT name, url, source, mode, enabled, removed_at IS NOT NULL FROM servers WHERE id = $1", id).
		Scan(&row.Name, &row.URL, &row.Source, &row.Mode, &row.Enabled, &row.Removed); err != nil {
		w.t.Fatal(err)
	}
	return row
}

type serverRow struct {
	Name, URL, Source, Mode string
	Enabled, Removed        bool
}

func (w *workshop) rings(t *testing.T) int {
	t.Helper()
	var n int
	if err := w.pool.QueryRow(t.Context(), "SELECT count(*) FROM events WHERE kind = 'server'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAddServer(t *testing.T) {
	t.Parallel()
	w := office(t)
	demo := w.serverID("demo")
	before := w.rings(t)
	id, err := w.studio.AddServer(t.Context(), "  Workbench ", " user:pass@192.0.2.7:8188/ ")
	if err != nil {
		t.Fatal(err)
	}
	want := serverRow{Name: "Workbench", URL: "http://user:pass@192.0.2.7:8188", Source: "added", Mode: "active", Enabled: true}
	if diff := cmp.Diff(want, w.serverRow(id)); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
	if w.serverRow(demo).Enabled {
		t.Error("the demo server is on beside a real one")
	}
	if got := w.rings(t) - before; got != 2 {
		t.Errorf("%d bells were rung, want one for the new server and one for the demo", got)
	}
	added, err := studio.AddedServers(t.Context(), w.pool)
	if diff := cmp.Diff([]string{"http://192.0.2.7:8188"}, added); diff != "" || err != nil {
		t.Errorf("added servers: %v\n%s", err, diff)
	}
	unnamed, err := w.studio.AddServer(t.Context(), "", "https://192.0.2.8/comfy")
	if err != nil || w.serverRow(unnamed).Name != "192.0.2.8" {
		t.Errorf("a server without a name is called %q, %v", w.serverRow(unnamed).Name, err)
	}
}

func TestAddServerRefuses(t *testing.T) {
	t.Parallel()
	w := office(t)
	for _, c := range []struct{ name, url, field, want string }{
		{"", "", "url", "needed"},
		{"", "http://169.254.169.254", "url", "link-local"},
		{"", "gopher://gpu", "url", "not an http or https"},
		{"", "http://other:secret@GPU:1/", "url", "here already, as big"},
		{"BIG", "http://192.0.2.1", "name", "Another server has this name"},
		{strings.Repeat("x", 61), "http://192.0.2.1", "name", "longer than 60"},
		{"a\nb", "http://192.0.2.1", "name", "cannot be shown"},
		{"a\u202eb", "http://192.0.2.1", "name", "cannot be shown"},
		{"a\x00b", "http://192.0.2.1", "name", "cannot be shown"},
	} {
		_, err := w.studio.AddServer(t.Context(), c.name, c.url)
		complaints(t, err, c.field, c.want)
	}
	if added, err := studio.AddedServers(t.Context(), w.pool); err != nil || len(added) != 0 {
		t.Errorf("added all the same: %v, %v", added, err)
	}
}

func TestServerModesAndRemoval(t *testing.T) {
	t.Parallel()
	w := office(t)
	configured := w.serverID("big")
	id, err := w.studio.AddServer(t.Context(), "second", "http://192.0.2.7")
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []studio.ServerMode{studio.ModePaused, studio.ModeDraining, studio.ModeOff, studio.ModeActive} {
		for _, server := range []uuid.UUID{configured, id} {
			if err := w.studio.SetServerMode(t.Context(), server, mode); err != nil || w.serverRow(server).Mode != string(mode) {
				t.Errorf("SetServerMode(%s) = %v, stored is %s", mode, err, w.serverRow(server).Mode)
			}
		}
	}
	for what, err := range map[string]error{
		"rename": w.studio.RenameServer(t.Context(), configured, "mine"),
		"remove": w.studio.RemoveServer(t.Context(), configured),
	} {
		if !errors.Is(err, studio.ErrServerLocked) {
			t.Errorf("%s a server of the configuration: %v", what, err)
		}
	}
	complaints(t, w.studio.RenameServer(t.Context(), id, "big"), "name", "Another server")
	complaints(t, w.studio.RenameServer(t.Context(), id, " "), "name", "needed")
	if err := w.studio.RenameServer(t.Context(), id, "Second"); err != nil || w.serverRow(id).Name != "Second" {
		t.Errorf("RenameServer() = %v, name %q", err, w.serverRow(id).Name)
	}
	if err := w.studio.RemoveServer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if row := w.serverRow(id); row.Enabled || !row.Removed {
		t.Errorf("after its removal: %+v", row)
	}
	for what, err := range map[string]error{
		"remove": w.studio.RemoveServer(t.Context(), id),
		"rename": w.studio.RenameServer(t.Context(), id, "again"),
		"pause":  w.studio.SetServerMode(t.Context(), id, studio.ModePaused),
	} {
		if !errors.Is(err, studio.ErrNoServer) {
			t.Errorf("%s a server that was removed: %v", what, err)
		}
	}
	if _, err := w.studio.TestListedServer(t.Context(), id); !errors.Is(err, studio.ErrNoServer) {
		t.Errorf("test a server that was removed: %v", err)
	}
	// The same address comes back as the same server: what was sent there may still be inside.
	again, err := w.studio.AddServer(t.Context(), "third", "http://192.0.2.7/")
	if err != nil || again != id {
		t.Errorf("AddServer() = %s, %v, want %s", again, err, id)
	}
	if diff := cmp.Diff(serverRow{Name: "third", URL: "http://192.0.2.7", Source: "added", Mode: "active", Enabled: true}, w.serverRow(id)); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
}

// Two who add the same at once: one of them is told.
func TestAddServerAtOnce(t *testing.T) {
	t.Parallel()
	w := office(t)
	const people = 8
	answers := make(chan error, people)
	for range people {
		go func() {
			_, err := w.studio.AddServer(t.Context(), "same", "http://192.0.2.7")
			answers <- err
		}()
	}
	added := 0
	for range people {
		if err := <-answers; err == nil {
			added++
		} else {
			complaints(t, err, "url", "here already")
		}
	}
	if added != 1 {
		t.Errorf("%d of %d were added", added, people)
	}
}

// On a bus that does not ring in the database's transaction, whoever changes the list must look at it himself, and
// tell the others.
func TestServerChangesAreToldOnEveryBus(t *testing.T) {
	t.Parallel()
	net := new(studio.MemoryNet)
	w := open(t, func(w *workshop, _ *simulator.Config) { w.bus = net.NewBus() })
	w.awaitServer(studio.ServerUp)
	w.bus = net.NewBus()
	second, stop := w.run(w.pool, false)
	defer stop()
	shown := func(s *studio.Studio, id uuid.UUID) (studio.Server, bool) {
		for _, server := range s.Overview().Servers {
			if server.ID == id {
				return server, true
			}
		}
		return studio.Server{}, false
	}
	began := time.Now()
	id, err := w.studio.AddServer(t.Context(), "attic", "http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*studio.Studio{"the one that was asked": w.studio, "the other": second} {
		w.eventually("added on "+name, func() bool { _, ok := shown(s, id); return ok })
	}
	if err := w.studio.RenameServer(t.Context(), id, "cellar"); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*studio.Studio{"the one that was asked": w.studio, "the other": second} {
		w.eventually("renamed on "+name, func() bool { server, _ := shown(s, id); return server.Name == "cellar" })
	}
	t.Logf("two changes were seen on both after %s", time.Since(began))
}
