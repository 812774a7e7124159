package db_test

import (
	"testing"
	"time"

	"easel/db"
	"easel/db/dbtest"
)

// Nobody waits without an end for a connection that others hold.
func TestNoConnectionFree(t *testing.T) {
	t.Parallel()
	pool, err := db.Open(t.Context(), dbtest.URL(t)+"&pool_max_conns=1")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	held, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = pool.Exec(t.Context(), "SELECT 1")
	if !db.Unavailable(err) {
		t.Errorf("without a free connection: %v, want an error that is Unavailable", err)
	}
	if took := time.Since(began); took < db.AcquireTimeout/2 {
		t.Errorf("it waited %s only", took)
	}
	held.Release()
	if _, err := pool.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("with a free connection: %v", err)
	}
}
