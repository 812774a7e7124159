package natsbus_test

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"easel/studio"
	"easel/studio/bustest"
	"easel/studio/natsbus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	bustest.Run(t, func(t *testing.T) bustest.Server {
		running := start(t, server.RANDOM_PORT)
		t.Cleanup(func() { stop(running) })
		address := running.ClientURL()
		return bustest.Server{
			NewBus: func(t *testing.T) studio.Bus {
				bus, err := natsbus.New(address, "easel.test", slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				return bus
			},
			Restart: func(t *testing.T) {
				port := running.Addr().(*net.TCPAddr).Port
				stop(running)
				running = start(t, port)
			},
		}
	})
}

func TestURLs(t *testing.T) {
	t.Parallel()
	_, err := natsbus.New("nats://user:geheim@ho st", "c", nil)
	if err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("New() = %v", err)
	}
}

func start(t *testing.T, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the NATS server is not ready")
	}
	return s
}

func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}
