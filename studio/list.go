package studio

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"easel/db"
)

// The size of a page.
const (
	defaultLimit = 50
	maxLimit     = 200
)

// List pages through generations, newest first. ErrBadCursor, ErrUnavailable.
func (s *Studio) List(ctx context.Context, f Filter) (Page, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, maxLimit)
	arg := db.GenerationPageParams{
		Status: given(string(f.Status)), Model: given(f.Model), Workflow: given(f.Workflow),
		CreatedFrom: givenTime(f.From), CreatedTo: givenTime(f.To),
		Pictures: f.Pictures, Count: int32(limit + 1), //nolint:gosec // at most 201
	}
	words := prefixQuery(f.Query)
	if words == "" && strings.TrimSpace(f.Query) != "" {
		return Page{}, nil // nothing in it could be found
	}
	var err error
	if arg.Before, err = parseCursor(f.Cursor); err != nil {
		return Page{}, err
	}
	if !storable(f.Model) || !storable(f.Workflow) || !storable(string(f.Status)) {
		return Page{}, nil
	}
	queries := db.New(plannedAnew{s.pool})
	var ids []uuid.UUID
	if words == "" {
		ids, err = queries.GenerationPage(ctx, arg)
	} else {
		ids, err = search(ctx, queries, words, arg)
	}
	if err != nil {
		return Page{}, unavailable(fmt.Errorf("list generations: %w", err))
	}
	more := len(ids) > limit
	if more {
		ids = ids[:limit]
	}
	var page Page
	if page.Generations, err = s.load(ctx, ids); err != nil {
		return Page{}, unavailable(err)
	}
	if more {
		page.Next = cursorAfter(ids[len(ids)-1])
	}
	return page, nil
}

// nearby is how many of the newest generations are looked at before the index on words is asked.
// A search that finds a page among them costs a few milliseconds, whatever the table's size.
const nearby = 1000

// search finds a page of generations whose prompts have the words: common ones nearby, others
// through the index.
func search(ctx context.Context, queries *db.Queries, words string, page db.GenerationPageParams) ([]uuid.UUID, error) {
	ids, err := queries.GenerationSearchNear(ctx, db.GenerationSearchNearParams{
		Query: words, Near: nearby, Before: page.Before, Status: page.Status, Model: page.Model, Workflow: page.Workflow,
		CreatedFrom: page.CreatedFrom, CreatedTo: page.CreatedTo, Pictures: page.Pictures, Count: page.Count,
	})
	if err != nil || len(ids) == int(page.Count) {
		return ids, err
	}
	return queries.GenerationSearch(ctx, db.GenerationSearchParams{
		Query: words, Before: page.Before, Status: page.Status, Model: page.Model, Workflow: page.Workflow,
		CreatedFrom: page.CreatedFrom, CreatedTo: page.CreatedTo, Pictures: page.Pictures, Count: page.Count,
	})
}

// plannedAnew runs statements without a cached plan. A list whose filters are optional has no one
// good plan: Postgres would settle on one that fits them all and uses none of their indexes.
type plannedAnew struct{ pool *pgxpool.Pool }

func (p plannedAnew) with(args []any) []any {
	return append([]any{pgx.QueryExecModeCacheDescribe}, args...)
}

// Exec is part of db.DBTX.
func (p plannedAnew) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return p.pool.Exec(ctx, sql, p.with(args)...)
}

// Query is part of db.DBTX.
func (p plannedAnew) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return p.pool.Query(ctx, sql, p.with(args)...)
}

// QueryRow is part of db.DBTX.
func (p plannedAnew) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return p.pool.QueryRow(ctx, sql, p.with(args)...)
}

// prefixQuery turns what somebody typed into a tsquery: every word as a prefix, all of them. It is
// empty when there is no word in it.
func prefixQuery(typed string) string {
	words := strings.FieldsFunc(typed, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r) })
	const maxWords = 20 // more make a query slow, not precise
	words = words[:min(len(words), maxWords)]
	for i, word := range words {
		words[i] = "'" + strings.ToValidUTF8(word, "") + "':*"
	}
	return strings.Join(words, " & ")
}

// cursorAfter names the place in the list behind a generation. It says nothing to those who get it.
func cursorAfter(id uuid.UUID) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte{cursorVersion}, id[:]...))
}

const cursorVersion = 1

func parseCursor(cursor string) (*uuid.UUID, error) {
	if cursor == "" {
		return nil, nil //nolint:nilnil // no cursor is the newest
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) != 17 || raw[0] != cursorVersion {
		return nil, ErrBadCursor
	}
	id := uuid.UUID(raw[1:])
	return &id, nil
}

func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func givenTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// storable reports whether Postgres takes text at all; what it does not take, no row has.
func storable(text string) bool {
	return !strings.ContainsRune(text, 0) && strings.ToValidUTF8(text, "") == text
}
