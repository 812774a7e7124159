package studio

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// ServerState says in one word how a ComfyUI is.
type ServerState string

// The states of a server.
const (
	ServerUnknown    ServerState = "unknown" // not tried yet
	ServerUp         ServerState = "up"
	ServerDown       ServerState = "down"
	ServerStalled    ServerState = "stalled"     // answers HTTP, but its events do not arrive
	ServerNotComfyUI ServerState = "not_comfyui" // something else answers there
)

// ServerMode says what people let a ComfyUI do, however it is.
type ServerMode string

// The modes of a server.
const (
	ModeActive   ServerMode = "active"
	ModePaused   ServerMode = "paused"   // takes nothing new; what is inside goes on
	ModeDraining ServerMode = "draining" // as paused, and off once nothing of ours is inside
	ModeOff      ServerMode = "off"      // left alone: its ComfyUI may be taken away
)

// Where a server comes from.
const (
	SourceConfig = "config" // named by COMFYUI_URL, found at the start, or the demo
	SourceAdded  = "added"  // on the page of servers
)

// Device is one device of a server that computes.
type Device struct {
	Name      string `json:"name"`
	Type      string `json:"type"`      // cpu, cuda, mps, ...
	VRAMTotal int64  `json:"vramTotal"` // bytes; 0 when unknown
	VRAMFree  int64  `json:"vramFree"`
}

// Server is one ComfyUI as pages and programs see it.
type Server struct {
	ID        uuid.UUID
	Rev       int64 // of its row
	Name      string
	URL       string // without userinfo
	Demo      bool   // the built-in stand-in
	Source    string // SourceConfig or SourceAdded
	Mode      ServerMode
	State     ServerState
	Version   string // ComfyUI's own
	Device    string // name of its first device
	VRAMTotal int64  // bytes; 0 when unknown
	VRAMFree  int64
	Devices   []Device // all of them; not to be changed
	Held      bool     // an instance holds its lease
	Mine      bool     // this one does
	Queue     int      // prompts inside it, anybody's
	Running   string   // prompt_id of ours that it runs, or empty
	LastError string   // a sentence
	LastSeen  time.Time
}

// Overview is what every page shows of the whole installation: servers, queue, newest pictures.
// It is immutable and shared like State.
type Overview struct {
	Servers []Server
	Demo    bool // the demo server is what runs here: pages say so in a banner

	QueuePaused bool // by Settings: nothing new is sent to any server

	Live   []*State  // all live generations, in the order in which they will run, running first
	Stage  *State    // what the studio shows large: running, else next, else the last that ended; nil when there is none
	Recent []*State  // newest ended generations with at least one picture, at most 12
	Rev    uint64    // grows with each change but mere progress of a live generation
	At     time.Time // when it was made

	frames sync.Map
}

// Frame is State.Frame for an overview.
func (o *Overview) Frame(key string, render func(*Overview) []byte) []byte {
	f, ok := o.frames.Load(key)
	if !ok {
		f, _ = o.frames.LoadOrStore(key, new(frame))
	}
	made := f.(*frame) // only frames are stored
	made.once.Do(func() { made.bytes = render(o) })
	return made.bytes
}
