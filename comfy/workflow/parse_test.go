package workflow

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// attempt parses one setting of the built-in form on the stock server.
func attempt(t testing.TB, name, raw string) (value any, complaint string) {
	t.Helper()
	values, problems := builtin(t).Form(stock(t)).Parse(settings(name, raw))
	for _, p := range problems {
		if p.Field != name {
			t.Errorf("%s = %s: a problem of %s: %s", name, raw, p.Field, p.Message)
		}
		complaint = p.Message
	}
	if len(problems) > 1 {
		t.Errorf("%s = %s: %d problems, want one", name, raw, len(problems))
	}
	return values[name], complaint
}

type try struct {
	raw       string
	value     any    // nil: absent
	complaint string // "": none
}

func checkTries(t *testing.T, name string, tries []try) {
	t.Helper()
	for _, tt := range tries {
		value, complaint := attempt(t, name, tt.raw)
		if complaint != tt.complaint {
			t.Errorf("%s = %s: complaint %q, want %q", name, tt.raw, complaint, tt.complaint)
		}
		if tt.complaint == "" && value != tt.value {
			t.Errorf("%s = %s: value %v (%T), want %v (%T)", name, tt.raw, value, value, tt.value, tt.value)
		}
	}
}

func TestDefaults(t *testing.T) {
	values, problems := builtin(t).Form(stock(t)).Parse(nil)
	if len(problems) > 0 {
		t.Errorf("problems = %v", problems)
	}
	want := Values{
		"prompt": "", "negativePrompt": "", "width": int64(768), "height": int64(768), "steps": int64(20),
		"guidance": float64(7), "sampler": "euler", "scheduler": "normal", "model": "full-random-sd15.safetensors",
	}
	if !reflect.DeepEqual(values, want) {
		t.Errorf("values = %v, want %v: no seed", values, want)
	}
}

// Rows 1 to 4 of the matrix, as far as a form sees them.
func TestBadInput01To04Texts(t *testing.T) {
	checkTries(t, "prompt", []try{
		{`"a cat"`, "a cat", ""},
		{`""`, nil, "Prompt must not be empty."},
		{`" \n\t "`, nil, "Prompt must not be empty."},
		{`"` + strings.Repeat("é", 10_000) + `"`, strings.Repeat("é", 10_000), ""},
		{`"` + strings.Repeat("x", 100_000) + `"`, nil, "Prompt has 100,000 characters; at most 10,000 are allowed."},
		{`"a\u0000b"`, nil, "Prompt holds a NUL character, which no text may have."},
		{`"a\ud83d"`, nil, "Prompt cannot be read: a text holds half a surrogate pair, which is no character."},
		{`"\ude00a"`, nil, "Prompt cannot be read: a text holds half a surrogate pair, which is no character."},
		{"\"a\xff\"", nil, "Prompt cannot be read: the text is not valid UTF-8."},
		{`"\ud83d\ude00 \\ud83d"`, "😀 \\ud83d", ""},
		{`7`, nil, "Prompt cannot be read: it must be text."},
		{`["a"]`, nil, "Prompt cannot be read: it must be text."},
	})
	checkTries(t, "negativePrompt", []try{
		{`""`, "", ""},
		{`"  "`, "  ", ""},
		{`"\u202e\u200b<script>alert(1)</script>\nlevel=ERROR"`, "\u202e\u200b<script>alert(1)</script>\nlevel=ERROR", ""},
	})
}

const seedRule = "Seed must be a whole number from 0 to 18446744073709551615, or empty for a random one."

func TestBadInput09NegativeSeed(t *testing.T) {
	checkTries(t, "seed", []try{
		{`-1`, nil, ""},
		{`"-1"`, nil, ""},
		{`-99999999999999999999`, nil, ""},
		{`""`, nil, ""},
		{`"  "`, nil, ""},
		{`null`, nil, ""},
	})
}

func TestBadInput10LargestSeed(t *testing.T) {
	checkTries(t, "seed", []try{
		{`18446744073709551615`, uint64(math.MaxUint64), ""},
		{`"18446744073709551615"`, uint64(math.MaxUint64), ""},
		{`" 9007199254740993 "`, uint64(1<<53 + 1), ""},
		{`0`, uint64(0), ""},
		{`-0`, uint64(0), ""},
		{`"007"`, uint64(7), ""},
	})
}

func TestBadInput11SeedTooLarge(t *testing.T) {
	const tooLarge = "Seed must be at most 18446744073709551615."
	checkTries(t, "seed", []try{
		{`18446744073709551616`, nil, tooLarge},
		{`"18446744073709551616"`, nil, tooLarge},
		{`9999999999999999999999999999999999999999`, nil, tooLarge},
		{strings.Repeat("9", 41), nil, seedRule},
	})
}

func TestBadInput12SeedNotDecimal(t *testing.T) {
	var tries []try
	for _, raw := range []string{`1e3`, `"1e3"`, `1E3`, `1.0`, `"1.0"`, `"NaN"`, `"Infinity"`, `"０１"`, `"٣"`, `"0x10"`, `"+5"`, `"1 2"`, `"1_000"`, `"1,000"`, `"--1"`, `"-"`, `true`, `[1]`, `{}`} {
		tries = append(tries, try{raw, nil, seedRule})
	}
	checkTries(t, "seed", tries)
}

const widthBounds = "Width must be between 16 and 16384."

func TestBadInput13WidthZero(t *testing.T) {
	checkTries(t, "width", []try{
		{`0`, nil, widthBounds},
		{`"0"`, nil, widthBounds},
		{`-8`, nil, widthBounds},
		{`15`, nil, widthBounds},
		{`16`, int64(16), ""},
	})
}

func TestBadInput14WidthOffStep(t *testing.T) {
	checkTries(t, "width", []try{
		{`63`, nil, "Width must be a multiple of 8, such as 56 or 64."},
		{`"513"`, nil, "Width must be a multiple of 8, such as 512 or 520."},
		{`16383`, nil, "Width must be a multiple of 8, such as 16376 or 16384."},
		{`64`, int64(64), ""},
		{`"1024"`, int64(1024), ""},
	})
}

func TestBadInput15WidthHuge(t *testing.T) {
	checkTries(t, "width", []try{
		{`1000000000`, nil, widthBounds},
		{`99999999999999999999999`, nil, widthBounds},
		{`-99999999999999999999999`, nil, widthBounds},
		{`16384`, int64(16384), ""},
		{`16392`, nil, widthBounds},
	})
}

func TestBadInput16WidthNotWhole(t *testing.T) {
	var tries []try
	for _, raw := range []string{`512.5`, `"512.5"`, `512.0`, `1e3`, `"1e3"`, `"NaN"`, `"５１２"`, `"512px"`, `true`, `{}`} {
		tries = append(tries, try{raw, nil, "Width must be a whole number, such as 768."})
	}
	checkTries(t, "width", append(tries, try{`""`, int64(768), ""}, try{`null`, int64(768), ""}))
}

func TestNumbers(t *testing.T) {
	const rule = "Guidance must be a number, such as 7."
	checkTries(t, "guidance", []try{
		{`7.5`, 7.5, ""},
		{`"7.5"`, 7.5, ""},
		{`7.25`, 7.25, ""}, // ComfyUI's step is that of its slider, not a rule
		{`0`, 0.0, ""},
		{`1e-7`, 1e-7, ""}, // as Go and JavaScript write small numbers
		{`"1e3"`, nil, rule},
		{`"7,5"`, nil, rule},
		{`"NaN"`, nil, rule},
		{`"Inf"`, nil, rule},
		{`".5"`, nil, rule},
		{`"7."`, nil, rule},
		{`"7.-5"`, nil, rule},
		{`"0x1p2"`, nil, rule},
		{`"７"`, nil, rule},
		{`1e999`, nil, rule},
		{`true`, nil, rule},
		{`100.01`, nil, "Guidance must be between 0 and 100."},
		{`-0.5`, nil, "Guidance must be between 0 and 100."},
		{`""`, 7.0, ""},
	})
	if v, _ := attempt(t, "guidance", "-0"); math.Signbit(v.(float64)) {
		t.Error("-0 stayed negative")
	}
}

func TestChoices(t *testing.T) {
	checkTries(t, "sampler", []try{
		{`"dpmpp_2m"`, "dpmpp_2m", ""},
		{`""`, "euler", ""},
		{`null`, "euler", ""},
		{`"eular"`, nil, "Sampler has no choice “eular”. Did you mean “euler”?"},
		{`"DPM++ 2M Karras and more"`, nil, "Sampler has no choice “DPM++ 2M Karras and more”."},
		{`7`, nil, "Sampler has no choice “7”."},
		{`["euler"]`, nil, "Sampler must be one of the choices."},
		{`"\ud800"`, nil, "Sampler cannot be read: a text holds half a surrogate pair, which is no character."},
		{`"<script>\u0000"`, nil, `Sampler has no choice “<script>\x00”.`},
	})
	checkTries(t, "model", []try{
		{`"tiny-random-sd15"`, nil, "Model has no choice “tiny-random-sd15”. Did you mean “tiny-random-sd15.safetensors”?"},
		{`"tiny-random-sd15.safetensors"`, "tiny-random-sd15.safetensors", ""},
		{`""`, "full-random-sd15.safetensors", ""},
	})
	long := `"` + strings.Repeat("model", 10_000) + `"`
	if _, complaint := attempt(t, "model", long); len(complaint) > 300 {
		t.Errorf("a complaint repeats %d bytes of what was typed", len(complaint))
	}
}

func TestOpenChoices(t *testing.T) {
	f := builtin(t).Form()
	if v, problems := f.Parse(settings("model", `"any/model.safetensors"`)); len(problems) > 0 || v["model"] != "any/model.safetensors" {
		t.Errorf("values = %v, problems = %v", v, problems)
	}
	for _, raw := range []string{`"a\u0000"`, `" "`, `"` + strings.Repeat("x", 501) + `"`} {
		if _, problems := f.Parse(settings("model", raw)); len(problems) != 1 {
			t.Errorf("model = %.20s: problems = %v, want one", raw, problems)
		}
	}
}

func TestBooleans(t *testing.T) {
	f := Form{Fields: []FormField{{Name: "tile", Label: "Tile", Kind: Boolean, Default: true}}}
	for raw, want := range map[string]any{`true`: true, `"on"`: true, `"1"`: true, `1`: true, `false`: false, `"off"`: false, `""`: true, `null`: true} {
		if v, problems := f.Parse(settings("tile", raw)); len(problems) > 0 || v["tile"] != want {
			t.Errorf("tile = %s: %v, %v, want %v", raw, v["tile"], problems, want)
		}
	}
	if _, problems := f.Parse(settings("tile", `"maybe"`)); len(problems) != 1 || problems[0].Message != "Tile must be on or off." {
		t.Errorf("problems = %v", problems)
	}
}

func TestUnknownSettings(t *testing.T) {
	_, problems := builtin(t).Form(stock(t)).Parse(settings("stepz", "1", "width", "0", "", "1", "quality", `"high"`, "prompt", `""`))
	want := []FieldProblem{
		{"prompt", "Prompt must not be empty."},
		{"width", widthBounds},
		{"", "There is no setting named “”."},
		{"quality", "There is no setting named “quality”."},
		{"stepz", "There is no setting named “stepz”. Did you mean “steps”?"},
	}
	if !reflect.DeepEqual(problems, want) {
		t.Errorf("problems = %v, want %v", problems, want)
	}
}

// The first names stand for all: what is wrong with a thousand is the same.
func TestManyUnknownSettings(t *testing.T) {
	raw := settings("prompt", `"x"`)
	for i := range 90_000 {
		raw[fmt.Sprintf("step%05d", i)] = json.RawMessage("1")
	}
	_, problems := builtin(t).Form(stock(t)).Parse(raw)
	if len(problems) != mostUnknown || problems[0].Field != "step00000" {
		t.Errorf("%d problems, the first %v", len(problems), problems[:1])
	}
}

// A seed survives any path: as number or text into the form, as Values through JSON, into the
// graph, and through the graph's own JSON.
func TestSeedSurvivesAnyPath(t *testing.T) {
	f, w := builtin(t).Form(stock(t)), builtin(t)
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		raw := strconv.FormatUint(seed, 10)
		if rapid.Bool().Draw(t, "as text") {
			raw = strconv.Quote(raw)
		}
		values, problems := f.Parse(settings("seed", raw))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		stored, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseValues(f, stored)
		if err != nil || !reflect.DeepEqual(back, values) {
			t.Fatalf("values came back as %v (%v), were %v", back, err, values)
		}
		g, err := w.Apply(back)
		if err != nil {
			t.Fatal(err)
		}
		sent, err := g.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseGraph(sent)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(again["sampler"].Inputs["seed"]); got != strconv.FormatUint(seed, 10) {
			t.Fatalf("the graph has seed %s, want %d", got, seed)
		}
	})
}

// What the form takes is inside its bounds and on its steps, and what is inside is taken.
func TestIntegersProperty(t *testing.T) {
	f := builtin(t).Form(stock(t))
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(-100, 17_000).Draw(t, "width")
		values, problems := f.Parse(settings("width", fmt.Sprint(n)))
		if good := n >= 16 && n <= 16384 && n%8 == 0; good != (len(problems) == 0) {
			t.Fatalf("width %d: problems = %v", n, problems)
		} else if good && values["width"] != n {
			t.Fatalf("width %d became %v", n, values["width"])
		}
	})
}

// Any text without NUL goes through the form and into the graph as it is.
func TestTextsProperty(t *testing.T) {
	f, w := builtin(t).Form(stock(t)), builtin(t)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		values, problems := f.Parse(settings("negativePrompt", string(textJSON(text))))
		if strings.ContainsRune(text, 0) {
			if len(problems) != 1 {
				t.Fatalf("problems = %v, want the NUL", problems)
			}
			return
		}
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		g, err := w.Apply(values)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := g["negative"].Text("text"); !ok || got != text {
			t.Fatalf("the graph has %q, want %q", got, text)
		}
	})
}

func TestCheckText(t *testing.T) {
	for _, tt := range []struct {
		text     string
		required bool
		want     string
	}{
		{"ok", true, ""},
		{"", false, ""},
		{"", true, "Prompt must not be empty."},
		{"12345678901", false, "Prompt has 11 characters; at most 10 are allowed."},
		{"a\x00", false, "Prompt holds a NUL character, which no text may have."},
		{"a\xff", false, "Prompt holds bytes that are no valid text (UTF-8)."},
		{"\xed\xa0\xbd", false, "Prompt holds bytes that are no valid text (UTF-8)."}, // a surrogate as bytes
	} {
		if got := CheckText("Prompt", tt.text, tt.required, 10); got != tt.want {
			t.Errorf("CheckText(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	names := []string{"dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m_sde", "euler", "SDXL/juggernaut.safetensors"}
	for typed, want := range map[string]string{
		"DPMPP 2M":   " Did you mean “dpmpp_2m” or “dpmpp_2m_sde”?",
		"Euler":      " Did you mean “euler”?",
		"juggernaut": " Did you mean “SDXL/juggernaut.safetensors”?",
		"":           "",
		"xyz":        "",
	} {
		if got := didYouMean(typed, names); got != want {
			t.Errorf("didYouMean(%q) = %q, want %q", typed, got, want)
		}
	}
}

func TestComplaintsAreWholeText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := string(rapid.SliceOf(rapid.Byte()).Draw(t, "name"))
		_, problems := builtin(t).Form().Parse(map[string]json.RawMessage{name: []byte("1")})
		for _, p := range problems {
			if !utf8.ValidString(p.Message) || strings.ContainsAny(p.Message, "\x00\n\r\x1b") {
				t.Fatalf("complaint %q", p.Message)
			}
		}
	})
}
