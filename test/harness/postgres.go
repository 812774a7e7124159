package harness

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Database connects to the program's private Postgres. The caller closes the connection.
func (e *Easel) Database(ctx context.Context) (*pgx.Conn, error) {
	password, err := os.ReadFile(filepath.Join(e.DataDir, "pg", "data", "easel.password"))
	if err != nil {
		return nil, err
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("easel", strings.TrimSpace(string(password))), Path: "easel",
		RawQuery: url.Values{"host": {filepath.Join(e.DataDir, "pg", "run")}, "port": {"5432"}}.Encode(),
	}
	return pgx.Connect(ctx, u.String())
}

// Count runs a query that gives one number in the private Postgres.
func (e *Easel) Count(sql string, args ...any) (n int) {
	e.t.Helper()
	conn, err := e.Database(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	defer conn.Close(e.t.Context())
	if err := conn.QueryRow(e.t.Context(), sql, args...).Scan(&n); err != nil {
		e.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// Postgres is the process id of the private Postgres; 0 when there is none.
func (e *Easel) Postgres() int {
	text, err := os.ReadFile(filepath.Join(e.DataDir, "pg", "data", "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(strings.TrimSpace(first)) // half a file: none yet
	return pid
}

// Strays are the processes whose command line names the data folder, Easel's own left out: the
// private Postgres. Zombies, which have no command line any more, do not count.
func (e *Easel) Strays() (pids []int) {
	e.t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		e.t.Fatal(err)
	}
	for _, name := range names {
		line, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(line), e.DataDir) {
			continue // it has ended meanwhile, or is none of ours
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil && pid != e.PID() {
			pids = append(pids, pid)
		}
	}
	return pids
}
