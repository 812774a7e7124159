package studio

import (
	"sync"
	"time"

	"easel/comfy"
)

// State is one generation at one moment: its record and its progress. It is immutable, and
// shared by all watchers; what is rendered from it is rendered once, by Frame.
type State struct {
	Generation Generation
	Progress   Progress        // of the whole generation
	Images     []ImageProgress // by image, same order as Generation.Images

	// Rev grows by one with each published state of this generation in this process.
	Rev uint64

	frames sync.Map // key -> *frame
}

// Progress is the one number and the words beside it, in one scope: a whole generation or one image.
type Progress struct {
	Phase          comfy.Phase
	Status         string // one line: "Step 5 of 20", "Loading checkpoint", "Position 3 in the queue"
	CurrentStep    int    // sampler steps done, all passes, all images in scope
	TotalSteps     int    // planned; 0 while unknown
	Percentage     int    // 0 to 100, rounded down; see comfy.Progress.Percent
	Overall        int    // 0 to 100, time-weighted; 100 only with PhaseComplete
	ETA            time.Duration
	ETAKnown       bool
	ETALow         time.Duration // four of five end between ETALow and ETAHigh
	ETAHigh        time.Duration
	Pace           float64   // points of Overall a second, as foretold; 0: nothing is
	grace          float64   // seconds that it may go on so without news
	QueuePosition  int       // from 1; 0 when not queued, and while held back
	ExpectedStart  time.Time // of what waits; zero while unknown
	ExpectedFinish time.Time // when it was foretold, plus ETA; zero while unknown
	ImageIndex     int       // the image at work, from 1; 0 when none
	TotalImages    int
	Pass, Passes   int
	Node           string
	NodeTitle      string
	StepTime       time.Duration // of the last step, 0 while unknown: how long a bar should take to move
	Reach          float64       // 0 to 100: where Overall is expected in ReachIn, for a bar that moves
	ReachIn        time.Duration // until then; news of it is expected not much later
	PreviewRev     uint64        // changes with each preview; 0 when there is none
	PreviewImage   int           // index of the image that the preview shows
	Cancelling     bool          // asked for, not yet confirmed by ComfyUI
	Reused         bool          // samplers were cached: "reused an earlier result"
	Retry          string        // why the image at work, or the next, is sent again; empty: it is not
}

// ImageProgress is the progress of one image of a generation.
type ImageProgress struct {
	Index int
	Progress
}

type frame struct {
	once  sync.Once
	bytes []byte
}

// Frame returns render's bytes, made once for each key and shared by all who ask. Keys are
// constants of the caller, one for each format.
func (s *State) Frame(key string, render func(*State) []byte) []byte {
	f, ok := s.frames.Load(key)
	if !ok {
		f, _ = s.frames.LoadOrStore(key, new(frame))
	}
	made := f.(*frame) // only frames are stored
	made.once.Do(func() { made.bytes = render(s) })
	return made.bytes
}
