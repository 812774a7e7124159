package studio

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	"easel/db"
)

// Settings is what people set for the whole installation. Every instance has the same, within a
// bell.
type Settings struct {
	QueuePaused bool   // nothing new is sent to any server; what is inside goes on
	Webhook     string // where each end of a generation that names no webhook of its own is posted; empty: nowhere
	Push        bool   // some browser has asked to be told of ends; it stays so

	// WebhookFixed: Webhook is the configuration's, which people cannot change on the page.
	WebhookFixed bool
}

// The names of the settings in the database.
const (
	settingQueuePaused = "queue_paused"
	settingWebhook     = "webhook"
	settingPush        = "push"
)

// settings keeps Settings in memory, so that nobody asks the database for them.
type settings struct {
	now    atomic.Pointer[Settings]
	reread chan struct{} // rung when somebody has changed one

	// reading is held from the reading to its taking effect: what was read earlier must not replace
	// what was read later.
	reading sync.Mutex
}

// Settings is what is set now. Before Run it is what the configuration says.
func (s *Studio) Settings() Settings { return *s.settings.now.Load() }

// SetQueuePaused stops or starts the sending of work to all servers, on every instance.
// Errors: ErrUnavailable.
func (s *Studio) SetQueuePaused(ctx context.Context, paused bool) error {
	return s.set(ctx, settingQueuePaused, paused)
}

// SetWebhook sets where the ends of generations are posted that name no webhook of their own;
// empty: nowhere. Errors: *InvalidError for the field "webhook", ErrUnavailable.
func (s *Studio) SetWebhook(ctx context.Context, address string) error {
	if s.config.Webhook != "" {
		return &InvalidError{Fields: []FieldError{{
			Field: fieldWebhook, Message: "It is set by EASEL_WEBHOOK and cannot be changed here.",
		}}}
	}
	address, complaint := s.checkWebhook(address)
	if complaint != "" {
		return &InvalidError{Fields: []FieldError{{Field: fieldWebhook, Message: complaint}}}
	}
	return s.set(ctx, settingWebhook, address)
}

// set stores a setting. It is in force here when set returns; elsewhere when the bell is heard.
func (s *Studio) set(ctx context.Context, name string, value any) error {
	encoded, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode setting %s: %w", name, err)
	}
	if err := s.queries.SettingSet(ctx, db.SettingSetParams{Name: name, Value: encoded}); err != nil {
		return unavailable(fmt.Errorf("store setting %s: %w", name, err))
	}
	s.logger.InfoContext(ctx, "setting changed", "setting", name)
	if err := s.readSettings(ctx); err != nil {
		s.logger.WarnContext(ctx, "could not read the settings back", "err", err)
		s.settingsChanged()
	}
	return nil
}

// settingsChanged notes that somebody has changed a setting. It never waits.
func (s *Studio) settingsChanged() { ring(s.settings.reread) }

// keepSettings reads the settings anew whenever they have changed, until ctx ends.
func (s *Studio) keepSettings(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.settings.reread:
		}
		for {
			err := s.readSettings(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			s.logger.WarnContext(ctx, "could not read the settings", "err", err, "retry_in", reloadAfter)
			sleep(ctx, reloadAfter)
		}
	}
}

// readSettings takes the settings from the database, and tells those whom a change concerns.
func (s *Studio) readSettings(ctx context.Context) error {
	s.settings.reading.Lock()
	defer s.settings.reading.Unlock()
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	rows, err := s.queries.SettingList(ctx)
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	read := s.configuredSettings()
	for _, row := range rows {
		var err error
		switch row.Name {
		case settingQueuePaused:
			err = json.Unmarshal(row.Value, &read.QueuePaused)
		case settingPush:
			err = json.Unmarshal(row.Value, &read.Push)
		case settingWebhook:
			if !read.WebhookFixed {
				err = json.Unmarshal(row.Value, &read.Webhook)
			}
		}
		if err != nil {
			return fmt.Errorf("read setting %s: %w", row.Name, err)
		}
	}
	if before := s.settings.now.Swap(&read); *before == read {
		return nil
	}
	s.hub.set(read)
	s.wakeSupervisors()
	return nil
}

// configuredSettings is what the configuration alone says.
func (s *Studio) configuredSettings() Settings {
	return Settings{Webhook: s.config.Webhook, WebhookFixed: s.config.Webhook != ""}
}

// set takes over what concerns the hub, and shows whether the queue is paused.
func (h *hub) set(to Settings) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.push = to.Push
	if h.paused != to.QueuePaused {
		h.paused, h.moved = to.QueuePaused, true
		ring(h.wake)
	}
}
