package handlers

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"easel/studio"
)

// terminal asks for a generation as curl does.
func terminal(t *testing.T, target string) *bufio.Reader {
	t.Helper()
	res, _ := follow(t, target, "Accept", "*/*", "User-Agent", "curl/8.5.0")
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" || res.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s: %d, %v", target, res.StatusCode, res.Header)
	}
	return bufio.NewReader(res.Body)
}

// drawn reads on until the present line begins with want.
func drawn(t *testing.T, from *bufio.Reader, want string) {
	t.Helper()
	var line strings.Builder
	for {
		c, _, err := from.ReadRune()
		if err != nil {
			t.Fatalf("waiting for %q: %v", want, err)
		}
		if c == '\r' || c == '\n' {
			line.Reset()
			continue
		}
		line.WriteRune(c)
		if line.String() == want {
			return
		}
	}
}

func TestBarInATerminal(t *testing.T) {
	f := newStrict()
	_, ts := serve(t, f)
	id := f.add("A lamp \x1b[2J\u202e\rand a chair", 1)
	from := terminal(t, ts.URL+"/generations/"+id.String())
	drawn(t, from, "A lamp  [2J and a chair")
	drawn(t, from, "["+strings.Repeat("░", 20)+"]       Position 2 in the queue")
	f.step(id, 5, 20)
	drawn(t, from, "[████░░░░░░░░░░░░░░░░]  22%  Step 5 of 20, ~10 seconds remaining")
	f.step(id, 12, 20)
	drawn(t, from, "[██████████░░░░░░░░░░]  54%  Step 12 of 20, a few seconds remaining")
	f.picture(id, "image/png", "easel.png", []byte("x"))
	f.end(id, studio.Complete, "")
	rest, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	page := ts.URL + "/generations/" + id.String()
	if want := "[████████████████████] 100%  Complete, made in 1 min 0 s           \n"; !strings.Contains(string(rest), "\r"+want) { // blanks over what was longer
		t.Errorf("it ended with %q, want %q in it", rest, want)
	}
	if want := "\n" + page + "\n" + page + "/images/1/0\n"; !strings.HasSuffix(string(rest), want) {
		t.Errorf("it ended with %q, want %q", rest, want)
	}
	// Whoever comes late gets the end at once.
	again, err := io.ReadAll(terminal(t, page))
	if err != nil || !strings.HasSuffix(string(again), "Complete, made in 1 min 0 s\n"+page+"\n"+page+"/images/1/0\n") {
		t.Errorf("after the end: %q, %v", again, err)
	}
}

func TestTerminalIsToldWhyItFailed(t *testing.T) {
	f := newStrict()
	_, ts := serve(t, f)
	id := f.add("A lamp", 1)
	f.step(id, 5, 20)
	f.end(id, studio.Failed, "Out of memory.\x1b]0;owned\x07")
	all, err := io.ReadAll(terminal(t, ts.URL+"/generations/"+id.String()))
	if want := "\nOut of memory. ]0;owned \n" + ts.URL; err != nil || !strings.Contains(string(all), want) {
		t.Errorf("%q, %v, want %q in it", all, err, want)
	}
}

// A stop is told in words and is a whole answer: curl reports no error.
func TestTerminalIsToldOfAStop(t *testing.T) {
	f := newStrict()
	s, ts := serve(t, f)
	id := f.add("A lamp", 1)
	from := terminal(t, ts.URL+"/generations/"+id.String())
	drawn(t, from, "A lamp")
	s.Drain()
	rest, err := io.ReadAll(from)
	if err != nil || !strings.HasSuffix(string(rest), "ask again for its progress.\n") {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestTerminalsAreLimited(t *testing.T) {
	f := newStrict()
	s, ts := serve(t, f)
	s.maxStreams = 1
	at := ts.URL + "/generations/" + f.add("A lamp", 1).String()
	terminal(t, at)
	res, _ := follow(t, at, "Accept", "text/plain")
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusServiceUnavailable || !strings.HasPrefix(string(text), "Too many pages") {
		t.Errorf("the second of one: %d %q", res.StatusCode, text)
	}
	if res, _ := follow(t, at+"?once=1", "Accept", "text/plain"); res.StatusCode != http.StatusOK {
		t.Errorf("a look: %d", res.StatusCode)
	}
}

func TestTerminalLineFits(t *testing.T) {
	for _, status := range []string{strings.Repeat("long ", 40), strings.Repeat("長い", 40), strings.Repeat("e\u0301", 90)} {
		state := newState(newFake(), "A lamp", studio.Generating, 1)
		sampling(state, 5)
		state.Progress.Status = status
		if line := terminalLine(state); cells(line) > terminalCells || !strings.HasSuffix(line, "…") {
			t.Errorf("%d cells: %q", cells(line), line)
		}
	}
	state := newState(newFake(), "A lamp", studio.Generating, 1)
	sampling(state, 5)
	state.Progress.ETA = 40 * time.Minute
	if line := terminalLine(state); strings.HasSuffix(line, "…") {
		t.Errorf("an ordinary line is cut: %q", line)
	}
}
