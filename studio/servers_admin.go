package studio

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"easel/comfy"
	"easel/db"
)

// Limits of what names a server.
const (
	MaxServerNameRunes = 60
	maxServerURL       = 2000 // bytes
)

// Errors about servers that callers answer differently.
var (
	ErrNoServer     = errors.New("no such server")
	ErrServerLocked = errors.New("server is named by the configuration")
)

// AddServer stores another ComfyUI; name may be empty: then host and port are its name. Whoever
// supervises hears of it by the bell. The demo server is switched off, since a real one is there.
//
// Errors: *InvalidError for the fields "url" and "name", ErrUnavailable.
func (s *Studio) AddServer(ctx context.Context, name, address string) (uuid.UUID, error) {
	name, base, invalid := checkServer(name, address)
	if invalid != nil {
		return uuid.Nil, invalid
	}
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil, fmt.Errorf("draw an id: %w", err)
	}
	err = s.changeServers(ctx, func(q *db.Queries, listed []db.ServersKeptRow) error {
		if invalid := takenBy(listed, uuid.Nil, name, base); invalid != nil {
			return invalid
		}
		id, err = q.ServerAdd(ctx, db.ServerAddParams{ID: id, Key: base, Name: name, URL: base, ClientID: "easel-" + id.String()})
		if err != nil {
			return err
		}
		return q.ServersDemoOff(ctx)
	})
	if err != nil {
		return uuid.Nil, fmt.Errorf("add server: %w", err)
	}
	s.logger.InfoContext(ctx, "server added", "server", name, "url", comfy.Redacted(base))
	return id, nil
}

// RenameServer gives a server another name. Errors: *InvalidError for the field "name",
// ErrServerLocked, ErrNoServer, ErrUnavailable.
func (s *Studio) RenameServer(ctx context.Context, id uuid.UUID, name string) error {
	name, complaint := checkServerName(name)
	if complaint != "" {
		return &InvalidError{Fields: []FieldError{{"name", complaint}}}
	}
	err := s.changeServers(ctx, func(q *db.Queries, listed []db.ServersKeptRow) error {
		if err := mayChange(listed, id); err != nil {
			return err
		}
		if invalid := takenBy(listed, id, name, ""); invalid != nil {
			return invalid
		}
		return q.ServerRename(ctx, db.ServerRenameParams{ID: id, Name: name})
	})
	if err != nil {
		return fmt.Errorf("rename server: %w", err)
	}
	return nil
}

// SetServerMode says what a server may do from now on. With ModeOff what is inside goes back into
// the queue. Errors: ErrNoServer, ErrUnavailable.
func (s *Studio) SetServerMode(ctx context.Context, id uuid.UUID, mode ServerMode) error {
	rows, err := s.queries.ServerSetMode(ctx, db.ServerSetModeParams{ID: id, Mode: string(mode)})
	if err != nil {
		return unavailable(fmt.Errorf("set mode of server: %w", err))
	}
	if rows == 0 {
		return ErrNoServer
	}
	s.logger.InfoContext(ctx, "server mode changed", "server_id", id, "mode", mode)
	return nil
}

// RemoveServer takes a server that was added out of every list; what is inside goes back into the
// queue. Errors: ErrServerLocked, ErrNoServer, ErrUnavailable.
func (s *Studio) RemoveServer(ctx context.Context, id uuid.UUID) error {
	err := s.changeServers(ctx, func(q *db.Queries, listed []db.ServersKeptRow) error {
		if err := mayChange(listed, id); err != nil {
			return err
		}
		return q.ServerRemove(ctx, id)
	})
	if err != nil {
		return fmt.Errorf("remove server: %w", err)
	}
	s.logger.InfoContext(ctx, "server removed", "server_id", id)
	return nil
}

// AddedServers are the addresses, without userinfo, of the servers that people have added: with
// any of them the demo server is not needed, and none of them is to be found a second time.
func AddedServers(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	rows, err := db.New(pool).ServersKept(ctx)
	if err != nil {
		return nil, fmt.Errorf("read servers that were added: %w", err)
	}
	var added []string
	for _, row := range rows {
		if row.Source == SourceAdded {
			added = append(added, comfy.Redacted(row.URL))
		}
	}
	return added, nil
}

// changeServers runs change in a transaction in which nobody else changes the list, and rings.
func (s *Studio) changeServers(ctx context.Context, change func(*db.Queries, []db.ServersKeptRow) error) error {
	var refused error
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		q := s.queries.WithTx(tx)
		if err := q.ServersLock(ctx); err != nil {
			return err
		}
		listed, err := q.ServersKept(ctx)
		if err != nil {
			return err
		}
		err = change(q, listed)
		if _, invalid := errors.AsType[*InvalidError](err); invalid || errors.Is(err, ErrNoServer) || errors.Is(err, ErrServerLocked) {
			refused = err
		}
		return err
	})
	if refused != nil {
		return refused
	}
	if err == nil {
		s.announce(bellServer, uuid.Nil, 0)
	}
	return unavailable(err)
}

// mayChange: id is listed, and people added it.
func mayChange(listed []db.ServersKeptRow, id uuid.UUID) error {
	for _, row := range listed {
		if row.ID != id {
			continue
		}
		if row.Source != SourceAdded {
			return ErrServerLocked
		}
		return nil
	}
	return ErrNoServer
}

// checkServer makes of what was typed a name and a base URL.
func checkServer(typedName, typedURL string) (name, base string, invalid error) {
	var problems []FieldError
	base, complaint := checkServerURL(typedURL)
	if complaint != "" {
		problems = append(problems, FieldError{"url", complaint})
	}
	if strings.TrimSpace(typedName) == "" {
		name = comfy.Host(base)
		name = string([]rune(name)[:min(MaxServerNameRunes, utf8.RuneCountInString(name))])
	} else if name, complaint = checkServerName(typedName); complaint != "" {
		problems = append(problems, FieldError{"name", complaint})
	}
	if len(problems) > 0 {
		return "", "", &InvalidError{Fields: problems}
	}
	return name, base, nil
}

// checkServerURL says in words what is wrong with an address; the rules are those of COMFYUI_URL.
func checkServerURL(address string) (base, complaint string) {
	switch {
	case strings.TrimSpace(address) == "":
		return "", "The address is needed, such as http://127.0.0.1:8188."
	case len(address) > maxServerURL:
		return "", "This address is too long."
	case strings.Contains(address, ","):
		return "", "One address at a time, please."
	case !storable(address):
		return "", "This address is not an http or https address."
	}
	base, err := comfy.BaseURL(address)
	if err != nil {
		return "", "This address " + err.Error() + "."
	}
	return base, ""
}

// checkServerName gives the name without the space around it, and says what is wrong with it.
func checkServerName(name string) (trimmed, complaint string) {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return "", "A name is needed."
	case !storable(name) || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }):
		return name, "The name holds characters that cannot be shown."
	case utf8.RuneCountInString(name) > MaxServerNameRunes:
		return name, fmt.Sprintf("The name is longer than %d characters.", MaxServerNameRunes)
	}
	return name, ""
}

// takenBy says whether another server than id has the name or the address already.
func takenBy(listed []db.ServersKeptRow, id uuid.UUID, name, base string) error {
	var problems []FieldError
	for _, row := range listed {
		if row.ID == id {
			continue
		}
		if base != "" && comfy.Redacted(row.URL) == comfy.Redacted(base) {
			problems = append(problems, FieldError{"url", "This server is here already, as " + row.Name + "."})
		} else if strings.EqualFold(row.Name, name) && row.Kind != "demo" {
			problems = append(problems, FieldError{"name", "Another server has this name."})
		}
	}
	if len(problems) > 0 {
		return &InvalidError{Fields: problems}
	}
	return nil
}
