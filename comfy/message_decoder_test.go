package comfy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// statesFrame is a progress_state as the server writes it.
func statesFrame(promptID string, members ...string) []byte {
	return []byte(`{"type": "progress_state", "data": {"prompt_id": "` + promptID + `", "nodes": {` + strings.Join(members, ", ") + `}}}`)
}

// stateMember is one node in it, of the sent graph.
func stateMember(promptID, id, value, limit, state string) string {
	return fmt.Sprintf(`"%[1]s": {"value": %[3]s, "max": %[4]s, "state": "%[5]s", "node_id": "%[1]s", "prompt_id": "%[2]s", `+
		`"display_node_id": "%[1]s", "parent_node_id": null, "real_node_id": "%[1]s"}`, id, promptID, value, limit, state)
}

// decodes holds that a Decoder, whatever it took before, says of a frame what encoding/json says.
func (d *Decoder) decodes(t interface{ Fatalf(string, ...any) }, frame []byte) {
	got, err := d.Text(frame)
	want, wantErr := decodeJSON(frame)
	if (err == nil) != (wantErr == nil) || err != nil && !errors.Is(err, ErrFrame) {
		t.Fatalf("%.200q: err = %v, want %v", frame, err, wantErr)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%.200q: the decoder and encoding/json differ (-json +decoder):\n%s", frame, diff)
	}
}

// A run as a server tells it: nodes come, move and end, in between come other messages, and prompts
// follow each other. Members of other shapes are among them.
func TestDecoderFollowsRuns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var d Decoder
		prompt := promptA
		var members []string
		member := func() string {
			id := rapid.SampledFrom([]string{"1", "2", "33", "444", "2.0.0.1", `\u00e4`}).Draw(t, "id")
			value := rapid.SampledFrom([]string{"0.0", "1.0", "1", "9", "10", "0.25", "-1", "1e2", "NaN"}).Draw(t, "value")
			limit := rapid.SampledFrom([]string{"1.0", "20", "1"}).Draw(t, "max")
			state := rapid.SampledFrom([]string{"running", "finished", "error"}).Draw(t, "state")
			m := stateMember(prompt, id, value, limit, state)
			switch rapid.IntRange(0, 9).Draw(t, "shape") {
			case 0:
				m = strings.Replace(m, `"display_node_id": "`+id, `"display_node_id": "7`, 1)
			case 1:
				m = strings.Replace(m, `{"value"`, `{"activity": "loading", "value"`, 1)
			case 2:
				m = strings.Replace(m, `{"value"`, `{"more": {"of": [1]}, "value"`, 1)
			case 3:
				m = strings.ReplaceAll(m, " ", "")
			}
			return m
		}
		for range rapid.IntRange(1, 30).Draw(t, "messages") {
			switch at := rapid.IntRange(0, max(0, len(members)-1)).Draw(t, "at"); rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				d.decodes(t, fmt.Appendf(nil, `{"type": "progress", "data": {"value": %d, "max": 20, "prompt_id": "%s", "node": "3"}}`, at, promptB))
				continue
			case 1:
				d.decodes(t, []byte(`{"type": "executing", "data": {"node": null, "prompt_id": "`+prompt+`"}}`))
				prompt, members = promptB, nil
				continue
			case 2:
				d.decodes(t, statesFrame(prompt, members...)[:60+at])
				continue
			case 3, 4, 5:
				members = append(members, member())
			case 6:
				if len(members) > 0 {
					members = slices.Delete(members, at, at+1)
				}
			default:
				if len(members) > 0 {
					members[at] = member()
				}
			}
			d.decodes(t, statesFrame(prompt, members...))
		}
	})
}

// FuzzDecoder holds that a frame means the same after another one as alone: the second is the first
// with a part replaced.
func FuzzDecoder(f *testing.F) {
	seed := statesFrame(promptA, stateMember(promptA, "4", "1.0", "1.0", "finished"), stateMember(promptA, "3", "9", "20", "running"),
		stateMember(promptA, "8", "0.0", "1.0", "running"))
	f.Add(seed, 320, 1, []byte("10"))
	f.Add(seed, len(seed)-3, 0, []byte(", "+stateMember(promptA, "9", "0.0", "1.0", "running")))
	f.Add(seed, 50, 1, []byte("x"))
	f.Add([]byte(`{"type": "progress", "data": {"value": 5, "max": 20, "prompt_id": "p", "node": "3"}}`), 38, 1, []byte("6"))
	f.Fuzz(func(t *testing.T, frame []byte, at, cut int, put []byte) {
		at = min(max(at, 0), len(frame))
		cut = min(max(cut, 0), len(frame)-at)
		changed := slices.Concat(frame[:at], put, frame[at+cut:])
		var d Decoder
		d.decodes(t, frame)
		d.decodes(t, changed)
		d.decodes(t, frame)
	})
}

// What a Decoder keeps is let go of with the prompt, and a frame too large to be kept is none the worse.
func TestDecoderKeepsLittle(t *testing.T) {
	t.Parallel()
	var d Decoder
	d.decodes(t, statesFrame(promptA, stateMember(promptA, "4", "1.0", "1.0", "finished")))
	if len(d.frame) == 0 {
		t.Error("nothing is kept, so nothing is saved")
	}
	if _, err := d.Text([]byte(`{"type": "executing", "data": {"node": null, "prompt_id": "` + promptA + `"}}`)); err != nil || cap(d.frame)+cap(d.nodes) > 0 {
		t.Errorf("after the end %d bytes and %d nodes are kept, %v", cap(d.frame), cap(d.nodes), err)
	}
	many := make([]string, 6000)
	for i := range many {
		many[i] = stateMember(promptA, fmt.Sprint(i), "1.0", "1.0", "finished")
	}
	m, err := d.Text(statesFrame(promptA, many...))
	if err != nil || len(m.Nodes) != len(many) || cap(d.frame) > 0 {
		t.Errorf("%d nodes, %v; %d bytes are kept", len(m.Nodes), err, cap(d.frame))
	}
}
