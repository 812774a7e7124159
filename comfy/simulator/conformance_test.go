package simulator

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"easel/comfy/transcript"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recordedServer is a simulator in the shape of the recorded server.
func recordedServer() Config {
	return Config{
		BenchNodes: true,
		// What is in a preview is not compared, and under the race detector a large one takes its time.
		PreviewSize: 32,
		Models:      []string{"full-random-sd15.safetensors", "tiny-random-sd15.safetensors"},
		LoRAs:       []string{"tiny-random-lora.safetensors"},
	}
}

// TestEventsAsRecorded does what the recordings' clients did and compares, byte for byte after replacing ids, times and
// file numbers, every event of every socket, and the answers to the requests in between.
func TestEventsAsRecorded(t *testing.T) {
	for _, names := range [][]string{
		{"01-txt2img/run1-first", "01-txt2img/run2-other-seed", "01-txt2img/run3-other-text", "01-txt2img/run4-other-prefix"},
		{"02-cached/identical-graph", "02-cached/cache-lost-and-changed"},
		{
			"03-outputs/batch4", "03-outputs/two-save-nodes", "03-outputs/preview-image-temp",
			"03-outputs/save-image-websocket", "03-outputs/text-frames",
		},
		{"04-post-prompt/client-prompt-ids", "04-post-prompt/same-id-twice-in-queue", "04-post-prompt/order-front-number"},
		{"04-post-prompt/partial-targets"},
		{"04-post-prompt/input-coercion"},
		{"05-two-clients/a3-b2"},
		{"12-http-api/upload"},
		{
			"06-cancel/interrupt-running", "06-cancel/interrupt-idle-and-bad-bodies", "06-cancel/interrupt-silent-node",
			"06-cancel/delete-and-clear", "06-cancel/interrupt-with-pending",
		},
		{"07-errors/partly-valid", "07-errors/node-exception", "07-errors/blocked-outputs"},
		{
			"10-previews-and-flags/legacy-previews", "10-previews-and-flags/metadata-previews",
			"10-previews-and-flags/handshake-variants", "10-previews-and-flags/preview-of-batch-and-large",
		},
		{
			"11-progress-order/hires-20-plus-10", "11-progress-order/tiled-vae-img2img", "11-progress-order/list-input-repeats", "11-progress-order/samplers",
			"11-progress-order/expanded-node", "11-progress-order/lazy-inputs", "11-progress-order/fast-progress",
		},
		{"11-progress-order/large-model-slow-setup"},
		{"13-transport/compression"},
	} {
		t.Run(names[0], func(t *testing.T) {
			t.Parallel()
			r := newReplay(t, recordedServer())
			for _, name := range names {
				file, err := transcript.Read("", name)
				if err != nil {
					t.Fatal(err)
				}
				answers := r.run(file)
				for _, ws := range file.Sockets() {
					compareSocket(t, name, ws, file.Received(ws), r.sockets[ws].frames)
				}
				compareAnswers(t, file, answers)
			}
		})
	}
}

func compareSocket(t *testing.T, name, ws string, recorded, got []transcript.Entry) {
	t.Helper()
	var n normal
	want := n.frames(recorded)
	n = normal{}
	if diff := cmp.Diff(want, n.frames(got)); diff != "" {
		t.Errorf("%s: socket %s differs (-recorded +simulated):\n%s", name, ws, shortened(diff))
	}
}

func compareAnswers(t *testing.T, file *transcript.File, answers map[int]transcript.Entry) {
	t.Helper()
	var a, b normal
	for _, x := range file.Exchanges() {
		got, ok := answers[x.Request.N]
		if !ok || x.Response == nil || strings.Contains(x.Request.Path, "ComfyUI_temp_") { // named at random
			continue
		}
		if got.Status != x.Response.Status {
			t.Errorf("%s: %s %s: status %d, recorded %d: %s", file.Name, x.Request.Method, x.Request.Path, got.Status,
				x.Response.Status, *got.Body)
		}
		if x.Response.Status == 400 { // quotes help texts; see TestRefusalsAsRecorded
			continue
		}
		if x.Response.Body == nil || !x.Response.Whole() || strings.HasPrefix(x.Request.Path, "/history?") ||
			x.Request.Path == "/history" { // other prompts of the recorded server's day are in it
			continue
		}
		if diff := cmp.Diff(a.text(*x.Response.Body), b.text(*got.Body)); diff != "" {
			t.Errorf("%s: %s %s (%s): answer differs (-recorded +simulated):\n%s", file.Name, x.Request.Method,
				x.Request.Path, x.Request.Purpose, shortened(diff))
		}
	}
}

// normal replaces what differs from run to run. It names prompt ids by the order in which they show.
type normal struct{ ids []string }

var (
	uuids      = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	timestamps = regexp.MustCompile(`"timestamp": \d+`)
	tempNames  = regexp.MustCompile(`ComfyUI_temp_[a-z]{5}_`)
	counters   = regexp.MustCompile(`_\d{5}_\.`)
	numbers    = regexp.MustCompile(`"number": -?\d+|"prompt": \[-?\d+,|\[\[-?\d+, "`)
	traces     = regexp.MustCompile(`"traceback": \[("[^\]]*"(, )?)+\], "current_inputs": \{.*?\}, "current_outputs"`)
	sids       = regexp.MustCompile(`"sid": "[0-9a-f]{32}"`)
	executed   = regexp.MustCompile(`"(executed|current_outputs|dependent_outputs)": \[[^\[\]]*\]`)
)

func (n *normal) text(s string) string {
	s = uuids.ReplaceAllStringFunc(s, func(id string) string {
		if !slices.Contains(n.ids, id) {
			n.ids = append(n.ids, id)
		}
		return fmt.Sprintf("PROMPT-%d", slices.Index(n.ids, id))
	})
	s = timestamps.ReplaceAllString(s, `"timestamp": 0`)
	s = tempNames.ReplaceAllString(s, "ComfyUI_temp_xxxxx_")
	s = counters.ReplaceAllString(s, "_00000_.")
	s = numbers.ReplaceAllString(s, "NUMBER")
	s = traces.ReplaceAllString(s, `"traceback": [...], "current_inputs": {...}, "current_outputs"`)
	s = sids.ReplaceAllString(s, `"sid": "..."`)
	return executed.ReplaceAllStringFunc(s, func(list string) string { // in no particular order
		name, items, _ := strings.Cut(strings.TrimSuffix(list, "]"), "[")
		ids := strings.Split(items, ", ")
		slices.Sort(ids)
		return name + "[" + strings.Join(ids, ", ") + "]"
	})
}

// frames writes events as comparable lines: the answers to feature_flags and the status frames first, each
// in their order, since they come from other threads than the run's events, then all others.
func (n *normal) frames(entries []transcript.Entry) []string {
	var flags, status, others []string
	for _, e := range entries {
		switch {
		case isFlags(e):
			flags = append(flags, n.text(*e.Text))
		case isStatus(e):
			status = append(status, n.text(*e.Text))
		case e.Text != nil:
			others = append(others, n.text(*e.Text))
		default:
			others = append(others, fmt.Sprintf("binary, event %d", *e.Event))
		}
	}
	return slices.Concat(flags, status, others)
}

func shortened(s string) string {
	const limit = 3000
	if len(s) > limit {
		return s[:limit] + " ..."
	}
	return s
}

// TestOrderedJSON holds the JSON of this package to Python's form.
func TestOrderedJSON(t *testing.T) {
	for in, want := range map[string]string{
		`{"b":1,"a":[1.0,1e3,0.00001,-0.5,1e16]}`: `{"b": 1, "a": [1.0, 1000.0, 1e-05, -0.5, 1e+16]}`,
		`18446744073709551615`:                    `18446744073709551615`,
		`"grüße \u0007 \" \\ 漢 😀"`:                `"gr\u00fc\u00dfe \u0007 \" \\ \u6f22 \ud83d\ude00"`,
		`{"x":null,"y":[true,false],"z":{}}`:      `{"x": null, "y": [true, false], "z": {}}`,
	} {
		v, err := decode([]byte(in))
		if err != nil {
			t.Fatalf("decode(%s): %v", in, err)
		}
		if got := string(encode(v)); got != want {
			t.Errorf("encode(decode(%s)) = %s, want %s", in, got, want)
		}
		if !json.Valid(encode(v)) {
			t.Errorf("%s is not JSON", encode(v))
		}
	}
	for _, in := range []string{"", "{", "{oops", "1 2", "\"\xff\""} {
		if v, err := decode([]byte(in)); err == nil {
			t.Errorf("decode(%q) = %v, want an error", in, v)
		}
	}
}
