package comfy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"easel/comfy/transcript"
)

// seedFrames adds frames of a few recordings that together hold every kind of message.
func seedFrames(f *testing.F, op string) {
	f.Helper()
	for _, name := range []string{
		"10-previews-and-flags/server-small-previews", "03-outputs/text-frames", "07-errors/node-exception", "07-errors/blocked-outputs",
		"06-cancel/interrupt-running", "11-progress-order/expanded-node", "08-reconnect/drop-and-return-same-id",
	} {
		file, err := transcript.Read("", name)
		if err != nil {
			f.Fatal(err)
		}
		for i, e := range file.Received("") {
			frame, err := e.Frame()
			if err != nil {
				f.Fatal(err)
			}
			if e.Op == op && (i%5 == 0 || op == "binary") && len(frame) < 1<<14 {
				f.Add(frame)
			}
		}
	}
}

// FuzzDecodeText holds that no frame makes the decoder panic, that every error is ErrFrame, that the
// scanner agrees with encoding/json on whatever it takes, and that any message can be folded.
func FuzzDecodeText(f *testing.F) {
	seedFrames(f, "text")
	for _, frame := range []string{
		`{"type":"progress","data":{"value":1.50,"max":-0,"prompt_id":"p","node":null}}`,
		`{"type": "progress_state", "data": {"prompt_id": "p", "nodes": {"3": {}, "3": {"value": 1e3}}}}`,
		`{"type": "progress", "data": {"value": NaN, "max": Infinity, "prompt_id": "p", "node": "3"}}`,
		`{"type": "progress", "data": {"value": 123456789012345678901, "max": 0.000000000000000001}}`,
		`{"Type": "progress", "type": "executing", "DATA": {"node": "\ud800"}, "data": {"node": "` + "\xff" + `"}}`,
	} {
		f.Add([]byte(frame))
	}
	plan := NewPlan(graphOf(f, textToImage), stockInfo(f))
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := DecodeText(frame)
		want, wantErr := decodeJSON(frame)
		if (err == nil) != (wantErr == nil) || err != nil && !errors.Is(err, ErrFrame) {
			t.Fatalf("err = %v, want %v", err, wantErr)
		}
		if diff := cmp.Diff(want, m, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("the scanner and encoding/json differ (-json +scanner):\n%s", diff)
		}
		if err != nil {
			return
		}
		p := Fold(&plan, plan.Start(m.PromptID), m, at(0))
		checkNumbers(t, p)
	})
}

// FuzzDecodeBinary holds that no frame makes the decoder panic and that what is taken is a part of
// the frame.
func FuzzDecodeBinary(f *testing.F) {
	seedFrames(f, "binary")
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 3, 1})
	f.Add([]byte{0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0, 0, 4, 0, 0, 0, 2, '{', '}'})
	f.Add([]byte{0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := DecodeBinary(frame)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Fatalf("err = %v", err)
			}
			return
		}
		if len(m.Image) > 0 && !bytes.HasSuffix(frame, m.Image) {
			t.Fatal("the image is not the end of the frame")
		}
		if (len(m.Image) > 0) != (m.MIME == "image/jpeg" || m.MIME == "image/png") {
			t.Fatalf("%d bytes of %q", len(m.Image), m.MIME)
		}
		if m.Type == TypeText && uint64(len(m.Node)) != uint64(binary.BigEndian.Uint32(frame[4:])) {
			t.Fatalf("node id %q", m.Node)
		}
	})
}
