package backup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// unkept are tables whose rows mean nothing elsewhere: the version of the schema is in the
// manifest, events are bells that have rung, and instances live elsewhere.
var unkept = []string{"goose_db_version", "events", "instances"}

// readTables lists the tables that are kept, each after those that it refers to. Tables that
// Postgres itself does not keep over a crash are left out, and columns that it computes.
func readTables(ctx context.Context, tx pgx.Tx) ([]table, error) {
	rows, err := tx.Query(ctx, `
		SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relpersistence = 'p'
		  AND c.relname <> ALL($1::text[]) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
		GROUP BY c.relname ORDER BY c.relname`, unkept)
	if err != nil {
		return nil, err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
	if err != nil {
		return nil, err
	}
	rows, err = tx.Query(ctx, `
		SELECT DISTINCT child.relname, parent.relname
		FROM pg_constraint f JOIN pg_class child ON child.oid = f.conrelid JOIN pg_class parent ON parent.oid = f.confrelid
		WHERE f.contype = 'f' AND child.oid <> parent.oid AND child.relnamespace = current_schema()::regnamespace`)
	if err != nil {
		return nil, err
	}
	type reference struct{ Child, Parent string }
	references, err := pgx.CollectRows(rows, pgx.RowToStructByPos[reference])
	if err != nil {
		return nil, err
	}
	var ordered []table
	for len(tables) > 0 {
		free := slices.IndexFunc(tables, func(t table) bool {
			return !slices.ContainsFunc(references, func(r reference) bool {
				return r.Child == t.Name && slices.ContainsFunc(tables, func(other table) bool { return other.Name == r.Parent })
			})
		})
		if free < 0 {
			return nil, fmt.Errorf("tables refer to each other in a circle: %s and others", tables[0].Name)
		}
		ordered = append(ordered, tables[free])
		tables = slices.Delete(tables, free, free+1)
	}
	return ordered, nil
}

// target is the table with its columns, as COPY names it.
func (t table) target() string {
	columns := make([]string, len(t.Columns))
	for i, column := range t.Columns {
		columns[i] = pgx.Identifier{column}.Sanitize()
	}
	return pgx.Identifier{t.Name}.Sanitize() + " (" + strings.Join(columns, ", ") + ")"
}

// patient lets a transaction take as long as its files take.
func patient(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '1min'")
	return err
}
