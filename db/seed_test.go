package db_test

import (
	"math"
	"strconv"
	"testing"

	"easel/db"
	"easel/db/dbtest"
)

// Every seed comes back with all its digits, whether it ends in zeros or not.
func TestSeed(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	for _, seed := range []uint64{0, 1, 10, 4_000_000, 10_000_000_000_000_000_000, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
		var got db.Seed
		var text string
		err := pool.QueryRow(t.Context(), "SELECT $1::numeric(20), $1::numeric(20)::text", db.Seed(seed)).Scan(&got, &text)
		if err != nil || uint64(got) != seed || text != strconv.FormatUint(seed, 10) {
			t.Errorf("%d came back as %d, %q, %v", seed, got, text, err)
		}
	}
	for _, bad := range []string{"-1", "18446744073709551616", "0.5", "'NaN'", "NULL"} {
		var got db.Seed
		if err := pool.QueryRow(t.Context(), "SELECT "+bad+"::numeric").Scan(&got); err == nil {
			t.Errorf("%s was read as %d", bad, got)
		}
	}
}
