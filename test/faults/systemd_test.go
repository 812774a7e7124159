package faults

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"easel/test/harness"
)

// systemd is told when Easel serves, that it is well, and that it ends.
func TestSystemdIsTold(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "easel-notify-") //nolint:usetesting // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "socket")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var told []string
	var listening sync.WaitGroup
	listening.Go(func() {
		buffer := make([]byte, 4096)
		for {
			n, err := socket.Read(buffer)
			if err != nil {
				return // closed
			}
			mu.Lock()
			told = append(told, string(buffer[:n]))
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = socket.Close()
		listening.Wait()
	})
	was := func(state string) bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.Contains(told, state)
	}
	e := harness.Start(t, harness.Options{Env: []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=3000000"}})
	harness.Eventually(t, "is systemd told that Easel serves", func() bool { return was("READY=1") })
	harness.Eventually(t, "is the watchdog fed", func() bool { return was("WATCHDOG=1") })
	if was("STOPPING=1") {
		t.Error("STOPPING=1 was told before the end")
	}
	e.Stop()
	harness.Eventually(t, "is systemd told of the end", func() bool { return was("STOPPING=1") })
}
