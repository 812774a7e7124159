package handlers

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"easel/studio"
)

// AddServer knows two addresses by heart: one that is refused, one that is there already.
func (f *fakeStudio) AddServer(_ context.Context, name, url string) (uuid.UUID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return uuid.Nil, f.err
	}
	if err := refusedAddress(url); err != nil {
		return uuid.Nil, err
	}
	for _, server := range f.servers {
		if server.Name == name {
			return uuid.Nil, &studio.InvalidError{Fields: []studio.FieldError{{Field: "name", Message: "Another server has this name."}}}
		}
	}
	id := uuid.New()
	f.servers = append(slices.Clone(f.servers), studio.Server{
		ID: id, Name: name, URL: url, Source: studio.SourceAdded, Mode: studio.ModeActive, State: studio.ServerUnknown,
	})
	f.publishLocked()
	return id, nil
}

func refusedAddress(url string) error {
	if !strings.HasPrefix(url, "http://") {
		return &studio.InvalidError{Fields: []studio.FieldError{{Field: "url", Message: "This address is not an http or https address."}}}
	}
	return nil
}

// edit changes one server of the list.
func (f *fakeStudio) edit(id uuid.UUID, locked bool, change func(*studio.Server)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	at := slices.IndexFunc(f.servers, func(s studio.Server) bool { return s.ID == id })
	if at < 0 {
		return studio.ErrNoServer
	}
	if locked && f.servers[at].Source != studio.SourceAdded {
		return studio.ErrServerLocked
	}
	f.servers = slices.Clone(f.servers)
	if change == nil {
		f.servers = slices.Delete(f.servers, at, at+1)
	} else {
		change(&f.servers[at])
	}
	f.publishLocked()
	return nil
}

func (f *fakeStudio) RenameServer(_ context.Context, id uuid.UUID, name string) error {
	if strings.TrimSpace(name) == "" {
		return &studio.InvalidError{Fields: []studio.FieldError{{Field: "name", Message: "A name is needed."}}}
	}
	return f.edit(id, true, func(s *studio.Server) { s.Name = strings.TrimSpace(name) })
}

func (f *fakeStudio) RemoveServer(_ context.Context, id uuid.UUID) error {
	return f.edit(id, true, nil)
}

func (f *fakeStudio) SetServerMode(_ context.Context, id uuid.UUID, mode studio.ServerMode) error {
	return f.edit(id, false, func(s *studio.Server) { s.Mode = mode })
}

// TestServer finds every address well whose host is "well".
func (f *fakeStudio) TestServer(_ context.Context, url string) (studio.ServerReport, error) {
	if err := refusedAddress(url); err != nil {
		return studio.ServerReport{}, err
	}
	if !strings.Contains(url, "//well") {
		return studio.ServerReport{URL: url, Checks: []studio.ServerCheck{{Name: "Answers", Verdict: studio.VerdictBad, Words: "Nothing listens there."}}}, nil
	}
	return studio.ServerReport{URL: url, Usable: true, Checks: []studio.ServerCheck{
		{Name: "Answers", Verdict: studio.VerdictOK, Words: "It is a ComfyUI."},
		{Name: "Version", Verdict: studio.VerdictWarn, Words: "It is old."},
	}}, nil
}

func (f *fakeStudio) TestListedServer(ctx context.Context, id uuid.UUID) (studio.ServerReport, error) {
	server, ok := findServer(f.Overview(), id.String())
	if !ok {
		return studio.ServerReport{}, studio.ErrNoServer
	}
	return f.TestServer(ctx, server.URL)
}
