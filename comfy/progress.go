package comfy

import "time"

// Phase says in one word where a prompt is. The order of the constants is the order of a run.
type Phase string

// The phases of a run; the last three are ends.
const (
	PhaseQueued    Phase = "queued"    // accepted, not yet running on a server
	PhaseSetup     Phase = "setup"     // running, no sampler step yet: loading, encoding
	PhaseInference Phase = "inference" // a sampler has reported steps
	PhaseFinishing Phase = "finishing" // the last sampler is over: decoding, saving, storing
	PhaseComplete  Phase = "complete"
	PhaseFailed    Phase = "failed"
	PhaseCancelled Phase = "cancelled"
)

// Ended reports whether nothing follows p.
func (p Phase) Ended() bool {
	return p == PhaseComplete || p == PhaseFailed || p == PhaseCancelled
}

// Progress is what the tracker knows about one prompt: a state, folded from messages and the
// plan of the graph that was sent. It is a value; copies are independent but for Preview, whose
// target is never changed after it was published.
type Progress struct {
	PromptID string
	Phase    Phase

	// Node is the id, in the graph that was sent, of the node at work; empty before the first
	// and after the last.
	Node      string
	NodeClass string // class_type of Node, such as KSampler
	NodeTitle string // its title in the graph, else its display name

	// The present pass of a sampler: "Step 5 of 20", "pass 1 of 2". Until a sampler (or, in a graph
	// without samplers, another node with a bar) has announced its own, Step is 0 and Steps the sum of
	// all bars that progress_state shows, 0 if there are none.
	Step, Steps  int
	Pass, Passes int // 1-based; 0 before the first

	// Sampler steps done and planned over all passes of this prompt, cached ones left out. The
	// first never goes back; the second follows what samplers announce, and has another pass for each that
	// is fed with a list: how long that is shows only at its end.
	StepsDone, StepsPlanned int

	Percent  int     // 0 to 100: StepsDone of StepsPlanned, rounded down, 100 only after the last sampler's node is over
	Fraction float64 // 0 to 1, time-weighted over set-up, sampling and what follows; never goes back; 1 only when Ended and complete

	Reused bool // ComfyUI had every sampler's result in its cache: no step will be shown
	Ended  bool // ComfyUI has said that the prompt is over; its history says how

	StepTime  time.Duration // smoothed time of one sampler step; 0 while unknown
	StartedAt time.Time     // execution_start as seen here; zero while queued
	UpdatedAt time.Time     // the last message that changed anything

	Preview *Preview // the latest live preview, or nil

	// What the fold needs besides. The bars at work are values, so that a step allocates nothing; the
	// rest is replaced as a whole when it changes, never written into.
	bar      bar       // of the counted node that moved last
	side     sideBar   // of the other node that moved last
	run      *run      // nil: nothing yet
	fallback int       // sum of the bars in the last progress_state
	stepAt   time.Time // when bar moved last
	active   int       // index in the plan of Node, plus 1; 0: none
}

// Preview is one live preview picture as ComfyUI encoded it.
type Preview struct {
	MIME  string // image/jpeg or image/png
	Bytes []byte
	Rev   uint64 // grows by one with each preview of this prompt
}
