//go:build unix

package embedded

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The first start makes a database that only its account can read and that only a socket leads
// to; a later one finds everything as it was.
func TestFirstStartAndRestart(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	begin := time.Now()
	s := mustStart(t, dir)
	t.Logf("first start: %v", time.Since(begin).Round(time.Millisecond))

	for setting, want := range map[string]string{
		"listen_addresses": "", "data_checksums": "on", "server_encoding": "UTF8", "lc_collate": "C.UTF-8",
		"shared_buffers": "64MB", "max_connections": "50", "jit": "off", "fsync": "on", "TimeZone": "UTC",
		"password_encryption": "scram-sha-256",
	} {
		if got := ask[string](t, s, "SELECT current_setting($1)", setting); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
	if methods := ask[string](t, s, "SELECT string_agg(DISTINCT auth_method, ' ') FROM pg_hba_file_rules"); methods != "scram-sha-256" {
		t.Errorf("ways to log in = %q, want scram-sha-256 alone", methods)
	}
	for path, want := range map[string]fs.FileMode{
		s.folder.data: 0o700, s.sockets: 0o700,
		filepath.Join(s.folder.data, passwordFile): 0o600, s.folder.lock: 0o600,
	} {
		stat, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := stat.Mode().Perm(); got != want {
			t.Errorf("mode of %s = %o, want %o", path, got, want)
		}
	}
	for _, path := range []string{s.folder.data, s.sockets, filepath.Join(s.folder.data, passwordFile)} {
		if got, want := ownerName(t, path), me(t).name; got != want {
			t.Errorf("%s belongs to %s, want %s", path, got, want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(s.folder.pg, initPrefix+"*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	ask[int](t, s, "WITH made AS (INSERT INTO pg_description VALUES (1, 1, 1, 'kept') RETURNING 1) SELECT 1 FROM made")

	pid, url := s.running().pid(), s.URL()
	begin = time.Now()
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("stop: %v", time.Since(begin).Round(time.Millisecond))
	if exists(pid) {
		t.Errorf("postmaster %d is still there after Stop", pid)
	}

	begin = time.Now()
	s = mustStart(t, dir)
	t.Logf("restart: %v", time.Since(begin).Round(time.Millisecond))
	if s.URL() != url {
		t.Errorf("URL changed with the restart")
	}
	if got := ask[string](t, s, "SELECT description FROM pg_description WHERE objoid = 1 AND classoid = 1"); got != "kept" {
		t.Errorf("after the restart: %q, want kept", got)
	}
}

// Stop does not wait for clients: their transactions are rolled back.
func TestStopWithOpenTransaction(t *testing.T) {
	t.Parallel()
	dir := madeBefore(t)
	s := mustStart(t, dir)
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "BEGIN; INSERT INTO ledger VALUES (1, 'open')"); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("second Stop: %v", err)
	}
	if rows := ask[int](t, mustStart(t, dir), "SELECT count(*) FROM ledger"); rows != 0 {
		t.Errorf("%d rows of a transaction that was not committed", rows)
	}
}

// A server that cannot shut down in good order is stopped the hard way when its caller has no
// more time, and what was committed is there after the recovery.
func TestStopInHaste(t *testing.T) {
	t.Parallel()
	dir := madeBefore(t)
	s := mustStart(t, dir)
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "INSERT INTO ledger VALUES (1, 'committed')"); err != nil {
		t.Fatal(err)
	}
	stopped := int(conn.PgConn().PID())
	freeze(t, stopped) // a backend that is stopped holds up the fast shutdown
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("stop: %v", time.Since(begin).Round(time.Millisecond))
	if rows := ask[int](t, mustStart(t, dir), "SELECT count(*) FROM ledger"); rows != 1 {
		t.Errorf("%d rows, want the committed one", rows)
	}
}

// freeze stops a process of the server's.
func freeze(t *testing.T, pid int) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "kill", "-STOP", strconv.Itoa(pid)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// One Easel at a time: the second one is told who is there, and the first one notices nothing.
func TestSecondApp(t *testing.T) {
	t.Parallel()
	dir := madeBefore(t)
	s := mustStart(t, dir)
	_, err := Start(t.Context(), Config{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) || !strings.Contains(err.Error(), s.folder.pg) {
		t.Fatalf("second start: %v, want an error that names %s and process %d", err, s.folder.pg, os.Getpid())
	}
	if one := ask[int](t, s, "SELECT 1"); one != 1 {
		t.Error("the first server was disturbed")
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustStart(t, dir)
}

// A socket's address is at most 107 bytes long; data may lie deeper.
func TestLongPath(t *testing.T) {
	t.Parallel()
	base := tempDir(t)
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(base, strings.Repeat("deep/", 30), "with, comma and 'quotes' \"and\" spaces")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, dir)
	t.Cleanup(func() { _ = os.RemoveAll(s.sockets) })
	if len(s.sockets) > longestSocketFolder {
		t.Errorf("socket in %s", s.sockets)
	}
	if got := ask[string](t, s, "SHOW data_directory"); got != s.folder.data {
		t.Errorf("data in %s, want %s", got, s.folder.data)
	}
}

// The secrets that our environment may hold are none of Postgres' business.
func TestChildEnvironment(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://secret")
	t.Setenv("EASEL_SECRET_KEY", "secret")
	t.Setenv("PGDATA", "/elsewhere")
	for _, entry := range me(t).command("/", "postgres").Env {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case "LC_ALL", "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH":
		default:
			t.Errorf("Postgres is given %s", name)
		}
	}
}

// What Postgres prints is kept in part only, however long it is and however it is cut.
func TestTail(t *testing.T) {
	t.Parallel()
	var logged []string
	printed := &tail{logger: loggerTo(&logged)}
	for _, part := range []string{"one\ntw", "o\n", "", "three\r\nfour", strings.Repeat("x", 3*tailLineBytes), "\nend"} {
		if n, err := printed.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if want := []string{"one", "two", "three"}; len(logged) != 4 || strings.Join(logged[:3], " ") != strings.Join(want, " ") || len(logged[3]) > tailLineBytes {
		t.Errorf("lines in the log = %.40q, want %q and a cut one", logged, want)
	}
	if got := printed.String(); !strings.HasPrefix(got, "one\ntwo\n") || !strings.HasSuffix(got, "\nend") {
		t.Errorf("String() = %.80q", got)
	}
	for range 1000 {
		if _, err := printed.Write([]byte("more\n")); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(printed.String(), "more"); got != tailLines {
		t.Errorf("%d lines kept, want %d", got, tailLines)
	}
}
