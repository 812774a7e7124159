package studio_test

import (
	"errors"
	"testing"

	"easel/studio"
)

// What is set on one instance holds on every other, and after a restart.
func TestSettings(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.awaitServer(studio.ServerUp)
	second, stop := w.run(w.pool, false)
	defer stop()
	const hook = "https://example.com/hook?token=x"
	if err := w.studio.SetWebhook(t.Context(), "  "+hook+" "); err != nil {
		t.Fatal(err)
	}
	if err := w.studio.SetQueuePaused(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	want := studio.Settings{QueuePaused: true, Webhook: hook}
	if got := w.studio.Settings(); got != want { // in force where it was set, at once
		t.Errorf("Settings() = %+v, want %+v", got, want)
	}
	w.eventually("set on the other instance", func() bool { return second.Settings() == want && second.Overview().QueuePaused })
	w.restart()
	w.eventually("set after a restart", func() bool { return w.studio.Settings() == want })
	if err := second.SetQueuePaused(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := second.SetWebhook(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	w.eventually("taken back", func() bool {
		return w.studio.Settings() == studio.Settings{} && !w.studio.Overview().QueuePaused
	})
}

// An address that the configuration gives is in force whatever the database says, and locked.
func TestWebhookFixed(t *testing.T) {
	t.Parallel()
	w := open(t)
	const stored, fixed = "https://example.com/stored", "https://example.com/fixed"
	w.eventually("ready", func() bool { return w.studio.SetWebhook(t.Context(), stored) == nil })
	w.stop()
	w.webhook = fixed
	w.start()
	for range 2 { // before it has read the database, and after
		if got := w.studio.Settings(); got.Webhook != fixed || !got.WebhookFixed {
			t.Errorf("Settings() = %+v", got)
		}
		w.awaitServer(studio.ServerUp)
	}
	var invalid *studio.InvalidError
	if err := w.studio.SetWebhook(t.Context(), stored); !errors.As(err, &invalid) || invalid.Fields[0].Field != "webhook" {
		t.Errorf("SetWebhook() = %v", err)
	}
}
