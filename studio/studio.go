// Package studio is the life of a generation: it accepts what people ask for, sends each image
// to a ComfyUI, follows it, stores the pictures, and tells everyone who watches.
//
// Postgres holds the truth. What has been accepted is a committed row, and every step after that
// is one guarded statement, so that any process may die between any two of them. ComfyUI is taken
// for an executor that forgets: its /queue and /history say what became of a prompt, its messages
// only say when to look.
//
// Progress never touches the database. The hub keeps the live generations in memory, folds what
// the trackers know into one immutable State a change, and wakes the watchers.
package studio

import (
	"cmp"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"easel/blob"
	"easel/db"
)

// ServerConfig names one ComfyUI.
type ServerConfig struct {
	Name string
	URL  string // http or https
	Demo bool   // the built-in stand-in; its URL may differ at every start
}

// Config is what a Studio needs. Pool and Blobs are the caller's to close, after Run has returned.
type Config struct {
	Pool     *pgxpool.Pool
	Blobs    blob.Store
	Servers  []ServerConfig // servers that are known but not named here are switched off
	Bus      Bus            // between instances; nil: the database's. With another, Pool is one of db.OpenQuiet
	Instance uuid.UUID      // of this process; zero: a new one
	Sole     bool           // no other instance can use this database: leases need not run out first
	Scratch  string         // folder for files while they are fetched, up to 256 MiB each; empty: the system's
	Logger   *slog.Logger   // nil: slog.Default

	MaxWaiting int // generations of one user that may wait at once; 0: 5000
	MaxRunning int // images of one user that may be at work at once; 0: no limit

	Webhook         string // the default webhook; empty: as people set it on the page
	PrivateWebhooks bool   // webhooks may lie in private networks, and be plain http
	WebhookSecret   string // signs what is posted; empty: one that ends with the process
	WebhookAgent    string // User-Agent of what is posted; empty: Easel
	// WebhookBody is what is posted of a generation that has ended; nil: its id and status.
	WebhookBody func(*Generation) ([]byte, error)

	PushKey     *ecdh.PrivateKey // of P-256: browsers take messages that it signs; nil: one that ends with the process
	PushContact string           // whom the operators of push services may turn to: an https URL, or a mail address
	// PushBody is what a browser is told of a generation that has ended, nil for a test: at most 1 KiB. nil: its id and status.
	PushBody func(*Generation) ([]byte, error)

	Timing Timing
}

// Timing holds every duration that the studio waits for; a zero field takes the default.
type Timing struct {
	Lease  time.Duration // 15 s: how long a server stays ours without a renewal, by the database's clock
	Renew  time.Duration // 5 s
	Margin time.Duration // 1 s: we let go this much before the lease runs out, by our own clock

	Poll      time.Duration // 10 s, ±20 %: look at a live attempt even if nothing called for it
	FastPoll  time.Duration // 2 s: the same while events do not arrive
	Settle    time.Duration // 30 s after a POST before absence says anything
	AbsentGap time.Duration // 2 s between the two absent readings that make an attempt lost
	AskAgain  time.Duration // 2 s between two requests to cancel a prompt that goes on
	Backoff   time.Duration // 1 s, doubled up to 30 s: pause after a server has refused to take work

	Watch    time.Duration // 15 min: what was believed lost may turn up so long
	LatePoll time.Duration // 10 s, ±20 %: look whether it has
	NoteStep time.Duration // 5 s: keep how far a running prompt is

	Yield time.Duration // 500 ms: an image is left to a server that suits it better for so long

	Abandon time.Duration // 5 min without an answer: what is inside a server goes to others that can run it

	StatusWithin time.Duration // 5 s after a POST a status must arrive, else the socket is dead
	Silence      time.Duration // 30 s without an event while something of ours runs: it is silent
	StalledRetry time.Duration // 5 min between two tries to mend a stalled socket
	Learn        time.Duration // 5 min between two readings of its classes and models
	Health       time.Duration // 10 s between two looks at the server itself

	Publish     time.Duration // 25 ms between two steps that are shown of a generation, four times that before what is none
	RetryFinish time.Duration // 1 s, doubled up to 1 min: between two tries to fetch files
	Storage     time.Duration // 30 s before a storage that is full or away is tried again
	CatchUp     time.Duration // 5 s, ±20 %: read the changes of others that no bell has told; 1 s at most while none is heard
	Probe       time.Duration // 10 s between two tests whether bells are heard
	Answer      time.Duration // 2 s for such a test, else the connection is given up
	Study       time.Duration // 5 s: learned times are stored at most so often, and those of others read
	JobPoll     time.Duration // 5 s: look for jobs whose time has come; a notice of a new one comes sooner

	RetryWebhook time.Duration // 10 s, doubled up to an hour: between two tries to deliver
}

func (t Timing) withDefaults() Timing {
	return Timing{
		Lease:        cmp.Or(t.Lease, 15*time.Second),
		Renew:        cmp.Or(t.Renew, 5*time.Second),
		Margin:       cmp.Or(t.Margin, time.Second),
		Poll:         cmp.Or(t.Poll, 10*time.Second),
		FastPoll:     cmp.Or(t.FastPoll, 2*time.Second),
		Settle:       cmp.Or(t.Settle, 30*time.Second),
		AbsentGap:    cmp.Or(t.AbsentGap, 2*time.Second),
		AskAgain:     cmp.Or(t.AskAgain, 2*time.Second),
		Backoff:      cmp.Or(t.Backoff, time.Second),
		Watch:        cmp.Or(t.Watch, 15*time.Minute),
		LatePoll:     cmp.Or(t.LatePoll, 10*time.Second),
		NoteStep:     cmp.Or(t.NoteStep, 5*time.Second),
		Yield:        cmp.Or(t.Yield, 500*time.Millisecond),
		Abandon:      cmp.Or(t.Abandon, 5*time.Minute),
		StatusWithin: cmp.Or(t.StatusWithin, 5*time.Second),
		Silence:      cmp.Or(t.Silence, 30*time.Second),
		StalledRetry: cmp.Or(t.StalledRetry, 5*time.Minute),
		Learn:        cmp.Or(t.Learn, 5*time.Minute),
		Health:       cmp.Or(t.Health, 10*time.Second),
		Publish:      cmp.Or(t.Publish, 25*time.Millisecond),
		RetryFinish:  cmp.Or(t.RetryFinish, time.Second),
		Storage:      cmp.Or(t.Storage, 30*time.Second),
		CatchUp:      cmp.Or(t.CatchUp, 5*time.Second),
		Probe:        cmp.Or(t.Probe, 10*time.Second),
		Answer:       cmp.Or(t.Answer, 2*time.Second),
		Study:        cmp.Or(t.Study, 5*time.Second),
		JobPoll:      cmp.Or(t.JobPoll, 5*time.Second),
		RetryWebhook: cmp.Or(t.RetryWebhook, 10*time.Second),
	}
}

// Studio is the whole installation as one process sees it. Its methods may be called from any
// goroutine, before, during and after Run; what is accepted while Run is not running waits.
type Studio struct {
	config  Config
	timing  Timing
	logger  *slog.Logger
	pool    *pgxpool.Pool
	queries ringer
	blobs   blob.Store
	leases  ringer // on connections of their own; set by Run
	hub     *hub
	lore    *lore
	roster  *roster
	relay   *relay
	rings   bool // the database rings the bells
	forms   *forms
	library *library
	river   *river.Client[pgx.Tx]
	decode  chan struct{} // a slot for each picture that may be in memory, decoded, at once

	study       chan struct{} // for keepLore: something was learned
	studyOthers atomic.Bool   // for keepLore: others may have, too

	loads        singleflight.Group // of generations that are watched from now on
	counters     Counters
	settings     settings
	sender       *sender
	receivers    receivers
	pushServices receivers
	deliveries   deliveries

	storage        storageState
	noStorageUntil atomic.Int64 // Unix nanoseconds until which it is taken for full or away

	mu          sync.Mutex // guards supervisors
	supervisors map[uuid.UUID]*supervisor
}

// decoders is how many pictures are decoded at once. One of 64 megapixels takes 256 MiB.
const decoders = 2

// New makes a Studio. It reads and writes nothing: Run does.
func New(c Config) (*Studio, error) {
	if c.Pool == nil || c.Blobs == nil {
		return nil, errors.New("studio: a pool and a blob store are needed")
	}
	if c.Instance == uuid.Nil {
		c.Instance = uuid.New()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.MaxWaiting = cmp.Or(c.MaxWaiting, 5000)
	s := &Studio{
		config:      c,
		timing:      c.Timing.withDefaults(),
		logger:      c.Logger,
		pool:        c.Pool,
		blobs:       c.Blobs,
		forms:       newForms(),
		decode:      make(chan struct{}, decoders),
		supervisors: make(map[uuid.UUID]*supervisor),
	}
	if s.config.WebhookBody == nil {
		s.config.WebhookBody = briefly
	}
	if s.config.PushBody == nil {
		s.config.PushBody = shortly
	}
	if s.config.PushKey == nil {
		var err error
		if s.config.PushKey, err = ecdh.P256().GenerateKey(rand.Reader); err != nil {
			return nil, fmt.Errorf("studio: draw a key for push messages: %w", err)
		}
	}
	s.sender = newSender(senderConfig{
		Private: c.PrivateWebhooks, Agent: cmp.Or(c.WebhookAgent, "Easel"),
		Key: []byte(cmp.Or(c.WebhookSecret, rand.Text())),
	})
	s.deliveries.wake = make(chan struct{}, 1)
	if _, complaint := s.checkWebhook(c.Webhook); complaint != "" {
		return nil, fmt.Errorf("EASEL_WEBHOOK: %s", complaint)
	}
	s.settings.reread = make(chan struct{}, 1)
	configured := s.configuredSettings()
	s.settings.now.Store(&configured)
	s.queries = ringer{db.New(c.Pool), s.announce}
	s.library = newLibrary(s.queries.Queries)
	s.roster = newRoster(s)
	s.hub = newHub(s.timing.Publish, s.load, c.Logger)
	s.lore, s.study = s.hub.lore, make(chan struct{}, 1)
	s.hub.missing, s.hub.fits = s.forms.missing, s.forms.fits
	s.hub.over = func() {
		s.studyOthers.Store(true)
		ring(s.study)
	}
	s.hub.reloaded = func(id uuid.UUID) {
		s.wakeFollowers(id) // it may have been cancelled
		if needs, waits := s.hub.waits(id); waits {
			s.wakeOne(needs)
		}
	}
	s.hub.refill = s.fill
	if s.rings = c.Bus == nil; s.rings {
		s.config.Bus = NewPostgresBus(c.Pool, c.Logger)
	}
	s.relay = newRelay(s)
	s.hub.announce, s.hub.moving = s.announce, s.relay.progressed
	s.hub.interested = func() { ring(s.relay.wake) }
	s.hub.setServers(asConfigured(c.Servers), nil) // a page that is asked for before Run has read more
	s.hub.refresh()
	var err error
	if s.river, err = s.newRiver(); err != nil {
		return nil, fmt.Errorf("studio: %w", err)
	}
	return s, nil
}

// Run does the work until ctx ends, and returns when all its goroutines have. Nothing that is
// under way is marked as failed by its end: the next Run finds it in the database.
func (s *Studio) Run(ctx context.Context) error {
	err := s.run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return nil // asked to stop while it was still starting
	}
	return err
}

func (s *Studio) run(ctx context.Context) error {
	defer s.sender.close()
	leases, err := s.openLeases(ctx)
	if err != nil {
		return fmt.Errorf("studio: %w", err)
	}
	defer leases.Close()
	s.leases = ringer{db.New(leases), s.announce}
	if !s.persist(ctx, "store the configured servers", s.configure) ||
		!s.persist(ctx, "read the servers", func(ctx context.Context) error {
			_, err := s.roster.read(ctx, true)
			return err
		}) {
		return nil
	}
	s.hub.refresh()
	// What is committed after this is heard, or found by reading on from here.
	var from reader
	if !s.persist(ctx, "find the end of the events", func(ctx context.Context) (err error) {
		from, err = s.beginReading(ctx)
		return err
	}) {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.config.Bus.Run(ctx, s.relay.hear, s.relay.missed) })
	g.Go(func() error {
		if !s.persist(ctx, "read the settings", s.readSettings) { // before a supervisor picks
			return nil
		}
		g.Go(func() error { return s.keepSettings(ctx) })
		if !s.persist(ctx, "read the workflows", s.library.read) {
			return nil
		}
		g.Go(func() error { return s.keepLibrary(ctx) })
		g.Go(func() error { return s.keepOutbox(ctx) })
		g.Go(func() error { return s.keepDeliveries(ctx) })
		if !s.persist(ctx, "load what is live", s.loadLive) {
			return nil
		}
		g.Go(func() error { return s.keepLore(ctx) })
		g.Go(func() error { return s.catchUp(ctx, from) })
		g.Go(func() error { return s.relay.speak(ctx) })
		g.Go(func() error { return s.relay.carryPreviews(ctx) })
		g.Go(func() error { return s.hub.run(ctx) })
		g.Go(func() error { return s.hub.keepFresh(ctx) })
		g.Go(func() error { return s.runRiver(ctx) })
		g.Go(func() error { return s.present(ctx) })
		g.Go(func() error { return s.roster.run(ctx) })
		return nil
	})
	return g.Wait()
}

// The waits between two tries of a step of the start.
const (
	minRetry = 250 * time.Millisecond
	maxRetry = 10 * time.Second
)

// persist does a step of the start until it succeeds: a database that is away for a moment, or cut off in the
// middle, must not end the process. False if ctx ended before.
func (s *Studio) persist(ctx context.Context, what string, step func(context.Context) error) bool {
	for wait := minRetry; ; wait = min(2*wait, maxRetry) {
		err := step(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.logger.WarnContext(ctx, "could not start yet", "step", what, "err", err, "retry_in", wait)
		if !sleep(ctx, wait) {
			return false
		}
	}
}
