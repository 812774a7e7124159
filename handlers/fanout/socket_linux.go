package fanout

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"
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

// tune bounds what a reader can cost. Where the system does not want to, it costs more. socket is the connection's
// number, which names it until the closer closes it.
func tune(tcp *net.TCPConn) (socket int, err error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = raw.Control(func(fd uintptr) {
		socket = int(fd)
		_ = syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_SNDBUF, sendBuffer)
		_ = syscall.SetsockoptInt(socket, syscall.IPPROTO_TCP, tcpUserTimeout, int(silence.Milliseconds()))
	})
	return socket, err
}

// write writes what the socket takes of p, without waiting: n bytes, fewer than p has when it is full.
//
// It is a raw call: the runtime does not learn that the thread is in the kernel. A socket that does not wait has it there
// for some ten microseconds, less than it takes to find another thread for the work meanwhile, which the runtime
// would otherwise look into every 20 µs: a tenth of all that an event costs.
func write(socket int, p []byte) (n int, err error) {
	for n < len(p) {
		got, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(socket), uintptr(unsafe.Pointer(&p[n])), uintptr(len(p)-n))
		switch errno {
		case 0:
			n += int(got)
		case syscall.EINTR:
		case syscall.EAGAIN:
			return n, nil
		default:
			return n, errno
		}
	}
	return n, nil
}

// drain throws away what the peer has sent, at most most bytes. open is false when it has left, or sends more.
func drain(socket int, scratch []byte, most int) (n int, open bool) {
	for n <= most {
		got, err := syscall.Read(socket, scratch)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return n, true
		case err != nil || got == 0:
			return n, false
		default:
			n += got
		}
	}
	return n, false
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
