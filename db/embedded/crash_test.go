//go:build unix

package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"easel/db"
)

// An Easel that is killed takes its Postgres with it (on Linux), and the next one starts without
// a hand being lifted, however soon.
func TestKilledApp(t *testing.T) {
	t.Parallel()
	dir := madeBefore(t)
	for range 3 {
		app := startHelper(t, "start", dir, nil)
		app.kill(t)
		_ = app.Wait() // killed: the lock is free
		begin := time.Now()
		s := mustStart(t, dir)
		t.Logf("ready again: %v", time.Since(begin).Round(time.Millisecond))
		if s.running().pid() != app.pid && running(app.pid) {
			t.Errorf("two postmasters: %d and %d", app.pid, s.running().pid())
		}
		ask[int](t, s, "SELECT 1")
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Easel and its Postgres are killed at once while they write: every insert that was acknowledged
// is there afterwards, and no half one.
func TestKilledWhileInserting(t *testing.T) {
	t.Parallel()
	dir := madeBefore(t)
	app := startHelper(t, "insert", dir, nil)
	last := 0
	for last < 300 {
		last = committed(t, app.output)
	}
	if err := signal(app.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	app.kill(t)
	for { // what it acknowledged until its end counts as well
		var number int
		if _, err := fmt.Fscanf(app.output, "committed %d\n", &number); err != nil {
			break
		}
		last = number
	}
	_ = app.Wait() // killed
	begin := time.Now()
	s := mustStart(t, dir)
	t.Logf("recovered: %v after %d inserts", time.Since(begin).Round(time.Millisecond), last)
	if got := ask[int](t, s, "SELECT count(*) FROM ledger WHERE number <= $1 AND length(payload) = 1024", last); got != last {
		t.Errorf("%d of %d acknowledged inserts are there", got, last)
	}
}

func committed(t *testing.T, output *bufio.Reader) int {
	t.Helper()
	var number int
	if _, err := fmt.Fscanf(output, "committed %d\n", &number); err != nil {
		t.Fatal(err)
	}
	return number
}

// A Postgres that dies under a living Easel comes back by itself, under the same URL, so that a
// pool which was open all the time finds it. What fails meanwhile fails in a way that is a 503.
func TestKilledPostmaster(t *testing.T) {
	t.Parallel()
	s := mustStart(t, madeBefore(t))
	url := s.URL()
	pool, err := db.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for range 2 {
		ask[int](t, s, "WITH i AS (INSERT INTO ledger SELECT count(*) + 1, 'x' FROM ledger RETURNING 1) SELECT * FROM i")
		old := s.running()
		begin := time.Now()
		if err := signal(old.pid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "another postmaster, and an answer from it", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), db.AcquireTimeout)
			defer cancel()
			_, err := pool.Exec(ctx, "SELECT count(*) FROM ledger")
			if err != nil && !db.Unavailable(err) {
				t.Errorf("while the server was away: %v (%T), want one that db.Unavailable knows", err, err)
			}
			return err == nil && s.running() != old
		})
		t.Logf("back: %v", time.Since(begin).Round(time.Millisecond))
	}
	if rows := ask[int](t, s, "SELECT count(*) FROM ledger"); rows != 2 || s.URL() != url {
		t.Errorf("%d rows, want 2, under the same URL", rows)
	}
	select {
	case <-s.Done():
		t.Error("Done is closed although the server is back")
	default:
	}
}

// A Postgres that cannot come back is reported once.
func TestLostPostmaster(t *testing.T) {
	t.Parallel()
	s := mustStart(t, madeBefore(t))
	control := filepath.Join(s.folder.data, "global", "pg_control")
	if err := os.Rename(control, control+".away"); err != nil {
		t.Fatal(err)
	}
	if err := signal(s.running().pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-time.After(time.Minute):
		t.Fatal("Done is not closed")
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop after the loss: %v", err)
	}
}

// A postmaster that runs on our data already, as after a killed Easel on a system without
// Pdeathsig, is used, watched and in the end stopped.
func TestAdopt(t *testing.T) {
	t.Parallel()
	dir := madeBefore(t)
	s := mustStart(t, dir)
	arguments, program := s.arguments(), s.binaries.postgres()
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	orphan := me(t).command("/", program, arguments...)
	orphan.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: me(t).credential} // without Pdeathsig
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	reaped := make(chan error, 1)
	go func() { reaped <- orphan.Wait() }()
	eventually(t, "the mark of the server", func() bool {
		_, err := os.Stat(filepath.Join(dir, "pg", "data", "postmaster.pid"))
		return err == nil
	})

	begin := time.Now()
	s = mustStart(t, dir)
	t.Logf("adopted: %v", time.Since(begin).Round(time.Millisecond))
	if s.running().pid() != orphan.Process.Pid {
		t.Errorf("postmaster %d, want the one that was there, %d", s.running().pid(), orphan.Process.Pid)
	}
	ask[int](t, s, "SELECT 1")
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-reaped; err != nil {
		t.Errorf("the adopted server ended with %v, want a clean end", err)
	}
}

// After the restart of a container the process id in postmaster.pid belongs to some other
// program of the same account, or to a zombie; Postgres alone would refuse to start for ever.
func TestProcessIDOfAnother(t *testing.T) {
	t.Parallel()
	for name, helper := range map[string]string{"a living program": "live", "a zombie": "end"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := madeBefore(t)
			program, remove, err := reachableCopy()
			if err != nil {
				t.Fatal(err)
			}
			defer remove()
			other := startHelper(t, helper, dir, func(cmd *exec.Cmd) {
				cmd.Path, cmd.Dir = program, "/"
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: me(t).credential}
			})
			defer func() { _ = other.Wait() }() // not before: until then the one that ended is a zombie
			defer func() {
				if err := other.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
					t.Error(err)
				}
			}()
			if helper == "end" {
				eventually(t, "the zombie", func() bool { return !running(other.pid) })
			}
			data := filepath.Join(dir, "pg", "data")
			for mark, rest := range map[string]string{
				filepath.Join(data, "postmaster.pid"):                 "\n  12345 1\nready\n",
				filepath.Join(dir, "pg", "run", ".s.PGSQL.5432.lock"): "",
			} {
				text := strconv.Itoa(other.pid) + "\n" + data + "\n1700000000\n5432\n" + filepath.Join(dir, "pg", "run") + "\n" + rest
				if err := os.WriteFile(mark, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := me(t).give(mark); err != nil {
					t.Fatal(err)
				}
			}
			begin := time.Now()
			s := mustStart(t, dir)
			t.Logf("started: %v", time.Since(begin).Round(time.Millisecond))
			if s.running().pid() == other.pid {
				t.Error("a foreign program was adopted")
			}
		})
	}
}

// An Easel that is killed while it makes the database leaves no half one: the next start makes it anew.
func TestKilledInInitdb(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	app := exec.CommandContext(t.Context(), self, dir)
	app.Env = append(os.Environ(), "EASEL_TEST_HELPER=start")
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first files of the database", func() bool {
		found, _ := filepath.Glob(filepath.Join(dir, "pg", initPrefix+"*", "data", "PG_VERSION"))
		return len(found) > 0
	})
	if err := app.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = app.Wait() // killed
	if _, err := os.Stat(filepath.Join(dir, "pg", "data")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the data folder is there already: %v", err)
	}
	s := mustStart(t, dir)
	if left, _ := filepath.Glob(filepath.Join(dir, "pg", initPrefix+"*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	ask[int](t, s, "SELECT 1")
}
