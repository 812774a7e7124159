package handlers

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"easel/studio"
)

// fakePush is what the fake studio knows of browsers, by id.
type fakePush map[uuid.UUID]*fakeBrowser

type fakeBrowser struct {
	studio.Browser
	wanted studio.PushWanted
	tests  int
}

func (f *fakeStudio) PushKey() string { return "BKey_-" }

func (f *fakeStudio) Subscribe(_ context.Context, _ uuid.UUID, b studio.Browser, every bool) (studio.PushWanted, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return studio.PushWanted{}, f.err
	}
	if b.Endpoint == "" || len(b.PublicKey) != 65 || len(b.Auth) != 16 {
		return studio.PushWanted{}, &studio.InvalidError{Fields: []studio.FieldError{{Field: "keys", Message: "These are no keys."}}}
	}
	for _, known := range f.push {
		if known.Endpoint == b.Endpoint || known.Endpoint == b.Replaces {
			known.Browser, known.wanted.Every = b, known.wanted.Every || every
			return known.wanted, nil
		}
	}
	added := &fakeBrowser{Browser: b, wanted: studio.PushWanted{ID: uuid.New(), Every: every}}
	f.push[added.wanted.ID] = added
	return added.wanted, nil
}

// browser changes a known one.
func (f *fakeStudio) browser(id uuid.UUID, change func(*fakeBrowser)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	known, ok := f.push[id]
	if !ok {
		return studio.ErrNoSubscription
	}
	change(known)
	return nil
}

func (f *fakeStudio) Subscription(_ context.Context, id uuid.UUID) (wanted studio.PushWanted, err error) {
	err = f.browser(id, func(b *fakeBrowser) { wanted = b.wanted })
	return wanted, err
}

func (f *fakeStudio) Unsubscribe(_ context.Context, id uuid.UUID) error {
	return f.browser(id, func(*fakeBrowser) { delete(f.push, id) })
}

func (f *fakeStudio) TestPush(_ context.Context, id uuid.UUID) error {
	return f.browser(id, func(b *fakeBrowser) { b.tests++ })
}

func (f *fakeStudio) WishPush(ctx context.Context, id, generation uuid.UUID, wished bool) error {
	if wished {
		state, err := f.State(ctx, generation)
		if err != nil {
			return err
		}
		if state.Generation.Status.Ended() {
			return studio.ErrEnded
		}
	}
	return f.browser(id, func(b *fakeBrowser) {
		b.wanted.Generations = slices.DeleteFunc(b.wanted.Generations, func(g uuid.UUID) bool { return g == generation })
		if wished {
			b.wanted.Generations = append(b.wanted.Generations, generation)
		}
	})
}
