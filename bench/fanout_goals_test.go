package bench

import (
	"fmt"
	"io"
	"slices"
)

// fanoutRuns are the runs of one load by subject, in the order of the rounds.
type fanoutRuns map[string][]fanout

// fanoutResults are those of all loads that were asked for.
type fanoutResults map[load]fanoutRuns

// The figures of a run.
var (
	ofP99     = func(f fanout) float64 { return f.p99 }
	ofCPU     = func(f fanout) float64 { return f.cpu }
	ofMemory  = func(f fanout) float64 { return f.memory }
	ofConnect = func(f fanout) float64 { return f.connect }
	ofEnd     = func(f fanout) float64 { return f.end }
	ofSteps   = func(f fanout) float64 { return f.steps }
)

func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(all))[len(all)/2]
}

func (r fanoutRuns) all(subject string, of func(fanout) float64) (all []float64) {
	for _, run := range r[subject] {
		all = append(all, of(run))
	}
	return all
}

func (r fanoutRuns) median(subject string, of func(fanout) float64) float64 {
	return median(r.all(subject, of))
}

// ratios are Easel's to another subject, each within one round.
func (r fanoutRuns) ratios(to string, of func(fanout) float64) (all []float64) {
	for i, run := range r["E"] {
		if i < len(r[to]) {
			all = append(all, of(run)/of(r[to][i]))
		}
	}
	return all
}

// held says in how many of its runs a subject held.
func (r fanoutRuns) held(subject string) string {
	held := 0
	for _, run := range r[subject] {
		if run.held {
			held++
		}
	}
	return fmt.Sprintf("%d/%d", held, len(r[subject]))
}

// print writes a table of all loads and one of the goals, in Markdown.
func (r fanoutResults) print(w io.Writer) {
	fmt.Fprintf(w, "\n| watchers × steps a second | p99 ms | to A · B · R | CPU µs an event | to A · B · R | KiB a watcher (to B) | connecting s, to A · B · R | end p99 ms, to A · B · R | steps seen | held: E · A · B · R |\n")
	fmt.Fprintf(w, "| --: | --: | :-: | --: | :-: | --: | :-: | :-: | --: | :-: |\n")
	for _, l := range fanoutLoads {
		runs, ok := r[l]
		if !ok {
			continue
		}
		three := func(of func(fanout) float64) string {
			text := ""
			for _, to := range []string{"A", "B", "R"} {
				if text != "" {
					text += " · "
				}
				if ratios := runs.ratios(to, of); len(ratios) > 0 {
					text += fmt.Sprintf("%.2f", median(ratios))
				} else {
					text += "–"
				}
			}
			return text
		}
		fmt.Fprintf(w, "| %d × %d | %.1f | %s | %.1f | %s | %.1f (%.2f) | %.2f: %s | %.0f: %s | %.1f of %d | %s · %s · %s · %s |\n",
			l.watchers, l.rate, runs.median("E", ofP99), three(ofP99), runs.median("E", ofCPU), three(ofCPU),
			runs.median("E", ofMemory), median(runs.ratios("B", ofMemory)), runs.median("E", ofConnect), three(ofConnect),
			runs.median("E", ofEnd), three(ofEnd), runs.median("E", ofSteps), l.steps,
			runs.held("E"), runs.held("A"), runs.held("B"), runs.held("R"))
	}
	fmt.Fprintf(w, "\n| goal | at | of E | wanted | measured | |\n| --: | :-- | :-- | --: | --: | :-- |\n")
	for _, g := range fanoutGoals {
		r.judge(w, g)
	}
	for _, l := range fanoutLoads {
		if runs, ok := r[l]; ok && (l.watchers >= 10_000 && l.rate >= 10 || l.watchers == 19_000) {
			fmt.Fprintf(w, "| 1 | %d × %d | held | all runs | %s | %s |\n", l.watchers, l.rate, runs.held("E"), word(runs.held("E") == fmt.Sprintf("%d/%d", len(runs["E"]), len(runs["E"]))))
		}
	}
}

// goal is one of the goals: a figure of Easel's at a load, itself or its ratio, that is to be at most so large.
type goal struct {
	number         int
	watchers, rate int
	name           string
	of             func(fanout) float64
	to             string // a subject; empty: the figure itself; "1,000": its growth from a tenth of the watchers
	most           float64
}

const growth = "1,000"

var fanoutGoals = []goal{
	{2, 100, 10, "p99", ofP99, "B", 1},
	{2, 1000, 10, "p99", ofP99, "B", 1},
	{2, 1000, 10, "p99", ofP99, "A", 0.4},
	{2, 10_000, 5, "p99", ofP99, "B", 0.9},
	{2, 10_000, 5, "p99", ofP99, "A", 0.4},
	{2, 10_000, 10, "p99", ofP99, "B", 0.6},
	{2, 10_000, 10, "p99", ofP99, "A", 0.25},
	{3, 1000, 10, "CPU an event", ofCPU, "B", 0.8},
	{3, 5000, 5, "CPU an event", ofCPU, "B", 0.8},
	{3, 5000, 10, "CPU an event", ofCPU, "B", 0.8},
	{3, 10_000, 5, "CPU an event", ofCPU, "B", 0.8},
	{3, 10_000, 10, "CPU an event", ofCPU, "B", 0.8},
	{4, 1000, 10, "CPU an event", ofCPU, "A", 0.45},
	{4, 10_000, 2, "CPU an event", ofCPU, "A", 0.35},
	{4, 5000, 10, "CPU an event", ofCPU, "A", 0.6},
	{4, 10_000, 5, "CPU an event", ofCPU, "A", 0.6},
	{4, 10_000, 10, "CPU an event", ofCPU, "A", 0.9},
	{5, 1000, 10, "KiB a watcher", ofMemory, "", 10},
	{5, 5000, 10, "KiB a watcher", ofMemory, "", 8},
	{5, 10_000, 10, "KiB a watcher", ofMemory, "", 8},
	{8, 10_000, 10, "connecting", ofConnect, "B", 1.5},
	{8, 10_000, 10, "connecting", ofConnect, "A", 0.4},
	{9, 10_000, 10, "last event, p99", ofEnd, "B", 1.2},
	{9, 10_000, 10, "last event, p99", ofEnd, "A", 0.15},
	{10, 10_000, 10, "CPU an event", ofCPU, growth, 1.1},
	{10, 10_000, 10, "p99", ofP99, growth, 11},
	{11, 10_000, 30, "p99 ms", ofP99, "", 300},
	{11, 10_000, 30, "KiB a watcher", ofMemory, "", 8},
}

// runs are those of a load, and nil where it was not asked for.
func (r fanoutResults) runs(watchers, rate int) fanoutRuns {
	for l, runs := range r {
		if l.watchers == watchers && l.rate == rate {
			return runs
		}
	}
	return nil
}

// judge writes how it stands with a goal, if it was measured.
func (r fanoutResults) judge(w io.Writer, g goal) {
	runs := r.runs(g.watchers, g.rate)
	all, name := runs.all("E", g.of), g.name
	switch g.to {
	case "":
	case growth:
		before := r.runs(g.watchers/10, g.rate).median("E", g.of)
		for i := range all {
			all[i] /= before
		}
		name += ", from a tenth of the watchers"
	default:
		all = runs.ratios(g.to, g.of)
		name += " to " + g.to
	}
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(w, "| %d | %d × %d | %s | %.2f | %.2f (%.2f–%.2f) | %s |\n", g.number, g.watchers, g.rate, name, g.most, median(all), slices.Min(all), slices.Max(all), word(median(all) <= g.most))
}

func word(met bool) string {
	if met {
		return "met"
	}
	return "missed"
}
