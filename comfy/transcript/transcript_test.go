package transcript_test

import (
	"encoding/json"
	"strings"
	"testing"

	"easel/comfy/transcript"
)

// Every recording can be read, and every frame and body of it has the length that went over the wire.
func TestEveryRecording(t *testing.T) {
	names, err := transcript.Names("")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 73 {
		t.Errorf("%d recordings", len(names))
	}
	frames := map[string]int{}
	for _, name := range names {
		f, err := transcript.Read("", name)
		if err != nil {
			t.Fatal(err)
		}
		if f.Entries[0].Kind != transcript.Meta || f.Entries[0].Title == "" {
			t.Errorf("%s begins with %+v", name, f.Entries[0])
		}
		for _, e := range f.Received("") {
			frame, err := e.Frame()
			if err != nil {
				t.Errorf("%s at %v: %v", name, e.At(), err)
				continue
			}
			frames[e.Op]++
			want := e.Len
			if e.Compressed {
				want = e.InflatedLen
			}
			if (e.Op == "binary" || e.TextTruncated) && len(frame) != want {
				t.Errorf("%s at %v: %d bytes, want %d", name, e.At(), len(frame), want)
			}
			if e.Op == "text" && !json.Valid(frame) {
				t.Errorf("%s at %v: no JSON: %.200s", name, e.At(), frame)
			}
		}
		for _, x := range f.Exchanges() {
			if x.Request.Method == "" || x.Response != nil && x.Response.N != x.Request.N {
				t.Errorf("%s: request %d is paired with %+v", name, x.Request.N, x.Response)
			}
		}
	}
	if frames["text"] < 5000 || frames["binary"] < 400 {
		t.Errorf("frames = %v", frames)
	}
}

// A text that was cut gets its prompt_id back.
func TestCutText(t *testing.T) {
	f, err := transcript.Read("", "13-transport/large-frames-out")
	if err != nil {
		t.Fatal(err)
	}
	cut, running := 0, ""
	for _, e := range f.Received("") {
		frame, err := e.Frame()
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Type string
			Data struct {
				PromptID string `json:"prompt_id"`
			}
		}
		if err := json.Unmarshal(frame, &m); err != nil {
			t.Fatal(err)
		}
		if m.Type == "execution_start" {
			running = m.Data.PromptID
		}
		if e.TextTruncated {
			cut++
			if m.Type != "executed" || m.Data.PromptID != running {
				t.Errorf("%s of prompt %q, want %q", m.Type, m.Data.PromptID, running)
			}
		}
	}
	if cut != 3 {
		t.Errorf("%d texts were cut, want 3", cut)
	}
}

func TestSockets(t *testing.T) {
	f, err := transcript.Read("", "08-reconnect/drop-and-return-same-id")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.Sockets(), " "); got != "A1 A2" {
		t.Errorf("Sockets() = %s", got)
	}
	if all, one := len(f.Received("")), len(f.Received("A2")); one == 0 || one >= all {
		t.Errorf("%d frames of %d are A2's", one, all)
	}
}

func TestReadErrors(t *testing.T) {
	if _, err := transcript.Read(t.TempDir(), "nothing"); err == nil {
		t.Error("a missing file is no error")
	}
	if names, err := transcript.Names(t.TempDir()); err != nil || len(names) != 0 {
		t.Errorf("Names() = %v, %v", names, err)
	}
}
