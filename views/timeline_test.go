package views

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const second = time.Second

// anImage waited 4 s, loaded for 5, sampled for 20 in two passes, decoded for 2 and was stored in 1.
func anImage() ImageTimeline {
	return ImageTimeline{Index: 1, Usual: 20 * second, Spans: []Span{
		{Name: "Queue", Kind: SpanWait, Start: -4 * second},
		{Name: "Load Checkpoint", Node: "4", Kind: SpanSetup, End: 5 * second, Usual: 5 * second, Rare: true},
		{Name: "KSampler", Node: "3", Kind: SpanSample, Start: 5 * second, End: 25 * second, Usual: 15 * second, Passes: []Pass{
			{6 * second, 15 * second, 20}, {15 * second, 25 * second, 1},
		}},
		{Name: "VAE Decode", Node: "8", Kind: SpanFinish, Start: 25 * second, End: 27 * second},
		{Name: "Storage", Kind: SpanStore, Start: 27 * second, End: 28 * second},
		{Name: "CLIP Text Encode", Node: "6", Kind: SpanSetup, Cached: true, Usual: second},
	}}
}

func TestTimelineLayout(t *testing.T) {
	image := anImage()
	c := image.layout()
	if want := 6*chartRow + chartAxis; c.Height != want || len(c.Rows) != 6 || c.Cut {
		t.Fatalf("%d rows in %d px, cut %t; want 6 in %d", len(c.Rows), c.Height, c.Cut, want)
	}
	// 32 s from left to right.
	for i, want := range []chartRowView{
		{Label: "Queue", Value: "4.0 s", Bars: []chartBarView{{"0.00%", "12.50%", "wait", "Queue: 4.0 s"}}},
		{Label: "Load Checkpoint", Value: "5.0 s", Bars: []chartBarView{{"12.50%", "15.62%", "setup", "Load Checkpoint: 5.0 s"}}, Usual: "28.12%"},
		{Label: "KSampler", Value: "20.0 s, usually 15.0 s", Usual: "75.00%", Bars: []chartBarView{
			{"28.12%", "62.50%", "sample", "KSampler: 20.0 s"},
			{"31.25%", "28.12%", "pass", "Pass 1 of 2: 20 steps in 9.0 s"},
			{"59.38%", "31.25%", "pass", "Pass 2 of 2: 1 step in 10.0 s"},
		}},
		{Label: "VAE Decode", Value: "2.0 s", Bars: []chartBarView{{"90.62%", "6.25%", "finish", "VAE Decode: 2.0 s"}}},
		{Label: "Storage", Value: "1.0 s", Bars: []chartBarView{{"96.88%", "3.12%", "store", "Storage: 1.0 s"}}},
		{Label: "CLIP Text Encode", Value: "cached"},
	} {
		want.Y = i * chartRow
		if got := c.Rows[i]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("row %d\n got %v\nwant %v", i, got, want)
		}
	}
	want := []chartTick{
		{"12.50%", "0", false},
		{"28.12%", "5 s", false},
		{"43.75%", "10 s", false},
		{"59.38%", "15 s", false},
		{"75.00%", "20 s", false},
		{"90.62%", "25 s", false},
	}
	if !slices.Equal(c.Ticks, want) {
		t.Errorf("ticks = %v, want %v", c.Ticks, want)
	}
	image.Spans[0].Start = -time.Hour
	if c = image.layout(); !c.Cut || c.Rows[0].Bars[0].Width != "20.00%" || c.Rows[0].Value != "1 h 0 min" {
		t.Errorf("an hour in the queue: cut %t, %v", c.Cut, c.Rows[0])
	}
}

func TestTimelineSentence(t *testing.T) {
	of := func(change func(*ImageTimeline)) Timeline {
		image := anImage()
		change(&image)
		return Timeline{Images: []ImageTimeline{image}, Total: 32 * second}
	}
	for _, tt := range []struct {
		name string
		t    Timeline
		want string
	}{
		{"nothing", Timeline{}, ""},
		{
			"two causes", of(func(*ImageTimeline) {}),
			"32.0 s in all: 4.0 s in the queue, 5.0 s loading and encoding, 20.0 s sampling, 2.0 s decoding and saving and 1.0 s transfer and storage. " +
				"The queue aside, that is 8.0 s longer than usual, mostly by Load Checkpoint, whose result ComfyUI usually has.",
		},
		{
			"none stands out", of(func(i *ImageTimeline) { i.Spans[1].Usual, i.Spans[1].Rare, i.Spans[2].Usual = 0, false, 19*second }),
			"The queue aside, that is 8.0 s longer than usual.",
		},
		{"usual", of(func(i *ImageTimeline) { i.Usual = 27 * second }), "The queue aside, that is about as long as usual."},
		{"unknown", of(func(i *ImageTimeline) { i.Usual = 0 }), "transfer and storage."},
		{
			"shorter", of(func(i *ImageTimeline) { i.Usual, i.Spans[2].Usual = 60*second, 50*second }),
			"The queue aside, that is 32.0 s shorter than usual, mostly by KSampler.",
		},
		{
			"two images",
			Timeline{Images: []ImageTimeline{anImage(), anImage()}, Total: 40 * second},
			"40.0 s in all for 2 images; added up over them: 8.0 s in the queue, 10.0 s loading and encoding, 40.0 s sampling, 4.0 s decoding and saving and 2.0 s transfer and storage.",
		},
	} {
		if got := tt.t.Sentence(); !strings.HasSuffix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: %q does not end with %q", tt.name, got, tt.want)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, tt := range []struct {
		end  time.Duration
		want string
	}{
		{time.Millisecond, "0 1 ms"},
		{70 * time.Millisecond, "0 20 ms 40 ms 60 ms"},
		{900 * time.Millisecond, "0 0.2 s 0.4 s 0.6 s 0.8 s"},
		{10 * second, "0 2 s 4 s 6 s 8 s 10 s"},
		{100 * second, "0 30 s 1:00 1:30"},
		{20 * time.Minute, "0 5 min 10 min 15 min 20 min"},
		{5 * time.Hour, "0 1 h 2 h 3 h 4 h 5 h"},
		{1000 * time.Hour, "0 201 h 402 h 603 h 804 h"},
	} {
		var got []string
		for _, tick := range ticks(scale{0, tt.end}) {
			got = append(got, tick.Label)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("ticks to %s = %q, want %q", tt.end, got, tt.want)
		}
	}
}

// Many nodes are a bounded chart: the longest by name, and nobody's time is lost.
func TestTimelineOfManyNodes(t *testing.T) {
	image := ImageTimeline{Index: 1}
	var at, whole time.Duration
	for i := range 500 {
		took := time.Duration(i%7+1) * 10 * time.Millisecond
		if i%50 == 0 {
			took = 3 * second
		}
		image.Spans = append(image.Spans, Span{Name: "node " + strconv.Itoa(i), Kind: SpanSetup, Start: at, End: at + took})
		at += took
		whole += took
	}
	rows := image.rows()
	var shown time.Duration
	long := 0
	for _, span := range rows {
		shown += span.took()
		if span.took() == 3*second {
			long++
		}
	}
	if len(rows) != maxRows+1 || long != 10 || shown != whole || rows[maxRows].Name != "484 shorter parts" {
		t.Errorf("%d rows, %d of 10 long ones, %s of %s, the last %q", len(rows), long, shown, whole, rows[len(rows)-1].Name)
	}
	figures, more := image.figures()
	if len(figures) != maxListed || more != 300 {
		t.Errorf("the table has %d rows and %d more, want %d and 300", len(figures), more, maxListed)
	}
}

// Whatever clocks say, every bar lies inside the chart and can be seen.
func TestTimelineStaysInItsBox(t *testing.T) {
	duration := rapid.Map(rapid.Int64Range(-int64(time.Hour), int64(100*time.Hour)), func(n int64) time.Duration { return time.Duration(n) })
	rapid.Check(t, func(t *rapid.T) {
		image := ImageTimeline{Index: 1}
		for i := range rapid.IntRange(0, 30).Draw(t, "spans") {
			start := duration.Draw(t, "start")
			image.Spans = append(image.Spans, Span{
				Name: strconv.Itoa(i), Kind: SpanSetup, Start: start, End: start + duration.Draw(t, "length"),
				Usual: duration.Draw(t, "usual"), Cached: rapid.Bool().Draw(t, "cached"),
				Passes: []Pass{{duration.Draw(t, "first step"), duration.Draw(t, "last step"), 3}},
			})
		}
		whole := Timeline{Images: []ImageTimeline{image, image}}
		for _, c := range []chart{image.layout(), whole.overview()} {
			for _, row := range c.Rows {
				if row.Y < 0 || row.Y+imageRow > c.Height-chartAxis {
					t.Fatalf("row at %d of %d", row.Y, c.Height)
				}
				for _, bar := range row.Bars {
					x, width := number(t, bar.X), number(t, bar.Width)
					if x < 0 || width < 0.29 || x+width > 100.02 {
						t.Fatalf("a bar at %s, %s wide", bar.X, bar.Width)
					}
				}
			}
			if len(c.Ticks) == 0 || len(c.Ticks) > 6 {
				t.Fatalf("%d ticks", len(c.Ticks))
			}
		}
	})
}

func number(t *rapid.T, text string) float64 {
	n, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || math.IsNaN(n) {
		t.Fatalf("%q is no percentage", text)
	}
	return n
}

func TestFit(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"VAE Decode", "VAE Decode"},
		{"  two\nlines ", "two lines"},
		{"1234567890", "1234567890"},
		{"12345678901", "1234567890…"},
		{"模型加载器节点", "模型加载器…"},
		{"", ""},
	} {
		if got := fit(tt.text, 10); got != tt.want {
			t.Errorf("fit(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

// What the picture shows stands in a table, too, with the exact figures.
func TestTimelineTable(t *testing.T) {
	doc := parsed(t, TimelineSection(testSite(t), Timeline{Images: []ImageTimeline{anImage()}, Total: 32 * second, Runs: 7, URL: "/t", Measured: 1, Error: 2.14}))
	var rows []string
	for _, row := range doc.Find("#timeline tbody tr").EachIter() {
		var cells []string
		for _, cell := range row.Children().EachIter() {
			cells = append(cells, strings.Join(strings.Fields(cell.Text()), " "))
		}
		rows = append(rows, strings.Join(cells, "|"))
	}
	want := []string{
		"Queue|−4.0 s|4.0 s|–",
		"Load Checkpoint node 4|0 s|5.0 s|cached",
		"KSampler node 3|+5.0 s|20.0 s|15.0 s",
		"Pass 1, 20 steps|+6.0 s|9.0 s|–",
		"Pass 2, 1 step|+15.0 s|10.0 s|–",
		"VAE Decode node 8|+25.0 s|2.0 s|–",
		"Storage|+27.0 s|1.0 s|–",
		"CLIP Text Encode node 6|–|cached|1.0 s",
	}
	if !slices.Equal(rows, want) {
		t.Errorf("table\n got %q\nwant %q", rows, want)
	}
	for selector, n := range map[string]int{"svg[role=img][aria-label]": 1, "svg rect": 7, "svg text.name": 6, "svg line.usual": 2, "details": 1} {
		if got := doc.Find("#timeline " + selector).Length(); got != n {
			t.Errorf("%d of %q, want %d", got, selector, n)
		}
	}
	if got := text(t, doc, "#timeline > p.quiet:last-child"); !strings.HasPrefix(got, "Usual is the median of the last 7 runs") || !strings.Contains(got, "was 2.1 points off") {
		t.Errorf("note = %q", got)
	}
}

func TestTimelineOfManyImages(t *testing.T) {
	whole := Timeline{Total: time.Hour, URL: "/t"}
	for i := range 64 {
		image := anImage()
		image.Index, image.Offset = i+1, time.Duration(i)*28*second
		whole.Images = append(whole.Images, image)
	}
	doc := parsed(t, TimelineSection(testSite(t), whole))
	if n := doc.Find("svg.many text.name").Length(); n != 64 {
		t.Errorf("%d images on the clock, want 64", n)
	}
	if n := doc.Find("#timeline > details").Length(); n != maxDetailed {
		t.Errorf("%d images node by node, want %d", n, maxDetailed)
	}
	if n := doc.Find(".legend li").Length(); n != len(spanKinds) {
		t.Errorf("%d kinds are explained, want %d", n, len(spanKinds))
	}
	if doc := parsed(t, TimelineSection(testSite(t), Timeline{})); doc.Find("section#timeline[hidden]").Length() != 1 {
		t.Error("a timeline without images leaves no place")
	}
}
