package simulator

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"easel/comfy/transcript"
)

// stockServer validates against the recorded server's whole object_info, help texts included, so that error messages
// that quote it can be compared.
func stockServer(t *testing.T) Config {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(transcript.Dir(), "object_info.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := recordedServer()
	c.ObjectInfo = raw
	return c
}

// TestRefusalsAsRecorded posts every graph of the recorded refusals and compares status and body.
func TestRefusalsAsRecorded(t *testing.T) {
	for _, name := range []string{"07-errors/validation", "07-errors/partly-valid"} {
		file, err := transcript.Read("", name)
		if err != nil {
			t.Fatal(err)
		}
		r := newReplay(t, stockServer(t))
		for _, x := range file.Exchanges() {
			if x.Request.Method != "POST" {
				continue
			}
			got := r.request(x.Request)
			if got.Status != x.Response.Status {
				t.Errorf("%s: status %d, recorded %d", x.Request.Purpose, got.Status, x.Response.Status)
				continue
			}
			if x.Response.Status == 500 {
				if *got.Body != *x.Response.Body {
					t.Errorf("%s: body %q, recorded %q", x.Request.Purpose, *got.Body, *x.Response.Body)
				}
				continue
			}
			if diff := cmp.Diff(verdictOf(t, *x.Response.Body), verdictOf(t, *got.Body)); diff != "" {
				t.Errorf("%s: answer differs (-recorded +simulated):\n%s", x.Request.Purpose, shortened(diff))
			}
		}
		r.change(func() { r.at = len(r.entries) })
	}
}

// verdictOf reads an answer without what is random in ComfyUI (ids, the order of a node's errors) or names its source
// lines.
func verdictOf(t *testing.T, body string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	delete(v, "prompt_id")
	delete(v, "number")
	nodes, _ := v["node_errors"].(map[string]any)
	for _, n := range nodes {
		if len(nodes) > 1 { // which of several outputs is looked at first is random, too
			delete(n.(map[string]any), "dependent_outputs")
		}
		errors, _ := n.(map[string]any)["errors"].([]any)
		for _, e := range errors {
			if info, _ := e.(map[string]any)["extra_info"].(map[string]any); info["traceback"] != nil {
				info["traceback"] = "..."
			}
		}
		slices.SortFunc(errors, func(a, b any) int {
			return strings.Compare(a.(map[string]any)["details"].(string), b.(map[string]any)["details"].(string))
		})
	}
	return v
}

func TestConversions(t *testing.T) {
	t.Parallel()
	type result struct {
		value any
		err   string
	}
	for _, x := range []struct {
		name    string
		convert func(any) (any, error)
		in      any
		want    result
	}{
		{"int of text", pythonInt, "20", result{integer("20"), ""}},
		{"int of a float", pythonInt, 2.9, result{integer("2"), ""}},
		{"int of a large seed", pythonInt, integer("18446744073709551615"), result{integer("18446744073709551615"), ""}},
		{"int of words", pythonInt, "many", result{nil, "invalid literal for int() with base 10: 'many'"}},
		{"int of nothing", pythonInt, nil, result{nil, "int() argument must be a string, a bytes-like object or a real number, not 'NoneType'"}},
		{"float of an int", pythonFloatOf, integer("8"), result{8.0, ""}},
		{"float of words", pythonFloatOf, "x", result{nil, "could not convert string to float: 'x'"}},
	} {
		var got result
		value, err := x.convert(x.in)
		got.value = value
		if err != nil {
			got = result{nil, err.Error()}
		}
		if got != x.want {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
		}
	}
	for in, want := range map[any]string{nil: "None", true: "True", 8.0: "8.0", integer("5"): "5", "it's": `"it's"`} {
		if got := pythonRepr(in); got != want {
			t.Errorf("repr(%v) = %s, want %s", in, got, want)
		}
	}
}
