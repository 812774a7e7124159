package faults

import (
	"errors"
	"net"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"easel/test/harness"
)

// natsServer is a NATS server in the test's own process, behind a proxy: its address stays, and it can hang.
type natsServer struct {
	road   *harness.Proxy
	port   int
	server *server.Server
}

// startNATS runs one until the test ends.
func startNATS(t *testing.T) *natsServer {
	t.Helper()
	n := &natsServer{port: server.RANDOM_PORT}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Kill)
	n.port = n.server.Addr().(*net.TCPAddr).Port // it listens on TCP
	n.road = harness.NewProxy(t, n.server.ClientURL())
	return n
}

// URL is what EASEL_BUS takes.
func (n *natsServer) URL() string { return "nats://" + n.road.Addr() }

// Start starts it at its address and waits until it takes connections.
func (n *natsServer) Start() error {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: n.port, NoSigs: true, NoLog: true})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(harness.Patience) {
		return errors.New("the NATS server takes no connections")
	}
	n.server = s
	return nil
}

// Kill ends it; its connections are cut.
func (n *natsServer) Kill() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

// Freeze holds all back that goes to it and comes from it, or lets it pass again.
func (n *natsServer) Freeze(on bool) { n.road.Stall(on) }
