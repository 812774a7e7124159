package comfy

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"easel/comfy/transcript"
	"easel/comfy/workflow"
)

const (
	promptA = "11111111-1111-4111-8111-111111111111"
	promptB = "22222222-2222-4222-8222-222222222222"
)

// textToImage is the default graph of ComfyUI's editor: 20 steps at node 3.
const textToImage = `{
	"3": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 20, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
		"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}, "_meta": {"title": "The sampler"}},
	"4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
	"5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
	"6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}},
	"7": {"class_type": "CLIPTextEncode", "inputs": {"text": "text", "clip": ["4", 1]}},
	"8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
	"9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["8", 0]}}
}`

// stockInfo is the object_info of the server that the transcripts were recorded on.
func stockInfo(t testing.TB) *workflow.ObjectInfo {
	t.Helper()
	info, err := readStockInfo()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

var readStockInfo = sync.OnceValues(func() (*workflow.ObjectInfo, error) {
	raw, err := os.ReadFile(filepath.Join(transcript.Dir(), "object_info.json"))
	if err != nil {
		return nil, err
	}
	return workflow.ParseObjectInfo(raw)
})

func graphOf(t testing.TB, text string) workflow.Graph {
	t.Helper()
	g, err := workflow.ParseGraph([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// at is a moment of a made-up run.
func at(after time.Duration) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(after)
}

// fold applies messages one after the other.
func fold(plan *Plan, p Progress, at time.Time, messages ...Message) Progress {
	for _, m := range messages {
		p = Fold(plan, p, m, at)
	}
	return p
}

func start(id string) Message   { return Message{Type: TypeExecutionStart, PromptID: id} }
func success(id string) Message { return Message{Type: TypeExecutionSuccess, PromptID: id} }
func finished(id string) Message {
	return Message{Type: TypeExecuting, PromptID: id}
}

func cachedNodes(id string, nodes ...string) Message {
	return Message{Type: TypeExecutionCached, PromptID: id, Cached: nodes}
}

func executing(id, node string) Message {
	return Message{Type: TypeExecuting, PromptID: id, Node: node, DisplayNode: node}
}

func step(id, node string, value, limit float64) Message {
	return Message{Type: TypeProgress, PromptID: id, Node: node, Value: value, Max: limit}
}

func states(id string, nodes ...NodeState) Message {
	return Message{Type: TypeProgressState, PromptID: id, Nodes: nodes}
}

func nodeRuns(id string, value, limit float64) NodeState {
	return NodeState{id, id, id, value, limit, "running"}
}

func nodeOver(id string) NodeState { return NodeState{id, id, id, 1, 1, "finished"} }
