package studio

import (
	"strings"
	"testing"

	"easel/comfy"
)

// What a server says about itself and about its failures comes from custom nodes too.
func TestForeignWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain, \t<b>bold</b> ü 🙂": "plain, \t<b>bold</b> ü 🙂",
		"a\x00b\xffc\x1b[31m":      "a\uFFFDb\uFFFDc\uFFFD[31m",
		"one\r\ntwo\rdata: {}":     "one\ntwo\ndata: {}",
		"\u202egnp.exe\u2066 x":    "gnp.exe x",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := label("Card\r\n\u202e7"); got != "Card 7" {
		t.Errorf("label = %q", got)
	}
	if got := label(strings.Repeat("ü", 10_000)); len(got) > 210 || !strings.HasSuffix(got, "ü…") {
		t.Errorf("label has %d bytes, and ends with %q", len(got), got[len(got)-6:])
	}
}

func TestForeignWarnings(t *testing.T) {
	t.Parallel()
	errs := make([]comfy.InputError, 10_000)
	for i := range errs {
		errs[i].Message = "no\x00pe"
	}
	list := warnings(map[string]comfy.NodeError{"3": {ClassType: "K\x00", Errors: errs}})
	if len(list) != maxWarnings || strings.ContainsRune(strings.Join(list, ""), 0) {
		t.Errorf("%d warnings, the first %q", len(list), list[:1])
	}
}
