//go:build !linux

package fanout

import (
	"errors"
	"net"
	"syscall"
)

// Elsewhere than on Linux there is no poller, so that Run takes no connections and none of these is called.

type (
	poller struct{}
	writer struct{}
)

func newPoller() (*poller, error)                           { return nil, errors.ErrUnsupported }
func (*poller) add(int) error                               { return errors.ErrUnsupported }
func (*poller) run(func(socket int, readable bool))         {}
func (*poller) close()                                      {}
func newWriter() *writer                                    { return new(writer) }
func (*writer) write(syscall.RawConn, []byte) (int, error)  { return 0, errors.ErrUnsupported }
func tune(*net.TCPConn, syscall.RawConn)                    {}
func descriptor(syscall.RawConn) int                        { return -1 }
func drain(syscall.RawConn, []byte, int) (n int, open bool) { return 0, false }
