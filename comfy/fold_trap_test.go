package comfy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The traps that a real server lays, each played from the recording that shows it. What the
// server does and why is in the comment of each test.

// words is what a person would read of a state.
func words(p Progress) string {
	return fmt.Sprintf("%s %d/%d pass %d/%d, %d of %d, %d %%", p.Phase, p.Step, p.Steps, p.Pass, p.Passes, p.StepsDone, p.StepsPlanned, p.Percent)
}

func wantWords(t *testing.T, p Progress, want string) {
	t.Helper()
	if got := words(p); got != want {
		t.Errorf("state = %s, want %s", got, want)
	}
}

// running 0/1 and finished 1/1 fill in for nodes without a bar; they are no steps.
func TestTrapFillersAreNoBars(t *testing.T) {
	for _, c := range heard(t, "01-txt2img/run1-first", 0) {
		if c.after.Steps != 0 && c.after.Steps != 20 {
			t.Fatalf("after %s: Steps = %d", c.Type, c.after.Steps)
		}
	}
}

// The executing of the sampler is not its first step: seconds of loading can lie between.
func TestTrapSamplerNodeIsNotTheFirstStep(t *testing.T) {
	changes := heard(t, "11-progress-order/large-model-slow-setup", 0)
	steps := of(changes, TypeProgress)
	for _, c := range changes {
		if c.after.UpdatedAt.Before(steps[0].after.UpdatedAt) && c.after.Phase != PhaseSetup {
			t.Fatalf("after %s: phase = %s before the first step", c.Type, c.after.Phase)
		}
	}
	before := steps[0].before
	if before.Phase != PhaseSetup || before.NodeClass != "KSampler" || before.Percent != 0 {
		t.Errorf("before the first step: %s at %s, %d %%", before.Phase, before.NodeClass, before.Percent)
	}
	if got := steps[0].after.Phase; got != PhaseInference {
		t.Errorf("at the first step: %s", got)
	}
	if got := steps[0].after.StepTime; got != 0 {
		t.Errorf("the set-up counts as a step of %v", got)
	}
}

// The last step of the sampler is not the end: decoding and saving follow.
func TestTrapLastStepIsNotTheEnd(t *testing.T) {
	changes := heard(t, "01-txt2img/run1-first", 0)
	steps := of(changes, TypeProgress)
	wantWords(t, steps[len(steps)-1].after, "inference 20/20 pass 1/1, 20 of 20, 99 %")
	over := changes[slices.IndexFunc(changes, func(c change) bool { return c.after.Phase == PhaseFinishing })]
	wantWords(t, over.after, "finishing 20/20 pass 1/1, 20 of 20, 100 %")
	if f := over.after.Fraction; f < 0.8 || f > 0.95 {
		t.Errorf("Fraction = %v when decoding begins, want some of it left", f)
	}
}

// A second sampler counts from 1 again under its own node id.
func TestTrapTwoSamplers(t *testing.T) {
	steps := of(heard(t, "11-progress-order/hires-20-plus-10", 0), TypeProgress)
	if len(steps) != 30 {
		t.Fatalf("%d steps heard", len(steps))
	}
	for i, c := range steps {
		if c.after.StepsDone != i+1 || c.after.StepsPlanned != 30 {
			t.Errorf("step %d: %s", i+1, words(c.after))
		}
	}
	wantWords(t, steps[19].after, "inference 20/20 pass 1/2, 20 of 30, 66 %")
	wantWords(t, steps[20].after, "inference 1/10 pass 2/2, 21 of 30, 70 %")
	wantWords(t, steps[29].after, "inference 10/10 pass 2/2, 30 of 30, 99 %")
}

// One sampler that is fed with a list runs through 1..5 twice under one node id. While it runs another
// pass may come, and the number does not come to its end before the last has.
func TestTrapListFedSampler(t *testing.T) {
	changes := heard(t, "11-progress-order/list-input-repeats", 0)
	steps := of(changes, TypeProgress)
	wantWords(t, steps[0].after, "inference 1/5 pass 1/1, 1 of 10, 10 %")
	wantWords(t, steps[4].after, "inference 5/5 pass 1/1, 5 of 10, 50 %")
	wantWords(t, steps[5].after, "inference 1/5 pass 2/2, 6 of 15, 50 %")
	wantWords(t, steps[9].after, "inference 5/5 pass 2/2, 10 of 15, 66 %")
	over := changes[slices.IndexFunc(changes, func(c change) bool { return c.after.Percent == 100 })]
	wantWords(t, over.after, "finishing 5/5 pass 2/2, 10 of 10, 100 %")
	for _, c := range changes {
		if c.after.Percent == 100 && c.after.Node == "3" && c.Type == TypeProgress {
			t.Errorf("100 %% while the sampler is at work")
		}
	}
}

// A node that expands speaks under ids that the sent graph lacks.
func TestTrapExpandedNode(t *testing.T) {
	for _, c := range of(heard(t, "11-progress-order/expanded-node", 0), TypeProgress) {
		if !strings.HasPrefix(c.Node, "2.0.0.") {
			t.Fatalf("progress of %s", c.Node)
		}
		if c.after.Node != "2" || c.after.NodeClass != "BenchExpand" || c.after.Steps != 4 {
			t.Errorf("progress of %s: at node %s (%s), %s", c.Node, c.after.Node, c.after.NodeClass, words(c.after))
		}
	}
}

// samplersFile has one prompt for each way in which the steps differ from what was asked for.
const samplersFile = "11-progress-order/samplers"

// dpm_adaptive goes on for 15 more calls at 6 of 6.
func TestTrapAdaptiveGoesOnAtTheLastStep(t *testing.T) {
	steps := of(heard(t, samplersFile, 0), TypeProgress)
	if len(steps) != 21 {
		t.Fatalf("%d messages", len(steps))
	}
	for _, c := range steps[5:] {
		wantWords(t, c.after, "inference 6/6 pass 1/1, 6 of 6, 99 %")
	}
	if steps[20].changed {
		t.Error("the same step again wakes the watchers")
	}
}

// dpm_fast ends at 3 of 6.
func TestTrapFastSamplerEndsEarly(t *testing.T) {
	changes := heard(t, samplersFile, 1)
	steps := of(changes, TypeProgress)
	wantWords(t, steps[len(steps)-1].after, "inference 3/6 pass 1/1, 3 of 6, 50 %")
	over := changes[slices.IndexFunc(changes, func(c change) bool { return c.after.Phase == PhaseFinishing })]
	wantWords(t, over.after, "finishing 3/6 pass 1/1, 6 of 6, 100 %")
}

// ddim_uniform takes 7 steps for 6.
func TestTrapMaxIsNotSteps(t *testing.T) {
	changes := heard(t, samplersFile, 6)
	wantWords(t, changes[0].after, "setup 0/0 pass 0/1, 0 of 6, 0 %")
	steps := of(changes, TypeProgress)
	wantWords(t, steps[5].after, "inference 6/7 pass 1/1, 6 of 7, 85 %")
	wantWords(t, steps[6].after, "inference 7/7 pass 1/1, 7 of 7, 99 %")
}

// With denoise 0 a sampler runs without a step.
func TestTrapDenoiseZero(t *testing.T) {
	changes := heard(t, samplersFile, 8)
	if len(of(changes, TypeProgress)) != 0 {
		t.Fatal("a step was heard")
	}
	last := changes[len(changes)-1].after
	wantWords(t, last, "complete 0/0 pass 0/0, 0 of 0, 100 %")
	if last.Reused {
		t.Error("Reused = true, but the sampler ran")
	}
}

// KSamplerAdvanced announces its own part: 6 and then 4 of 10.
func TestTrapPartsOfASchedule(t *testing.T) {
	changes := heard(t, samplersFile, 9)
	wantWords(t, changes[0].after, "setup 0/0 pass 0/2, 0 of 10, 0 %")
	steps := of(changes, TypeProgress)
	wantWords(t, steps[5].after, "inference 6/6 pass 1/2, 6 of 10, 60 %")
	wantWords(t, steps[9].after, "inference 4/4 pass 2/2, 10 of 10, 99 %")
}

// The same graph again: no step at all, and the pictures of before.
func TestTrapAllSamplersCached(t *testing.T) {
	changes := heard(t, "02-cached/identical-graph", 1)
	for _, c := range changes[1:] {
		if !c.after.Reused || c.after.Steps != 0 || c.after.StepsPlanned != 0 {
			t.Errorf("after %s: Reused = %v, %s", c.Type, c.after.Reused, words(c.after))
		}
	}
	wantWords(t, changes[len(changes)-1].after, "complete 0/0 pass 0/0, 0 of 0, 100 %")
}

// Only the prefix of the saved file changed: the saving runs, the sampler does not.
func TestTrapOnlyTheEndRuns(t *testing.T) {
	changes := heard(t, "01-txt2img/run4-other-prefix", 0)
	cached := of(changes, TypeExecutionCached)[0].after
	if !cached.Reused || cached.Phase != PhaseFinishing || cached.Percent == 100 {
		t.Errorf("after execution_cached: Reused = %v, %s", cached.Reused, words(cached))
	}
}

// Decoding in tiles and upscaling have bars too; they are no steps.
func TestTrapTilesAreNoSteps(t *testing.T) {
	for name, class := range map[string]string{
		"11-progress-order/tiled-vae-img2img": "VAEDecodeTiled",
		"11-progress-order/upscale-model":     "ImageUpscaleWithModel",
	} {
		tiles, fraction := 0, 0.0
		for _, c := range of(heard(t, name, 0), TypeProgress) {
			if c.after.NodeClass != class {
				continue
			}
			tiles++
			if c.after.Phase != PhaseFinishing || c.after.StepsDone != c.before.StepsDone || c.after.Steps != c.before.Steps {
				t.Errorf("%s: a tile gives %s", name, words(c.after))
			}
			if c.after.Fraction <= fraction {
				t.Errorf("%s: tile %v of %v does not move the whole: %v", name, c.Value, c.Max, c.after.Fraction)
			}
			fraction = c.after.Fraction
		}
		if tiles == 0 {
			t.Errorf("%s: no tile of %s was heard", name, class)
		}
	}
}

// Async nodes run side by side, their messages alternate, and executing names others meanwhile.
func TestTrapAsyncNodes(t *testing.T) {
	changes := heard(t, "11-progress-order/several-nodes-state", 0)
	done := 0
	for _, c := range of(changes, TypeProgress) {
		if c.after.StepsDone <= done && done < c.after.StepsPlanned {
			t.Errorf("progress of %s %v/%v: %s", c.Node, c.Value, c.Max, words(c.after))
		}
		done = c.after.StepsDone
		if c.after.Passes > 4 {
			t.Fatalf("alternating nodes are counted as passes: %s", words(c.after))
		}
	}
	if done != 6+4+4 {
		t.Errorf("%d steps of three bars, want 14", done)
	}
}

// A lazy node is announced, put back, and announced again after its input ran.
func TestTrapLazyNode(t *testing.T) {
	changes := heard(t, "11-progress-order/lazy-inputs", 0)
	announced := 0
	for _, c := range of(changes, TypeExecuting) {
		if c.Node == "4" {
			announced++
		}
	}
	steps := of(changes, TypeProgress)
	if announced != 2 || len(steps) != 4 {
		t.Fatalf("%d times announced, %d steps", announced, len(steps))
	}
	for _, c := range steps {
		if c.after.Node != "2" {
			t.Errorf("at %s while its input runs", c.after.Node)
		}
	}
	wantWords(t, changes[len(changes)-1].after, "complete 4/4 pass 1/1, 4 of 4, 100 %")
}

// 600 messages in 22 ms: each is folded, and a watcher that was away has one wake-up to take.
func TestTrapBurst(t *testing.T) {
	r := readRecording(t, "11-progress-order/fast-progress")
	tracker := NewTracker()
	p := r.prompts[0]
	tracker.Expect(p.id, p.plan)
	changed, stop := tracker.Watch(p.id)
	defer stop()
	for _, e := range r.file.Received("") {
		tracker.Apply(decodeEntry(t, e), at(e.At()))
	}
	if len(changed) != 1 {
		t.Fatalf("%d wake-ups wait, want 1", len(changed))
	}
	if got, _ := tracker.Snapshot(p.id); got.StepsDone != 300 || !got.Ended {
		t.Errorf("after the burst: %s", words(got))
	}
}

// execution_error of the type ExecutionBlocked ends nothing.
func TestTrapBlockedIsNoEnd(t *testing.T) {
	changes := heard(t, "07-errors/blocked-outputs", 0)
	blocked := of(changes, TypeExecutionError)
	if len(blocked) != 1 || blocked[0].after.Phase.Ended() || blocked[0].EndsPrompt() {
		t.Fatalf("%d errors, the first gives %s", len(blocked), words(blocked[0].after))
	}
	wantWords(t, changes[len(changes)-1].after, "complete 4/4 pass 1/1, 4 of 4, 100 %")
}

// A node that raises fails its prompt, and the next one starts at once.
func TestTrapFailureEndsOnlyItsPrompt(t *testing.T) {
	r := readRecording(t, "07-errors/node-exception")
	changes := heard(t, "07-errors/node-exception", 0)
	last := changes[len(changes)-1]
	if last.after.Phase != PhaseFailed || !last.after.Ended || last.after.Percent >= 100 || last.after.Fraction >= 1 {
		t.Errorf("failed prompt: %s", words(last.after))
	}
	e := of(changes, TypeExecutionError)[0]
	if e.ExceptionType == "" || e.ExceptionMessage == "" || e.NodeType != "BenchFail" || len(e.Traceback) == 0 {
		t.Errorf("error = %q %q %q", e.NodeType, e.ExceptionType, e.ExceptionMessage)
	}
	next := heard(t, "07-errors/node-exception", 1)
	if got := next[len(next)-1].after.Phase; r.prompts[1].id == r.prompts[0].id || got != PhaseComplete {
		t.Errorf("next prompt: %s", got)
	}
}

// An interrupt leaves the numbers where they were.
func TestTrapInterrupted(t *testing.T) {
	changes := heard(t, "06-cancel/interrupt-running", 0)
	last := changes[len(changes)-1].after
	if last.Phase != PhaseCancelled || !last.Ended || last.StepsDone == 0 || last.StepsDone >= 20 || last.Percent != 100*last.StepsDone/20 {
		t.Errorf("interrupted: %s", words(last))
	}
}

// A prompt that is deleted while it waits is never spoken of.
func TestTrapDeletedWhilePending(t *testing.T) {
	r := readRecording(t, "06-cancel/delete-and-clear")
	silent := 0
	for _, p := range r.prompts {
		if _, known := r.history[p.id]; known {
			continue
		}
		tracker, _ := r.play(t, p.client)
		if got, _ := tracker.Snapshot(p.id); got.Phase == PhaseQueued && got.UpdatedAt.IsZero() {
			silent++
		}
	}
	if silent == 0 {
		t.Error("no deleted prompt stayed queued")
	}
}

// A server that dies just cuts the connection: nothing is taken for an end.
func TestTrapServerDied(t *testing.T) {
	for _, name := range []string{"09-restart/kill9-mid-run", "09-restart/term-mid-run", "09-restart/int-mid-run"} {
		r := readRecording(t, name)
		cut := 0
		for _, p := range r.prompts {
			tracker, _ := r.play(t, p.client)
			if got, _ := tracker.Snapshot(p.id); !got.Ended && !got.Phase.Ended() {
				cut++
			}
		}
		if cut < 2 { // one ran, one waited
			t.Errorf("%s: %d prompts without an end", name, cut)
		}
	}
}

// The history entry may come up to 400 ms after execution_success; it is there with the executing that
// names no node. Ended says so only then.
func TestTrapHistoryLaterThanSuccess(t *testing.T) {
	changes := heard(t, "13-transport/history-after-success", 0)
	told := of(changes, TypeExecutionSuccess)[0].after
	if told.Phase != PhaseComplete || told.Ended || told.Fraction == 1 {
		t.Errorf("after execution_success: %s, Ended = %v, Fraction = %v", told.Phase, told.Ended, told.Fraction)
	}
	if last := changes[len(changes)-1]; !last.after.Ended || last.after.Fraction != 1 {
		t.Errorf("after %s: Ended = %v, Fraction = %v", last.Type, last.after.Ended, last.after.Fraction)
	}
}

// Events may come before the answer to the POST; a prompt is expected before it is sent.
func TestTrapEventsBeforeTheAnswer(t *testing.T) {
	r := readRecording(t, "13-transport/events-before-response")
	tracker, _ := r.play(t, r.prompts[0].client)
	for _, p := range r.prompts {
		if got, _ := tracker.Snapshot(p.id); !got.Ended {
			t.Errorf("prompt %s: %s", p.id, words(got))
		}
	}
}
