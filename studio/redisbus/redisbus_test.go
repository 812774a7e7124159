package redisbus_test

import (
	"bufio"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"easel/studio"
	"easel/studio/bustest"
	"easel/studio/redisbus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	bustest.Run(t, func(t *testing.T) bustest.Server {
		r := &redisServer{folder: t.TempDir()}
		r.start(t)
		t.Cleanup(r.stop)
		return bustest.Server{
			NewBus: func(t *testing.T) studio.Bus {
				bus, err := redisbus.New("unix://"+r.socket(), "easel:test", slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				return bus
			},
			Restart: func(t *testing.T) { r.stop(); r.start(t) },
		}
	})
}

func TestURLs(t *testing.T) {
	t.Parallel()
	_, err := redisbus.New("redis://user:geheim@ho st", "c", nil)
	if err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("New() = %v", err)
	}
}

// redisServer is a real one, on a socket in a folder of the test.
type redisServer struct {
	folder  string
	process *exec.Cmd
}

func (r *redisServer) socket() string { return filepath.Join(r.folder, "redis.sock") }

func (r *redisServer) start(t *testing.T) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		path, err = exec.LookPath("redis-check-rdb") // the same program, in Debian's redis-tools: its name decides
	}
	if err != nil {
		t.Fatal("there is no redis-server; tools/need redis installs it")
	}
	r.process = exec.Command(path, "--port", "0", "--unixsocket", r.socket(), "--save", "", "--appendonly", "no", "--dir", r.folder)
	r.process.Args[0] = "redis-server"
	out, err := r.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(strings.ToLower(lines.Text()), "ready to accept connections") {
			break
		}
	}
	conn, err := net.DialTimeout("unix", r.socket(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

func (r *redisServer) stop() {
	_ = r.process.Process.Kill()
	_ = r.process.Wait()
}
