package comfy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// SocketConfig says where to connect and whom to tell. A zero time or size takes the default named here.
type SocketConfig struct {
	URL      string // the server's base URL, as for NewClient
	ClientID string // the same for ever, so that a prompt's events find us again after a reconnect

	// OnMessage gets every message, in order, on the goroutine that reads the socket. It must not block: while it
	// runs nothing is read, and a client that does not read stops the events of all clients of that server. Nodes
	// of the Message may be read until it returns.
	OnMessage func(Message)

	// OnState gets every change of the connection, on the same goroutine as OnMessage and between messages. It
	// must not block either.
	OnState func(SocketState)

	Logger *slog.Logger // nil: none

	Proxy func(*http.Request) (*url.URL, error) // as in ClientOptions

	HandshakeTimeout time.Duration // 10 s: from dialling to the answer 101
	FlagsWait        time.Duration // 5 s: for the answer to feature_flags; see Socket
	PingEvery        time.Duration // 20 s
	ReadWait         time.Duration // 60 s: without a message or pong the connection is dead
	WriteWait        time.Duration // 10 s
	CloseWait        time.Duration // 2 s: for the old connection's end to show before the next is dialled
	ShortestWait     time.Duration // 0.5 s: between two connections
	LongestWait      time.Duration // 15 s
	ReadLimit        int64         // 32 MiB: a larger message costs the connection
}

// SocketState is what has become of the connection.
type SocketState struct {
	Connected bool
	Err       error         // if not connected: why; wraps ErrUnavailable, ErrNotComfyUI or ErrTooLarge
	RetryIn   time.Duration // if not connected: when the next attempt begins
	Attempt   int           // which attempt this is since a message last came, from 1; 0 when a connection that brought some ends
	Counts    SocketCounts
}

// SocketCounts counts since the Socket was made.
type SocketCounts struct {
	Connects   uint64 // handshakes that succeeded; reconnects are one fewer
	Messages   uint64 // handed to OnMessage
	Malformed  uint64 // frames that were no message, passed over
	Oversize   uint64 // messages over ReadLimit, lost with their connection
	Unanswered uint64 // connections given up because feature_flags had no answer
}

// SocketStats is a Socket at one moment.
type SocketStats struct {
	SocketCounts
	Connected     bool
	ConnectedAt   time.Time
	LastMessage   time.Time // zero if there was none
	FlagsAnswered bool      // on this connection
}

// Socket keeps one WebSocket to one ComfyUI server open for as long as it runs, whatever the server does, and
// hands on what is said there. Messages are news, not truth: what was said while the connection was down is not
// said again, so after each connect ask Lookup.
//
// An open connection proves little. ComfyUI drops a client from its table when an older connection of the same
// clientId ends later than the new one began; the newer one stays open, answers pings and hears nothing. Two
// things are done about that here. The old connection is closed, and its end awaited, before the next is dialled.
// And feature_flags, sent first, must be answered within FlagsWait if this server has answered it before and
// nothing else but the greeting has come on this connection; else the connection is given up. A server that has
// never answered is an old one, which knows no flags, and its silence here means nothing; nor does it any more
// after three connections in a row without an answer, for it may have been replaced by an old one. Later silence
// is for the caller to judge, who knows from /queue whether there should be events: see Redial.
type Socket struct {
	config   SocketConfig
	endpoint *endpoint
	err      error // of the URL
	logger   *slog.Logger

	mu    sync.Mutex
	link  *link // the present connection, or nil
	stats SocketStats

	// Of the goroutine in Run alone.
	attempt    int
	answered   bool // feature_flags, on some connection so far
	unanswered int  // connections in a row given up for the lack of it
}

// unansweredLimit is after how many connections without an answer to feature_flags none is demanded any more.
const unansweredLimit = 3

// NewSocket makes a Socket; Run runs it.
func NewSocket(c SocketConfig) *Socket {
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, 10*time.Second)
	c.FlagsWait = cmp.Or(c.FlagsWait, 5*time.Second)
	c.PingEvery = cmp.Or(c.PingEvery, 20*time.Second)
	c.ReadWait = cmp.Or(c.ReadWait, 60*time.Second)
	c.WriteWait = cmp.Or(c.WriteWait, 10*time.Second)
	c.CloseWait = cmp.Or(c.CloseWait, 2*time.Second)
	c.ShortestWait = cmp.Or(c.ShortestWait, 500*time.Millisecond)
	c.LongestWait = cmp.Or(c.LongestWait, 15*time.Second)
	c.ReadLimit = cmp.Or(c.ReadLimit, 32<<20)
	if c.OnMessage == nil {
		c.OnMessage = func(Message) {}
	}
	if c.OnState == nil {
		c.OnState = func(SocketState) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Socket{config: c, logger: c.Logger}
	s.endpoint, s.err = parseEndpoint(c.URL)
	if s.err == nil && c.ClientID == "" {
		s.err = errors.New("no client id")
	}
	return s
}

// Run connects, reads, and connects again until ctx ends, and returns ctx's error; any other error is one of the
// configuration and comes at once. When it returns, the connection is closed and no goroutine is left. It is
// called once.
func (s *Socket) Run(ctx context.Context) error {
	if s.err != nil {
		return fmt.Errorf("comfyui socket: %w", s.err)
	}
	wait := &backoff{shortest: s.config.ShortestWait, longest: s.config.LongestWait}
	for ctx.Err() == nil {
		s.attempt++
		heard, err := s.connect(ctx)
		if heard {
			wait.reset()
			s.attempt = 0
		}
		if ctx.Err() != nil {
			s.disconnected(context.Cause(ctx), 0)
			break
		}
		retryIn := wait.next()
		s.disconnected(err, retryIn)
		pause(ctx, retryIn)
	}
	return context.Cause(ctx)
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// connect makes one connection and reads it to its end, which is the error. heard tells whether any message came.
func (s *Socket) connect(ctx context.Context) (heard bool, err error) {
	l, err := s.dial(ctx)
	if err != nil {
		return false, err
	}
	s.connected(l)
	defer l.close()
	stop := context.AfterFunc(ctx, func() { l.interrupt(context.Cause(ctx)) })
	defer stop()
	return s.converse(l)
}

// Redial gives up the present connection and makes another after the usual wait. It is for whoever knows that
// events should have come. Without a connection it does nothing: the next is being made already.
func (s *Socket) Redial() {
	s.mu.Lock()
	l := s.link
	s.mu.Unlock()
	if l != nil {
		l.interrupt(errRedial)
	}
}

var (
	errRedial     = fmt.Errorf("%w: redial was asked for", ErrUnavailable)
	errUnanswered = fmt.Errorf("%w: feature_flags had no answer", ErrUnavailable)
)

// Stats tells how the socket is. It may be called at any time.
func (s *Socket) Stats() SocketStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// count changes the stats and returns the counts after it.
func (s *Socket) count(change func(*SocketStats)) SocketCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
	return s.stats.SocketCounts
}

func (s *Socket) connected(l *link) {
	s.mu.Lock()
	s.link = l
	s.mu.Unlock()
	counts := s.count(func(t *SocketStats) {
		t.Connected, t.ConnectedAt, t.FlagsAnswered = true, time.Now(), false
		t.Connects++
	})
	s.logger.Info("comfyui socket connected", "connects", counts.Connects)
	s.config.OnState(SocketState{Connected: true, Attempt: s.attempt, Counts: counts})
}

func (s *Socket) disconnected(err error, retryIn time.Duration) {
	s.mu.Lock()
	s.link = nil
	s.mu.Unlock()
	counts := s.count(func(t *SocketStats) { t.Connected, t.FlagsAnswered = false, false })
	level := slog.LevelWarn
	if s.attempt > 1 || retryIn == 0 { // said once, or asked for
		level = slog.LevelDebug
	}
	s.logger.Log(context.Background(), level, "comfyui socket not connected", "err", err, "attempt", s.attempt, "retry_in", retryIn)
	s.config.OnState(SocketState{Err: err, RetryIn: retryIn, Attempt: s.attempt, Counts: counts})
}
