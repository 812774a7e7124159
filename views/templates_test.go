package views

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Attributes of Datastar, whose values are run as code: see the reference of its version 1.0.2.
var (
	expressionName = `data-(?:attr|bind|class|computed|effect|indicator|init|json-signals|on|on-intersect|on-interval|on-signal-patch|on-signal-patch-filter|preserve-attr|ref|show|signals|style|text)(?:(?::|__)[^\s=]*)?`
	variable       = regexp.MustCompile(`\b` + expressionName + `\??=\s*\{`)
	constant       = regexp.MustCompile(`\b` + expressionName + `="`)
	// What the Content-Security-Policy would block, and what would run.
	forbidden = []*regexp.Regexp{
		regexp.MustCompile(`(?i)<style`),
		regexp.MustCompile(`(?i)\sstyle\??=`),
		regexp.MustCompile(`(?i)\son[a-z]+=`),
		regexp.MustCompile(`(?i)javascript:`),
		regexp.MustCompile(`<script(?:\s[^>]*)?>[^<\s]`),
		regexp.MustCompile(`templ\.Raw|templ\.SafeURL|templ\.JSUnsafe|@templ\.JS`),
	}
)

func TestExpressionsAreConstants(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	constants := 0
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".templ") {
			continue
		}
		source, err := os.ReadFile(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		constants += len(constant.FindAll(source, -1))
		for i, line := range strings.Split(string(source), "\n") {
			if variable.MatchString(line) {
				t.Errorf("%s:%d: an expression that is not a constant: %s", entry.Name(), i+1, strings.TrimSpace(line))
			}
			for _, pattern := range forbidden {
				if pattern.MatchString(line) {
					t.Errorf("%s:%d: %s: %s", entry.Name(), i+1, pattern, strings.TrimSpace(line))
				}
			}
		}
	}
	if constants < 20 {
		t.Errorf("found %d expressions: the pattern does not fit the templates any more", constants)
	}
}

// The patterns must find what they are for.
func TestPatternsOfTemplates(t *testing.T) {
	for _, line := range []string{
		`<p data-text={ g.Prompt }>`, `<p data-on:click={ code }>`, `<p data-attr:title={ x }>`, `<p data-init={ x }>`,
		`<p data-on-interval__duration.5s={ x }>`, `<p data-signals={ x }>`,
	} {
		if !variable.MatchString(line) {
			t.Errorf("%s passes as constant", line)
		}
	}
	for _, line := range []string{`<p data-text="$a">`, `<p data-url={ x }>`, `<p data-onwards={ x }>`, `<p data-copy={ x }>`} {
		if variable.MatchString(line) {
			t.Errorf("%s does not pass", line)
		}
	}
	for _, line := range []string{`<p style="x">`, `<style>`, `<p onclick="x">`, `<a href="javascript:x">`, `<script>x`, `@templ.Raw(x)`} {
		found := false
		for _, pattern := range forbidden {
			found = found || pattern.MatchString(line)
		}
		if !found {
			t.Errorf("%s passes", line)
		}
	}
}
