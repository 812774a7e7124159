package studio_test

import (
	"testing"

	"easel/db/dbtest"
	"easel/studio"
	"easel/studio/bustest"
)

func TestMemoryBus(t *testing.T) {
	t.Parallel()
	bustest.Run(t, func(*testing.T) bustest.Server {
		net := new(studio.MemoryNet)
		return bustest.Server{NewBus: func(*testing.T) studio.Bus { return net.NewBus() }}
	})
}

func TestPostgresBus(t *testing.T) {
	t.Parallel()
	bustest.Run(t, func(t *testing.T) bustest.Server {
		pool := dbtest.New(t)
		return bustest.Server{
			NewBus: func(t *testing.T) studio.Bus { return studio.NewPostgresBus(pool, logger(t)) },
			Restart: func(t *testing.T) { // what it looks like from here: every connection is cut
				if _, err := pool.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "+
					"WHERE datname = current_database() AND pid <> pg_backend_pid()"); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}
