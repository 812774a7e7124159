package trouble

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"easel/comfy/simulator"
	"easel/test/browser"
	"easel/test/harness"
)

// No ComfyUI answers at the start (P20): Easel runs, says so, takes work, and does it when ComfyUI
// comes.
func TestComfyUIDownAtStart(t *testing.T) {
	t.Parallel()
	comfy := startComfyUI(t, simulator.Config{PreviewSize: 64})
	comfy.Kill()
	e := harness.Start(t, harness.Options{ComfyUI: comfy.URL()})
	awaitServer(t, e, "down")
	if _, page := e.Get("/servers"); !contains(page, "Down") || !contains(page, "It does not answer.") {
		t.Errorf("/servers does not say that ComfyUI is down:\n%s", page)
	}
	tab := browser.Open(t, e.URL, browser.TabOptions{})
	tab.Goto("/")
	tab.Wait("document.querySelector('#health')?.dataset.health == 'none'")
	if text := tab.Text("body"); contains(text, "Demo server") {
		t.Error("the demo was started in place of a ComfyUI that is only down")
	}
	id := e.Generate(harness.Ask{Prompt: "patient", Steps: 4})
	tab.Goto("/generations/" + id)
	tab.WaitText("#progress-"+id, "Position 1 in the queue")
	if err := comfy.Restart(); err != nil {
		t.Fatal(err)
	}
	e.AwaitStatus(id, "complete")
	tab.WaitText("#progress-"+id, "Complete")
	tab.Wait("document.querySelector('#health')?.dataset.health == 'good'")
	tab.NoComplaints()
}

// Things that are no ComfyUI answer in its place (row 42): each is told from a ComfyUI or is down,
// costs a bounded amount of memory, and the real one beside them does all the work.
func TestNotComfyUI(t *testing.T) {
	t.Parallel()
	comfy := startComfyUI(t, simulator.Config{PreviewSize: 64})
	html := startComfyUI(t, simulator.Config{})
	html.Faults().HTML(true)
	var mebibyte bytes.Buffer
	pack := gzip.NewWriter(&mebibyte)
	if _, err := pack.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := pack.Close(); err != nil {
		t.Fatal(err)
	}
	bomb := bytes.Repeat(mebibyte.Bytes(), 1<<10) // a gzip file may have many parts: a gibibyte of zeros in a mebibyte
	liars := map[string]http.HandlerFunc{
		"bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"system":"`)
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("a", 64<<10)); err != nil {
					return
				}
			}
		},
		"circle": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		},
		"login": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/login" {
				http.Redirect(w, r, "/login", http.StatusFound)
				return
			}
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<!doctype html><title>Log in</title>")
		},
	}
	urls := []string{"real=" + comfy.URL(), "html=" + html.URL()}
	for name, lie := range liars {
		server := httptest.NewServer(lie)
		t.Cleanup(server.Close)
		urls = append(urls, name+"="+server.URL)
	}
	e := harness.Start(t, harness.Options{ComfyUI: strings.Join(urls, ",")})
	settled := func() bool {
		states := serverStates(t, e)
		for name := range liars {
			if s := states[name].State; s != "not_comfyui" && s != "down" {
				return false
			}
		}
		return states["real"].State == "up" && states["html"].State == "not_comfyui" && states["login"].State == "not_comfyui"
	}
	harness.Eventually(t, "is each server known for what it is", settled, func() string { return fmt.Sprintf("%+v", serverStates(t, e)) })
	if _, page := e.Get("/servers"); !contains(page, "Not a ComfyUI") {
		t.Errorf("/servers does not say so:\n%s", page)
	}
	for range 4 {
		e.AwaitStatus(e.Generate(harness.Ask{Prompt: "by the real one", Steps: 4}), "complete")
	}
	if n := len(comfy.Ledger().Runs()); n != 4 {
		t.Errorf("the real ComfyUI ran %d prompts, want 4", n)
	}
	// With the race detector memory counts several times; a bomb that went off would be a gigabyte.
	if peak := peakMemory(t, e.PID()); peak > 900<<20 {
		t.Errorf("Easel took %d MiB at its peak", peak>>20)
	}
}

// peakMemory is the most that a process has held in memory, in bytes.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kilobytes << 10
		}
	}
	t.Fatalf("no VmHWM in %s", status)
	return 0
}

// A ComfyUI that is too old answers with an id of its own (row 42): it is said, the prompt is taken
// back, and the image goes elsewhere.
func TestComfyUIGivesAnotherID(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.stepper.Open()
	r.comfy.Faults().OtherIDPosts(1)
	id := r.Generate(harness.Ask{Prompt: "another id", Steps: 4})
	r.AwaitStatus(id, "complete")
	if n := len(r.comfy.Ledger().Posts()); n != 2 {
		t.Errorf("%d prompts were sent, want 2", n)
	}
	same(t, r, id)
}
