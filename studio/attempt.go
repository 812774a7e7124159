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
	lossServer  = "server_removed"  // configuration dropped the server
)

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
)
