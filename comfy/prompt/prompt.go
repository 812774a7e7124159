// Package prompt resolves the little language in which people write prompts that differ from
// picture to picture:
//
//	a {red|green} house          one of the alternatives
//	{3::often|seldom}            by weight; without one it is 1
//	{2$$oak|elm|ash}             two of them, with ", " between; {1-3$$...} one to three
//	{2$$ and $$oak|elm|ash}      with " and " between
//	__animals__                  a line of the wildcard "animals", which may be a template itself
//	{2$$__animals__}             two of its lines
//
// Braces without a | are what they are, and so are those that are not closed. \{, \}, \| and \__
// stand for the characters themselves; any other backslash is the model's business, as in \(.
// It is the language of the extensions that people know (dynamic prompts), without its variables.
package prompt

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"unicode/utf8"
)

// What a prompt may take. Wildcards can name each other, so that a line could grow without end.
const (
	MaxRunes = 10_000 // of a template, and of what comes of it
	maxDepth = 32     // alternatives and wildcards inside each other
	maxPicks = 2_000
)

// Wildcards finds the lines of a wildcard by its name, such as "animals" or "people/jobs"; ok is
// false when there is none. It is asked once a name and prompt, and its lines are only read.
type Wildcards func(name string) (lines []string, ok bool)

// Error is what is wrong with a template, in a sentence that says where.
type Error struct {
	Wildcard string // in a line of which it is; empty: in the template itself
	Offset   int    // characters before the place, in the line or the template
	Message  string // "There is no wildcard “animls” (at character 3)."
}

func (e *Error) Error() string { return e.Message }

// Resolve makes a prompt of a template. The same template, wildcards and seed always give the
// same; neighbouring seeds give prompts that have nothing to do with each other. Without
// wildcards their names are text like any other. Errors are of type *Error.
func Resolve(template string, seed uint64, wildcards Wildcards) (string, error) {
	if n := utf8.RuneCountInString(template); n > MaxRunes {
		return "", &Error{Message: fmt.Sprintf("The prompt has %d characters; at most %d are allowed.", n, MaxRunes)}
	}
	r := &resolver{random: rand.NewPCG(seed, 0), wildcards: wildcards, lines: map[string]options{}, picks: maxPicks}
	if err := r.resolve(place{text: template}, 0); err != nil {
		return "", err
	}
	return r.out.String(), nil
}

type resolver struct {
	random    *rand.PCG
	wildcards Wildcards
	lines     map[string]options // of the wildcards that came up
	picks     int                // that are left
	runes     int                // in out
	out       strings.Builder
}

// resolve appends what comes of a piece of template.
func (r *resolver) resolve(p place, depth int) error {
	switch {
	case depth > maxDepth:
		return p.fail(0, fmt.Sprintf("Alternatives and wildcards are more than %d deep inside each other", maxDepth))
	case utf8.RuneCountInString(p.text) > MaxRunes:
		return p.fail(0, fmt.Sprintf("A line has more than %d characters", MaxRunes))
	}
	braces := readBraces(p.text)
	for at := 0; at < len(p.text); {
		t := next(p, at, braces)
		var err error
		switch {
		case t.choice == nil:
			err = r.write(t.text, p, at)
		case t.choice.wildcard != "" && r.wildcards == nil:
			err = r.write(p.text[at:at+t.length], p, at)
		default:
			err = r.choose(t.choice, depth)
		}
		if err != nil {
			return err
		}
		at += t.length
	}
	return nil
}

func (r *resolver) write(s string, p place, at int) error {
	if r.runes += utf8.RuneCountInString(s); r.runes > MaxRunes {
		return p.fail(at, fmt.Sprintf("The prompt grows beyond %d characters", MaxRunes))
	}
	r.out.WriteString(s)
	return nil
}

// choose draws as often as the choice says, never twice the same option.
func (r *resolver) choose(c *choice, depth int) error {
	from := c.options
	if c.wildcard != "" {
		var err error
		if from, err = r.wildcard(c); err != nil {
			return err
		}
	}
	count := min(c.low, len(from.list))
	if most := min(c.high, len(from.list)); most > count {
		count += int(r.fraction() * float64(most-count+1))
	}
	var taken []bool
	if count > 1 {
		taken = make([]bool, len(from.list))
	}
	for i := range count {
		if r.picks--; r.picks < 0 {
			return c.fail(0, fmt.Sprintf("More than %d alternatives and wildcards are looked up", maxPicks))
		}
		at := r.draw(from, taken)
		if at < 0 {
			if i == 0 {
				return c.fail(0, "All alternatives have a weight of 0")
			}
			return nil
		}
		if i > 0 {
			if err := r.write(c.separator, c.place, 0); err != nil {
				return err
			}
		}
		if taken != nil {
			taken[at] = true
		}
		if err := r.resolve(from.list[at].place, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// draw picks one of the options that are not taken, by weight; -1: none has any. A nil taken is
// of none.
func (r *resolver) draw(from options, taken []bool) int {
	total := from.sums[len(from.sums)-1]
	if total <= 0 {
		return -1
	}
	const tries = 16 // mostly one is enough: few of many are taken
	for range tries {
		mark := r.fraction() * total
		at := sort.Search(len(from.sums), func(i int) bool { return from.sums[i] > mark })
		if taken == nil || !taken[at] {
			return at
		}
	}
	total = 0
	for i, o := range from.list {
		if !taken[i] {
			total += o.weight
		}
	}
	left, last := r.fraction()*total, -1
	for i, o := range from.list {
		if taken[i] || o.weight <= 0 {
			continue
		}
		last = i
		if left -= o.weight; left < 0 {
			break
		}
	}
	return last
}

// fraction is from 0 to below 1. It is made here, of a generator that is fixed by its name: what
// was drawn once has to be drawn again by every later version.
func (r *resolver) fraction() float64 { return float64(r.random.Uint64()>>11) / (1 << 53) }

// wildcard is what a choice among the lines of a wildcard is made from.
func (r *resolver) wildcard(c *choice) (options, error) {
	from, known := r.lines[c.wildcard]
	if known {
		return from, nil
	}
	lines, ok := r.wildcards(c.wildcard)
	switch {
	case !ok:
		return options{}, c.fail(0, fmt.Sprintf("There is no wildcard “%s”; \\__ stands for two underscores", c.wildcard))
	case len(lines) == 0:
		return options{}, c.fail(0, fmt.Sprintf("The wildcard “%s” has no lines", c.wildcard))
	}
	for _, line := range lines {
		from.add(place{text: line, wildcard: c.wildcard})
	}
	r.lines[c.wildcard] = from
	return from, nil
}
