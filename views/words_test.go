package views

import (
	"testing"
	"time"
)

func TestLeft(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                       "a few seconds remaining",
		5 * time.Second:         "a few seconds remaining",
		5001 * time.Millisecond: "~10 seconds remaining",
		41 * time.Second:        "~45 seconds remaining",
		50 * time.Second:        "~50 seconds remaining",
		51 * time.Second:        "~1 minute remaining",
		90 * time.Second:        "~2 minutes remaining",
		59 * time.Minute:        "~59 minutes remaining",
		time.Hour:               "~1 hour remaining",
		150 * time.Minute:       "~3 hours remaining",
	} {
		if got := Left(d); got != want {
			t.Errorf("Left(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestLeftBetween(t *testing.T) {
	for _, test := range []struct {
		low, high time.Duration
		want      string
	}{
		{2 * time.Second, 4500 * time.Millisecond, "2 to 5 seconds"},
		{31 * time.Second, 58 * time.Second, "30 to 60 seconds"},
		{130 * time.Second, 200 * time.Second, "2 to 4 minutes"},
		{100 * time.Minute, 170 * time.Minute, "1 to 3 hours"},
		{0, 0, ""},
	} {
		if got := LeftBetween(test.low, test.high); got != test.want {
			t.Errorf("LeftBetween(%v, %v) = %q, want %q", test.low, test.high, got, test.want)
		}
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		-time.Second:        "just now", // clocks differ
		9 * time.Second:     "just now",
		30 * time.Second:    "30 seconds ago",
		time.Minute:         "1 minute ago",
		119 * time.Second:   "1 minute ago",
		3 * time.Hour:       "3 hours ago",
		6 * 24 * time.Hour:  "6 days ago",
		30 * 24 * time.Hour: "4 April 2026",
	} {
		if got := Ago(now.Add(-d), now); got != want {
			t.Errorf("Ago(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestTookAndBytes(t *testing.T) {
	for d, want := range map[time.Duration]string{-1: "", 1240 * time.Millisecond: "1.2 s", 61 * time.Second: "1 min 1 s", 3661 * time.Second: "1 h 1 min"} {
		if got := Took(d); got != want {
			t.Errorf("Took(%v) = %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1499: "1 kB", 1_482_113: "1.5 MB", 25_757_220_864: "25.8 GB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestShortCutsBetweenCharacters(t *testing.T) {
	for _, test := range []struct {
		text  string
		runes int
		want  string
	}{
		{"a  b\n c", 9, "a b c"},
		{"ünïcödé", 7, "ünïcödé"},
		{"ünïcödé!", 7, "ünïcödé…"},
		{"one two", 4, "one…"},
		{"🏔🏔🏔", 2, "🏔🏔…"},
	} {
		if got := Short(test.text, test.runes); got != test.want {
			t.Errorf("Short(%q, %d) = %q, want %q", test.text, test.runes, got, test.want)
		}
	}
}

func TestLiveIDDiffersWithTheURL(t *testing.T) {
	if a, b := LiveID("/gallery?since=1"), LiveID("/gallery?since=2"); a == b {
		t.Errorf("both streams have the id %s", a)
	}
	if a := LiveID("/"); a != LiveID("/") {
		t.Error("the id of one URL must stay")
	}
}

func TestTabTitle(t *testing.T) {
	for _, test := range []struct {
		progress Progress
		want     string
	}{
		{Progress{Phase: "inference", Known: true, Percent: 42}, "42%"},
		{Progress{Phase: "finishing", Known: true, Percent: 97}, "97%"},
		{Progress{Phase: "setup", Known: true, Percent: 3}, "3%"},
		{Progress{Phase: "setup"}, "Connected"},
		{Progress{Phase: "inference", Known: true, Percent: 42, Cancelling: true}, "Cancelling"},
		{Progress{Phase: "queued"}, "Queued"},
	} {
		if got := test.progress.Tab(); got != test.want {
			t.Errorf("Tab(%+v) = %q, want %q", test.progress, got, test.want)
		}
	}
}
