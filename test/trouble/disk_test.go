package trouble

import (
	"strings"
	"testing"

	"easel/test/harness"
)

// The disk takes no more files (rows 17 and 36): the picture waits in ComfyUI, "Storing" is shown,
// nothing has failed, and it is stored when there is room.
func TestFault17_DiskTakesNoFiles(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.stepper.Open()
	r.LimitFiles(100)
	id := r.Generate(harness.Ask{Prompt: "no room", Steps: 4})
	harness.Eventually(t, "was storing tried twice", func() bool { return strings.Count(r.Log(), "file too large") >= 2 })
	g := r.Await(id, "is being stored", func(g harness.Generation) bool { return g.Progress.Phase == "finishing" })
	if g.Status != "generating" || g.Progress.Status != "Storing" || g.Progress.Overall >= 100 {
		t.Errorf("without room it is %+v", g)
	}
	r.LimitFiles(-1)
	r.AwaitStatus(id, "complete")
	same(t, r, id)
	r.once()
}
