//go:build unix

package embedded

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// TestMain runs the tests, and when we are root once more as a normal user: each is a way that
// people run Easel. Started with a helper's name, it is a program for a test to kill.
func TestMain(m *testing.M) {
	if helper := os.Getenv("EASEL_TEST_HELPER"); helper != "" {
		helpers[helper](os.Args[1])
		return
	}
	code := m.Run()
	if err := os.RemoveAll(seed.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines are left:", err)
		code = 1
	}
	if code == 0 && os.Geteuid() == 0 {
		code = asNormalUser()
	}
	os.Exit(code)
}

// asNormalUser runs this program again as nobody, from a place where that may run it.
func asNormalUser() int {
	fmt.Println("=== once more, as nobody")
	program, remove, err := reachableCopy()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	account, err := chooseAccount("nobody", "")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	args := []string{"-test.paniconexit0"}
	for _, name := range []string{"test.run", "test.v", "test.count", "test.timeout", "test.parallel"} {
		args = append(args, "-"+name+"="+flag.Lookup(name).Value.String())
	}
	cmd := account.command("/", program, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// reachableCopy copies this program out of go test's folder, which only we can enter.
func reachableCopy() (name string, remove func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "easel-embedded-")
	if err != nil {
		return "", nil, err
	}
	name = filepath.Join(dir, "embedded.test")
	content, err := os.ReadFile(self)
	if err == nil {
		err = errors.Join(os.WriteFile(name, content, 0o755), os.Chmod(dir, 0o755))
	}
	return name, func() { _ = os.RemoveAll(dir) }, err
}

// helpers are programs that tests start as an Easel to kill.
var helpers = map[string]func(dataDir string){
	// start starts the database and lives until it is killed.
	"start": func(dataDir string) {
		s := helperStart(dataDir)
		fmt.Println("ready", s.running().pid())
		select {}
	},
	// insert prints each number after its insert was committed.
	"insert": func(dataDir string) {
		ctx := context.Background()
		s := helperStart(dataDir)
		conn, err := pgx.Connect(ctx, s.URL())
		if err != nil {
			helperFail(err)
		}
		fmt.Println("ready", s.running().pid())
		for i := 1; ; i++ {
			// A thousand characters of no pattern, so that there is something to write and to recover.
			if _, err := conn.Exec(ctx, "INSERT INTO ledger SELECT $1, string_agg(md5(random()::text), '') FROM generate_series(1, 32)", i); err != nil {
				helperFail(err)
			}
			fmt.Println("committed", i)
		}
	},
	// live does nothing, as some other program.
	"live": func(string) {
		fmt.Println("ready", os.Getpid())
		select {}
	},
	// end is a program that ends.
	"end": func(string) { fmt.Println("ready", os.Getpid()) },
}

func helperStart(dataDir string) *Server {
	s, err := Start(context.Background(), Config{DataDir: dataDir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		helperFail(err)
	}
	return s
}

func helperFail(err error) {
	fmt.Println("failed", err)
	os.Exit(1)
}

// helper is a running helper.
type helper struct {
	*exec.Cmd
	output *bufio.Reader
	pid    int // of the postmaster, or what the helper said
}

// startHelper starts a helper, prepared by change, and waits until it is ready.
func startHelper(t *testing.T, name, dataDir string, change func(*exec.Cmd)) *helper {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, dataDir)
	cmd.Env = append(os.Environ(), "EASEL_TEST_HELPER="+name)
	if change != nil {
		change(cmd)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &helper{Cmd: cmd, output: bufio.NewReader(out)}
	if _, err := fmt.Fscanf(h.output, "ready %d\n", &h.pid); err != nil {
		rest, _ := io.ReadAll(h.output)
		t.Fatalf("helper %s: %v: %s", name, err, rest)
	}
	return h
}

// kill ends the helper as a power button would.
func (h *helper) kill(t *testing.T) {
	t.Helper()
	if err := h.Process.Kill(); err != nil {
		t.Fatal(err)
	}
}

// tempDir is a folder that every account can reach, on a path short enough for a socket.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "easel-pg-") //nolint:usetesting // t.TempDir is too long for a socket and closed to other accounts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// seed is a cluster that was made once, for the tests that are not about making one.
var seed struct {
	once sync.Once
	dir  string
	err  error
}

// madeBefore returns a data folder that holds a stopped database with an empty table ledger.
func madeBefore(t *testing.T) string {
	t.Helper()
	seed.once.Do(func() {
		seed.dir, seed.err = os.MkdirTemp("", "easel-pg-seed-") //nolint:usetesting // outlives the first test that asks
		if seed.err != nil {
			return
		}
		s, err := Start(context.Background(), Config{DataDir: seed.dir, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			seed.err = err
			return
		}
		conn, err := pgx.Connect(context.Background(), s.URL())
		if err == nil {
			_, err = conn.Exec(context.Background(), "CREATE TABLE ledger (number int PRIMARY KEY, payload text NOT NULL)")
			err = errors.Join(err, conn.Close(context.Background()))
		}
		seed.err = errors.Join(err, s.Stop(context.Background()))
	})
	if seed.err != nil {
		t.Fatal(seed.err)
	}
	dir := tempDir(t)
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", seed.dir+"/.", dir).CombinedOutput(); err != nil {
		t.Fatalf("copy the database: %v: %s", err, out)
	}
	return dir
}

// mustStart starts the database and stops it at the end of the test, if that has not.
func mustStart(t *testing.T, dataDir string) *Server {
	t.Helper()
	s, err := Start(t.Context(), Config{DataDir: dataDir, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask runs a query for one value.
func ask[T any](t *testing.T, s *Server, query string, args ...any) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var value T
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// eventually looks until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for: %s", what)
		}
	}
}

// me is the account that runs Postgres in these tests.
func me(t *testing.T) account {
	t.Helper()
	a, err := chooseAccount("", "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func ownerName(t *testing.T, path string) string {
	t.Helper()
	stat, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	u, err := user.LookupId(strconv.Itoa(int(stat.Sys().(*syscall.Stat_t).Uid)))
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// loggerTo collects the values of the key line.
func loggerTo(lines *[]string) *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{ //nolint:sloglint // its ReplaceAttr is what collects
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "line" {
				*lines = append(*lines, a.Value.String())
			}
			return a
		},
	}))
}
