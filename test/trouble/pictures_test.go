package trouble

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"easel/comfy/simulator"
	"easel/test/harness"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// fetch is what a URL answers with 200.
func fetch(t *testing.T, address string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d, %v", address, response.StatusCode, err)
	}
	return body
}

// inHistory is how many prompts ComfyUI has in its history.
func inHistory(t *testing.T, comfy *simulator.Running) int {
	t.Helper()
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(fetch(t, comfy.URL()+"/history"), &entries); err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// same holds every picture of a generation against the file that ComfyUI saved, and against the file
// that Easel keeps under its hash (P06).
func same(t *testing.T, r *rig, id string) {
	t.Helper()
	g, status, err := r.Look(t.Context(), id)
	if err != nil || status != http.StatusOK {
		t.Fatalf("GET generation: %d, %v", status, err)
	}
	for _, image := range g.Images {
		if image.Status != "complete" {
			t.Errorf("generation %s: image %d is %s", id, image.Index, image.Status)
			continue
		}
		served := fetch(t, r.Easel.URL+image.URL)
		made := fetch(t, r.comfy.URL()+"/view?"+url.Values{
			"filename": {"image_00001_.png"}, "subfolder": {"easel/" + image.ComfyUIPromptID}, "type": {"output"},
		}.Encode())
		if string(served) != string(made) {
			t.Errorf("generation %s: Easel serves %d bytes, ComfyUI made %d others", id, len(served), len(made))
		}
		stored(t, r.Easel, served)
	}
}

// stored checks that content lies under its own hash in the folder of pictures.
func stored(t *testing.T, e *harness.Easel, content []byte) {
	t.Helper()
	sum := sha256.Sum256(content)
	name := hex.EncodeToString(sum[:])
	kept, err := os.ReadFile(filepath.Join(e.DataDir, "images", name[:2], name[2:4], name))
	if err != nil {
		t.Error(err)
		return
	}
	if sha256.Sum256(kept) != sum {
		t.Errorf("the file %s has another content than its name", name)
	}
}
