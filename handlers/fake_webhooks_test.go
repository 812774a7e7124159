package handlers

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"easel/studio"
)

// fakeWebhooks is what the fake studio knows of webhooks.
type fakeWebhooks struct {
	settings   studio.Settings
	deliveries []studio.Delivery // newest first
	watched    studio.StandIn[[]studio.Delivery]
}

func (f *fakeStudio) Settings() studio.Settings {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.webhooks.settings
}

func (f *fakeStudio) SetWebhook(_ context.Context, address string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	if f.webhooks.settings.WebhookFixed || address != "" && !strings.HasPrefix(address, "https://") {
		return &studio.InvalidError{Fields: []studio.FieldError{{Field: "webhook", Message: "The address must begin with https://."}}}
	}
	f.webhooks.settings.Webhook = address
	return nil
}

func (f *fakeStudio) TestWebhook(context.Context) (studio.Delivery, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.webhooks.settings.Webhook == "" {
		return studio.Delivery{}, studio.ErrNoWebhook
	}
	d := studio.Delivery{
		ID: uuid.New(), Event: "ping", URL: f.webhooks.settings.Webhook, State: studio.DeliveryPending,
		CreatedAt: f.now, NextTryAt: &f.now,
	}
	f.webhooks.deliveries = append([]studio.Delivery{d}, f.webhooks.deliveries...)
	f.webhooks.watched.Set(f.webhooks.deliveries)
	return d, f.err
}

func (f *fakeStudio) Deliveries(_ context.Context, filter studio.DeliveryFilter) (studio.DeliveryPage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if filter.Cursor != "" {
		return studio.DeliveryPage{}, studio.ErrBadCursor
	}
	var page studio.DeliveryPage
	for _, d := range f.webhooks.deliveries {
		if filter.Generation == uuid.Nil || d.Generation == filter.Generation {
			page.Deliveries = append(page.Deliveries, d)
		}
	}
	return page, f.err
}

func (f *fakeStudio) Redeliver(_ context.Context, id uuid.UUID) (studio.Delivery, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, d := range f.webhooks.deliveries {
		if d.ID == id {
			f.webhooks.deliveries[i].State = studio.DeliveryPending
			return f.webhooks.deliveries[i], f.err
		}
	}
	return studio.Delivery{}, studio.ErrNoDelivery
}

func (f *fakeStudio) WatchDeliveries(context.Context) (*studio.Watch[[]studio.Delivery], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.webhooks.watched.Set(append([]studio.Delivery{}, f.webhooks.deliveries...))
	return f.webhooks.watched.Watch(), f.err
}

// delivered adds a delivery of a generation after two tries.
func (f *fakeStudio) delivered(generation uuid.UUID, state studio.DeliveryState, url, response string) studio.Delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := studio.Delivery{
		ID: uuid.New(), Generation: generation, Event: "generation.complete", URL: url, State: state, CreatedAt: f.now,
		Tries: []studio.DeliveryTry{
			{Number: 1, BeganAt: f.now, Took: 10 * time.Second, Error: "It did not answer within 10 seconds."},
			{Number: 2, BeganAt: f.now.Add(10 * time.Second), Took: 80 * time.Millisecond, Status: 200, Response: response},
		},
	}
	f.webhooks.deliveries = append([]studio.Delivery{d}, f.webhooks.deliveries...)
	return d
}
