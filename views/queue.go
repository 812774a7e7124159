package views

import (
	"strings"
	"time"
)

// QueueView is the page of the queue.
type QueueView struct {
	Paused                 bool
	Running, Waiting, Held QueueList
}

// Empty reports whether there is nothing in it.
func (v QueueView) Empty() bool { return v.Running.Count+v.Waiting.Count+v.Held.Count == 0 }

// QueueList is one list of the queue.
type QueueList struct {
	Count int
	Shown []Queued // the first of them
}

// More is how many are not shown.
func (l QueueList) More() int { return l.Count - len(l.Shown) }

// Queued is one generation in the queue.
type Queued struct {
	Generation
	Position int    // from 1; 0: held back, or running
	Start    string // "Starts in about 3 minutes"; empty: not known
	Held     bool
	Movable  bool // nothing of it has begun
	First    bool // of what is movable and has the same owner and priority; nothing to go up to
	Last     bool // of the same; nothing to go down to
	Foremost bool // nothing that has begun waits in front of it with its other images
	Priority string
}

// Facts says in one line what was asked for.
func (q Queued) Facts() string {
	facts := []string{plural(len(q.Images), "image")}
	if q.Model != "" {
		facts = append(facts, q.Model)
	}
	if q.Priority != "normal" {
		facts = append(facts, q.Priority+" priority")
	}
	return strings.Join(facts, " · ")
}

// When says when something that waits begins, as far as that is known.
func (q Queued) When() string {
	switch {
	case q.Held:
		return "Held back"
	case q.Start != "":
		return q.Start
	case strings.HasPrefix(q.Progress.Line, "Position "):
		return "Start unknown"
	}
	return q.Progress.Line
}

// StartsIn is the time until something begins as people say it.
func StartsIn(d time.Duration) string {
	if d <= 5*time.Second {
		return "Starts in a moment"
	}
	return "Starts in " + strings.TrimSuffix(spoken(Left(d)), " remaining")
}
