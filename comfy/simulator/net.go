package simulator

import (
	"errors"
	"net"
	"net/http"
	"syscall"
)

// reset cuts the connection under w with a TCP reset, as a killed process leaves it to the kernel.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2 or a recorder: net/http cuts the stream
	}
	cut(conn)
}

// cut closes conn so that the peer sees a reset rather than an orderly end.
func cut(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the close is only more polite
	}
	_ = conn.Close() // the peer is to notice, not we
}

func isAddrInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
