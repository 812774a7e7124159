//go:build !linux

package fanout

import (
	"errors"
	"net"
)

// Elsewhere than on Linux there is no poller, so that Run takes no connections and none of these is called.

type poller struct{}

func newPoller() (*poller, error)               { return nil, errors.ErrUnsupported }
func (*poller) add(int) error                   { return errors.ErrUnsupported }
func (*poller) run(func(socket int, read bool)) {}
func (*poller) close()                          {}
func write(int, []byte) (int, error)            { return 0, errors.ErrUnsupported }
func tune(*net.TCPConn) (int, error)            { return 0, errors.ErrUnsupported }
func drain(int, []byte, int) (n int, open bool) { return 0, false }
