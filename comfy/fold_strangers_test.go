package comfy

import (
	"testing"
)

// status counts everybody's prompts; it says nothing about one.
func TestTrapStatusIsEverybodys(t *testing.T) {
	r := readRecording(t, "05-two-clients/a3-b2")
	_, changes := r.play(t, r.prompts[0].client)
	if len(of(changes, TypeStatus)) == 0 {
		t.Fatal("no status heard")
	}
	for _, c := range of(changes, TypeStatus) {
		if c.prompt != "" || c.changed {
			t.Errorf("status concerns prompt %q", c.prompt)
		}
	}
}

// Prompts without a client_id sprinkle progress and previews over every socket.
func TestTrapStrangersAreDropped(t *testing.T) {
	r := readRecording(t, "05-two-clients/no-client-id")
	own := map[string]bool{}
	for _, p := range r.prompts {
		if p.client == "client-a" {
			own[p.id] = true
		}
	}
	_, changes := r.play(t, "client-a")
	strange, images := 0, 0
	for _, c := range changes {
		if c.PromptID != "" && !own[c.PromptID] {
			strange++
			if c.prompt != "" || c.changed {
				t.Errorf("%s of a stranger's prompt changes %q", c.Type, c.prompt)
			}
		}
		if c.Type == TypePreview && c.prompt == "" {
			images++
		}
	}
	if strange == 0 || images == 0 {
		t.Errorf("%d messages and %d images of strangers, want some of both", strange, images)
	}
}

// Event 1 names no prompt. It is ours only while our own prompt runs.
func TestTrapPreviewOfAStranger(t *testing.T) {
	plan := NewPlan(graphOf(t, textToImage), stockInfo(t))
	image := Message{Type: TypePreview, Image: []byte("jpeg"), MIME: "image/jpeg"}
	tracker := NewTracker()
	tracker.Expect(promptA, plan)

	steps := []struct {
		message Message
		taken   bool // whether an image is taken after it
	}{
		{start(promptA), true},
		{step(promptB, "3", 1, 20), false}, // another's: ours must have ended unheard
		{step(promptA, "3", 1, 20), true},
		{Message{Type: TypeStatus, QueueRemaining: 2}, true},
		{Message{Type: TypeStatus, SID: "us"}, false}, // a new connection
		{Message{Type: TypeExecuting, Node: "3"}, false},
		{executing(promptA, "3"), true},
		{success(promptA), false},
		{finished(promptA), false},
	}
	for i, s := range steps {
		tracker.Apply(s.message, at(0))
		id, changed := tracker.Apply(image, at(0))
		if changed != s.taken || (id == promptA) != s.taken {
			t.Errorf("%d: after %s the image of nobody is taken: %v for %q, want %v", i, s.message.Type, changed, id, s.taken)
		}
	}
}

// Other tools may queue under our client id: only the prompt_id tells whose a message is.
func TestTrapOthersUnderOurClientID(t *testing.T) {
	plan := NewPlan(graphOf(t, textToImage), stockInfo(t))
	tracker := NewTracker()
	tracker.Expect(promptA, plan)
	before, _ := tracker.Snapshot(promptA)
	for _, m := range []Message{start(promptB), executing(promptB, "3"), step(promptB, "3", 5, 20), success(promptB), finished(promptB)} {
		if id, changed := tracker.Apply(m, at(0)); id != "" || changed {
			t.Errorf("%s of another prompt concerns %q", m.Type, id)
		}
	}
	if after, _ := tracker.Snapshot(promptA); after != before {
		t.Errorf("state = %s", words(after))
	}
}

// The final pictures of SaveImageWebsocket come as event 1 too; they are no previews.
func TestTrapResultsOverTheSocketAreNoPreviews(t *testing.T) {
	r := readRecording(t, "03-outputs/save-image-websocket")
	tracker, changes := r.play(t, r.prompts[0].client)
	if len(of(changes, TypePreview)) == 0 {
		t.Fatal("no image was heard")
	}
	if got, _ := tracker.Snapshot(r.prompts[0].id); got.Preview != nil {
		t.Errorf("preview = %s of %d bytes", got.Preview.MIME, len(got.Preview.Bytes))
	}
}

// A socket that was opened after the POST misses the beginning.
func TestTrapSocketAfterThePost(t *testing.T) {
	changes := heard(t, "01-txt2img/run5-post-before-socket", 0)
	if changes[0].Type == TypeExecutionStart {
		t.Fatal("nothing was missed")
	}
	wantWords(t, changes[len(changes)-1].after, "complete 20/20 pass 1/1, 20 of 20, 100 %")
}

// After a cut the bare executing names no prompt, missed steps are not sent again, and the next step
// is right at once.
func TestTrapReconnectInMidRun(t *testing.T) {
	r := readRecording(t, "08-reconnect/drop-and-return-same-id")
	_, changes := r.play(t, r.prompts[0].client)
	steps := of(changes, TypeProgress)
	for i, c := range steps {
		if c.after.Step != int(c.Value) || c.after.StepsDone != int(c.Value) {
			t.Errorf("message %d, step %v: %s", i, c.Value, words(c.after))
		}
	}
	if len(steps) != 19 {
		t.Errorf("%d steps heard, want all but the one that was missed", len(steps))
	}
	images := of(changes, TypePreview)
	if len(images) == 0 {
		t.Fatal("no preview after the reconnect")
	}
	for _, c := range images {
		if !c.changed {
			t.Error("a preview after the reconnect was dropped")
		}
	}
}

// Under another client id, and on a socket that the server has forgotten, nothing more is heard: the
// state stays as it is, for /queue and /history to settle.
func TestTrapSilentSocket(t *testing.T) {
	for _, name := range []string{"08-reconnect/half-open-then-reset", "08-reconnect/return-with-other-id"} {
		changes := heard(t, name, 0)
		last := changes[len(changes)-1].after
		if last.Phase != PhaseInference || last.Ended || last.StepsDone == 0 {
			t.Errorf("%s: %s", name, words(last))
		}
	}
}

// Behind a client that does not read, everything comes late and in one burst.
func TestTrapLateBurst(t *testing.T) {
	r := readRecording(t, "13-transport/slow-reader-blocks-all")
	ended := 0
	for _, p := range r.prompts {
		tracker, _ := r.play(t, p.client)
		if got, _ := tracker.Snapshot(p.id); got.Ended && got.Phase == PhaseComplete {
			ended++
		}
	}
	if ended == 0 {
		t.Error("no prompt was followed to its end")
	}
}
