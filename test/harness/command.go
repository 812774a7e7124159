package harness

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"
)

// Run runs easel to its end, for starts that are refused and for its other commands: exit code and
// all that it wrote. It fails the test when the program is still there after startWait.
func Run(t testing.TB, o Options, args ...string) (code int, output string) {
	t.Helper()
	if o.DataDir == "" {
		o.DataDir = DataDir(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startWait)
	defer cancel()
	command := exec.CommandContext(ctx, Binary(t, o.Plain), args...)
	command.Env, command.SysProcAttr = environment(o, "127.0.0.1:0"), o.attributes()
	command.WaitDelay = 5 * time.Second
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Fatalf("easel %v did not end\n%s", args, out)
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	return code, string(out)
}
