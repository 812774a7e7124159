package studio_test

import (
	"context"
	"testing"
	"time"

	"easel/blob"
	"easel/db/dbtest"
	"easel/studio"
)

// BenchmarkIdle is P35: what an instance with nothing to do asks of Postgres, in transactions a second.
func BenchmarkIdle(b *testing.B) {
	const watched = 30 * time.Second
	pool := dbtest.New(b, dbtest.With("river", studio.Migrate))
	blobs, err := blob.NewFolder(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer blobs.Close()
	s, err := studio.New(studio.Config{Pool: pool, Blobs: blobs, Servers: []studio.ServerConfig{{Name: "away", URL: "http://127.0.0.1:1"}}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	commits := func() (n int64) {
		err := pool.QueryRow(b.Context(), "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").Scan(&n)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	for range b.N {
		time.Sleep(watched / 3) // the beginning is not idle
		before := commits()
		time.Sleep(watched)
		b.ReportMetric(float64(commits()-before)/watched.Seconds(), "transactions/s")
		b.ReportMetric(0, "ns/op")
	}
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
