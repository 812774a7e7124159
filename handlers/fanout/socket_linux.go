package fanout

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	// sendBuffer bounds what the kernel keeps for a reader that does not read; left alone it grows to megabytes.
	sendBuffer = 64 << 10
	// silence is how long a peer may acknowledge nothing of what it was sent, or have no room for it. Without a limit
	// a machine that has lost its power is noticed after a quarter of an hour.
	silence = 30 * time.Second

	tcpUserTimeout = 0x12 // TCP_USER_TIMEOUT, which syscall does not name
	edgeTriggered  = 1 << 31
)

// tune bounds what a reader can cost. Where the system does not want to, it costs more.
func tune(tcp *net.TCPConn, raw syscall.RawConn) {
	_ = tcp.SetWriteBuffer(sendBuffer)
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(silence.Milliseconds()))
	})
}

// descriptor is the number of a socket. It names the socket until the closer closes it.
func descriptor(raw syscall.RawConn) (number int) {
	number = -1 // of a closed one
	_ = raw.Control(func(fd uintptr) { number = int(fd) })
	return number
}

// writer writes without waiting. It is the one closure of a loop, so that a write allocates nothing.
type writer struct {
	rest []byte
	n    int
	err  error
	once func(fd uintptr) (done bool)
}

func newWriter() *writer {
	w := new(writer)
	w.once = func(fd uintptr) bool {
		for len(w.rest) > 0 {
			n, err := syscall.Write(int(fd), w.rest)
			switch {
			case err == nil:
				w.n, w.rest = w.n+n, w.rest[n:]
			case errors.Is(err, syscall.EINTR):
			case errors.Is(err, syscall.EAGAIN):
				return true
			default:
				w.err = err
				return true
			}
		}
		return true
	}
	return w
}

// write writes what the socket takes of p: n bytes, fewer than p has when it is full.
func (w *writer) write(raw syscall.RawConn, p []byte) (n int, err error) {
	w.rest, w.n, w.err = p, 0, nil
	if err := raw.Write(w.once); err != nil {
		return w.n, err
	}
	w.rest = nil
	return w.n, w.err
}

// drain throws away what the peer has sent, at most most bytes. open is false when it has left, or sends more.
func drain(raw syscall.RawConn, scratch []byte, most int) (n int, open bool) {
	failed := raw.Read(func(fd uintptr) bool {
		for n <= most {
			got, err := syscall.Read(int(fd), scratch)
			switch {
			case errors.Is(err, syscall.EINTR):
			case errors.Is(err, syscall.EAGAIN):
				open = true
				return true
			case err != nil || got == 0:
				return true
			default:
				n += got
			}
		}
		return true
	})
	return n, open && failed == nil
}

// poller watches many sockets with one epoll instance, which is itself a file that the runtime waits for: its
// goroutine holds no thread.
type poller struct {
	file *os.File
	raw  syscall.RawConn
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // os.NewFile hands the runtime what does not block
		_ = syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// add watches a socket until it is closed. What it is by now is reported as well.
func (p *poller) add(socket int) (err error) {
	event := syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edgeTriggered,
		Fd:     int32(socket),
	}
	if failed := p.raw.Control(func(fd uintptr) {
		err = syscall.EpollCtl(int(fd), syscall.EPOLL_CTL_ADD, socket, &event)
	}); failed != nil {
		return failed
	}
	return os.NewSyscallError("epoll_ctl", err)
}

// run reports until the poller is closed.
func (p *poller) run(report func(socket int, readable bool)) {
	events := make([]syscall.EpollEvent, 256)
	_ = p.raw.Read(func(fd uintptr) bool { // its only error is that the poller was closed
		for {
			n, err := syscall.EpollWait(int(fd), events, 0)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if err != nil || n <= 0 {
				return false // wait for more
			}
			for _, e := range events[:n] {
				report(int(e.Fd), e.Events&^syscall.EPOLLOUT != 0)
			}
		}
	})
}

func (p *poller) close() { _ = p.file.Close() }
