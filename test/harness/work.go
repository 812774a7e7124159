package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Patience bounds every wait of Eventually and Await: above the 30 s that a prompt of unknown fate
// is waited for, twice.
const Patience = 3 * time.Minute

// Within logs how long something took since it began, beside what is promised, and fails only far
// beyond: how fast a busy machine with two cores is says nothing of the program, a tenfold does.
func Within(t testing.TB, what string, began time.Time, promise time.Duration) {
	t.Helper()
	took := time.Since(began).Round(time.Millisecond)
	t.Logf("%s took %s, the promise is %s", what, took, promise)
	if took > max(10*promise, time.Minute) {
		t.Errorf("%s took %s, the promise is %s", what, took, promise)
	}
}

// Ask is a generation as a program asks for one. The zero value of a field leaves it to Easel.
type Ask struct {
	Prompt string
	Steps  int // 0: 20
	Images int
	Seed   uint64
	Key    string // Idempotency-Key
}

func (a Ask) body() []byte {
	settings := map[string]any{"width": 64, "height": 64, "steps": 20} // small, so that time goes to what is tested
	if a.Steps > 0 {
		settings["steps"] = a.Steps
	}
	if a.Seed > 0 {
		settings["seed"] = a.Seed
	}
	body := map[string]any{"prompt": a.Prompt, "settings": settings}
	if a.Images > 0 {
		body["totalImages"] = a.Images
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		panic(err) // text and numbers
	}
	return encoded
}

// Generation is a generation as the interface for programs shows it.
type Generation struct {
	ID           string
	Prompt       string
	Status       string
	ErrorMessage string
	Progress     Progress
	Images       []struct {
		Index           int
		Status          string
		ComfyUIPromptID string
		URL             string
	}
}

// Ended says whether it will change no more.
func (g *Generation) Ended() bool {
	return g.Status == "complete" || g.Status == "failed" || g.Status == "cancelled"
}

// Progress is where a generation is.
type Progress struct {
	Type          string // of an event of Follow
	CurrentStep   int
	TotalSteps    int
	Percentage    int
	Overall       int
	Status        string
	Phase         string
	QueuePosition int
}

// Try posts a generation: the answer's status and what it holds, or an error when no answer came.
func (e *Easel) Try(ctx context.Context, a Ask) (Generation, int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL+"/api/generate", bytes.NewReader(a.body()))
	if err != nil {
		return Generation{}, 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	if a.Key != "" {
		request.Header.Set("Idempotency-Key", a.Key)
	}
	return answer(request)
}

// Look reads a generation.
func (e *Easel) Look(ctx context.Context, id string) (Generation, int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL+"/api/generations/"+id, nil)
	if err != nil {
		return Generation{}, 0, err
	}
	return answer(request)
}

func answer(request *http.Request) (g Generation, status int, err error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return Generation{}, 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return Generation{}, 0, err
	}
	if response.StatusCode >= 300 {
		return Generation{}, response.StatusCode, nil
	}
	if err := json.Unmarshal(body, &g); err != nil {
		return Generation{}, 0, fmt.Errorf("%w in %q", err, body)
	}
	return g, response.StatusCode, nil
}

// Generate asks for a generation, which must be acknowledged, and gives its id.
func (e *Easel) Generate(a Ask) string {
	e.t.Helper()
	g, status, err := e.Try(e.t.Context(), a)
	if err != nil || status != http.StatusCreated {
		e.t.Fatalf("POST /api/generate: status %d, %v", status, err)
	}
	return g.ID
}

// Await reads a generation again and again until done says so.
func (e *Easel) Await(id, what string, done func(Generation) bool) Generation {
	e.t.Helper()
	var last Generation
	Eventually(e.t, "generation "+id+" "+what, func() bool {
		g, status, err := e.Look(e.t.Context(), id)
		if err != nil || status != http.StatusOK {
			return false
		}
		last = g
		return done(g)
	}, func() string { return fmt.Sprintf("%+v", last) })
	return last
}

// AwaitStatus waits for the end of a generation, which must be the wanted one.
func (e *Easel) AwaitStatus(id, status string) Generation {
	e.t.Helper()
	g := e.Await(id, "has ended", func(g Generation) bool { return g.Ended() })
	if g.Status != status {
		e.t.Fatalf("generation %s ended as %s (%s), want %s", id, g.Status, g.ErrorMessage, status)
	}
	return g
}

// Follow reads the events of a generation to their end, on one connection, in a goroutine.
func (e *Easel) Follow(id string) <-chan []Progress {
	e.t.Helper()
	request, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, e.URL+"/api/generate/progress?promptId="+id, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request) //nolint:bodyclose // the goroutine closes it
	if err != nil {
		e.t.Fatal(err)
	}
	seen := make(chan []Progress, 1)
	go func() {
		defer response.Body.Close()
		var list []Progress
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			var p Progress
			if ok && json.Unmarshal([]byte(data), &p) == nil {
				list = append(list, p)
			}
		}
		seen <- list
	}()
	return seen
}

// Eventually waits for what nobody announces: it asks again every 40 ms.
func Eventually(t testing.TB, what string, done func() bool, state ...func() string) {
	t.Helper()
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(Patience)
	for !done() {
		select {
		case <-tick.C:
		case <-timeout:
			last := ""
			for _, s := range state {
				last += "; at last " + s()
			}
			t.Fatalf("waited %s: never %s%s", Patience, what, last)
		}
	}
}
