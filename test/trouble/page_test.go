package trouble

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/test/browser"
	"easel/test/harness"
)

// backWithin is how soon a page that was away is right again: a pause between two tries is 1.5 s at most.
const backWithin = 2 * time.Second

const lostBar = "document.querySelector('.lost') && !document.querySelector('.lost').hidden"

// What people see in the middle of a run, whatever happens to their page or to its connection.
func TestPageMidRun(t *testing.T) {
	t.Parallel()
	r := open(t)
	road := harness.NewProxy(t, r.Easel.URL) // the browsers' way to Easel
	begin := func(t *testing.T, prompt string) (*browser.Tab, string) {
		t.Helper()
		id := r.Generate(harness.Ask{Prompt: prompt})
		r.afterStep(5)
		r.awaitStep(id, 5)
		tab := browser.Open(t, road.URL(), browser.TabOptions{})
		tab.Goto("/generations/" + id)
		showsStep(tab, id, 5)
		return tab, id
	}
	finish := func(id string, tabs ...*browser.Tab) {
		r.at(func(p simulator.Point) bool { return p.Stage == simulator.StageFinish })
		r.stepper.Release()
		r.AwaitStatus(id, "complete")
		for _, tab := range tabs {
			tab.Wait("document.querySelector('#picture-" + id + "-1')?.naturalWidth > 0 && !document.querySelector('[data-preview]')")
			tab.WaitText("#progress-"+id, "Complete")
			tab.NoComplaints()
		}
	}

	t.Run("reloaded, the first HTML already says where it is", func(t *testing.T) {
		tab, id := begin(t, "reloaded")
		if _, html := r.Get("/generations/" + id); !strings.Contains(html, "Step 5 of 20") {
			t.Error("the HTML does not say Step 5 of 20")
		}
		tab.Reload()
		if line := tab.Text("#progress-line-" + id); !strings.Contains(line, "Step 5 of 20") {
			t.Errorf("after the reload the line is %q", line)
		}
		r.afterStep(6)
		showsStep(tab, id, 6)
		finish(id, tab)
	})

	t.Run("a second viewer sees the same", func(t *testing.T) {
		tab, id := begin(t, "watched by two")
		other := browser.Open(t, r.Easel.URL, browser.TabOptions{Width: 390, Height: 844})
		other.Goto("/generations/" + id)
		if line := other.Text("#progress-line-" + id); !strings.Contains(line, "Step 5 of 20") {
			t.Errorf("the second viewer's first line is %q", line)
		}
		r.afterStep(7)
		showsStep(tab, id, 7)
		showsStep(other, id, 7)
		finish(id, tab, other)
	})

	t.Run("the connection is cut for long (P17)", func(t *testing.T) {
		tab, id := begin(t, "cut off")
		backwards := watchNumber(t, tab, id)
		before := road.Refused()
		road.Cut()
		tab.Wait(lostBar)
		if bar := tab.Text(".lost"); !strings.Contains(bar, "Connection lost, retrying") {
			t.Errorf("the bar says %q", bar)
		}
		r.afterStep(12)
		r.awaitStep(id, 12)
		// Long enough for a pause between two tries that grows to have grown.
		harness.Eventually(t, "did the page try five times", func() bool { return road.Refused() >= before+5 })
		showsStep(tab, id, 5)
		road.Mend()
		back := time.Now()
		showsStep(tab, id, 12)
		tab.Wait("!(" + lostBar + ")")
		harness.Within(t, "being right again (P17)", back, backWithin)
		finish(id, tab)
		backwards()
	})

	t.Run("nothing gets through for a while (P17)", func(t *testing.T) {
		tab, id := begin(t, "a pulled cable")
		backwards := watchNumber(t, tab, id)
		road.Stall(true)
		r.afterStep(15)
		r.awaitStep(id, 15)
		showsStep(tab, id, 5)
		road.Stall(false)
		back := time.Now()
		showsStep(tab, id, 15)
		harness.Within(t, "being right again (P17)", back, backWithin)
		finish(id, tab)
		backwards()
	})

	t.Run("the browser is away at the end", func(t *testing.T) {
		tab, id := begin(t, "missed the end")
		road.Cut()
		tab.Wait(lostBar)
		finish(id)
		road.Mend()
		finishedAt := time.Now()
		tab.WaitText("#progress-"+id, "Complete")
		harness.Within(t, "being right again (P17)", finishedAt, backWithin)
		tab.Wait("document.querySelector('#picture-" + id + "-1')?.naturalWidth > 0")
		tab.NoComplaints()
	})
	r.once()
}

func showsStep(tab *browser.Tab, id string, step int) {
	tab.WaitText("#progress-line-"+id, fmt.Sprintf("Step %d of 20", step))
}

// watchNumber notes every value of the page's bar from now on; the function that it returns fails
// the test when one was below the one before.
func watchNumber(t *testing.T, tab *browser.Tab, id string) func() {
	browser.Eval[bool](tab, `(() => {
		window.numbers = []
		const note = () => {
			const bar = document.querySelector('#progress-`+id+` progress')
			if (bar && bar.hasAttribute('value')) numbers.push(bar.value)
		}
		new MutationObserver(note).observe(document.documentElement, {subtree: true, childList: true, attributes: true})
		note()
		return true
	})()`)
	return func() {
		if wrong := browser.Eval[string](tab, "numbers.filter((n, i) => i > 0 && n < numbers[i-1]).join()"); wrong != "" {
			numbers := browser.Eval[string](tab, "numbers.join()")
			t.Errorf("the page's number went back to %s in %s", wrong, numbers)
		}
	}
}

// Easel itself is away: the page says so, and is right soon after it is back (P17).
func TestPageWhileEaselRestarts(t *testing.T) {
	t.Parallel()
	r := open(t)
	id := r.Generate(harness.Ask{Prompt: "while Easel restarts"})
	r.afterStep(5)
	r.awaitStep(id, 5)
	tab := browser.Open(t, r.Easel.URL, browser.TabOptions{})
	tab.Goto("/generations/" + id)
	showsStep(tab, id, 5)
	backwards := watchNumber(t, tab, id)
	for _, end := range []func(){func() { r.Stop() }, r.Kill} {
		sockets := r.comfy.Ledger().Sockets()
		end()
		tab.Wait(lostBar)
		r.Restart()
		// ComfyUI says a step once: whoever is not connected by then has to wait for the next.
		harness.Eventually(t, "does Easel listen again", func() bool { return r.comfy.Ledger().Sockets() > sockets })
		tab.Wait("!(" + lostBar + ")")
	}
	r.awaitServer("up")
	r.afterStep(9)
	showsStep(tab, id, 9)
	r.stepper.Open()
	r.AwaitStatus(id, "complete")
	tab.WaitText("#progress-"+id, "Complete")
	backwards()
	tab.NoComplaints()
	r.once()
}

// The same graph again: ComfyUI runs no sampler, and the page says why it was so quick.
func TestCachedSamplers(t *testing.T) {
	t.Parallel()
	r := open(t)
	first := r.Generate(harness.Ask{Prompt: "twice the same", Seed: 7})
	r.at(func(p simulator.Point) bool { return p.Stage == simulator.StageFinish })
	r.stepper.Release()
	r.AwaitStatus(first, "complete")

	again := r.Generate(harness.Ask{Prompt: "twice the same", Seed: 7})
	events := r.Follow(again)
	saving := r.at(func(p simulator.Point) bool {
		return p.Stage == simulator.StageNode || p.Stage == simulator.StageFinish
	})
	if saving.Class != "SaveImage" {
		t.Fatalf("ComfyUI runs %+v, want nothing but the saving", saving)
	}
	tab := browser.Open(t, r.Easel.URL, browser.TabOptions{})
	tab.Goto("/generations/" + again)
	tab.WaitText("#progress-"+again, "Reused an earlier result")
	r.stepper.Open()
	r.AwaitStatus(again, "complete")
	tab.WaitText("#progress-"+again, "Complete")
	tab.WaitText("#progress-"+again, "Reused an earlier result")
	tab.Reload()
	tab.WaitText("#progress-"+again, "Reused an earlier result")
	tab.NoComplaints()

	seen := <-events
	neverBack(t, seen)
	for _, p := range seen {
		if strings.HasPrefix(p.Status, "Step ") || p.CurrentStep > 0 {
			t.Errorf("a step is told of a run without any: %+v", p)
		}
	}
	// The files differ in what ComfyUI writes beside the picture: the prompt with its folder.
	if a, b := pixels(t, picture(t, r.Easel, first)), pixels(t, picture(t, r.Easel, again)); !slices.Equal(a.Pix, b.Pix) {
		t.Error("the pictures differ")
	}
	r.once()
}

// picture is the first output of a generation's first image.
func picture(t *testing.T, e *harness.Easel, id string) []byte {
	t.Helper()
	g, status, err := e.Look(t.Context(), id)
	if err != nil || status != http.StatusOK || len(g.Images) == 0 || g.Images[0].URL == "" {
		t.Fatalf("generation %s has no picture: status %d, %v, %+v", id, status, err, g)
	}
	status, body := e.Get(g.Images[0].URL)
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d", g.Images[0].URL, status)
	}
	return []byte(body)
}

// pixels decodes a PNG.
func pixels(t *testing.T, content []byte) *image.NRGBA {
	t.Helper()
	decoded, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	flat := image.NewNRGBA(decoded.Bounds())
	draw.Draw(flat, flat.Bounds(), decoded, decoded.Bounds().Min, draw.Src)
	return flat
}
