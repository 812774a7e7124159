package prompt

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// place is a piece of a template, and where it stands.
type place struct {
	text     string
	wildcard string // of whose line it is a piece
	before   int    // characters before it
}

// part is a piece of the piece.
func (p place) part(from, to int) place {
	return place{p.text[from:to], p.wildcard, p.before + utf8.RuneCountInString(p.text[:from])}
}

// fail makes a sentence of what is wrong at a byte of the piece.
func (p place) fail(at int, message string) error {
	e := &Error{Wildcard: p.wildcard, Offset: p.before + utf8.RuneCountInString(p.text[:at])}
	if p.wildcard != "" {
		e.Message = fmt.Sprintf("%s (at character %d of a line of the wildcard “%s”).", message, e.Offset+1, p.wildcard)
	} else {
		e.Message = fmt.Sprintf("%s (at character %d).", message, e.Offset+1)
	}
	return e
}

// choice is {...|...}, or a wildcard.
type choice struct {
	place
	low, high int // how many are drawn
	separator string
	options   options
	wildcard  string // whose lines are the options
}

type option struct {
	place
	weight float64
}

// options are what can be drawn, with the sums of their weights up to and with each.
type options struct {
	list []option
	sums []float64
}

func (o *options) add(p place) {
	add := weighed(p)
	total := add.weight
	if n := len(o.sums); n > 0 {
		total += o.sums[n-1]
	}
	o.list, o.sums = append(o.list, add), append(o.sums, total)
}

// token is text, or a choice.
type token struct {
	length int    // bytes of the template
	text   string // what goes out for them
	choice *choice
}

// next reads the token that begins at a byte of the piece.
func next(p place, at int, braces map[int]brace) token {
	rest := p.text[at:]
	if n := escape(rest); n > 0 {
		return token{length: n, text: rest[1:n]}
	}
	if b, ok := braces[at]; ok {
		if c := readChoice(p, at, b); c != nil {
			return token{length: b.end + 1 - at, choice: c}
		}
	}
	if name := wildcardName(rest); name != "" {
		length := len(name) + 4
		return token{length: length, choice: &choice{place: p.part(at, at+length), low: 1, high: 1, wildcard: name}}
	}
	length := len(rest)
	if i := strings.IndexAny(rest[1:], `\{_`); i >= 0 {
		length = 1 + i
	}
	return token{length: length, text: rest[:length]}
}

// escape is the length of an escaped character at the beginning of s; 0: there is none.
func escape(s string) int {
	switch {
	case s[0] != '\\':
		return 0
	case strings.HasPrefix(s, `\__`):
		return 3
	case len(s) > 1 && strings.IndexByte("{}|", s[1]) >= 0:
		return 2
	}
	return 0
}

// brace is one that opens and is closed.
type brace struct {
	end  int   // where it closes
	bars []int // that stand in it, and in no braces inside it
}

// readBraces finds the braces of a text by where they open. One that is not closed has no others
// around it: what closes belongs to what was opened last.
func readBraces(s string) map[int]brace {
	braces := map[int]brace{}
	type opened struct {
		at   int
		bars []int
	}
	var open []opened
	for i := 0; i < len(s); i++ {
		last := len(open) - 1
		switch n := escape(s[i:]); {
		case n > 0:
			i += n - 1
		case s[i] == '{':
			open = append(open, opened{at: i})
		case s[i] == '|' && last >= 0:
			open[last].bars = append(open[last].bars, i)
		case s[i] == '}' && last >= 0:
			braces[open[last].at] = brace{i, open[last].bars}
			open = open[:last]
		}
	}
	return braces
}

// countPrefix is how many are drawn: 2$$, 1-3$$, -3$$, 1-$$. It is looked for in as many bytes.
const countBytes = 20

var countPrefix = regexp.MustCompile(`^\s*(?:(\d{1,3})|(\d{0,3})-(\d{0,3}))\$\$`)

// readChoice reads braces with what is in them; nil for braces that are only braces.
func readChoice(p place, at int, b brace) *choice {
	from, to := at+1, b.end
	m := countPrefix.FindStringSubmatch(p.text[from:min(to, from+countBytes)])
	if m == nil && len(b.bars) == 0 {
		return nil
	}
	c := &choice{place: p.part(at, b.end+1), low: 1, high: 1}
	dividers := append(b.bars, to)
	if m != nil {
		c.low, c.high = bounds(m[1], m[2], m[3])
		c.separator = ", "
		from += len(m[0])
		if separator, _, ok := strings.Cut(p.text[from:dividers[0]], "$$"); ok {
			c.separator = separator
			from += len(separator) + len("$$")
		}
	}
	for _, end := range dividers {
		inside := p.part(from, end)
		if m != nil {
			inside = inside.trimmed() // else the spaces would stand beside the separators
		}
		c.options.add(inside)
		from = end + 1
	}
	if only := c.options.list[0].text; len(c.options.list) == 1 {
		if name := wildcardName(only); len(name)+4 == len(only) {
			c.wildcard = name
		}
	}
	return c
}

// bounds reads 2, or 1-3 with either of its sides left out.
func bounds(exactly, low, high string) (least, most int) {
	number := func(digits string, absent int) int {
		if n, err := strconv.Atoi(digits); err == nil {
			return n
		}
		return absent
	}
	if exactly != "" {
		n := number(exactly, 1)
		return n, n
	}
	const all = 1000 // more than three digits can say
	least, most = number(low, 1), number(high, all)
	return min(least, most), max(least, most)
}

// maxWeight keeps sums exact enough.
const maxWeight = 1e6

// weighed reads the weight before an option: 0.5::often.
func weighed(p place) option {
	number, _, ok := strings.Cut(p.text, "::")
	digits := strings.TrimSpace(number)
	if !ok || digits == "" || len(digits) > 20 || strings.Trim(digits, "0123456789.") != "" {
		return option{p, 1}
	}
	weight, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return option{p, 1}
	}
	return option{p.part(len(number)+len("::"), len(p.text)), min(weight, maxWeight)}
}

func (p place) trimmed() place {
	right := len(strings.TrimRightFunc(p.text, unicode.IsSpace))
	left := len(p.text[:right]) - len(strings.TrimLeftFunc(p.text[:right], unicode.IsSpace))
	return p.part(left, right)
}

// wildcardName is the name in __name__ at the beginning of s; empty: there is none. A name has no
// spaces, since people write lines of underscores.
func wildcardName(s string) string {
	rest, ok := strings.CutPrefix(s, "__")
	if !ok {
		return ""
	}
	name, _, ok := strings.Cut(rest, "__")
	if !ok || len(name) > 200 || strings.Trim(name, "_/") == "" {
		return ""
	}
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-./*+", r) {
			return ""
		}
	}
	return name
}
