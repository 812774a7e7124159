package views

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Timeline is where the time of a generation went. Without images there is nothing to show yet.
type Timeline struct {
	Images []ImageTimeline // those that ran, by index
	Total  time.Duration   // from being asked for to its end
	Runs   int             // of the same kind, that say what is usual; 0: none
	URL    string          // of the same as JSON

	Measured int     // images of which is known how true their progress was
	Error    float64 // its mean error over them, in points
}

// ImageTimeline is the last attempt of one image. Its times count from when ComfyUI began with it, so that
// of the queue lies before zero.
type ImageTimeline struct {
	Index  int
	Offset time.Duration // zero of its times, since the first image of the generation began
	Spans  []Span
	Usual  time.Duration // that such a run takes from its beginning to the stored file; 0: unknown
}

// SpanKind says in what part of a run a span lies.
type SpanKind string

// The kinds, in the order of a run.
const (
	SpanWait   SpanKind = "wait"   // in the queue
	SpanSetup  SpanKind = "setup"  // nodes before the first sampler
	SpanSample SpanKind = "sample" // samplers
	SpanFinish SpanKind = "finish" // nodes after the first sampler that are none
	SpanStore  SpanKind = "store"  // transfer and storage
)

// spanKinds are all of them with their words, as part of a sentence.
var spanKinds = []struct {
	kind  SpanKind
	words string
}{
	{SpanWait, "in the queue"},
	{SpanSetup, "loading and encoding"},
	{SpanSample, "sampling"},
	{SpanFinish, "decoding and saving"},
	{SpanStore, "transfer and storage"},
}

// Span is one part of a run: the queue, a node, the transfer.
type Span struct {
	Name       string // title of the node, or "Queue"
	Node       string // its id; empty for what is no node
	Kind       SpanKind
	Start, End time.Duration
	Cached     bool          // ComfyUI had its result: it took no time
	Passes     []Pass        // of a sampler
	Usual      time.Duration // that it takes where it runs; 0: unknown
	Rare       bool          // usually ComfyUI has its result
}

// Pass is one pass of a sampler, from its first step to its last.
type Pass struct {
	Start, End time.Duration
	Steps      int
}

// took is how long it lasted.
func (s Span) took() time.Duration { return max(0, s.End-s.Start) }

// length is a time as short as a chart needs it.
func length(d time.Duration) string {
	if d < 100*time.Millisecond {
		return strconv.FormatInt(max(0, d).Milliseconds(), 10) + " ms"
	}
	return Took(d)
}

// sum adds the spans of a kind up.
func (t ImageTimeline) sum(kind SpanKind) time.Duration {
	var d time.Duration
	for _, s := range t.Spans {
		if s.Kind == kind {
			d += s.took()
		}
	}
	return d
}

// begin and end are those of all spans.
func (t ImageTimeline) begin() time.Duration {
	var first time.Duration
	for _, s := range t.Spans {
		first = min(first, s.Start)
	}
	return first
}

func (t ImageTimeline) end() time.Duration {
	var last time.Duration
	for _, s := range t.Spans {
		last = max(last, s.End)
	}
	return last
}

// cached names the nodes whose results ComfyUI had.
func (t ImageTimeline) cached() []string {
	var names []string
	for _, s := range t.Spans {
		if s.Cached {
			names = append(names, s.Name)
		}
	}
	return names
}

// Sentence says where the time went.
func (t Timeline) Sentence() string {
	if len(t.Images) == 0 {
		return ""
	}
	var parts []string
	for _, k := range spanKinds {
		var d time.Duration
		for _, image := range t.Images {
			d += image.sum(k.kind)
		}
		if d >= 50*time.Millisecond {
			parts = append(parts, Took(d)+" "+k.words)
		}
	}
	said := Took(t.Total) + " in all"
	if len(t.Images) > 1 {
		said += fmt.Sprintf(" for %d images; added up over them", len(t.Images))
	}
	if len(parts) > 0 {
		said += ": " + listed(parts)
	}
	said += "."
	if len(t.Images) == 1 {
		said += t.Images[0].compared()
	}
	return said
}

// compared says how the run was beside what is usual: nothing while that is not known.
func (t ImageTimeline) compared() string {
	if t.Usual <= 0 {
		return ""
	}
	over := t.end() - t.Usual
	const much = 0.15 // of the usual; below it runs differ by chance
	if abs := max(over, -over); abs < 300*time.Millisecond || abs.Seconds() < much*t.Usual.Seconds() {
		return " The queue aside, that is about as long as usual."
	}
	word, sign := "longer", time.Duration(1)
	if over < 0 {
		word, sign = "shorter", -1
	}
	said := fmt.Sprintf(" The queue aside, that is %s %s than usual", length(sign*over), word)
	// The one span that made most of the difference, where one did.
	var most Span
	var share time.Duration
	for _, s := range t.Spans {
		if d := sign * (s.took() - s.expected()); s.comparable() && d > share {
			most, share = s, d
		}
	}
	if share*2 < sign*over {
		return said + "."
	}
	said += ", mostly by " + Short(most.Name, 60)
	if most.Rare && sign > 0 {
		said += ", whose result ComfyUI usually has"
	}
	return said + "."
}

// comparable reports whether it is known what the span usually takes.
func (s Span) comparable() bool { return s.Kind != SpanWait && (s.Usual > 0 || s.Rare) }

// expected is what most runs spend on it.
func (s Span) expected() time.Duration {
	if s.Rare {
		return 0
	}
	return s.Usual
}

// unusual reports whether the span took notably longer or shorter than it does where it runs.
func (s Span) unusual() bool {
	d := s.took() - s.Usual
	return !s.Cached && s.Usual > 0 && max(d, -d) >= 300*time.Millisecond && max(d, -d).Seconds() >= 0.25*s.Usual.Seconds()
}

// listed is "a, b and c".
func listed(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}

// The chart. Places along it are percentages of its width and heights are pixels, so that letters keep
// their size in every window.
const (
	chartRow    = 34 // px: a line of text, and the bar under it
	chartBar    = 8
	chartText   = 14 // from the top of a row to the text's baseline
	chartAxis   = 22 // under the rows
	imageRow    = 20 // of the chart of many images
	imageBar    = 10
	maxRows     = 16  // nodes that a chart shows; the others are one row
	maxListed   = 200 // rows of a table
	maxDetailed = 16  // images shown node by node
	nameWidth   = 28  // letters of a name that leave room for the time beside it on a phone
)

// chart is a timeline as it is drawn.
type chart struct {
	Height int
	Rows   []chartRowView
	Ticks  []chartTick
	Cut    bool // the queue was longer than there is room for
}

type chartRowView struct {
	Y     int // of its top
	Label string
	Value string
	Bars  []chartBarView
	Usual string // where its bar usually ends; empty: unknown
}

type chartBarView struct {
	X, Width string
	Kind     string
	Title    string
}

type chartTick struct {
	X     string
	Label string
	End   bool // near the right end: its text stands to the left of it
}

// scale places times between two moments.
type scale struct{ from, to time.Duration }

func (s scale) at(d time.Duration) float64 {
	return 100 * float64(min(max(d, s.from), s.to)-s.from) / float64(s.to-s.from)
}

func percent(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) + "%" }

// place is a bar from start to end, however short still to be seen.
func (s scale) place(start, end time.Duration) (x, width string) {
	left, right := s.at(start), s.at(end)
	const least = 0.3 // percent
	if right-left < least {
		left = min(left, 100-least)
		right = left + least
	}
	return percent(left), percent(right - left)
}

// layout draws one image. Of the queue no more is drawn than a quarter of the run: what is asked of a
// chart is what happened then.
func (t ImageTimeline) layout() chart {
	run := max(t.end(), time.Millisecond)
	room := run / 4
	wait := -t.begin()
	s := scale{-min(wait, room), run}
	c := chart{Cut: wait > room}
	for _, span := range t.rows() {
		row := chartRowView{Y: len(c.Rows) * chartRow, Label: fit(span.Name, nameWidth), Value: length(span.took())}
		if span.Cached {
			row.Value = "cached"
		} else {
			row.bar(s, string(span.Kind), span.Start, span.End, span.Name+": "+length(span.took()))
		}
		for i, p := range span.Passes {
			row.bar(s, "pass", p.Start, p.End, p.words(i, len(span.Passes)))
		}
		if span.Usual > 0 && !span.Cached {
			row.Usual = percent(s.at(span.Start + span.Usual))
		}
		if span.unusual() {
			row.Value += ", usually " + length(span.Usual)
		}
		c.Rows = append(c.Rows, row)
	}
	c.Ticks = ticks(s)
	c.Height = len(c.Rows)*chartRow + chartAxis
	return c
}

func (r *chartRowView) bar(s scale, kind string, start, end time.Duration, title string) {
	x, width := s.place(start, end)
	r.Bars = append(r.Bars, chartBarView{x, width, kind, title})
}

// words are those of pass i of so many.
func (p Pass) words(i, of int) string {
	name := "Steps"
	if of > 1 {
		name = fmt.Sprintf("Pass %d of %d", i+1, of)
	}
	return fmt.Sprintf("%s: %s in %s", name, plural(p.Steps, "step"), length(p.End-p.Start))
}

// rows are the spans of a chart: the longest ones, in their order, and the others as one, which begins with
// the first of them.
func (t ImageTimeline) rows() []Span {
	if len(t.Spans) <= maxRows+1 {
		return t.Spans
	}
	order := make([]int, len(t.Spans))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(t.Spans[b].took(), t.Spans[a].took()) })
	kept, others := order[:maxRows], order[maxRows:]
	slices.Sort(kept)
	slices.Sort(others)
	first := t.Spans[others[0]]
	rest := Span{Name: plural(len(others), "shorter part"), Kind: first.Kind, Start: first.Start, End: first.Start}
	for _, i := range others {
		rest.End += t.Spans[i].took()
	}
	shown := make([]Span, 0, maxRows+1)
	for _, i := range kept {
		shown = append(shown, t.Spans[i])
	}
	return append(shown, rest)
}

// ticks are at most six round moments, beginning with zero.
func ticks(s scale) []chartTick {
	step := tickStep(s.to)
	var all []chartTick
	for d := time.Duration(0); d <= s.to; d += step {
		x := s.at(d)
		all = append(all, chartTick{X: percent(x), Label: tickLabel(d, step), End: x > 92})
	}
	return all
}

// tickSteps are the distances that people count in.
var tickSteps = []time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second,
	10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute,
	15 * time.Minute, 30 * time.Minute, time.Hour,
}

func tickStep(whole time.Duration) time.Duration {
	for _, step := range tickSteps {
		if whole/step <= 5 {
			return step
		}
	}
	return (whole/(5*time.Hour) + 1) * time.Hour
}

// tickLabel is d in the unit of the step.
func tickLabel(d, step time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case step >= time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	case step >= time.Minute:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case step >= time.Second:
		if d >= time.Minute {
			return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
		}
		return strconv.Itoa(int(d.Seconds())) + " s"
	case step >= 100*time.Millisecond:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
}

// fit cuts text to so many letters of the Latin alphabet; wider ones count twice.
func fit(text string, width int) string {
	text = strings.Join(strings.Fields(text), " ")
	used := 0
	for i, r := range text {
		if used++; r >= 0x1100 {
			used++
		}
		if used > width {
			return strings.TrimSpace(text[:i]) + "…"
		}
	}
	return text
}

// overview draws all images under each other, on one clock that begins with the first of them. What they
// waited before that is left out.
func (t Timeline) overview() chart {
	var last time.Duration
	for _, image := range t.Images {
		last = max(last, image.Offset+image.end())
	}
	s := scale{0, max(last, time.Millisecond)}
	var c chart
	for i, image := range t.Images {
		row := chartRowView{Y: i * imageRow, Label: strconv.Itoa(image.Index)}
		for _, span := range image.Spans {
			start, end := image.Offset+span.Start, image.Offset+span.End
			if span.Cached || end <= 0 {
				continue
			}
			row.bar(s, string(span.Kind), max(0, start), end, fmt.Sprintf("Image %d, %s: %s", image.Index, span.Name, length(span.took())))
		}
		c.Rows = append(c.Rows, row)
	}
	c.Ticks = ticks(s)
	c.Height = len(c.Rows)*imageRow + chartAxis
	return c
}

// figure is one row of the table.
type figure struct {
	Name, Node               string
	Began, Took, Usual, Note string
	Pass                     bool // of the sampler above
}

// figures are all numbers of an image, and how many rows there are beyond the bound.
func (t ImageTimeline) figures() (shown []figure, more int) {
	for _, span := range t.Spans {
		f := figure{Name: span.Name, Node: span.Node, Began: since(span.Start), Took: length(span.took()), Usual: usually(span)}
		if span.Cached {
			f.Began, f.Took, f.Note = "", "0 ms", "cached"
		}
		shown = append(shown, f)
		for i, p := range span.Passes {
			name := "Steps"
			if len(span.Passes) > 1 {
				name = "Pass " + strconv.Itoa(i+1)
			}
			shown = append(shown, figure{
				Name: name + ", " + plural(p.Steps, "step"), Began: since(p.Start), Took: length(p.End - p.Start), Pass: true,
			})
		}
	}
	if len(shown) > maxListed {
		return shown[:maxListed], len(shown) - maxListed
	}
	return shown, 0
}

func usually(s Span) string {
	switch {
	case s.Rare && !s.Cached:
		return "cached"
	case s.Usual > 0:
		return length(s.Usual)
	}
	return ""
}

// since is a moment beside when ComfyUI began.
func since(d time.Duration) string {
	switch {
	case d < 0:
		return "−" + length(-d)
	case d == 0:
		return "0 s"
	}
	return "+" + length(d)
}

// anchor is which end of its text a tick holds.
func (t chartTick) anchor() string {
	if t.End {
		return "end"
	}
	return "start"
}

func cachedWords(n int) string {
	if n == 1 {
		return "result"
	}
	return "results"
}
