package bench

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"syscall"

	"github.com/gorilla/websocket"
)

// bareVariable, when set, makes the test binary a bare server: its value is the WebSocket to follow. rawVariable, set
// too, makes it one that owns its sockets.
const (
	bareVariable = "EASEL_BENCH_BARE"
	rawVariable  = "EASEL_BENCH_RAW"
)

// bare is the least that a net/http program can do for the same result: one goroutine a watcher,
// each event rendered once, no database, no page, no recovery. It is what Easel is compared with.
type bare struct {
	mu       sync.Mutex
	watchers map[chan []byte]struct{}
	loops    []*rawLoop
	next     int
	kept     []*os.File
}

// runBare serves GET /events on a port of its own, which it prints, and broadcasts each progress
// message of the WebSocket socketURL. It returns when that socket ends.
func runBare(socketURL string, raw bool) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // lives as long as the process
	if err != nil {
		return err
	}
	b := &bare{watchers: map[chan []byte]struct{}{}}
	http.HandleFunc("GET /events", b.watch)
	if raw {
		http.HandleFunc("GET /raw", b.own)
		for range runtime.GOMAXPROCS(0) {
			l := &rawLoop{events: make(chan []byte, 64)}
			b.watchers[l.events] = struct{}{}
			b.loops = append(b.loops, l)
			go l.run()
		}
	}
	go func() { _ = http.Serve(listener, nil) }() //nolint:gosec // a comparison on loopback; ends with the process
	conn, response, err := websocket.DefaultDialer.Dial(socketURL, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	path := "events"
	if raw {
		path = "raw"
	}
	fmt.Fprintf(os.Stdout, "http://%s/%s\n", listener.Addr(), path)
	for {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		b.handle(frame)
	}
}

func (b *bare) handle(frame []byte) {
	var message struct {
		Type string `json:"type"`
		Data struct{ Value, Max int }
	}
	if json.Unmarshal(frame, &message) != nil {
		return
	}
	switch message.Type {
	case "progress":
		b.broadcast(fmt.Appendf(nil, "id: %d\ndata: {\"type\":\"progress\",\"currentStep\":%d,\"totalSteps\":%d,\"percentage\":%d,\"status\":\"Step %d of %d\",\"phase\":\"inference\",\"overall\":%d,\"etaSeconds\":%d,\"queuePosition\":0,\"imageIndex\":1,\"totalImages\":1,\"node\":\"3\"}\n\n",
			message.Data.Value, message.Data.Value, message.Data.Max, 100*message.Data.Value/message.Data.Max, message.Data.Value, message.Data.Max, 90*message.Data.Value/message.Data.Max, message.Data.Max-message.Data.Value))
	case "execution_success":
		b.broadcast([]byte("data: {\"type\":\"complete\",\"percentage\":100}\n\n"))
	}
}

func (b *bare) broadcast(event []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for watcher := range b.watchers {
		watcher <- event
	}
}

func (b *bare) watch(w http.ResponseWriter, r *http.Request) {
	events := make(chan []byte, 64)
	b.mu.Lock()
	b.watchers[events] = struct{}{}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.watchers, events)
		b.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	flusher := http.NewResponseController(w)
	_, _ = w.Write([]byte("data: {\"type\":\"connected\"}\n\n"))
	_ = flusher.Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case event := <-events:
			if _, err := w.Write(event); err != nil {
				return
			}
			if flusher.Flush() != nil {
				return
			}
		}
	}
}

// rawLoop writes each event to its sockets, and joins those that wait. It is the frontier: no heartbeat, nobody leaves,
// a socket that is full loses what it has no room for.
type rawLoop struct {
	events chan []byte

	mu    sync.Mutex
	socks []int
}

func (l *rawLoop) run() {
	for event := range l.events {
		joined := event
		for waiting := len(l.events); waiting > 0; waiting-- {
			joined = append(joined[:len(joined):len(joined)], <-l.events...)
		}
		chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", len(joined), joined)
		l.mu.Lock()
		for _, fd := range l.socks {
			_, _ = syscall.Write(fd, chunk)
		}
		l.mu.Unlock()
	}
}

// own takes a connection over for good.
func (b *bare) own(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	flusher := http.NewResponseController(w)
	_, _ = w.Write([]byte("data: {\"type\":\"connected\"}\n\n"))
	_ = flusher.Flush()
	conn, _, err := flusher.Hijack()
	if err != nil {
		return
	}
	file, err := conn.(*net.TCPConn).File() // a socket that no finalizer closes
	if err != nil {
		return
	}
	fd := int(file.Fd())
	if syscall.SetNonblock(fd, true) != nil {
		return
	}
	_ = conn.Close()
	b.mu.Lock()
	b.kept = append(b.kept, file)
	b.next = (b.next + 1) % len(b.loops)
	l := b.loops[b.next]
	b.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.socks = append(l.socks, fd)
}
