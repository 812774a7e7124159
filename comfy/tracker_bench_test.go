//go:build unix

package comfy

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// BenchmarkTracker100 follows 100 prompts on as many servers for a second at 50 messages a second
// each, from the frames to the watchers' wake-ups, and says what of one core that takes, the
// collector's work included. A round of the benchmark is that second. KiB-left is what stays in
// memory when all have ended and were forgotten.
func BenchmarkTracker100(b *testing.B) {
	for name, frames := range map[string]func(testing.TB, string) (Plan, [][]byte){
		"steps": stepFrames, "previews": previewFrames, "500 nodes": largeRun,
	} {
		b.Run(name, func(b *testing.B) {
			const prompts, rate = 100, 50
			followed := make([]follow, prompts)
			var plan Plan
			var all [prompts][][]byte
			for i := range followed {
				promptID := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
				plan, all[i] = frames(b, promptID)
				followed[i] = follow{promptID: promptID}
			}
			before := heap()
			for i := range followed {
				followed[i].begin(plan)
			}
			at, took := time.Now(), cpu()
			round := 0
			for ; b.Loop(); round++ {
				for message := range rate {
					for i := range followed {
						followed[i].take(b, all[i][(round*rate+message)%len(all[i])], at)
					}
				}
			}
			took = cpu() - took
			for i := range followed {
				followed[i].end(b)
			}
			left := heap() - before
			runtime.KeepAlive(all)
			runtime.KeepAlive(followed)
			b.ReportMetric(100*took.Seconds()/float64(round), "%core")
			b.ReportMetric(float64(left)/1024, "KiB-left")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// follow is a connection, its tracker, and one prompt with a watcher.
type follow struct {
	promptID string
	decoder  Decoder
	tracker  *Tracker
	changed  <-chan struct{}
	stop     func()
}

func (f *follow) begin(plan Plan) {
	f.tracker = NewTracker()
	f.tracker.Expect(f.promptID, plan)
	f.changed, f.stop = f.tracker.Watch(f.promptID)
	f.tracker.Apply(start(f.promptID), time.Now())
}

// take is what the reader of a socket and one watcher do with a frame.
func (f *follow) take(b *testing.B, frame []byte, at time.Time) {
	kind := f.decoder.Text
	if frame[0] != '{' {
		kind = DecodeBinary
	}
	m, err := kind(frame)
	if err != nil {
		b.Fatal(err)
	}
	f.tracker.Apply(m, at)
	select {
	case <-f.changed:
		if p, ok := f.tracker.Snapshot(f.promptID); !ok || p.StartedAt.IsZero() {
			b.Fatal("the prompt is not followed")
		}
	default:
	}
}

func (f *follow) end(b *testing.B) {
	f.take(b, fmt.Appendf(nil, `{"type": "executing", "data": {"node": null, "prompt_id": "%s"}}`, f.promptID), time.Now())
	f.stop()
	f.tracker.Forget(f.promptID)
}

// stepFrames are those of a sampler's steps in a graph of seven nodes: progress_state and progress.
func stepFrames(t testing.TB, promptID string) (Plan, [][]byte) {
	t.Helper()
	var frames [][]byte
	for step := 1; step <= 20; step++ {
		members := []string{stateMember(promptID, "3", fmt.Sprint(step), "20", "running")}
		for _, id := range []string{"4", "5", "6", "7"} {
			members = append(members, stateMember(promptID, id, "1.0", "1.0", "finished"))
		}
		frames = append(frames, statesFrame(promptID, members...),
			fmt.Appendf(nil, `{"type": "progress", "data": {"value": %d, "max": 20, "prompt_id": "%s", "node": "3"}}`, step, promptID))
	}
	return NewPlan(graphOf(t, textToImage), stockInfo(t)), frames
}

// previewFrames are stepFrames with a preview of 30 KB at every step.
func previewFrames(t testing.TB, promptID string) (Plan, [][]byte) {
	t.Helper()
	plan, frames := stepFrames(t, promptID)
	picture := make([]byte, 30_000)
	for i := range picture {
		picture[i] = byte(rand.Uint32())
	}
	about := fmt.Sprintf(`{"node_id": "3", "prompt_id": "%s", "display_node_id": "3", "parent_node_id": null, "real_node_id": "3", "image_type": "image/jpeg"}`, promptID)
	preview := binary.BigEndian.AppendUint32(nil, 4)
	preview = binary.BigEndian.AppendUint32(preview, uint32(len(about))) //nolint:gosec // short
	preview = append(append(preview, about...), picture...)
	for i := len(frames) - 1; i > 0; i -= 2 {
		frames = slices.Insert(frames, i, preview)
	}
	return plan, frames
}

// heap is how many bytes are in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one has made free
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}

// cpu is what this process has used of all cores so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
