package harness

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"easel/db/embedded"
)

// Postgres is a database server of the test's own, able to die, to hang and to come back.
type Postgres struct {
	t   testing.TB
	dir string

	mu     sync.Mutex // guards all below
	server *embedded.Server
	stop   chan struct{} // closed when it is meant to be down
}

// StartPostgres runs one until the test ends. It does not wait for the disk: what it has answered
// survives kill -9, and no power cut.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	p := &Postgres{t: t, dir: DataDir(t)}
	if err := populate(p.dir); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop() })
	return p
}

// Start brings it back after Stop.
func (p *Postgres) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.start()
}

// start makes a server; p.mu is held.
func (p *Postgres) start() error {
	server, err := embedded.Start(context.Background(), embedded.Config{
		DataDir: p.dir, BinDir: os.Getenv("EASEL_PG_BIN"), User: os.Getenv("EASEL_PG_USER"), Logger: slog.New(slog.DiscardHandler),
		Settings: map[string]string{"fsync": "off", "max_connections": "200"},
	})
	if err != nil {
		return err
	}
	p.server, p.stop = server, make(chan struct{})
	go p.revive(server, p.stop)
	return nil
}

// revive starts a server anew that died too often for its own supervisor, which nothing else would do here.
func (p *Postgres) revive(server *embedded.Server, stop <-chan struct{}) {
	select {
	case <-stop:
		return
	case <-server.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-stop:
		return
	default:
	}
	_ = server.Stop(context.Background()) // it has ended: this frees its folder
	if err := p.start(); err != nil {
		p.t.Errorf("Postgres does not come back: %v", err)
	}
}

// Stop ends it in an orderly way.
func (p *Postgres) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	return p.server.Stop(context.Background())
}

// Restart ends it and brings it back.
func (p *Postgres) Restart() error {
	if err := p.Stop(); err != nil {
		return err
	}
	return p.Start()
}

// Kill ends it with SIGKILL. It comes back by itself, as with any supervisor.
func (p *Postgres) Kill() error {
	pids, err := p.processes()
	if err != nil || len(pids) == 0 {
		return err
	}
	return syscall.Kill(pids[0], syscall.SIGKILL)
}

// Freeze stops it and all its backends with SIGSTOP, or lets them go on.
func (p *Postgres) Freeze(on bool) error {
	pids, err := p.processes()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		s := syscall.SIGCONT
		if on {
			s = syscall.SIGSTOP
		}
		_ = syscall.Kill(pid, s) // a backend may have ended meanwhile
	}
	return nil
}

// processes are the postmaster and its children.
func (p *Postgres) processes() ([]int, error) {
	text, err := os.ReadFile(filepath.Join(p.dir, "pg", "data", "postmaster.pid"))
	if err != nil {
		return nil, nil //nolint:nilerr // none at present
	}
	first, _, _ := strings.Cut(string(text), "\n")
	postmaster, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil {
		return nil, nil //nolint:nilerr // half a file: none yet
	}
	pids := []int{postmaster}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", postmaster, postmaster))
	if err != nil {
		return pids, nil //nolint:nilerr // it has ended meanwhile
	}
	for _, field := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// URL leads to it without anything between.
func (p *Postgres) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server.URL()
}

// Link is a proxy in front of it, and the URL that leads through the proxy.
func (p *Postgres) Link(t testing.TB) (link *Proxy, databaseURL string) {
	t.Helper()
	u, err := url.Parse(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	link = newProxy(t, "unix", filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432"))
	u.Host = link.Addr()
	u.RawQuery = url.Values{"sslmode": {"disable"}}.Encode()
	return link, u.String()
}

// Pool connects the test to it, without anything between.
func (p *Postgres) Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), p.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}
