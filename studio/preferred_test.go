package studio

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"easel/db"
)

// However the models of what comes later are chosen, each image goes after a bounded number of others: whoever is at
// the head is overtaken maxOvertaken times at most, and only by what the server has loaded.
func TestPreferredStarvesNobody(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var queue []db.ImageCandidatesRow
		var loaded []string
		latest := map[int32]int{} // how many picks an image may wait for
		coming := rapid.SampledFrom([]string{needModel + "a", needModel + "a", needModel + "a", needModel + "b", needNode + "none"})
		overtakes, came, picks := 0, int32(0), 0
		for range rapid.IntRange(1, 150).Draw(t, "turns") {
			for range rapid.IntRange(0, 3).Draw(t, "come") {
				came++
				queue = append(queue, db.ImageCandidatesRow{Index: came, Needs: []string{coming.Draw(t, "needs")}})
				latest[came] = picks + len(queue)*(maxOvertaken+1)
			}
			if len(queue) == 0 {
				continue
			}
			chosen := preferred(queue[:min(len(queue), lookAhead)], loaded)
			next := queue[chosen]
			if chosen > 0 {
				overtakes++
				if queue[0].Overtaken++; queue[0].Overtaken > maxOvertaken {
					t.Fatalf("image %d was overtaken %d times", queue[0].Index, queue[0].Overtaken)
				}
				if models := modelsOf(next.Needs); len(models) == 0 || !subset(models, loaded) {
					t.Fatalf("%q overtook, and %q is loaded", next.Needs, loaded)
				}
			}
			if models := modelsOf(next.Needs); len(models) > 0 {
				loaded = models
			}
			queue = slices.Delete(queue, chosen, chosen+1)
			if picks++; picks > latest[next.Index] {
				t.Fatalf("image %d was picked as number %d, %d at most was due", next.Index, picks, latest[next.Index])
			}
		}
	})
}

// Who overtakes is of the same user and priority as whom it overtakes: turns and priorities come first.
func TestPreferredKeepsTurns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := make([]db.ImageCandidatesRow, rapid.IntRange(1, lookAhead).Draw(t, "length"))
		for i := range list {
			list[i] = db.ImageCandidatesRow{
				UserID: uuid.UUID{rapid.Byte().Draw(t, "user") % 2}, Priority: rapid.Int32Range(0, 1).Draw(t, "priority"),
				Needs: []string{needModel + rapid.SampledFrom([]string{"a", "b"}).Draw(t, "model")},
			}
		}
		loaded := []string{needModel + "a"}
		chosen := preferred(list, loaded)
		if list[chosen].UserID != list[0].UserID || list[chosen].Priority != list[0].Priority {
			t.Fatalf("%+v overtook %+v", list[chosen], list[0])
		}
		for _, c := range list[:chosen] {
			if c.UserID == list[0].UserID && c.Priority == list[0].Priority && subset(c.Needs, loaded) {
				t.Fatalf("%+v was passed over, and what it needs is loaded", c)
			}
		}
	})
}
