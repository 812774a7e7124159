package comfy

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeText(t *testing.T) {
	tests := []struct {
		name, frame string
		want        Message
	}{
		{
			"status", `{"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 3}}, "sid": "client-a"}}`,
			Message{Type: TypeStatus, QueueRemaining: 3, SID: "client-a"},
		},
		{
			"feature flags", `{"type":"feature_flags","data":{"max_upload_size":104857600}}`,
			Message{Type: TypeFeatureFlags, Data: []byte(`{"max_upload_size":104857600}`)},
		},
		{
			"start", `{"type": "execution_start", "data": {"prompt_id": "p", "timestamp": 1795329952520}}`,
			Message{Type: TypeExecutionStart, PromptID: "p"},
		},
		{
			"cached", `{"type": "execution_cached", "data": {"nodes": ["4", "6"], "prompt_id": "p", "timestamp": 1}}`,
			Message{Type: TypeExecutionCached, PromptID: "p", Cached: []string{"4", "6"}},
		},
		{
			"executing", `{"type": "executing", "data": {"node": "2.0.0.1", "display_node": "2", "prompt_id": "p"}}`,
			Message{Type: TypeExecuting, PromptID: "p", Node: "2.0.0.1", DisplayNode: "2"},
		},
		{
			"the end", `{"type": "executing", "data": {"node": null, "prompt_id": "p"}}`,
			Message{Type: TypeExecuting, PromptID: "p"},
		},
		{
			"bare executing", `{"type": "executing", "data": {"node": "3"}}`,
			Message{Type: TypeExecuting, Node: "3"},
		},
		{
			"progress", `{"type": "progress", "data": {"value": 5, "max": 20, "prompt_id": "p", "node": "3"}}`,
			Message{Type: TypeProgress, PromptID: "p", Node: "3", Value: 5, Max: 20},
		},
		{
			"progress by its other name", `{"type": "execution_progress", "data": {"value": 5, "max": 20, "prompt_id": "p", "node": "3"}}`,
			Message{Type: TypeProgress, PromptID: "p", Node: "3", Value: 5, Max: 20},
		},
		{
			"fractions", `{"type": "progress", "data": {"value": 0.25, "max": 1.0, "prompt_id": "p", "node": "3"}}`,
			Message{Type: TypeProgress, PromptID: "p", Node: "3", Value: 0.25, Max: 1},
		},
		{
			"compact, other order, more members", `{"data":{"node":"3","max":2e1,"value":-1,"prompt_id":"p","x":[1]},"type":"progress"}`,
			Message{Type: TypeProgress, PromptID: "p", Node: "3", Value: -1, Max: 20},
		},
		{
			"escapes", `{"type": "progress", "data": {"value": 5, "max": 20, "prompt_id": "p", "node": "\u00e4\"\n"}}`,
			Message{Type: TypeProgress, PromptID: "p", Node: "ä\"\n", Value: 5, Max: 20},
		},
		{
			"not a number", `{"type": "progress", "data": {"value": NaN, "max": -Infinity, "prompt_id": "NaN", "node": "3"}}`,
			Message{Type: TypeProgress, PromptID: "NaN", Node: "3"},
		},
		{
			"states", `{"type": "progress_state", "data": {"prompt_id": "p", "nodes": {` +
				`"3": {"value": 1.0, "max": 20, "state": "running", "node_id": "3", "prompt_id": "p", "display_node_id": "3", "parent_node_id": null, "real_node_id": "3"}, ` +
				`"2.0.0.1": {"value": 4, "max": 4, "state": "finished", "node_id": "2.0.0.1", "prompt_id": "p", "display_node_id": "2", "parent_node_id": "2", "real_node_id": "2"}, ` +
				`"4": {"activity": "loading", "state": "running", "value": 0.0, "max": 1.0}}}}`,
			Message{Type: TypeProgressState, PromptID: "p", Nodes: []NodeState{
				{"3", "3", "3", 1, 20, "running"}, {"2.0.0.1", "2", "2", 4, 4, "finished"}, {"4", "", "", 0, 1, "running"},
			}},
		},
		{
			"executed", `{"type": "executed", "data": {"node": "9", "display_node": "9", "output": null, "prompt_id": "p"}}`,
			Message{Type: TypeExecuted, PromptID: "p", Node: "9", DisplayNode: "9", Output: []byte("null")},
		},
		{
			"error", `{"type": "execution_error", "data": {"prompt_id": "p", "node_id": "2", "node_type": "BenchFail", "executed": [],` +
				` "exception_message": "no\n", "exception_type": "RuntimeError", "traceback": ["a", "b"], "current_inputs": {"x": [NaN]}, "current_outputs": []}}`,
			Message{
				Type: TypeExecutionError, PromptID: "p", Node: "2", NodeType: "BenchFail",
				ExceptionType: "RuntimeError", ExceptionMessage: "no\n", Traceback: []string{"a", "b"},
			},
		},
		{
			"interrupted", `{"type": "execution_interrupted", "data": {"prompt_id": "p", "node_id": "3", "node_type": "KSampler", "executed": ["4"]}}`,
			Message{Type: TypeExecutionInterrupted, PromptID: "p", Node: "3", NodeType: "KSampler"},
		},
		{
			"unknown type", `{"type": "crystools.monitor", "data": {"cpu": [1, 2]}}`,
			Message{Type: "crystools.monitor", Data: []byte(`{"cpu": [1, 2]}`)},
		},
		{"unknown type without data", `{"type": "logs"}`, Message{Type: "logs"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeText([]byte(tt.frame))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("DecodeText() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeTextMalformed(t *testing.T) {
	for _, frame := range []string{
		"", " ", "null", "[]", "7", `"text"`, "{}", `{"type": 7}`, `{"type": null, "data": {}}`,
		`{"type": "progress"}`, `{"type": "progress", "data": null}`, `{"type": "progress", "data": []}`,
		`{"type": "progress", "data": {"value": "5"}}`, `{"type": "progress", "data": {"value": 1e999}}`,
		`{"type": "progress", "data": {"value": 05, "max": 20, "prompt_id": "p", "node": "3"}}`,
		`{"type": "progress", "data": {"value": 5., "max": 20, "prompt_id": "p", "node": "3"}}`,
		`{"type": "progress", "data": {"value": 5, "max": 20, "prompt_id": "p", "node": "3"}`,
		`{"type": "progress", "data": {"value": 5, "max": 20, "prompt_id": "p", "node": "3"}}}`,
		`{"type": "progress", "data": {"value": 5, "max": 20, "prompt_id": "p", "node": "3",}}`,
		`{"type": "progress_state", "data": {"prompt_id": "p", "nodes": []}}`,
		`{"type": "progress_state", "data": {"prompt_id": "p", "nodes": {"3": 7}}}`,
		`{"type": "progress_state", "data": {"prompt_id": "p", "nodes": {"3": {"value": 1.0, "max": 20, "state": "runn`,
		`{"type": "executing", "data": {"node": 3, "prompt_id": "p"}}`,
		`{"type": "status", "data": {"status": 7}}`,
		`{"type": "execution_cached", "data": {"nodes": {"3": 1}, "prompt_id": "p"}}`,
		`{"type": "execution_error", "data": {"traceback": "text"}}`,
		strings.Repeat("[", 100_000),
		`{"type": "progress", "data": {"value": NaNNaN}}`,
	} {
		if m, err := DecodeText([]byte(frame)); !errors.Is(err, ErrFrame) {
			t.Errorf("DecodeText(%.80q) = %+v, %v, want ErrFrame", frame, m, err)
		}
	}
}

// What is decoded must outlive the buffer that it came in.
func TestDecodeTextAliasesNothing(t *testing.T) {
	for _, text := range []string{
		`{"type": "progress", "data": {"value": 5, "max": 20, "prompt_id": "prompt", "node": "node"}}`,
		`{"type": "feature_flags", "data": {"a": true}}`,
		`{"type": "of another kind", "data": {"a": "text"}}`,
		`{"type": "executed", "data": {"node": "9", "output": {"text": ["a"]}, "prompt_id": "prompt"}}`,
	} {
		frame := []byte(text)
		got, err := DecodeText(frame)
		if err != nil {
			t.Fatal(err)
		}
		for i := range frame {
			frame[i] = 'x'
		}
		want, err := DecodeText([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("changed with the frame (-want +got):\n%s", diff)
		}
	}
}

func TestEndsPrompt(t *testing.T) {
	for _, tt := range []struct {
		m    Message
		want bool
	}{
		{success(promptA), true},
		{finished(promptA), true},
		{Message{Type: TypeExecutionInterrupted, PromptID: promptA}, true},
		{Message{Type: TypeExecutionError, PromptID: promptA, ExceptionType: "RuntimeError"}, true},
		{Message{Type: TypeExecutionError, PromptID: promptA, ExceptionType: "ExecutionBlocked"}, false},
		{executing(promptA, "3"), false},
		{Message{Type: TypeExecuting}, false},
		{step(promptA, "3", 20, 20), false},
	} {
		if got := tt.m.EndsPrompt(); got != tt.want {
			t.Errorf("EndsPrompt of %s %q %q = %v, want %v", tt.m.Type, tt.m.Node, tt.m.ExceptionType, got, tt.want)
		}
	}
}
