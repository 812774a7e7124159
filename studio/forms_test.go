package studio

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"easel/comfy/workflow"
)

// The same servers give the same form, in whatever order they were heard of: the choices of the
// oldest come first.
func TestFormsAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	w, ok := workflow.Builtin(workflow.TextToImage)
	if !ok {
		t.Fatal("the built-in workflow is not there")
	}
	servers := make([]uuid.UUID, 8)
	infos := make([]*workflow.ObjectInfo, len(servers))
	for i := range servers {
		servers[i] = uuid.Must(uuid.NewV7())
		var err error
		infos[i], err = workflow.ParseObjectInfo(fmt.Appendf(nil,
			`{"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [["model-%d"]]}}}}`, i))
		if err != nil {
			t.Fatal(err)
		}
	}
	f := newForms()
	for i := len(servers) - 1; i >= 0; i-- {
		f.learn(servers[i], infos[i])
	}
	model, ok := f.of(w).Field("model")
	if !ok || len(model.Choices) != len(servers) {
		t.Fatalf("models %v of %d servers", model.Choices, len(servers))
	}
	for i, choice := range model.Choices {
		if want := fmt.Sprintf("model-%d", i); choice != want {
			t.Errorf("choice %d is %s, want %s", i, choice, want)
		}
	}
}
