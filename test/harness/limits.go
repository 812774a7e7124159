package harness

import (
	"fmt"
	"os/exec"
	"strconv"
)

// LimitFiles lets the running program write no file beyond so many bytes, as a disk without room
// would; negative: no limit. Its children, the private Postgres, keep what they have.
func (e *Easel) LimitFiles(bytes int64) {
	e.t.Helper()
	limit := "unlimited"
	if bytes >= 0 {
		limit = strconv.FormatInt(bytes, 10)
	}
	command := exec.CommandContext(e.t.Context(), "prlimit", fmt.Sprintf("--pid=%d", e.PID()), "--fsize="+limit+":")
	if out, err := command.CombinedOutput(); err != nil {
		e.t.Fatalf("limit the size of files: %v: %s", err, out)
	}
}
