package prompt

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func lookup(files map[string][]string) Wildcards {
	return func(name string) ([]string, bool) {
		lines, ok := files[name]
		return lines, ok
	}
}

var wild = lookup(map[string][]string{
	"animals":     {"cat", "{old|young} dog"},
	"jobs/sea":    {"sailor"},
	"people":      {"__jobs/sea__ with a __animals__"},
	"often":       {"9::yes", "1::no"},
	"circle":      {"a __circle__"},
	"double":      {"__double____double__"},
	"empty":       {},
	"wrong":       {"é {2::x|__gone__"},
	"blank":       {" "},
	"hair_colour": {"red"},
	"long":        {strings.Repeat("x", MaxRunes+1)},
	"many":        {strings.Repeat("y", 3000)},
})

// Every prompt that can come of a template comes, and no other.
func TestResolve(t *testing.T) {
	for _, tt := range []struct {
		template string
		want     []string
	}{
		{"", []string{""}},
		{"a cat, (masterpiece:1.2), <lora:x:0.8>", []string{"a cat, (masterpiece:1.2), <lora:x:0.8>"}},
		{"{red|green} house", []string{"red house", "green house"}},
		{"{a|}b", []string{"ab", "b"}},
		{"{{a|b} c|d}", []string{"a c", "b c", "d"}},
		{"{a|b}{c|d}", []string{"ac", "ad", "bc", "bd"}},
		{"{one} and {}", []string{"{one} and {}"}},
		{"{one {a|b}}", []string{"{one a}", "{one b}"}},
		{"{open {a|b}", []string{"{open a", "{open b"}},
		{"a|b} c", []string{"a|b} c"}},
		{`\{a|b\} {c\|d|e\}} \(x\) \\ \`, []string{`{a|b} c|d \(x\) \\ \`, `{a|b} e} \(x\) \\ \`}},
		{"{0::never|always}", []string{"always"}},
		{"{2::a|.5::b|x::c|-1::d|1.2.3::e}", []string{"a", "b", "x::c", "-1::d", "1.2.3::e"}},
		{"{2$$a|b|c}", []string{"a, b", "a, c", "b, a", "b, c", "c, a", "c, b"}},
		{"{2$$ and $$ a | b }", []string{"a and b", "b and a"}},
		{"{-2$$a|b}", []string{"a", "b", "a, b", "b, a"}},
		{"{2-$$a|b|c}{0$$x|y}", []string{
			"a, b", "a, c", "b, a", "b, c", "c, a", "c, b", "a, b, c", "a, c, b", "b, a, c", "b, c, a", "c, a, b", "c, b, a",
		}},
		{"{9$$a|b}", []string{"a, b", "b, a"}},
		{"{2$$a|0::b|c}", []string{"a, c", "c, a"}},
		{"{2$$__animals__}", []string{"cat, old dog", "cat, young dog", "old dog, cat", "young dog, cat"}},
		{"{1$$a$$b}", []string{"b"}},
		{"costs 5$$ {2$ or|3$$ or}", []string{"costs 5$$ 2$ or", "costs 5$$ 3$$ or"}},
		{"__people__", []string{"sailor with a cat", "sailor with a old dog", "sailor with a young dog"}},
		{"__hair_colour__", []string{"red"}},
		{"a __init __ or ____ or ______ __", []string{"a __init __ or ____ or ______ __"}},
		{`\__animals\__`, []string{"__animals__"}},
		{"日{本|語}", []string{"日本", "日語"}},
		{"{a\n|b}", []string{"a\n", "b"}},
		{"x\xff{a|b}", []string{"x\xffa", "x\xffb"}},
	} {
		got := map[string]bool{}
		for seed := range uint64(400) {
			s, err := Resolve(tt.template, seed, wild)
			if err != nil {
				t.Errorf("%q: %v", tt.template, err)
				break
			}
			got[s] = true
		}
		slices.Sort(tt.want)
		if all := slices.Sorted(maps.Keys(got)); !slices.Equal(all, tt.want) {
			t.Errorf("%q gives %q, want %q", tt.template, all, tt.want)
		}
	}
}

func TestResolveErrors(t *testing.T) {
	deep := strings.Repeat("{x|", 40) + strings.Repeat("}", 40)
	for template, want := range map[string]Error{
		"é __gone__":                         {Offset: 2, Message: `There is no wildcard “gone”; \__ stands for two underscores (at character 3).`},
		"{__gone__|__gone__}":                {Offset: -1, Message: "There is no wildcard “gone”"},
		"a {2$$__gone__}":                    {Offset: 2, Message: "There is no wildcard “gone”"},
		"__empty__":                          {Message: "The wildcard “empty” has no lines (at character 1)."},
		"x __wrong__":                        {Wildcard: "wrong", Offset: 8, Message: `There is no wildcard “gone”; \__ stands for two underscores (at character 9 of a line of the wildcard “wrong”).`},
		"__circle__":                         {Wildcard: "circle", Message: "more than 32 deep"},
		"__double__":                         {Wildcard: "double", Message: "more than 32 deep"},
		strings.Repeat("{|}", 2001):          {Offset: 6000, Message: "More than 2000 alternatives and wildcards are looked up"},
		"{0::a|0::b}":                        {Message: "All alternatives have a weight of 0"},
		strings.Repeat("x", MaxRunes+1):      {Message: "The prompt has 10001 characters; at most 10000 are allowed."},
		"__long__":                           {Wildcard: "long", Message: "A line has more than 10000 characters"},
		strings.Repeat("é __many__", 4):      {Wildcard: "many", Message: "The prompt grows beyond 10000 characters"},
		strings.ReplaceAll(deep, "x", "0::"): {Offset: -1, Message: "more than 32 deep"},
	} {
		s, err := Resolve(template, 1, wild)
		at, ok := errors.AsType[*Error](err)
		if !ok || s != "" || !strings.Contains(at.Message, want.Message) || at.Wildcard != want.Wildcard || want.Offset >= 0 && at.Offset != want.Offset {
			t.Errorf("%.30q: %q, %+v", template, s, err)
		}
	}
	if got, err := Resolve("__init__ of {2$$__animals__}", 1, nil); err != nil || got != "__init__ of {2$$__animals__}" {
		t.Errorf("without wildcards: %q, %v", got, err)
	}
	if _, err := Resolve("__animals__", 1, func(string) ([]string, bool) { return nil, false }); err == nil {
		t.Error("without wildcards one was found")
	}
}

// What was drawn once is drawn by every later version: rerunning a generation depends on it.
func TestResolveStays(t *testing.T) {
	const template = "{a|b|c|d} {2$$e|f|g} __people__ {1-3$$ $$0.1::h|5::i|j}"
	for seed, want := range map[uint64]string{
		0:         "a g, f sailor with a cat i j h",
		1:         "c e, g sailor with a young dog i j",
		42:        "d g, e sailor with a young dog i j",
		1<<64 - 1: "b g, e sailor with a young dog j i",
	} {
		if got, err := Resolve(template, seed, wild); err != nil || got != want {
			t.Errorf("seed %d: %q, %v, want %q", seed, got, err, want)
		}
	}
}

// Weights are kept, and neighbouring seeds are strangers.
func TestResolveShares(t *testing.T) {
	const runs = 5_000
	counts := map[string]int{}
	changes, before := 0, ""
	for seed := range uint64(runs) {
		s, err := Resolve("{3::a|1::b} __often__ {x|y}", seed, wild)
		if err != nil {
			t.Fatal(err)
		}
		for word := range strings.FieldsSeq(s) {
			counts[word]++
		}
		if last := s[len(s)-1:]; last != before {
			changes++
			before = last
		}
	}
	for word, want := range map[string]float64{"a": 0.75, "b": 0.25, "yes": 0.9, "no": 0.1, "x": 0.5} {
		if got := float64(counts[word]) / runs; got < want-0.03 || got > want+0.03 {
			t.Errorf("%s came up in %.3f of the runs, want %.2f", word, got, want)
		}
	}
	if share := float64(changes) / runs; share < 0.46 || share > 0.54 {
		t.Errorf("the next seed draws another one in %.3f of the cases, want half", share)
	}
}

// The worst that fits takes no time that anybody would notice.
func TestResolveHostile(t *testing.T) {
	lines := make([]string, 50_000)
	for i := range lines {
		lines[i] = fmt.Sprintf("%d::x", i)
	}
	braces := strings.Repeat("{", 2000) + strings.Repeat("}", 2000)
	files := lookup(map[string][]string{"lines": lines, "braces": {braces}, "many": {strings.Repeat("__braces__", 100)}})
	for _, template := range []string{
		strings.Repeat("{", MaxRunes), braces, strings.Repeat("_", MaxRunes), strings.Repeat(`\`, MaxRunes), strings.Repeat("{a|", 3333),
		strings.Repeat("__lines__", 1000), "{999$$__lines__}", strings.Repeat("__many__", 100),
	} {
		began := time.Now()
		_, err := Resolve(template, 7, files)
		if took := time.Since(began); took > 30*time.Second { // a slow machine needs a second
			t.Errorf("%.20q took %v (%v)", template, took, err)
		}
	}
}

// FuzzResolve holds that whatever is typed gives the same text twice, or a sentence about a place
// that exists; and what has no special characters stays as it is.
func FuzzResolve(f *testing.F) {
	for _, template := range []string{
		"a {red|green} __animals__", `\{a|b\}`, "{2$$ and $$a|b|{c|d}}", "{-$$a|b}", "{1-$$__people__}", "__circle__", "{0::a|1e9::b}",
		"{999999$$a|b}", "{{{|}}}", "__double__ {x", "{ 2$$ a | b }", "__ __", "é\xff{|}", "{1$$}", "{$$a|b}", "{.::a|b}",
	} {
		f.Add(template, uint64(1))
	}
	f.Fuzz(func(t *testing.T, template string, seed uint64) {
		s, err := Resolve(template, seed, wild)
		again, err2 := Resolve(template, seed, wild)
		if s != again || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("%q, %v and then %q, %v", s, err, again, err2)
		}
		if err != nil {
			at, ok := errors.AsType[*Error](err)
			if !ok || at.Wildcard == "" && at.Offset > utf8.RuneCountInString(template) || !strings.HasSuffix(at.Message, ".") {
				t.Fatalf("%+v", err)
			}
			return
		}
		if utf8.RuneCountInString(s) > MaxRunes {
			t.Fatalf("%d characters", utf8.RuneCountInString(s))
		}
		if !strings.ContainsAny(template, `{_\`) && s != template {
			t.Fatalf("%q became %q", template, s)
		}
	})
}
