package studio_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"easel/blob"
	"easel/studio"
)

func TestList(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.comfy.Kill()
	w.awaitServer(studio.ServerDown)
	var ids []uuid.UUID
	for i := range 5 {
		r := request(fmt.Sprintf("Heron number %d, red-crowned over Zürich", i))
		if i == 3 {
			r.Settings["model"] = json.RawMessage(`"dream.safetensors"`)
		}
		g := w.create(r)
		ids = append([]uuid.UUID{g.ID}, ids...)
	}
	if _, _, err := w.studio.Cancel(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	list := func(f studio.Filter) studio.Page {
		t.Helper()
		page, err := w.studio.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	var seen []uuid.UUID
	for f := (studio.Filter{Limit: 2}); ; {
		page := list(f)
		for _, g := range page.Generations {
			seen = append(seen, g.ID)
		}
		if page.Next == "" {
			break
		}
		f.Cursor = page.Next
	}
	if fmt.Sprint(seen) != fmt.Sprint(ids) {
		t.Errorf("pages = %v, want %v", seen, ids)
	}
	for _, test := range []struct {
		name string
		f    studio.Filter
		want int
	}{
		{"all", studio.Filter{}, 5},
		{"a word as prefix", studio.Filter{Query: "her"}, 5},
		{"all words", studio.Filter{Query: "heron 3"}, 1},
		{"other case and accents", studio.Filter{Query: "ZÜRI"}, 5},
		{"compound", studio.Filter{Query: "red-crow"}, 5},
		{"no such word", studio.Filter{Query: "stork"}, 0},
		{"operators are text", studio.Filter{Query: "heron & ! | ( ) ' : *"}, 5},
		{"nothing but signs", studio.Filter{Query: "'&|!:*"}, 0},
		{"NUL", studio.Filter{Query: "her\x00on"}, 0},
		{"broken UTF-8", studio.Filter{Query: "heron\xff"}, 5},
		{"status", studio.Filter{Status: studio.Cancelled}, 1},
		{"unknown status", studio.Filter{Status: "nothing\x00"}, 0},
		{"model", studio.Filter{Model: "dream.safetensors"}, 1},
		{"workflow", studio.Filter{Workflow: "text-to-image"}, 5},
		{"other workflow", studio.Filter{Workflow: "x"}, 0},
		{"until an hour ago", studio.Filter{To: time.Now().Add(-time.Hour)}, 0},
		{"since an hour ago", studio.Filter{From: time.Now().Add(-time.Hour)}, 5},
		{"pictures or live", studio.Filter{Pictures: true}, 4},
		{"limit beyond all", studio.Filter{Limit: 1_000_000_000}, 5},
		{"negative limit", studio.Filter{Limit: -1}, 5},
	} {
		if got := len(list(test.f).Generations); got != test.want {
			t.Errorf("%s: %d generations, want %d", test.name, got, test.want)
		}
	}
	for _, cursor := range []string{"x", "AAAA", "../..", ids[0].String()} {
		if _, err := w.studio.List(t.Context(), studio.Filter{Cursor: cursor}); !errors.Is(err, studio.ErrBadCursor) {
			t.Errorf("List(cursor %q) = %v, want ErrBadCursor", cursor, err)
		}
	}
}

// Deleting takes rows and files, but no file that another generation has too.
func TestDelete(t *testing.T) {
	t.Parallel()
	w := open(t, stepping)
	one := w.create(request("twice"))
	if err := w.studio.Delete(t.Context(), one.ID); !errors.Is(err, studio.ErrLive) {
		t.Errorf("Delete() of a live one = %v, want ErrLive", err)
	}
	w.stepper.Open()
	file := w.awaitStatus(one.ID, studio.Complete).Generation.Images[0].Outputs[0]
	// Another generation with the very same file, as a cached run without text chunks gives it.
	two, err := w.studio.Retry(t.Context(), one.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.awaitStatus(two.ID, studio.Complete)
	if _, err := w.pool.Exec(t.Context(),
		"UPDATE outputs SET sha256 = $1, thumbnail = $2 WHERE generation_id = $3", file.SHA256, file.Thumbnail, two.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.studio.Delete(t.Context(), one.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.studio.State(t.Context(), one.ID); !errors.Is(err, studio.ErrNotFound) {
		t.Errorf("State() of a deleted one = %v, want ErrNotFound", err)
	}
	w.removed()
	if _, err := w.blobs.Stat(t.Context(), file.SHA256); err != nil {
		t.Errorf("a file that another generation has is gone: %v", err)
	}
	if err := w.studio.Delete(t.Context(), two.ID); err != nil {
		t.Fatal(err)
	}
	w.removed()
	for _, name := range []string{file.SHA256, file.Thumbnail} {
		if _, err := w.blobs.Stat(t.Context(), name); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Stat(%s) = %v, want ErrNotFound", name, err)
		}
	}
	if err := w.studio.Delete(t.Context(), one.ID); !errors.Is(err, studio.ErrNotFound) {
		t.Errorf("Delete() again = %v, want ErrNotFound", err)
	}
	for _, table := range []string{"images", "attempts", "outputs"} {
		if n := w.count("SELECT count(*) FROM " + table); n != 0 {
			t.Errorf("%d %s are left", n, table)
		}
	}
	if overview := w.studio.Overview(); len(overview.Recent) != 0 {
		w.eventually("forgotten", func() bool { return len(w.studio.Overview().Recent) == 0 })
	}
}

func TestResolveUnknown(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, id := range []string{"", "x", uuid.NewString(), "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"} {
		if _, _, err := w.studio.Resolve(t.Context(), id); !errors.Is(err, studio.ErrNotFound) {
			t.Errorf("Resolve(%q) = %v, want ErrNotFound", id, err)
		}
	}
}
