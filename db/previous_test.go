package db_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"easel/db"
	"easel/db/dbtest"
)

// The program before the last migrations goes on beside this one (P24): each of its statements still means the
// same, takes and gives the same types, and no row of its making lacks what is new. When those migrations are
// published, the statements of that release take the place of these.
func TestPreviousProgram(t *testing.T) {
	t.Parallel()
	const version = 2
	source, err := os.ReadFile("testdata/statements_00002.sql")
	if err != nil {
		t.Fatal(err)
	}
	statements := strings.Split(string(source), "-- name: ")[1:]
	pool := dbtest.New(t, dbtest.Empty())
	if err := db.MigrateTo(t.Context(), pool, version); err != nil {
		t.Fatal(err)
	}
	before, demanded := describe(t, pool, statements), demands(t, pool)
	if err := db.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	after := describe(t, pool, statements)
	for i, statement := range statements {
		name, _, _ := strings.Cut(statement, " ")
		if !slices.Equal(before[i].ParamOIDs, after[i].ParamOIDs) {
			t.Errorf("%s takes other types", name)
		}
		if !slices.EqualFunc(before[i].Fields, after[i].Fields, func(a, b pgconn.FieldDescription) bool {
			return a.Name == b.Name && a.DataTypeOID == b.DataTypeOID
		}) {
			t.Errorf("%s gives other columns", name)
		}
	}
	for _, column := range demands(t, pool) {
		if table, _, _ := strings.Cut(column, "."); !slices.Contains(demanded, column) &&
			slices.ContainsFunc(demanded, func(c string) bool { return strings.HasPrefix(c, table+".") }) {
			t.Errorf("%s must be given, and the previous program does not know it", column)
		}
	}
}

// A start of the program before must not switch off the servers that people have added, of which it knows nothing.
func TestPreviousProgramStarts(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("testdata/statements_00002.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, disable, found := strings.Cut(string(source), "-- name: ServersDisableOthers :exec")
	disable, _, ended := strings.Cut(disable, "-- name: ")
	if !found || !ended {
		t.Fatal("its statement is not there")
	}
	pool := dbtest.New(t)
	run := func(statement string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	on := func() (names []string) {
		t.Helper()
		rows, err := pool.Query(t.Context(), "SELECT name || ' ' || config_rev FROM servers WHERE enabled ORDER BY name")
		if err != nil {
			t.Fatal(err)
		}
		if names, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			t.Fatal(err)
		}
		return names
	}
	run(`INSERT INTO servers (id, key, name, url, kind, client_id, source, config_rev) VALUES
		(gen_random_uuid(), 'a', 'added', 'http://a', 'comfyui', 'a', 'added', 3),
		(gen_random_uuid(), 'b', 'configured', 'http://b', 'comfyui', 'b', 'config', 3)`)
	run(disable, []uuid.UUID{})
	if got := on(); !slices.Equal(got, []string{"added 3"}) {
		t.Errorf("after its start %v are on, want the one that was added, as it was", got)
	}
	run("UPDATE servers SET removed_at = now(), enabled = false WHERE source = 'added'")
	if got := on(); len(got) != 0 {
		t.Errorf("after the removal %v are on", got)
	}
}

// describe has the database read every statement.
func describe(t *testing.T, pool *pgxpool.Pool, statements []string) (list []*pgconn.StatementDescription) {
	t.Helper()
	connection, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Release()
	for _, statement := range statements {
		name, _, _ := strings.Cut(statement, " ")
		description, err := connection.Conn().PgConn().Prepare(t.Context(), "", "-- name: "+statement, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		list = append(list, description)
	}
	return list
}

// demands are the columns that every new row must give a value, each with its table.
func demands(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT table_name || '.' || column_name FROM information_schema.columns
		WHERE table_schema = 'public' AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' AND is_generated = 'NEVER'`)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return columns
}
