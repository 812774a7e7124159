package studio

import (
	"time"

	"easel/comfy"
)

// A bar is on its way for at least and at most so long.
const (
	leastReach = 100 * time.Millisecond
	mostReach  = 10 * time.Second
)

// reach says where overall is expected when the next news of it is due, so that a bar can be on its
// way there meanwhile: a step ahead, or a point where steps are smaller. If the news does not come,
// the bar stops there, at most that far from the truth. Like overall it does not go back.
func (p *Progress) reach() {
	p.ReachIn = leastReach
	if p.Phase.Ended() {
		p.Reach = float64(p.Overall)
		return
	}
	next := float64(p.Overall)
	if p.ETAKnown && p.ETA > 0 && working(p.Phase) && !p.Cancelling {
		left := float64(100 - p.Overall) // overall is below 100 until the end
		due := time.Duration(float64(p.ETA) / left)
		if p.Phase == comfy.PhaseInference {
			due = max(due, p.StepTime)
		}
		p.ReachIn = min(max(due, leastReach), mostReach, p.ETA)
		next = min(next+left*float64(p.ReachIn)/float64(p.ETA), 99)
	}
	p.Reach = max(p.Reach, next)
}
