// Package harness runs the built easel binary for tests: as a person would, with a folder of its
// own, and able to die.
package harness

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startWait bounds a start: the first one makes a database, with the race detector on two cores.
const startWait = 3 * time.Minute

var (
	binary = sync.OnceValues(func() (string, error) { return build("-race", "-tags=failpoints") })
	plain  = sync.OnceValues(func() (string, error) { return build() })
)

func build(flags ...string) (string, error) {
	dir, err := filesFolder()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "easel"+strings.NewReplacer("=", "-").Replace(strings.Join(flags, "")))
	command := exec.CommandContext(context.Background(), "go", append(append([]string{"build"}, flags...), "-o", path, "./cmd/easel")...)
	command.Dir = Root()
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build easel: %w\n%s", err, out)
	}
	return path, nil
}

// Root is the folder of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Binary builds easel, once in a test process: with the race detector, or plain for measuring.
func Binary(t testing.TB, measuring bool) string {
	t.Helper()
	builder := binary
	if measuring {
		builder = plain
	}
	path, err := builder()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Options of one running Easel. Everything may be left out.
type Options struct {
	ComfyUI string   // COMFYUI_URL; empty: the built-in demo
	DataDir string   // empty: a folder that lives as long as the test, with an empty database in it
	Fresh   bool     // without DataDir: a folder with nothing in it, as on a new machine
	Env     []string // NAME=VALUE
	Plain   bool     // without the race detector, and quiet: for measuring, on a new machine
	Account *Account // who runs it; nil: whoever runs the test

	Keep func(line string) bool // which lines of the log to keep; nil: all
}

// Account is a user of this machine.
type Account struct{ UID, GID uint32 }

// Easel is one running program.
type Easel struct {
	URL     string // without a slash at the end
	DataDir string

	t       testing.TB
	options Options
	listen  string
	command *exec.Cmd
	ended   chan struct{} // closed when the process has ended and its output was read
	log     *lockedBuffer // of the present run
	all     *lockedBuffer // of all runs
	waitErr error         // valid after ended
}

var announced = regexp.MustCompile(`^Easel .* is at (http://([^/ ]+)\S*?)/ \(`)

// polls are the lines about reading one generation or the servers, which is how tests wait.
var polls = regexp.MustCompile(`(?m)^.*"GET","path":"/api/(generations/[0-9a-f-]{36}|servers)".*\n`)

// Start runs easel until the test ends, and waits until it serves.
func Start(t testing.TB, o Options) *Easel {
	t.Helper()
	if o.DataDir == "" {
		o.DataDir = DataDir(t)
		given := slices.ContainsFunc(o.Env, func(v string) bool { return strings.HasPrefix(v, "DATABASE_URL=") })
		if !o.Fresh && !o.Plain && !given {
			if err := populate(o.DataDir); err != nil {
				t.Fatal(err)
			}
		}
	}
	e := &Easel{t: t, options: o, DataDir: o.DataDir, listen: "127.0.0.1:0", all: &lockedBuffer{}}
	e.start()
	t.Cleanup(func() {
		e.Stop()
		if t.Failed() {
			t.Logf("log of easel, without what the test asked again and again:\n%s", polls.ReplaceAllString(e.all.String(), ""))
		}
	})
	return e
}

// environment is that of a program with o, listening at listen.
func environment(o Options, listen string) []string {
	level := "debug"
	if o.Plain {
		level = "warn"
	}
	return append(append(os.Environ(),
		"EASEL_LISTEN="+listen, "EASEL_DATA_DIR="+o.DataDir, "COMFYUI_URL="+o.ComfyUI,
		"EASEL_LOG_FORMAT=json", "EASEL_LOG_LEVEL="+level, "PORT=", "DATABASE_URL=", "GORACE=halt_on_error=0 exitcode=66"),
		o.Env...)
}

func (o Options) attributes() *syscall.SysProcAttr {
	if o.Account == nil {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: o.Account.UID, Gid: o.Account.GID}}
}

func (e *Easel) start() {
	e.t.Helper()
	if err := e.launch(); err != nil {
		e.t.Fatal(err)
	}
}

// launch starts the program and waits until it serves.
func (e *Easel) launch() error {
	e.log = &lockedBuffer{}
	e.command = exec.CommandContext(context.WithoutCancel(e.t.Context()), Binary(e.t, e.options.Plain))
	e.command.Env, e.command.SysProcAttr = environment(e.options, e.listen), e.options.attributes()
	if e.options.Account != nil {
		e.command.Dir = "/" // the tests' folder may be closed to it
	}
	stderr, err := e.command.StderrPipe()
	if err != nil {
		return err
	}
	if err := e.command.Start(); err != nil {
		return err
	}
	address := make(chan string, 1)
	e.ended = make(chan struct{})
	keep := e.options.Keep
	go func() {
		defer close(e.ended)
		lines := bufio.NewReader(stderr)
		for {
			line, err := lines.ReadString('\n')
			if keep == nil || keep(line) {
				e.log.WriteString(line)
				e.all.WriteString(line)
			}
			if m := announced.FindStringSubmatch(line); m != nil {
				e.listen = m[2] // a restart comes back at the same address
				address <- m[1]
			}
			if err != nil {
				break
			}
		}
		e.waitErr = e.command.Wait()
	}()
	select {
	case at := <-address:
		if e.URL == "" {
			e.URL = at
		}
		if at != e.URL { // and no write where others read
			return fmt.Errorf("easel came back at %s, not at %s", at, e.URL)
		}
	case <-e.ended:
		return fmt.Errorf("easel ended at its start: %w\n%s", e.waitErr, e.Log())
	case <-time.After(startWait):
		_ = e.command.Process.Kill()
		<-e.ended
		return fmt.Errorf("easel did not start in %s\n%s", startWait, e.Log())
	}
	return nil
}

// Kill ends the program with SIGKILL, as a crash would.
func (e *Easel) Kill() {
	e.t.Helper()
	_ = e.command.Process.Kill()
	<-e.ended
	e.raced()
}

// Stop ends the program gracefully and says how long that took; a race report or an exit code
// fails the test.
func (e *Easel) Stop() time.Duration {
	e.t.Helper()
	select {
	case <-e.ended:
		return 0
	default:
	}
	began := time.Now()
	_ = e.command.Process.Signal(syscall.SIGCONT) // a test that failed may have left it frozen
	_ = e.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.ended:
	case <-time.After(time.Minute):
		_ = e.command.Process.Signal(syscall.SIGQUIT)
		<-e.ended
		e.t.Errorf("easel did not stop in a minute\n%s", e.Log())
	}
	var exit *exec.ExitError
	if errors.As(e.waitErr, &exit) && exit.ExitCode() > 0 {
		e.t.Errorf("easel ended with code %d", exit.ExitCode())
	}
	e.raced()
	return time.Since(began)
}

func (e *Easel) raced() {
	e.t.Helper()
	if strings.Contains(e.Log(), "WARNING: DATA RACE") {
		e.t.Errorf("data race:\n%s", e.Log())
	}
}

// Restart starts the program again, at the same address and with the same data. It must have ended.
func (e *Easel) Restart() {
	e.t.Helper()
	<-e.ended
	e.start()
}

// TryRestart is Restart for when something that the start needs may be down: the error is the
// program's, which has ended again.
func (e *Easel) TryRestart() error {
	<-e.ended
	return e.launch()
}

// AwaitDeath waits until the program has died by itself, as at a failpoint.
func (e *Easel) AwaitDeath() {
	e.t.Helper()
	select {
	case <-e.ended:
		e.raced()
	case <-time.After(Patience):
		e.t.Fatal("easel did not die")
	}
}

// SetEnv puts NAME=VALUE into the environment of the next start, over what was there. An empty
// value takes a name out.
func (e *Easel) SetEnv(name, value string) {
	env := slices.DeleteFunc(slices.Clone(e.options.Env), func(v string) bool { return strings.HasPrefix(v, name+"=") })
	if value != "" {
		env = append(env, name+"="+value)
	}
	e.options.Env = env
}

// PID is the running program's process id.
func (e *Easel) PID() int { return e.command.Process.Pid }

// Signal sends a signal to the running program.
func (e *Easel) Signal(s os.Signal) { _ = e.command.Process.Signal(s) }

// Log is what the present run of the program has written so far.
func (e *Easel) Log() string { return e.log.String() }

// Logs is what all its runs have written.
func (e *Easel) Logs() string { return e.all.String() }

// Get fetches a path of the site and gives status and body.
func (e *Easel) Get(path string) (status int, body string) {
	e.t.Helper()
	request, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, e.URL+path, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		e.t.Fatal(err)
	}
	defer response.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(response.Body); err != nil {
		e.t.Fatal(err)
	}
	return response.StatusCode, b.String()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) WriteString(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.WriteString(s)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
