package workflow

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const stockFile = "../testdata/transcripts/object_info.json"

var stockOnce = sync.OnceValues(func() (*ObjectInfo, error) {
	raw, err := os.ReadFile(filepath.FromSlash(stockFile))
	if err != nil {
		return nil, err
	}
	return ParseObjectInfo(raw)
})

// stock is the recorded /object_info of a ComfyUI without custom nodes.
func stock(t testing.TB) *ObjectInfo {
	t.Helper()
	info, err := stockOnce()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// info reads an object_info written in a test.
func info(t testing.TB, text string) *ObjectInfo {
	t.Helper()
	o, err := ParseObjectInfo([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func graph(t testing.TB, text string) Graph {
	t.Helper()
	g, err := ParseGraph([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func builtin(t rapid.TB) *Workflow {
	t.Helper()
	w, ok := Builtin(TextToImage)
	if !ok {
		t.Fatal("the built-in workflow is missing")
	}
	return w
}

// settings is one raw setting, as Form.Parse takes it.
func settings(pairs ...string) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return m
}
