// Package failpoint lets a test kill the program at a named point between two of its steps. Only
// builds with the tag failpoints can do so; in all others a point is an empty function.
package failpoint

// Variable holds the name of the point to die at, and after a colon at which of its hits (1 if
// left out).
const Variable = "EASEL_FAILPOINT"

// The points, in the order in which the life of a generation passes them.
const (
	BeforeAccept    = "before-accept-commit"
	AfterAccept     = "after-accept-commit"
	BeforeAttempt   = "before-attempt-commit"
	AfterAttempt    = "after-attempt-commit"
	BeforePost      = "before-post"   // of /prompt
	AfterPost       = "after-post"    // its answer is there, and was not read
	AfterReply      = "after-reply"   // its answer has been read, and not yet stored
	AfterHistory    = "after-history" // the end has been read, and not yet stored
	AfterFinalizing = "after-finalizing-commit"
	InDownload      = "in-download"  // after a first piece of the file
	AfterRename     = "after-rename" // the picture has its name; neither folder nor database know it for sure
	BeforeSucceed   = "before-succeed-commit"
	AfterSucceed    = "after-succeed-commit"
)
