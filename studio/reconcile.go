package studio

import (
	"fmt"
	"time"

	"easel/comfy"
)

// life is what a supervisor knows of one attempt that may be inside a ComfyUI. decide changes it
// and nothing else does.
type life struct {
	State   string    // submitting, submitted or running
	Posted  time.Time // when the POST was sent, or may have been
	Seen    bool      // ComfyUI has acknowledged it, or it was found there
	Refused bool      // the POST was answered by an error of the server itself (500)
	Cancel  bool      // its generation is to end

	AbsentAt time.Time // of the first reading in a row in which it was nowhere; zero: the last one found it
	Empty    int       // readings in which it had succeeded without a file

	Losses      int // earlier attempts of its image that vanished
	Crashes     int // of those, the ones that were running
	OutOfMemory int // earlier attempts that failed for want of memory
}

// verdict is what has to be done about an attempt.
type verdict struct {
	Do      action
	Reason  string // of a loss, or of another try
	Watch   bool   // ended for us, but it may turn up late
	Code    string // of a failure
	Message string // for visitors
	Detail  string // for those who run the server

	Files    []comfy.OutputFile // to fetch
	Warnings []string           // sentences for visitors, of a prompt that was accepted
}

type action int

// What can follow from looking at an attempt.
const (
	wait           action = iota // look again later
	noteSubmitted                // it has arrived there
	noteRunning                  // it runs
	fetch                        // it is done: have its files fetched
	endFailed                    // attempt and image fail
	endCancelled                 // attempt and image are cancelled, as was asked
	endRetried                   // attempt failed, and is worth another: the image goes back into the queue
	endInterrupted               // somebody else stopped it there: attempt cancelled, image failed
	endLost                      // it is gone: the image goes back into the queue
	endGone                      // it is gone once too often: attempt lost, image failed
)

// How often an image may vanish before it fails. A prompt that was running each time is taken for
// the cause of the crash, and is not given a third chance. One that lacked memory is given a second
// one after the server was asked to free some.
const (
	maxLosses      = 3
	maxCrashes     = 2
	maxOutOfMemory = 2
)

// crashesWords is said of a prompt that took ComfyUI down twice.
const crashesWords = "ComfyUI went down twice while it worked on this; it is not tried again."

// decide is the whole of what a look-up can lead to: from what is known of an attempt and what
// ComfyUI says of it now, to what is known then and what is to be done. It reads no clock and
// calls nobody.
//
// Only history ends an attempt well. Absence is believed when it was read twice, AbsentGap apart
// and Settle after the POST, which may still be on its way.
func decide(a life, l comfy.Lookup, now time.Time, t Timing) (life, verdict) {
	if l.State == comfy.Absent {
		return decideAbsent(a, now, t)
	}
	a.Seen, a.AbsentAt = true, time.Time{}
	switch l.State {
	case comfy.Waiting:
		if a.State == attemptSubmitting {
			a.State = attemptSubmitted
			return a, verdict{Do: noteSubmitted}
		}
	case comfy.Running:
		if a.State != attemptRunning {
			a.State = attemptRunning
			return a, verdict{Do: noteRunning}
		}
	case comfy.Succeeded:
		return decideSucceeded(a, l)
	case comfy.Failed:
		v := failure(l.Error)
		if l.Error != nil && isOutOfMemory(l.Error) && a.OutOfMemory+1 < maxOutOfMemory && !a.Cancel {
			v.Do, v.Reason, v.Code = endRetried, retryMemory, ""
		}
		return a, v
	case comfy.Interrupted:
		if a.Cancel {
			return a, verdict{Do: endCancelled}
		}
		return a, verdict{Do: endInterrupted, Code: codeInterrupted, Message: "It was stopped on the server, not by Easel."}
	}
	return a, verdict{}
}

// spent is the end of an image that may not be sent again, whichever way it came back into the queue. Where it may, it
// says wait.
func spent(past life) verdict {
	if past.Crashes >= maxCrashes {
		return verdict{Do: endFailed, Code: codeCrashes, Message: crashesWords}
	}
	return verdict{}
}

// abandoned is why an attempt is lost with a server that was switched off. answered says whether the server could be
// asked, l is what it said. One that was running and is gone, or whose server is, may have taken it down.
func abandoned(state string, answered bool, l comfy.Lookup) (reason, message string) {
	switch {
	case !answered:
		return lossUnreachable, "Its server did not answer, and was switched off."
	case l.State == comfy.Absent && state == attemptRunning:
		return lossAbsent, "Its server had lost it, and was switched off."
	}
	return lossServer, "Its server was switched off."
}

func decideAbsent(a life, now time.Time, t Timing) (life, verdict) {
	if a.AbsentAt.IsZero() {
		a.AbsentAt = now
	}
	settled := now.Sub(a.Posted) >= t.Settle && now.Sub(a.AbsentAt) >= t.AbsentGap // so never at the first reading
	switch {
	case a.Cancel && (a.Seen || settled):
		// Nothing will be run again, so there is nothing to wait for once it was in there.
		return a, verdict{Do: endCancelled, Watch: true}
	case !settled:
		return a, verdict{}
	case a.Refused && !a.Seen:
		return a, verdict{
			Do: endFailed, Code: codeRejected, Watch: true,
			Message: "ComfyUI could not handle this workflow. Its own log says why.",
		}
	}
	return a, lost(a, lossAbsent)
}

// decideUnanswered is what follows when a server has answered nothing for Timing.Abandon. elsewhere says whether
// another could run it now: if not, it is best off where it is, for the server may come back with it.
func decideUnanswered(a life, elsewhere bool) verdict {
	switch {
	case a.Cancel:
		return verdict{Do: endCancelled, Watch: true}
	case !elsewhere:
		return verdict{}
	}
	return lost(a, lossUnreachable)
}

// lost gives an attempt up: the image goes back into the queue, unless that has happened too often.
func lost(a life, reason string) verdict {
	switch {
	case a.State == attemptRunning && a.Crashes+1 >= maxCrashes:
		return verdict{Do: endGone, Reason: reason, Code: codeCrashes, Watch: true, Message: crashesWords}
	case a.Losses+1 >= maxLosses:
		return verdict{
			Do: endGone, Reason: reason, Code: codeLost, Watch: true,
			Message: fmt.Sprintf("It was lost in ComfyUI %d times; it is not tried again.", maxLosses),
		}
	}
	return verdict{Do: endLost, Reason: reason, Watch: true}
}

// decideSucceeded takes the files that history names. An entry without any is read once more: it
// may have been written in two steps.
func decideSucceeded(a life, l comfy.Lookup) (life, verdict) {
	if files := wanted(l.Outputs); len(files) > 0 {
		return a, verdict{Do: fetch, Files: files}
	}
	a.Empty++
	if a.Empty < 2 {
		return a, verdict{}
	}
	return a, verdict{Do: endFailed, Code: codeNoOutputs, Message: "ComfyUI finished without giving a picture."}
}

// wanted are the files to be kept: what was saved, or, if nothing was, what was only shown.
func wanted(files []comfy.OutputFile) []comfy.OutputFile {
	var saved, shown []comfy.OutputFile
	for _, f := range files {
		switch f.Type {
		case "output":
			saved = append(saved, f)
		case "temp":
			shown = append(shown, f)
		}
	}
	if len(saved) > 0 {
		return saved
	}
	return shown
}

// failure tells visitors which node failed and how. The message of the exception may hold paths
// of the server, so that is kept apart.
func failure(e *comfy.ExecutionError) verdict {
	v := verdict{Do: endFailed, Code: codeExecution, Message: "ComfyUI could not finish this."}
	if e == nil {
		return v
	}
	if e.NodeType != "" {
		v.Message = fmt.Sprintf("The node %s failed.", e.NodeType)
	}
	if isOutOfMemory(e) {
		v.Message = fmt.Sprintf("The server ran out of memory in the node %s. A smaller picture may work.", e.NodeType)
	}
	v.Detail = fmt.Sprintf("node %s (%s): %s: %s\n%s", e.NodeID, e.NodeType, e.ExceptionType, e.Message, e.Traceback)
	return v
}
