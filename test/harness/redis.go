package harness

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Redis is a real redis-server of the test's own, which keeps nothing.
type Redis struct {
	addr    string
	command *exec.Cmd
}

// StartRedis runs one until the test ends.
func StartRedis(t testing.TB) *Redis {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Redis{addr: listener.Addr().String()}
	_ = listener.Close() // its port is the server's now
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	return r
}

// URL is what EASEL_BUS takes.
func (r *Redis) URL() string { return "redis://" + r.addr }

// Start starts it at its address and waits until it takes connections.
func (r *Redis) Start() error {
	_, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		return err
	}
	program, err := exec.LookPath("redis-server")
	if err != nil {
		program = "redis-check-rdb" // the same program, in Debian's redis-tools: its name decides
	}
	r.command = exec.CommandContext(context.Background(), program,
		"--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", "/")
	r.command.Args[0] = "redis-server"
	r.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.command.Start(); err != nil {
		return fmt.Errorf("start redis-server (make test installs it): %w", err)
	}
	const wait = 20 * time.Millisecond
	for began := time.Now(); time.Since(began) < startWait; time.Sleep(wait) {
		c, err := new(net.Dialer).DialContext(context.Background(), "tcp", r.addr)
		if err == nil {
			return c.Close()
		}
	}
	return fmt.Errorf("redis-server does not answer at %s", r.addr)
}

// Kill ends it with SIGKILL.
func (r *Redis) Kill() {
	_ = r.command.Process.Kill()
	_ = r.command.Wait() // it was killed, and says so
}

// Freeze stops it with SIGSTOP, or lets it go on.
func (r *Redis) Freeze(on bool) {
	s := syscall.SIGCONT
	if on {
		s = syscall.SIGSTOP
	}
	_ = r.command.Process.Signal(s)
}

// PID is the process id.
func (r *Redis) PID() int { return r.command.Process.Pid }
