package studio

import (
	"fmt"
	"slices"
	"time"

	"easel/comfy"
)

// progressOf folds what the database and the trackers know of a generation into the numbers and
// words that people see: those of the whole, and those of each image. Nothing in them ever goes
// back from prev, the state before (nil: none), not even when an image has to be made again.
//
// at is the generation's place in the queue; snapshot tells what a tracker knows of a prompt_id.
func progressOf(g *Generation, prev *State, snapshot func(string) (comfy.Progress, bool), at place, learned pace,
) (whole Progress, images []ImageProgress) {
	images = make([]ImageProgress, len(g.Images))
	fractions := make([]float64, len(g.Images))
	active := -1 // the image at work
	for i := range g.Images {
		image := &g.Images[i]
		s, tracked := comfy.Progress{}, false
		if image.Status == Generating {
			s, tracked = snapshot(image.PromptID)
		}
		p, fraction := imageProgress(g, image, s, tracked, at, learned)
		if prev != nil {
			p.neverBack(prev.Images[i].Progress)
		}
		images[i], fractions[i] = ImageProgress{Index: image.Index, Progress: p}, fraction
		if image.Status == Generating && working(p.Phase) && (active < 0 || before(p.Phase, images[active].Phase)) {
			active = i
		}
	}
	whole = sum(g, images, fractions)
	switch {
	case g.Status.Ended():
		whole.end(g)
	case active >= 0:
		whole.takeWords(&images[active].Progress)
	case g.Status == Generating && anyEnded(g) && !at.held && !at.paused:
		whole.Phase, whole.Status = comfy.PhaseSetup, nextImage(g)
	default:
		whole.queue(at)
		whole.Retry = firstRetry(images)
	}
	whole.Cancelling = g.CancelRequestedAt != nil && !g.Status.Ended()
	whole.expect(g, images, at, learned)
	if prev != nil {
		whole.neverBack(prev.Progress)
	}
	if whole.Cancelling {
		whole.Status = "Cancelling"
	}
	whole.reach()
	for i := range images {
		images[i].reach()
	}
	return whole, images
}

// RecordProgress is what the record of a generation alone says of its progress: all there is to
// say once it has ended.
func RecordProgress(g *Generation) Progress {
	unheard := func(string) (comfy.Progress, bool) { return comfy.Progress{}, false }
	whole, _ := progressOf(g, nil, unheard, place{held: g.HeldAt != nil}, pace{})
	return whole
}

// working: a server is at it. Of two images at work the one that is less far leads: its sampler
// is what moves.
func working(p comfy.Phase) bool {
	return p == comfy.PhaseSetup || p == comfy.PhaseInference || p == comfy.PhaseFinishing
}

func before(a, b comfy.Phase) bool { return a != comfy.PhaseFinishing && b == comfy.PhaseFinishing }

func anyEnded(g *Generation) bool {
	for i := range g.Images {
		if g.Images[i].Status.Ended() {
			return true
		}
	}
	return false
}

// imageProgress is the progress of one image, and how much of its time has passed, 0 to 1.
func imageProgress(g *Generation, image *Image, s comfy.Progress, tracked bool, at place, learned pace,
) (p Progress, fraction float64) {
	p = Progress{ImageIndex: image.Index, TotalImages: len(g.Images)}
	p.Cancelling = g.CancelRequestedAt != nil && !image.Status.Ended()
	switch image.Status {
	case Complete:
		p.Phase, p.Status = comfy.PhaseComplete, "Complete"
		p.CurrentStep, p.TotalSteps = image.StepsDone, image.StepsPlanned
		p.Percentage, p.Overall, p.Reused = 100, 100, image.Reused
		return p, 1
	case Failed, Cancelled:
		p.Phase, p.Status = image.Status.Phase(), wordOf(image.Status)
		p.CurrentStep, p.TotalSteps = image.StepsDone, image.StepsPlanned
		p.Percentage = percent(p.CurrentStep, p.TotalSteps)
		return p, 1
	case Pending:
		p.queue(at)
		p.Retry = image.RetryReason
		return p, 0
	}
	p.Phase = phaseOfAttempt(image.AttemptState, s.Phase)
	p.Retry = image.RetryReason
	if tracked {
		p.take(&s, learned)
	}
	kept := p.atLeast(image)
	switch p.Phase {
	case comfy.PhaseQueued:
		p.queue(at)
	case comfy.PhaseFinishing:
		p.Status = finishing(&s, image.AttemptState)
	default:
		p.Status = statusLine(&s, p.Phase)
		if kept && s.Steps == 0 {
			p.Phase, p.Status = comfy.PhaseInference, fmt.Sprintf("Step %d of %d", p.CurrentStep, p.TotalSteps)
		}
	}
	if p.Cancelling {
		p.Status = "Cancelling"
	}
	return p, max(s.Fraction, float64(p.Overall)/100)
}

// atLeast holds p to what was kept of a prompt that runs, which is more than a tracker knows that
// came after a restart of ours. kept is true when it was.
func (p *Progress) atLeast(image *Image) (kept bool) {
	if !working(p.Phase) || image.StepsDone <= p.CurrentStep {
		return false
	}
	p.CurrentStep, p.TotalSteps = image.StepsDone, max(image.StepsPlanned, image.StepsDone)
	p.Percentage = min(percent(p.CurrentStep, p.TotalSteps), 99)
	p.Overall = max(p.Overall, p.Percentage)
	return true
}

// phaseOfAttempt settles where an attempt is: a tracker that missed the beginning knows less than
// the database, one that hears the socket knows more.
func phaseOfAttempt(state string, heard comfy.Phase) comfy.Phase {
	switch {
	case state == attemptFinalizing || heard.Ended():
		return comfy.PhaseFinishing // over for ComfyUI; the files are still to come
	case heard != "" && heard != comfy.PhaseQueued:
		return heard
	case state == attemptRunning:
		return comfy.PhaseSetup
	}
	return comfy.PhaseQueued
}

// take fills in what a tracker knows.
func (p *Progress) take(s *comfy.Progress, learned pace) {
	p.CurrentStep, p.TotalSteps, p.Percentage = s.StepsDone, s.StepsPlanned, s.Percent
	p.Overall = min(int(s.Fraction*100), 99)
	p.Pass, p.Passes = s.Pass, s.Passes
	p.Node, p.NodeTitle = s.Node, s.NodeTitle
	p.StepTime, p.Reused = s.StepTime, s.Reused
	if s.Preview != nil {
		p.PreviewRev, p.PreviewImage = s.Preview.Rev, p.ImageIndex
	}
	switch {
	case p.Phase == comfy.PhaseInference && s.StepTime > 0:
		p.ETA = time.Duration(max(s.StepsPlanned-s.StepsDone, 0))*s.StepTime + learned.finishing(s.StepTime)
		p.ETAKnown = true
	case p.Phase == comfy.PhaseFinishing && learned.finish > 0:
		p.ETA, p.ETAKnown = learned.finish, true
	case p.Phase == comfy.PhaseSetup && learned.image > 0:
		p.ETA, p.ETAKnown = learned.image, true
	}
}

// sum adds up the images: steps over all of them, and the share of the time.
func sum(g *Generation, images []ImageProgress, fractions []float64) Progress {
	p := Progress{TotalImages: len(images)}
	if len(images) == 0 {
		return p
	}
	planned := 0 // by the image that has most: what those that have not begun will take
	for i := range images {
		planned = max(planned, images[i].TotalSteps)
	}
	over, share := 0, 0.0
	for i := range images {
		p.CurrentStep += images[i].CurrentStep
		if images[i].TotalSteps > 0 {
			p.TotalSteps += images[i].TotalSteps
		} else if !g.Images[i].Status.Ended() {
			p.TotalSteps += planned
		}
		if images[i].Percentage == 100 {
			over++
		}
		share += fractions[i]
		if images[i].PreviewRev > 0 {
			p.PreviewRev, p.PreviewImage = images[i].PreviewRev, images[i].PreviewImage
		}
	}
	switch {
	case over == len(images):
		p.Percentage = 100
	case p.TotalSteps > 0:
		p.Percentage = min(percent(p.CurrentStep, p.TotalSteps), 99)
	default:
		for i := range images {
			p.Percentage += images[i].Percentage
		}
		p.Percentage = min(p.Percentage/len(images), 99)
	}
	p.Overall = min(int(share/float64(len(images))*100), 99)
	return p
}

// end says how the generation ended.
func (p *Progress) end(g *Generation) {
	p.Phase, p.Status = g.Status.Phase(), wordOf(g.Status)
	if g.Status == Complete {
		p.Percentage, p.Overall = 100, 100
		p.CurrentStep = p.TotalSteps
		p.Reused = !slices.ContainsFunc(g.Images, func(i Image) bool { return !i.Reused })
	} else {
		p.Overall = min(p.Percentage, 99) // how far it came, not that its time is over
	}
	p.PreviewRev, p.PreviewImage = 0, 0
}

// queue says where in the queue something is.
func (p *Progress) queue(at place) {
	p.Phase, p.Status, p.QueuePosition, p.ExpectedStart = comfy.PhaseQueued, at.words(), at.position, at.start
}

// takeWords takes over what is said of the image at work; the numbers stay those of the whole.
func (p *Progress) takeWords(image *Progress) {
	p.Phase, p.Status, p.ImageIndex, p.QueuePosition = image.Phase, image.Status, image.ImageIndex, image.QueuePosition
	p.Pass, p.Passes = image.Pass, image.Passes
	p.Node, p.NodeTitle = image.Node, image.NodeTitle
	p.StepTime, p.Reused, p.Retry = image.StepTime, image.Reused, image.Retry
	p.ExpectedStart = image.ExpectedStart
	if image.PreviewRev > 0 {
		p.PreviewRev, p.PreviewImage = image.PreviewRev, image.PreviewImage
	}
}

// firstRetry is why an image is waiting for another attempt.
func firstRetry(images []ImageProgress) string {
	for i := range images {
		if images[i].Retry != "" {
			return images[i].Retry
		}
	}
	return ""
}

// expect foretells the end of the whole: what is left of the images at work, and the time of an
// image for each that has not begun, here and in the queue before.
func (p *Progress) expect(g *Generation, images []ImageProgress, at place, learned pace) {
	waits := p.Phase == comfy.PhaseQueued
	if g.Status.Ended() || p.Cancelling || waits && at.start.IsZero() {
		return
	}
	another := learned.image // time of an image that has not begun
	for i := range images {
		if step := images[i].StepTime; another == 0 && step > 0 {
			another = time.Duration(images[i].TotalSteps)*step + learned.finishing(step)
		}
	}
	var eta time.Duration
	for i := range images {
		switch {
		case g.Images[i].Status.Ended():
		case images[i].ETAKnown:
			eta += images[i].ETA
		case another > 0:
			eta += another
		default:
			return
		}
	}
	if waits {
		eta += at.wait
	}
	p.ETA, p.ETAKnown = eta, eta > 0
}

// neverBack holds p to what has been shown before.
func (p *Progress) neverBack(prev Progress) {
	p.Percentage = max(p.Percentage, prev.Percentage)
	p.Overall, p.Reach = max(p.Overall, prev.Overall), prev.Reach
	p.TotalSteps = max(p.TotalSteps, min(prev.TotalSteps, prev.CurrentStep))
	p.CurrentStep = max(p.CurrentStep, prev.CurrentStep)
	if p.TotalSteps > 0 {
		p.CurrentStep = min(p.CurrentStep, p.TotalSteps)
	}
}

// percent is done of planned, rounded down, 0 to 100.
func percent(done, planned int) int {
	if planned <= 0 {
		return 0
	}
	return min(max(done*100/planned, 0), 100)
}
