package expressions

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCollect(t *testing.T) {
	all, err := Collect("testdata/views")
	if err != nil {
		t.Fatal(err)
	}
	var got [][2]string
	for _, e := range all {
		got = append(got, [2]string{e.Attribute, e.Value})
	}
	want := [][2]string{
		{"data-init", "@get(el.dataset.url)"},
		{"data-on:click", "$_open=true"},
		{"data-show", "$_open && '&'"},
		{"data-show", "!$_open"},
		{"data-text", `"quoted"`},
		{"data-effect", "$a"},
		{"data-class:on", "$b"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("expressions (-want +got):\n%s", diff)
	}
}

// What depends on a visitor, or would do nothing, is found wherever it stands.
func TestCollectRefuses(t *testing.T) {
	all, err := Collect("testdata/wrong")
	if err == nil {
		t.Fatalf("no error, but %v", all)
	}
	for _, want := range []string{
		"data-text is not constant", "data-on:click is not constant", "data-signals is not constant", "data-show is not constant",
		"data-on-click is no attribute of Datastar", "sample_templ.go:", " Injection: ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != 5 {
		t.Errorf("%d complaints, want 5:\n%v", lines, err)
	}
}

// The script that is committed is the one that the views need now.
func TestScriptIsCurrent(t *testing.T) {
	all, err := Collect("../../views")
	if err != nil {
		t.Fatal(err)
	}
	table, err := Table(all)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Script(table)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../expressions.js")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("static/expressions.js is not what the views need: run make generate\n%s", cmp.Diff(string(want), string(got)))
	}
	if len(table) < 10 {
		t.Errorf("only %d expressions were found in the views", len(table))
	}
}
