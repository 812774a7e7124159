package comfy

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
	"weak"
)

// The seven tests that the first design of the progress names. They speak to a Tracker as the
// socket's reader does.

// expecting returns a tracker that expects a text-to-image prompt of 20 steps under each id.
func expecting(t testing.TB, ids ...string) *Tracker {
	t.Helper()
	plan := NewPlan(graphOf(t, textToImage), stockInfo(t))
	tracker := NewTracker()
	for _, id := range ids {
		tracker.Expect(id, plan)
	}
	return tracker
}

func snapshot(t testing.TB, tracker *Tracker, id string) Progress {
	t.Helper()
	p, ok := tracker.Snapshot(id)
	if !ok {
		t.Fatalf("prompt %s is not known", id)
	}
	return p
}

// Whoever begins to watch is awake at once and finds a whole state, before ComfyUI has said anything.
func TestInitialConnection(t *testing.T) {
	tracker := expecting(t, promptA)
	changed, stop := tracker.Watch(promptA)
	defer stop()
	select {
	case <-changed:
	default:
		t.Fatal("the watcher sleeps")
	}
	p := snapshot(t, tracker, promptA)
	if p.PromptID != promptA {
		t.Errorf("PromptID = %q", p.PromptID)
	}
	wantWords(t, p, "queued 0/0 pass 0/1, 0 of 20, 0 %")

	if id, changed := tracker.Apply(start(promptA), at(0)); id != promptA || !changed {
		t.Errorf("Apply(execution_start) = %q, %v", id, changed)
	}
	select {
	case <-changed:
	default:
		t.Error("the start of the prompt wakes nobody")
	}
	p = snapshot(t, tracker, promptA)
	if p.Phase != PhaseSetup || !p.StartedAt.Equal(at(0)) {
		t.Errorf("after the start: %s since %v", p.Phase, p.StartedAt)
	}
}

// Steps of the sampler lead over everything else that has a bar.
func TestInferencePriority(t *testing.T) {
	tracker := expecting(t, promptA)
	for _, m := range []Message{
		start(promptA),
		cachedNodes(promptA),
		states(promptA, nodeRuns("4", 7, 50)),
		step(promptA, "4", 7, 50), // a loader with a bar of its own
	} {
		tracker.Apply(m, at(0))
	}
	if p := snapshot(t, tracker, promptA); p.Phase != PhaseSetup || p.Percent != 0 || p.StepsDone != 0 {
		t.Errorf("a loader's bar: %s", words(p))
	}
	tracker.Apply(step(promptA, "3", 5, 20), at(0))
	want := "inference 5/20 pass 1/1, 5 of 20, 25 %"
	wantWords(t, snapshot(t, tracker, promptA), want)
	tracker.Apply(step(promptA, "4", 49, 50), at(0))
	wantWords(t, snapshot(t, tracker, promptA), want)
	if p := snapshot(t, tracker, promptA); p.Node != "3" || p.NodeClass != "KSampler" || p.NodeTitle != "The sampler" {
		t.Errorf("node = %q %q %q, want the sampler", p.Node, p.NodeClass, p.NodeTitle)
	}
}

// Every step from 1 of 20 to 20 of 20 is shown as it is; 100 % waits for the node's end.
func TestSequence1To20(t *testing.T) {
	tracker := expecting(t, promptA)
	tracker.Apply(start(promptA), at(0))
	tracker.Apply(cachedNodes(promptA), at(0))
	tracker.Apply(executing(promptA, "3"), at(0))
	for i := 1; i <= 20; i++ {
		tracker.Apply(step(promptA, "3", float64(i), 20), at(time.Duration(i)*time.Second))
		percent := min(i*5, 99)
		wantWords(t, snapshot(t, tracker, promptA), fmt.Sprintf("inference %d/20 pass 1/1, %d of 20, %d %%", i, i, percent))
	}
	if p := snapshot(t, tracker, promptA); p.StepTime != time.Second {
		t.Errorf("StepTime = %v, want 1s", p.StepTime)
	}
	tracker.Apply(executing(promptA, "8"), at(21*time.Second))
	wantWords(t, snapshot(t, tracker, promptA), "finishing 20/20 pass 1/1, 20 of 20, 100 %")
	tracker.Apply(success(promptA), at(22*time.Second))
	tracker.Apply(finished(promptA), at(22*time.Second))
	p := snapshot(t, tracker, promptA)
	wantWords(t, p, "complete 20/20 pass 1/1, 20 of 20, 100 %")
	if !p.Ended || p.Fraction != 1 || p.Node != "" {
		t.Errorf("at the end: Ended = %v, Fraction = %v, Node = %q", p.Ended, p.Fraction, p.Node)
	}
}

// What is forgotten leaves nothing behind, and its watchers learn of it.
func TestCleanup(t *testing.T) {
	tracker := NewTracker()
	plan := NewPlan(graphOf(t, textToImage), stockInfo(t))
	var previews []weak.Pointer[Preview]
	for i := range 1000 {
		id := fmt.Sprint("prompt-", i)
		tracker.Expect(id, plan)
		changed, stop := tracker.Watch(id)
		<-changed
		tracker.Apply(start(id), at(0))
		tracker.Apply(step(id, "3", 1, 20), at(0))
		tracker.Apply(Message{Type: TypePreview, Image: make([]byte, 1000), MIME: "image/png"}, at(0))
		<-changed
		previews = append(previews, weak.Make(snapshot(t, tracker, id).Preview))
		tracker.Forget(id)
		select {
		case <-changed:
		default:
			t.Fatalf("%s was forgotten and nobody told", id)
		}
		if _, ok := tracker.Snapshot(id); ok {
			t.Fatalf("%s is still known", id)
		}
		stop()
		stop() // twice is harmless
	}
	if len(tracker.prompts) != 0 || len(tracker.watchers) != 0 || tracker.executing != "" {
		t.Errorf("left behind: %d prompts, %d watchers, executing %q", len(tracker.prompts), len(tracker.watchers), tracker.executing)
	}
	runtime.GC()
	for i, p := range previews {
		if p.Value() != nil {
			t.Fatalf("the preview of prompt-%d is still held", i)
		}
	}
	if id, changed := tracker.Apply(step("prompt-1", "3", 2, 20), at(0)); id != "" || changed {
		t.Errorf("a late message of a forgotten prompt is taken: %q, %v", id, changed)
	}
}

// Prompts do not see each other, however their messages and watchers mix.
func TestConcurrentIndependence(t *testing.T) {
	const prompts = 16
	ids := make([]string, prompts)
	for i := range ids {
		ids[i] = fmt.Sprint("prompt-", i)
	}
	tracker := expecting(t, ids...)
	var wg sync.WaitGroup
	for i, id := range ids {
		steps := i + 1
		changed, stop := tracker.Watch(id)
		wg.Go(func() { // a watcher that follows its prompt to the last step
			defer stop()
			for range changed {
				if p, _ := tracker.Snapshot(id); p.PromptID != id || p.Step > steps {
					t.Errorf("%s sees %s: %s", id, p.PromptID, words(p))
					return
				} else if p.Step == steps {
					return
				}
			}
		})
		wg.Go(func() {
			tracker.Apply(start(id), at(0))
			for v := 1; v <= steps; v++ {
				if got, _ := tracker.Apply(step(id, "3", float64(v), 20), at(0)); got != id {
					t.Errorf("a step of %s is taken for one of %q", id, got)
				}
			}
		})
	}
	wg.Wait()
	for i, id := range ids {
		if p := snapshot(t, tracker, id); p.StepsDone != i+1 {
			t.Errorf("%s: %s, want %d steps", id, words(p), i+1)
		}
	}
}

// Until a sampler speaks, the sum of progress_state is shown, as step 0 and 0 %.
func TestAggregateFallback(t *testing.T) {
	tracker := expecting(t, promptA)
	tracker.Apply(start(promptA), at(0))
	tracker.Apply(states(promptA, nodeOver("4"), nodeRuns("6", 3, 10), nodeRuns("3", 5, 20)), at(0))
	wantWords(t, snapshot(t, tracker, promptA), "setup 0/30 pass 0/1, 0 of 30, 0 %")
	tracker.Apply(states(promptA, nodeOver("4"), nodeOver("6"), nodeRuns("3", 19, 20)), at(0))
	wantWords(t, snapshot(t, tracker, promptA), "setup 0/20 pass 0/1, 0 of 20, 0 %")
}

// Once the sampler has spoken, progress_state no longer moves the number.
func TestMessagePriority(t *testing.T) {
	tracker := expecting(t, promptA)
	tracker.Apply(start(promptA), at(0))
	tracker.Apply(step(promptA, "3", 5, 20), at(0))
	want := "inference 5/20 pass 1/1, 5 of 20, 25 %"
	for _, m := range []Message{
		states(promptA, nodeRuns("3", 15, 20)),
		states(promptA, nodeRuns("3", 1, 20)),
		states(promptA, nodeRuns("3", 5, 20), nodeRuns("8", 90, 100)),
		executing(promptA, "3"),
		{Type: "crystools.monitor", Data: []byte(`{}`)},
	} {
		tracker.Apply(m, at(0))
		wantWords(t, snapshot(t, tracker, promptA), want)
	}
	tracker.Apply(step(promptA, "3", 6, 20), at(0))
	wantWords(t, snapshot(t, tracker, promptA), "inference 6/20 pass 1/1, 6 of 20, 30 %")
}
