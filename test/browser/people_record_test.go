package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The page of a generation says everything about it, and lets it go for good.
func TestPeopleReadTheRecord(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{})
	g := s.made(ask{Prompt: "A heron\nin the reeds", NegativePrompt: "people", Settings: map[string]any{
		"width": 128, "height": 64, "steps": 3, "guidance": 6.5, "sampler": "dpmpp_2m", "scheduler": "karras",
		"seed": json.Number("18446744073709551615"), "model": models[1],
	}})
	tab := Open(t, s.URL, TabOptions{})
	tab.Goto("/gallery")
	tab.Click("#cards > li a")
	tab.waitPath("/generations/" + g.ID)
	tab.Wait(`(i => i?.complete && i.naturalWidth === 128 && i.naturalHeight === 64)(document.querySelector('.frame a img'))`)
	page := tab.Text("main")
	for _, fact := range []string{
		"A heron in the reeds", "people", models[1], "128", "64", "6.5", "dpmpp_2m", "karras", "18446744073709551615", "big",
		g.Images[0].ComfyUIPromptID, g.ID, "Text to image", "image/png",
		"Picked", "Accepted by ComfyUI", "Running", "First step", "Done in ComfyUI", "Ended",
	} {
		if !strings.Contains(page, fact) {
			t.Errorf("the page does not say %q", fact)
		}
	}
	for _, selector := range []string{"#record time", ".times time"} {
		if Eval[string](tab, `document.querySelector(`+quote(selector)+`).dateTime`) == "" {
			t.Errorf("%s has no exact time", selector)
		}
	}
	whereTimeWent(t, tab)
	exactGraph(t, s, tab, g)
	download(t, s, tab)
	deleteForGood(t, s, tab, g)
	tab.NoComplaints()
}

// whereTimeWent looks at the timeline: a picture with a part for each node and for what lies around them,
// and the same as a table.
func whereTimeWent(t *testing.T, tab *Tab) {
	t.Helper()
	if said := tab.Text("#timeline > p"); !strings.Contains(said, "in all") {
		t.Errorf("the timeline says %q", said)
	}
	drawn := Eval[[]string](tab, `[...document.querySelectorAll('#timeline svg text.name')].map(e => e.textContent)`)
	for _, part := range []string{"Queue", "Load checkpoint", "Prompt", "Sampler", "Decode", "Save image", "Transfer", "Storage"} {
		if !slices.Contains(drawn, part) {
			t.Errorf("%s is not drawn: %q", part, drawn)
		}
	}
	if n := Eval[int](tab, `[...document.querySelectorAll('#timeline svg .stretch')].filter(e => e.getBoundingClientRect().width > 0).length`); n < len(drawn) {
		t.Errorf("%d bars for %d parts", n, len(drawn))
	}
	if !Eval[bool](tab, `(([work, timeline, record]) => work.left === timeline.left && work.bottom < timeline.top && work.right < record.left && work.top === record.top)(
		['.work', '#timeline', '.record'].map(s => document.querySelector('.generation > ' + s).getBoundingClientRect()))`) {
		t.Error("the timeline is not under the picture, or the record not beside it")
	}
	tab.Click("#timeline details summary")
	tab.Wait(`document.querySelector('#timeline table').checkVisibility()`)
	if table := tab.Text("#timeline table"); !strings.Contains(table, "Steps, 3 steps") || !strings.Contains(table, "node checkpoint") {
		t.Errorf("the table says %q", table)
	}
}

// exactGraph compares the graph on the page with the one that ComfyUI got.
func exactGraph(t *testing.T, s *site, tab *Tab, g generation) {
	t.Helper()
	promptID := g.Images[0].ComfyUIPromptID
	response, err := http.Get(s.comfy.URL() + "/history/" + promptID)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var history map[string]struct{ Prompt []json.RawMessage }
	if err := json.NewDecoder(response.Body).Decode(&history); err != nil {
		t.Fatal(err)
	}
	tab.Press("The graph that was sent")
	tab.Wait(`document.querySelector('#record details[open] pre').checkVisibility()`)
	decode := func(text string) (graph map[string]any) {
		t.Helper()
		text = regexp.MustCompile(`: (\d+)\.0\b`).ReplaceAllString(text, ": $1") // Python's way to write a whole float
		numbers := json.NewDecoder(strings.NewReader(text))
		numbers.UseNumber()
		if err := numbers.Decode(&graph); err != nil {
			t.Fatal(err)
		}
		return graph
	}
	got := decode(Eval[string](tab, `document.querySelector('#record details[open] pre').textContent`))
	want := decode(string(history[promptID].Prompt[2]))
	if !reflect.DeepEqual(got, want) || !strings.Contains(fmt.Sprint(got), "18446744073709551615") {
		t.Errorf("the page shows the graph\n%v\nComfyUI got\n%v", got, want)
	}
}

func download(t *testing.T, s *site, tab *Tab) {
	t.Helper()
	link := Eval[string](tab, `document.querySelector('#actions a[download]').getAttribute('href')`)
	response, err := http.Get(s.URL + link)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	how, parameters, err := mime.ParseMediaType(response.Header.Get("Content-Disposition"))
	if err != nil || how != "attachment" || !strings.HasSuffix(parameters["filename"], ".png") {
		t.Errorf("Content-Disposition = %q", response.Header.Get("Content-Disposition"))
	}
	if picture, err := png.DecodeConfig(bytes.NewReader(body)); err != nil || picture.Width != 128 || picture.Height != 64 {
		t.Errorf("the file is %+v, %v", picture, err)
	}
	if size := strconv.Itoa(len(body)); response.Header.Get("Content-Length") != size {
		t.Errorf("Content-Length = %s, want %s", response.Header.Get("Content-Length"), size)
	}
}

// deleteForGood asks first, in place and with the name of what goes, then removes row and files.
func deleteForGood(t *testing.T, s *site, tab *Tab, g generation) {
	t.Helper()
	if n := storedFiles(t, s); n != 2 { // the picture and its thumbnail
		t.Errorf("%d files are stored, want 2", n)
	}
	tab.Press("Delete")
	tab.WaitText("#actions details[open] form", "A heron in the reeds")
	if len(s.all()) != 1 {
		t.Fatal("it was deleted before the question was answered")
	}
	tab.Press("Keep it")
	tab.Wait(`!document.querySelector('#actions details[open]')`)
	tab.Press("Delete")
	tab.Wait(`document.querySelector('#actions details[open] form button').checkVisibility()`)
	tab.Click("#actions details[open] form button")
	tab.waitPath("/gallery")
	tab.WaitText("main", "The wall is still empty.")
	s.eventually("the files to be gone", func() bool { return storedFiles(t, s) == 0 }) // a job removes them
	for _, path := range []string{"/generations/" + g.ID, g.Images[0].URL, g.Images[0].ThumbnailURL, "/embed/generations/" + g.ID} {
		if status, _ := s.Get(strings.TrimPrefix(path, s.URL)); status != http.StatusNotFound {
			t.Errorf("%s after deletion: %d, want 404", path, status)
		}
	}
}

// storedFiles counts what lies in the folder of the pictures.
func storedFiles(t *testing.T, s *site) (n int) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(s.DataDir, "images"), func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
