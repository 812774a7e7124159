package comfy

import (
	"slices"
	"strings"
	"testing"

	"easel/comfy/transcript"
)

// TestReplay plays every recording of a real ComfyUI (testdata/transcripts) over real sockets and real HTTP, in
// the recorded order, against the real client: each recorded frame is sent when its turn comes and must arrive as
// a message; each recorded request that a Client can make is made, compared with the recording, and answered as
// it was. At the end what the socket said of each prompt must agree with what its history says.
func TestReplay(t *testing.T) {
	var made, passedOver, frames, compared int
	for _, file := range recordings(t) {
		t.Run(file.Name, func(t *testing.T) {
			r := newReplay(t, file.Entries)
			r.play()
			r.compareVerdicts()
			made += r.made
			passedOver += r.passedOver
			frames += r.frames
			compared += r.compared
		})
	}
	// What is not made are requests that a Client has no words for: malformed ones, lists of everything, other
	// people's routes. The numbers guard against a test that passes by doing nothing.
	if frames != recordedFrames(t) {
		t.Errorf("%d frames arrived, want %d", frames, recordedFrames(t))
	}
	if made < 400 || compared < 90 {
		t.Errorf("%d requests made (%d passed over), %d verdicts compared, want at least 400 and 90", made, passedOver, compared)
	}
	t.Logf("%d frames, %d requests made, %d passed over, %d verdicts compared", frames, made, passedOver, compared)
}

func recordings(t *testing.T) []*transcript.File {
	t.Helper()
	names, err := transcript.Names("")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 73 {
		t.Fatalf("%d recordings, want at least 73", len(names))
	}
	var files []*transcript.File
	for _, name := range names {
		f, err := transcript.Read("", name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

func recordedFrames(t *testing.T) int {
	t.Helper()
	var n int
	for _, f := range recordings(t) {
		n += len(f.Received(""))
	}
	return n
}

// compareVerdicts holds the last history read of each prompt against the last end that a socket told of.
func (r *replay) compareVerdicts() {
	for id, l := range r.verdicts {
		end, ok := r.ends[id]
		if !ok {
			continue // nobody's socket heard of it: no client_id, or the connection was down
		}
		r.compared++
		want := Succeeded
		switch end.Type {
		case TypeExecutionInterrupted:
			want = Interrupted
		case TypeExecutionError:
			want = Failed
			if l.Error == nil || l.Error.NodeID != end.Node || l.Error.NodeType != end.NodeType ||
				l.Error.ExceptionType != end.ExceptionType || l.Error.Message != strings.TrimSpace(end.ExceptionMessage) {
				r.t.Errorf("prompt %s: history says %+v, the socket %+v", id, l.Error, end)
			}
		}
		if l.State != want {
			r.t.Errorf("prompt %s: history says %s, the socket %s", id, l.State, end.Type)
		}
		for _, f := range r.files[id] {
			if !slices.Contains(l.Outputs, f) {
				r.t.Errorf("prompt %s: history lacks %+v, which executed announced", id, f)
			}
		}
		if p, ok := r.tracker.Snapshot(id); !ok || !p.Ended && !p.Phase.Ended() {
			r.t.Errorf("prompt %s: the tracker does not know that it ended: %+v", id, p)
		}
	}
}

// TestPaddedFramesAreWhole guards the replay's own padding: every frame that was cut in the recording is brought
// back to its length, and every image in it decodes.
func TestPaddedFramesAreWhole(t *testing.T) {
	var cut int
	for _, f := range recordings(t) {
		for _, e := range f.Received("") {
			if e.Whole() {
				continue
			}
			cut++
			frame, want := wholeFrame(t, &e), e.Len
			if e.Compressed {
				want = e.InflatedLen
			}
			if len(frame) != want {
				t.Fatalf("%s: frame of %d bytes, want %d", f.Name, len(frame), want)
			}
			if e.Op == "binary" && *e.Event != eventText {
				m, err := DecodeBinary(frame)
				if err != nil {
					t.Fatalf("%s: %v", f.Name, err)
				}
				decodeImage(t, m.Image)
			}
		}
	}
	if cut < 390 {
		t.Errorf("%d frames were cut in the recordings, want at least 390", cut)
	}
}
