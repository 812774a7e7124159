package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWorkflowImport(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.Path != "/under/api/workflows" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if string(body) != "{}" {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = w.Write([]byte(`{"detail": "Some fields need another value.", "errors": [{"field": "file", "message": "This file cannot be taken."}]}`))
			return
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"id": "from-` + strings.TrimSuffix(r.URL.Query().Get("filename"), ".json") + `", "hasGraph": true, "runnable": ` +
			map[bool]string{true: "true", false: "false"}[r.URL.Query().Get("title") == "Good"] + `, "problems": [{"message": "No server has the node X."}]}`))
	}))
	defer site.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{"good.json": "{}", "bad.json": "?"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		root := newRoot()
		root.SetOut(&out)
		root.SetErr(&out)
		root.SetArgs(append([]string{"workflow", "import", "--url", site.URL + "/under/"}, args...))
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	good, bad, none := filepath.Join(dir, "good.json"), filepath.Join(dir, "bad.json"), filepath.Join(dir, "none.json")
	if out, err := run("--title", "Good", good); err != nil || out != good+": from-good (ready)\n" {
		t.Errorf("a good one: %q, %v", out, err)
	}
	out, err := run(bad, good, none)
	if out != good+": from-good (kept, but no server can run it: No server has the node X.)\n" {
		t.Errorf("among others: %q", out)
	}
	if err == nil || !strings.Contains(err.Error(), bad+": This file cannot be taken.") || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("what failed: %v", err)
	}
	if _, err := run("--title", "Both", good, bad); err == nil {
		t.Error("one title for two files was taken")
	}
}
