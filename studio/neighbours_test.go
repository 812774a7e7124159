package studio_test

import (
	"testing"

	"github.com/google/uuid"

	"easel/studio"
)

func TestNeighbours(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.comfy.Kill()
	w.awaitServer(studio.ServerDown)
	oldest := w.create(request("a heron")).ID
	middle := w.create(request("a reed")).ID
	newest := w.create(request("a pond")).ID
	for _, c := range []struct{ id, newer, older uuid.UUID }{
		{oldest, middle, uuid.Nil},
		{middle, newest, oldest},
		{newest, uuid.Nil, middle},
		{uuid.Max, uuid.Nil, newest}, // one that was deleted meanwhile
	} {
		newer, older, err := w.studio.Neighbours(t.Context(), c.id)
		if err != nil || newer != c.newer || older != c.older {
			t.Errorf("Neighbours(%v) = %v, %v, %v, want %v, %v", c.id, newer, older, err, c.newer, c.older)
		}
	}
}
