package workflow

import (
	"slices"
	"strings"
)

// didYouMean is a further sentence with the names that come near to what was typed, or nothing.
func didYouMean(typed string, names []string) string {
	near := nearMisses(typed, names)
	for i := range near {
		near[i] = show(near[i])
	}
	switch len(near) {
	case 0:
		return ""
	case 1:
		return " Did you mean " + near[0] + "?"
	default:
		last := len(near) - 1
		return " Did you mean " + strings.Join(near[:last], ", ") + " or " + near[last] + "?"
	}
}

// nearMisses picks at most three names: those that differ by few letters, and those that hold what
// was typed (a model without its folder or extension).
func nearMisses(typed string, names []string) []string {
	const most = 3
	want := fold(typed)
	if want == "" || len(want) > 200 {
		return nil
	}
	type match struct {
		name string
		far  int
	}
	var matches []match
	for _, name := range names {
		have := fold(name)
		if len(have) > 200 {
			continue
		}
		far := editDistance(want, have)
		if len(want) >= 3 && strings.Contains(have, want) {
			far = min(far, 1)
		}
		if far <= 1+min(len(want), len(have))/4 {
			matches = append(matches, match{name, far})
		}
	}
	slices.SortStableFunc(matches, func(a, b match) int { return a.far - b.far })
	var out []string
	for _, m := range matches[:min(most, len(matches))] {
		out = append(out, m.name)
	}
	return out
}

// fold leaves what people confuse out of a comparison: case, spaces, and which of -, _ and \ it was.
func fold(s string) string { return confused.Replace(strings.ToLower(s)) }

var confused = strings.NewReplacer(" ", "", "-", "", "_", "", `\`, "/")

// editDistance counts the letters to insert, remove or replace (Levenshtein), by bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
