package simulator

import "context"

// Stage names the places of a run at which the worker asks Config.Gate for leave.
type Stage string

// The stages, in the order of a run.
const (
	StageStart  Stage = "start"  // execution_start was sent; nothing has run
	StageNode   Stage = "node"   // executing was sent for Node; its work begins
	StageStep   Stage = "step"   // before the progress of Step is sent
	StageFinish Stage = "finish" // the last event but the closing status and executing(null) was sent; history is not written
)

// Point is one place of one run.
type Point struct {
	PromptID string
	Stage    Stage
	Node     string // node id; empty at StageStart and StageFinish
	Class    string // class_type of Node
	Step     int    // 1-based, at StageStep
	Steps    int
}

// Stepper lets a test lead the worker by the hand: give its Pass to Config.Gate, then call Next to learn where the
// worker stands and Release to let it go on to the next point. One goroutine at a time may call Next, Release and
// Until.
type Stepper struct {
	arrived chan arrival
	leave   chan struct{} // of the arrival that Next returned last; nil: none, or released
	open    chan struct{} // closed: everything passes
}

type arrival struct {
	at    Point
	leave chan struct{} // closed to let the worker go on
}

// NewStepper returns a stepper that holds the worker at its first point.
func NewStepper() *Stepper {
	return &Stepper{arrived: make(chan arrival), open: make(chan struct{})}
}

// Pass is the gate: it announces at and waits for Release, Open or the end of ctx.
func (s *Stepper) Pass(ctx context.Context, at Point) {
	a := arrival{at: at, leave: make(chan struct{})}
	select {
	case <-ctx.Done():
		return
	case <-s.open:
		return
	case s.arrived <- a:
	}
	select {
	case <-ctx.Done():
	case <-s.open:
	case <-a.leave:
	}
}

// Next lets the worker go on, if an earlier Next holds it, and waits until it stands at the next point, which it
// returns with the worker still there. The error is ctx's.
func (s *Stepper) Next(ctx context.Context) (Point, error) {
	s.Release()
	select {
	case <-ctx.Done():
		return Point{}, ctx.Err()
	case a := <-s.arrived:
		s.leave = a.leave
		return a.at, nil
	}
}

// Release lets the worker leave the point that Next returned. It never waits.
func (s *Stepper) Release() {
	if s.leave != nil {
		close(s.leave)
		s.leave = nil
	}
}

// Until lets the worker pass one point after the other up to the first that want accepts, and returns that with the
// worker still there.
func (s *Stepper) Until(ctx context.Context, want func(Point) bool) (Point, error) {
	for {
		at, err := s.Next(ctx)
		if err != nil || want(at) {
			return at, err
		}
	}
}

// Open lets the worker run freely from now on. It may be called once.
func (s *Stepper) Open() { close(s.open) }
