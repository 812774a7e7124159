package studio

// The states of an attempt. The first three may be inside a ComfyUI, the first four are live, the
// last four are ends.
const (
	attemptSubmitting = "submitting" // written down; the POST may or may not have been sent
	attemptSubmitted  = "submitted"  // ComfyUI has it
	attemptRunning    = "running"
	attemptFinalizing = "finalizing" // ComfyUI is done; its files are being stored
	attemptSucceeded  = "succeeded"
	attemptFailed     = "failed"
	attemptCancelled  = "cancelled"
	attemptLost       = "lost" // gone without an end; the image goes back into the queue
)

// Why an attempt was lost.
const (
	lossAbsent  = "absent"          // neither in queue nor in history: the server restarted, or somebody deleted it
	lossNotSent = "not_sent"        // the server took nothing
	lossMissing = "outputs_missing" // done, but its files are gone
	lossServer  = "server_removed"  // configuration dropped the server, or somebody switched it off
	lossRestore = "restored"        // it was under way when the backup was made that this database is of

	// The server did not answer, for long or when it was switched off, so that its work went elsewhere.
	// One that was running then counts as a crash, like one that was absent afterwards.
	lossUnreachable = "unreachable"
)

// Why an image goes back into the queue although its attempt was not lost. Of all that a node can
// raise only this is worth another try: the same graph on the same server gives the same error
// again, unless memory is what was missing.
const retryMemory = "out_of_memory"

// retryWords says why an image is sent again. reason is that of the attempt before.
func retryWords(reason string) string {
	switch reason {
	case "":
		return ""
	case lossAbsent:
		return "Sent again: the server lost it"
	case lossNotSent:
		return "Sent again: the server did not take it"
	case lossMissing:
		return "Made again: its files were gone"
	case lossUnreachable:
		return "Sent again: its server does not answer"
	case lossRestore:
		return "Sent again: Easel was restored from a backup"
	case retryMemory:
		return "Sent again: out of memory, memory was freed"
	}
	return "Sent again: its server was taken away"
}

// Loss says what became of an attempt that was lost; empty: it was not.
func (a *Attempt) Loss() string {
	switch a.LossReason {
	case "":
		return ""
	case lossAbsent:
		return "ComfyUI did not have it any more."
	case lossNotSent:
		return "The server did not take it."
	case lossMissing:
		return "Its files were gone."
	case lossUnreachable:
		return "Its server did not answer any more."
	case lossRestore:
		return "It was under way when the backup was made."
	}
	return "Its server was taken away."
}

// Again says why another attempt followed; empty if this was the last for what it says itself.
func (a *Attempt) Again() string { return retryWords(a.LossReason + a.RetryReason) }

// What went wrong with an image, for programs.
const (
	codeRejected    = "rejected"        // ComfyUI refused the graph
	codeExecution   = "execution_error" // a node raised
	codeInterrupted = "interrupted"     // stopped on the server, not by us
	codeCrashes     = "crashes_server"
	codeLost        = "lost" // vanished too often
	codeNoOutputs   = "no_outputs"
	codeMissing     = "outputs_missing"
	codeStorage     = "storage"
	codeUnfit       = "outputs_unfit" // its files are there, and cannot be taken
	codeWorkflow    = "workflow"      // the workflow is gone or does not fit its settings
	codeInput       = "input"         // a picture that it begins with is gone, or the server does not take it
	codeUnstorable  = "unstorable"    // the database takes none of what ComfyUI said about it
)
