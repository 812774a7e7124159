package studio

import (
	"fmt"
	"slices"
	"time"

	"easel/comfy"
)

// sight is what a progress is made from besides the record of the generation.
type sight struct {
	heard   func(promptID string) (comfy.Progress, bool) // what a tracker knows
	outlook func(*Image, *comfy.Progress) outlook        // of an image at work; nil: nothing is foretold
	another amount                                       // an image of it that has not begun; 0: not known
	place   place
	now     time.Time
}

// unheard is the sight of a generation that nobody follows.
func unheard(at place) sight {
	return sight{heard: func(string) (comfy.Progress, bool) { return comfy.Progress{}, false }, place: at}
}

// progressOf folds what the database and the trackers know of a generation into the numbers and
// words that people see: those of the whole, and those of each image. Nothing in them ever goes
// back from prev, the state before (nil: none), not even when an image has to be made again.
func progressOf(g *Generation, prev *State, see sight) (whole Progress, images []ImageProgress) {
	at := see.place
	images = make([]ImageProgress, len(g.Images))
	outlooks := make([]outlook, len(g.Images))
	active := -1 // the image at work
	for i := range g.Images {
		image := &g.Images[i]
		p, o := imageProgress(g, image, see)
		if prev != nil {
			p.neverBack(prev.Images[i].Progress)
		}
		images[i], outlooks[i] = ImageProgress{Index: image.Index, Progress: p}, o
		if image.Status == Generating && working(p.Phase) && (active < 0 || before(p.Phase, images[active].Phase)) {
			active = i
		}
	}
	whole = sum(g, images, outlooks)
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
	whole.expect(g, outlooks, see)
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
	whole, _ := progressOf(g, nil, unheard(place{held: g.HeldAt != nil}))
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

// imageProgress is the progress of one image, and what is foretold of it.
func imageProgress(g *Generation, image *Image, see sight) (p Progress, o outlook) {
	p = Progress{ImageIndex: image.Index, TotalImages: len(g.Images)}
	p.Cancelling = g.CancelRequestedAt != nil && !image.Status.Ended()
	switch image.Status {
	case Complete:
		p.Phase, p.Status = comfy.PhaseComplete, "Complete"
		p.CurrentStep, p.TotalSteps = image.StepsDone, image.StepsPlanned
		p.Percentage, p.Overall, p.Reused = 100, 100, image.Reused
		return p, outlook{Fraction: 1, Spent: took(image), Known: true}
	case Failed, Cancelled:
		p.Phase, p.Status = image.Status.Phase(), wordOf(image.Status)
		p.CurrentStep, p.TotalSteps = image.StepsDone, image.StepsPlanned
		p.Percentage = percent(p.CurrentStep, p.TotalSteps)
		return p, outlook{Fraction: 1, Spent: took(image), Known: true}
	case Pending:
		p.queue(see.place)
		p.Retry = image.RetryReason
		return p, outlook{Left: see.another.mean, Variance: see.another.variance, Known: see.another.mean > 0}
	}
	s, tracked := see.heard(image.PromptID)
	p.Phase = phaseOfAttempt(image.AttemptState, s.Phase)
	p.Retry = image.RetryReason
	if tracked {
		o.Fraction = s.Fraction
		if see.outlook != nil {
			o = see.outlook(image, &s)
		}
		p.take(&s)
		p.foretell(o, see.now)
	}
	kept := p.atLeast(image)
	switch p.Phase {
	case comfy.PhaseQueued:
		p.queue(see.place)
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
	o.Fraction = max(o.Fraction, float64(p.Overall)/100)
	return p, o
}

// took is how long an image was at work that has ended, in seconds.
func took(image *Image) float64 {
	if image.StartedAt == nil || image.FinishedAt == nil {
		return 0
	}
	return max(image.FinishedAt.Sub(*image.StartedAt).Seconds(), 0)
}

// atLeast holds p to what was kept of a prompt that runs, which is more than a tracker knows that
// came after a restart of ours. kept is true when it was.
func (p *Progress) atLeast(image *Image) (kept bool) {
	if !working(p.Phase) {
		return false
	}
	p.Overall = max(p.Overall, image.Overall)
	if image.StepsDone <= p.CurrentStep {
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
func (p *Progress) take(s *comfy.Progress) {
	p.CurrentStep, p.TotalSteps, p.Percentage = s.StepsDone, s.StepsPlanned, s.Percent
	p.Pass, p.Passes = s.Pass, s.Passes
	p.Node, p.NodeTitle = s.Node, s.NodeTitle
	p.StepTime, p.Reused = s.StepTime, s.Reused
	if s.Preview != nil {
		p.PreviewRev, p.PreviewImage = s.Preview.Rev, p.ImageIndex
	}
}

// foretell fills in what is foretold of an image at work.
func (p *Progress) foretell(o outlook, now time.Time) {
	p.Overall = min(int(o.Fraction*100), 99)
	if o.Known && o.Left > 0 && working(p.Phase) {
		p.remain(o.left(), o.Aim, now)
		p.Pace = 100 / max(o.Spent+o.Left, shortestPart)
		p.grace = o.Grace
	}
}

// remain fills in how long it still takes.
func (p *Progress) remain(left amount, m aim, now time.Time) {
	p.ETA, p.ETAKnown = inSeconds(left.mean), true
	p.ExpectedFinish = now.Add(p.ETA)
	p.ETALow, p.ETAHigh = left.between(m)
}

// sum adds up the images: steps over all of them, and the share of the time.
func sum(g *Generation, images []ImageProgress, outlooks []outlook) Progress {
	p := Progress{TotalImages: len(images)}
	if len(images) == 0 {
		return p
	}
	planned := 0 // by the image that has most: what those that have not begun will take
	for i := range images {
		planned = max(planned, images[i].TotalSteps)
	}
	over := 0
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
	p.Overall = min(int(together(outlooks)*100), 99)
	return p
}

// together is how much of the time of several images has passed: each counts by how long it takes, or, while that is
// not known of all, as much as any other.
func together(outlooks []outlook) float64 {
	spent, all, share, known := 0.0, 0.0, 0.0, true
	for _, o := range outlooks {
		whole := o.Spent + o.Left
		spent += o.Fraction * whole
		all += whole
		share += o.Fraction
		known = known && o.Known
	}
	if known && all > 0 {
		return spent / all
	}
	return share / float64(len(outlooks))
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
	p.Pace = image.Pace / float64(max(p.TotalImages, 1))
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

// expect foretells the end of the whole: by the forecast while it waits, else what is left of the image at work that
// takes longest, and what the forecast says of those that come after.
func (p *Progress) expect(g *Generation, outlooks []outlook, see sight) {
	if g.Status.Ended() || p.Cancelling {
		return
	}
	left := see.place.more
	if p.Phase == comfy.PhaseQueued {
		if see.place.start.IsZero() || left.mean <= 0 {
			return
		}
		left.mean = max(left.mean-see.now.Sub(see.place.foretold).Seconds(), shortestPart)
		p.remain(left, see.place.aim, see.now)
		return
	}
	longest, waits := outlook{}, false
	for i, o := range outlooks {
		switch status := g.Images[i].Status; {
		case status.Ended():
		case !o.Known:
			return
		case status == Pending:
			waits = true
		case o.Left > longest.Left:
			longest = o
		}
	}
	if waits && left.mean <= 0 {
		return // it is not known when a server will be free
	}
	if left = left.plus(longest.left()); left.mean > 0 {
		p.remain(left, longest.Aim, see.now)
	}
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
