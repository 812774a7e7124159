package handlers

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"easel/handlers/fanout"
	"easel/studio"
)

// Who has the same page open is shown the same, made once; who comes later begins with all of it.
func TestOnePageForAllWatchers(t *testing.T) {
	f := newFake()
	state := f.put(newState(f, "A lamp", studio.Generating, 1))
	id := state.Generation.ID
	f.update(id, func(s *studio.State) { sampling(s, 1) })
	_, ts := serve(t, f)
	var pages []*eventReader
	come := func(step string) {
		t.Helper()
		events := liveEvents(t, ts.URL+"/generations/"+id.String())
		ids, html := "", ""
		for !strings.Contains(html, `id="banner"`) { // the last part
			some, last := patched(t, events, "<")
			ids, html = ids+strings.Join(some, " ")+" ", last
			if strings.Contains(html, "Step ") && !strings.Contains(html, step) {
				t.Errorf("who came at %q was shown %s", step, html)
			}
		}
		for _, want := range []string{"pictures-", "progress-", "actions", "health"} {
			if !strings.Contains(ids, want) {
				t.Errorf("who came at %q was shown %s, which lacks %s", step, ids, want)
			}
		}
		pages = append(pages, events)
	}
	for range 3 {
		come("Step 1 of 20")
	}
	f.mu.Lock()
	topic := f.topics[id]
	f.mu.Unlock()
	waitFor(t, func() bool { return topic.Watching() == 1 && f.overview.Watching() == 1 })
	for step := 2; step <= 4; step++ {
		f.update(id, func(s *studio.State) { sampling(s, step) })
		text := "Step " + string(rune('0'+step)) + " of 20"
		for _, events := range pages {
			if ids, _ := patched(t, events, text); has(ids, "health") {
				t.Errorf("at %q the page gets what has not changed: %v", text, ids)
			}
		}
		come(text)
	}
}

// What the streams have not taken yet is kept, until the whole says it shorter.
func TestPageFeedKeepsWhatWasNotTaken(t *testing.T) {
	f := &pageFeed{}
	take := func() string {
		s, another := f.Events()
		if !another {
			return "nothing"
		}
		return string(s.Change)
	}
	whole := []byte("the whole")
	f.put(fanout.State{Change: []byte("one"), Whole: whole})
	f.put(fanout.State{Change: []byte("two"), Whole: whole})
	for _, want := range []string{"onetwo", "nothing"} {
		if got := take(); got != want {
			t.Errorf("taken: %q, want %q", got, want)
		}
	}
	for range 4 {
		f.put(fanout.State{Change: []byte("four"), Whole: whole})
	}
	if got := take(); got != string(whole) {
		t.Errorf("of much that was not taken: %q, want %q", got, whole)
	}
}

// A page that cannot be made ends its own streams, not the program.
func TestPageThatPanics(t *testing.T) {
	var log bytes.Buffer
	s := newSite(t, newFake(), func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	first := make(chan struct{}, 1)
	first <- struct{}{}
	closed := false
	f := &pageFeed{server: s, seen: sent{}, sharedPage: sharedPage{
		first: first, close: func() { closed = true },
		parts: func() func(sent) []part { return func(sent) []part { panic("no such view") } },
	}}
	f.next = f.parts()
	told := make(chan struct{}, 1)
	f.Notify(func() { told <- struct{}{} })
	select {
	case <-told:
	case <-time.After(2 * time.Minute):
		t.Fatal("nobody was told of the end")
	}
	if state, another := f.Events(); !another || !state.Last {
		t.Errorf("after a panic: %+v, %t, want the end", state, another)
	}
	f.Close()
	s.feeds.Wait()
	if !closed || !strings.Contains(log.String(), "no such view") {
		t.Errorf("closed %t, log %s", closed, log.String())
	}
}
