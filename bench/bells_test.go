package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"easel/db"
	"easel/studio"
	"easel/studio/natsbus"
	"easel/studio/redisbus"
	"easel/test/harness"
)

const (
	bellClients = 8
	bellsRung   = 8000
)

// BenchmarkBells counts what each way of telling carries from eight clients at once to one listener: an event in a
// transaction without a bell and with NOTIFY, NOTIFY outside of any, and messages over Redis and NATS. CPU is that of
// this process, client and listener, and of Postgres or Redis; the NATS server runs in this process.
func BenchmarkBells(b *testing.B) {
	postgres := harness.StartPostgres(b)
	loud, quiet := postgres.Pool(b), quietPool(b, postgres)
	if err := db.Migrate(b.Context(), loud); err != nil {
		b.Fatal(err)
	}
	backends := postmaster(b, loud)
	ring := func(pool *pgxpool.Pool) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := pool.Exec(ctx, "SELECT ring('generation', 'changed', $1, 1, $1)", uuid.New())
			return err
		}
	}
	ofPostgres := func() time.Duration { return childCPU(b, backends) }
	b.Run("event", func(b *testing.B) { benchBells(b, nil, ring(quiet), ofPostgres) })
	b.Run("event+notify", func(b *testing.B) {
		benchBells(b, studio.NewPostgresBus(loud, slog.New(slog.DiscardHandler)), ring(loud), ofPostgres)
	})
	publish := func(bus studio.Bus) func(context.Context) error {
		return func(ctx context.Context) error { return bus.Publish(ctx, []byte(`{"kind":"bells"}`)) }
	}
	b.Run("notify", func(b *testing.B) {
		bus := studio.NewPostgresBus(loud, slog.New(slog.DiscardHandler))
		benchBells(b, bus, publish(bus), ofPostgres)
	})
	b.Run("redis", func(b *testing.B) {
		redis := harness.StartRedis(b)
		bus, err := redisbus.New(redis.URL(), "bench", slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		benchBells(b, bus, publish(bus), func() time.Duration { return mustCPU(b, redis.PID()) })
	})
	b.Run("nats", func(b *testing.B) {
		bus, err := natsbus.New(startNATS(b), "bench", slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		benchBells(b, bus, publish(bus), func() time.Duration { return 0 })
	})
}

// benchBells rings, and waits until all bells were heard; without a bus nobody listens.
func benchBells(b *testing.B, bus studio.Bus, ring func(context.Context) error, server func() time.Duration) {
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	var heard atomic.Int64
	all := make(chan struct{})
	ready := make(chan struct{})
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	if bus == nil {
		close(ready)
		close(all)
	} else {
		listening.Go(func() {
			_ = bus.Run(ctx, func([]byte) {
				if heard.Add(1) == bellsRung {
					close(all)
				}
			}, sync.OnceFunc(func() { close(ready) }))
		})
	}
	for range b.N {
		select {
		case <-ready:
		case <-ctx.Done():
			b.Fatal(ctx.Err())
		}
		cpu, of, began := mustCPU(b, os.Getpid()), server(), time.Now()
		var ringing sync.WaitGroup
		for range bellClients {
			ringing.Go(func() {
				for range bellsRung / bellClients {
					if err := ring(ctx); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		ringing.Wait()
		select {
		case <-all:
		case <-ctx.Done():
			b.Fatalf("%d of %d bells were heard", heard.Load(), bellsRung)
		}
		b.ReportMetric(bellsRung/time.Since(began).Seconds(), "bells/s")
		b.ReportMetric(float64((mustCPU(b, os.Getpid())-cpu).Microseconds())/bellsRung, "cpu-us/bell")
		b.ReportMetric(float64((server()-of).Microseconds())/bellsRung, "server-cpu-us/bell")
	}
	b.ReportMetric(0, "ns/op")
}

// quietPool is a pool on whose connections the database rings no bells.
func quietPool(b *testing.B, postgres *harness.Postgres) *pgxpool.Pool {
	b.Helper()
	config, err := pgxpool.ParseConfig(postgres.URL())
	if err != nil {
		b.Fatal(err)
	}
	config.ConnConfig.RuntimeParams["easel.notify"] = "off"
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return pool
}

// postmaster is the process of which a pool's backends are children.
func postmaster(b *testing.B, pool *pgxpool.Pool) int {
	b.Helper()
	var backend int
	if err := pool.QueryRow(b.Context(), "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		b.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", backend))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if parent, ok := strings.CutPrefix(line, "PPid:"); ok {
			pid, err := strconv.Atoi(strings.TrimSpace(parent))
			if err != nil {
				b.Fatal(err)
			}
			return pid
		}
	}
	b.Fatal("the backend has no parent")
	return 0
}
