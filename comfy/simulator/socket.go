package simulator

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
)

// maxClientMessage is the first size of a client's message that ComfyUI (aiohttp) refuses with close code 1009.
const maxClientMessage = 4 << 20

var upgrader = websocket.Upgrader{
	EnableCompression: true,
	CheckOrigin:       func(*http.Request) bool { return true }, // checked for all routes alike, see sameOrigin
}

// socket is one WebSocket connection.
type socket struct {
	id   string // the client id in force
	conn *websocket.Conn

	writing  sync.Mutex
	metadata bool // asked for previews with metadata; guarded by the hub's mu
}

func (s *socket) write(kind int, data []byte) {
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.conn.WriteMessage(kind, data) // ComfyUI logs it and goes on; the reader sees the end of the connection
}

// half sends a frame that announces all of data, but carries only half, and cuts the connection.
func (s *socket) half(data []byte) {
	s.writing.Lock()
	defer s.writing.Unlock()
	size := min(len(data), 125) // one byte of length suffices
	header := []byte{0x81, byte(size)}
	_, _ = s.conn.NetConn().Write(append(header, data[:size/2]...)) // the connection is lost either way
	_ = s.conn.NetConn().Close()
}

func (s *socket) cut() { cut(s.conn.NetConn()) }

// serveSocket is GET /ws: it registers the connection and reads from it until it ends.
func (p *process) serveSocket(w http.ResponseWriter, r *http.Request) {
	if !websocket.IsWebSocketUpgrade(r) {
		plain(w, http.StatusBadRequest, "No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\".")
		return
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	defer conn.Close()
	conn.SetReadLimit(maxClientMessage - 1)
	conn.SetCloseHandler(func(int, string) error { // ComfyUI answers 1000 whatever it got
		normal := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		return conn.WriteControl(websocket.CloseMessage, normal, time.Now().Add(time.Second))
	})
	p.sim.ledger.note(func(l *Ledger) { l.sockets++ })

	s := &socket{id: r.URL.Query().Get("clientId"), conn: conn}
	if s.id == "" {
		s.id = strings.ReplaceAll(uuid.NewString(), "-", "")
	}
	if !p.hub.register(s) {
		s.cut()
		return
	}
	defer p.hub.unregister(s)

	// These two go out at once, past the loop: they reach a client even while the loop is stuck.
	node := p.runningNode(s.id)
	s.write(websocket.TextMessage, message("status", pairs("status", queueInfo(p.queue.remaining()), "sid", s.id)))
	if node != "" {
		s.write(websocket.TextMessage, message("executing", pairs("node", node)))
	}
	p.read(s)
}

// read takes what the client says until the connection ends. Only feature_flags as the first JSON object counts.
func (p *process) read(s *socket) {
	first := true
	for {
		kind, data, err := s.conn.ReadMessage()
		if err != nil {
			return
		}
		if kind != websocket.TextMessage || !first {
			continue
		}
		v, err := decode(data)
		o, ok := v.(*object)
		if err != nil || !ok {
			continue
		}
		first = false
		if o.text("type") != "feature_flags" {
			continue
		}
		wants, _ := o.member("data").get("supports_preview_metadata")
		p.hub.mu.Lock()
		s.metadata = wants == true // the text "true" does not count
		p.hub.mu.Unlock()
		p.hub.queue(frame{to: s.id, data: message("feature_flags", featureFlags())})
	}
}

// featureFlags is what the server can do, as told by GET /features and on the socket.
func featureFlags() *object {
	return pairs("supports_preview_metadata", true, "max_upload_size", 104857600)
}
