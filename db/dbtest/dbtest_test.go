//go:build unix

package dbtest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"easel/db"
	"easel/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// Every test has a database that no other sees, with the migrations and what With adds.
func TestNew(t *testing.T) {
	t.Parallel()
	made := dbtest.With("a table of marks", func(ctx context.Context, pool *pgxpool.Pool) error {
		_, err := pool.Exec(ctx, "CREATE TABLE marks (name text PRIMARY KEY); INSERT INTO marks VALUES ('template')")
		return err
	})
	for i := range 6 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			pool := dbtest.New(t, made)
			t.Logf("made in %v", time.Since(begin))
			if _, err := pool.Exec(t.Context(), "INSERT INTO marks VALUES ('mine')"); err != nil {
				t.Fatal(err)
			}
			var marks int
			if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM marks").Scan(&marks); err != nil || marks != 2 {
				t.Errorf("%d marks, %v, want the template's and one's own", marks, err)
			}
			if err := db.Migrate(t.Context(), pool); err != nil {
				t.Errorf("migrate a migrated database: %v", err)
			}
		})
	}
}
