// Package simulator is a stand-in for a ComfyUI server: it speaks what was recorded from ComfyUI 0.3.64 over HTTP
// and WebSocket, paints deterministic pictures from prompt and seed, keeps a pace that people can watch, and can be
// told to misbehave in the ways real servers do.
//
// A Simulator is an http.Handler. What a real server keeps in memory (queue, history, node cache, sockets) lives in a
// process, which Kill ends and Restart replaces; files, faults and the ledger of what clients asked for outlive it.
// Start puts one on a TCP port of its own, where Kill also refuses connections.
package simulator

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"easel/comfy/simulator/paint"
)

// Config describes one simulated server. The zero value is a server in the shape of 0.3.64 with previews, working as
// fast as it can, in memory.
type Config struct {
	// Version is what /system_stats calls comfyui_version; empty: "0.3.64", or "0.38.1" with NewServer.
	Version string

	// NewServer switches to what newer servers do: prompt_id must be a lowercase hyphenated UUID, the jobs API under
	// /api/jobs exists, prompts get a create_time and a cycle is reported as dependency_cycle.
	NewServer bool

	// Models are the checkpoint names offered by CheckpointLoaderSimple; none: two made-up ones. LoRAs likewise.
	Models []string
	LoRAs  []string

	// ObjectInfo, when set, is what GET /object_info answers, byte for byte, and what prompts are validated against:
	// for example a stock server's whole document. A prompt may name any class in it; one that this simulator cannot
	// execute fails at run time with an execution_error.
	ObjectInfo []byte

	// BenchNodes adds the test nodes of the recorded server (BenchSlowProgress, BenchFail and so on).
	BenchNodes bool

	// NoPreviews is how a server runs by default (--preview-method none).
	NoPreviews bool

	// PreviewSize is the longer side of a preview in pixels; 0: 512, as ComfyUI's --preview-size.
	PreviewSize int

	// Flat gives pictures of one colour: for measurements in which the time of painting them is noise.
	Flat bool

	// Pace is how long the stages of a run take; the zero value never waits.
	Pace Pace

	// Gate, when set, is called by the worker at each Point of a run and holds it until it returns. ctx ends with the
	// process. A Stepper's Pass is made for this.
	Gate func(ctx context.Context, at Point)

	// MaxFiles bounds the pictures kept of each folder type (output, temp, input): the oldest go first. 0: 2000.
	// MaxBytes bounds their summed size. 0: 512 MiB.
	MaxFiles int
	MaxBytes int64

	// MaxHistory bounds the history; 0: 10,000, as ComfyUI.
	MaxHistory int

	// FixedSocketTable mends ComfyUI's fault of forgetting the newer of two sockets with one client id when the older
	// one ends (ComfyUI issue 16010). Without it the simulator has the fault, as the recorded server had.
	FixedSocketTable bool

	// Now is the clock of timestamps; nil: time.Now.
	Now func() time.Time

	// Logger hears of prompts at level Debug; nil: nothing is logged.
	Logger *slog.Logger
}

// Pace is how long the stages of a run take. With the zero value nothing waits, the test nodes' own delays included.
type Pace struct {
	Load   time.Duration // a model that the process has not loaded before
	Encode time.Duration // one text
	Setup  time.Duration // inside a sampler, before its first step
	Step   time.Duration // one sampler step
	Decode time.Duration // latent to picture, or back
	Save   time.Duration // writing the pictures of one save node
}

// DemoPace is slow enough to watch and quick enough not to bore: a 20-step picture takes about seven seconds.
func DemoPace() Pace {
	return Pace{
		Load:   1200 * time.Millisecond,
		Encode: 200 * time.Millisecond,
		Setup:  150 * time.Millisecond,
		Step:   250 * time.Millisecond,
		Decode: 500 * time.Millisecond,
		Save:   60 * time.Millisecond,
	}
}

// Simulator is one simulated server. It is safe for concurrent use.
type Simulator struct {
	config  Config
	classes *classes
	files   *files
	faults  *Faults
	ledger  *Ledger
	logger  *slog.Logger

	background sync.WaitGroup // crashes under way

	mu      sync.Mutex
	current *process // nil while killed or closed
	closed  bool
}

// New starts a simulator; Close ends it. It panics when c.ObjectInfo is not an object_info document, which is a
// mistake in the program that calls it.
func New(c Config) *Simulator {
	if c.Version == "" {
		c.Version = "0.3.64"
		if c.NewServer {
			c.Version = "0.38.1"
		}
	}
	if c.PreviewSize == 0 {
		c.PreviewSize = 512
	}
	if c.MaxHistory == 0 {
		c.MaxHistory = 10_000
	}
	if c.MaxFiles == 0 {
		c.MaxFiles = 2000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 512 << 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Simulator{
		config: c,
		files:  newFiles(c.MaxFiles, c.MaxBytes, c.Now),
		ledger: newLedger(),
		logger: c.Logger,
	}
	if example, err := paint.PNG(paint.Paint(paint.Scene{Text: "example"}, 64, 64), nil); err == nil {
		s.files.store(place{folderInput, "example.png"}, example) // a fresh ComfyUI has one
	}
	s.classes = newClasses(c, s.files)
	s.faults = newFaults(s)
	s.current = newProcess(s)
	return s
}

// Faults returns the switches with which the simulator is told to misbehave.
func (s *Simulator) Faults() *Faults { return s.faults }

// Ledger returns the record of what clients asked for, over all restarts.
func (s *Simulator) Ledger() *Ledger { return s.ledger }

// ServeHTTP answers like ComfyUI, for every route with and without the prefix /api. While the simulator is killed or
// closed it resets the connection.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := s.process()
	if p == nil {
		reset(w)
		return
	}
	leave, ok := p.enter()
	if !ok {
		reset(w)
		return
	}
	defer leave()
	s.faults.serve(p, w, r)
}

// Kill ends the process like SIGKILL: sockets and requests are cut, queue, history and cache are lost, files stay.
// It returns once every goroutine of the process has ended. Killing a killed simulator does nothing.
func (s *Simulator) Kill() { s.replace(false) }

// Restart kills the process, if one runs, and starts the next: it knows nothing of what was queued, and the files of
// type temp are gone.
func (s *Simulator) Restart() { s.replace(true) }

// Close ends the simulator for good and waits for all its goroutines.
func (s *Simulator) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.replace(false)
	s.background.Wait()
}

func (s *Simulator) replace(start bool) {
	s.mu.Lock()
	old := s.current
	s.current = nil
	s.mu.Unlock()
	if old != nil {
		old.stop()
	}
	if !start {
		return
	}
	s.files.clear(folderTemp)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil && !s.closed {
		s.current = newProcess(s)
	}
}

// process returns the process that runs now, or nil.
func (s *Simulator) process() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// ObjectInfo returns what GET /object_info answers now.
func (s *Simulator) ObjectInfo() json.RawMessage { return s.classes.document() }
