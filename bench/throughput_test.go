package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// throughputAsked is how many generations of one image a run of BenchmarkGenerations asks for.
const throughputAsked = 300

// BenchmarkGenerations asks one Easel for more than its servers can do at once, and measures from
// the first request to the last picture stored. The simulated servers take no time to speak of, so
// what is measured is Easel and its Postgres: what one instance can feed.
func BenchmarkGenerations(b *testing.B) {
	for _, servers := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("servers=%d", servers), func(b *testing.B) {
			for range b.N {
				benchGenerations(b, servers)
			}
		})
	}
}

func benchGenerations(b *testing.B, servers int) {
	var urls []string
	for range servers {
		comfy, err := simulator.Start("127.0.0.1:0", simulator.Config{NoPreviews: true, FixedSocketTable: true})
		if err != nil {
			b.Fatal(err)
		}
		defer comfy.Close()
		urls = append(urls, comfy.URL())
	}
	easel := harness.Start(b, harness.Options{ComfyUI: strings.Join(urls, ","), Plain: true})
	conn, err := easel.Database(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(b.Context()))
	easel.AwaitStatus(easel.Generate(harness.Ask{Prompt: "warm", Steps: 4}), "complete")

	transactions, cpu, postgres := commits(b, conn), mustCPU(b, easel.PID()), childCPU(b, easel.Postgres())
	begin := time.Now()
	for i := range throughputAsked {
		easel.Generate(harness.Ask{Prompt: "picture " + strconv.Itoa(i), Steps: 4})
	}
	accepted := time.Since(begin)
	harness.Eventually(b, "is all done", func() bool {
		return easel.Count("SELECT count(*) FROM generations WHERE status = 'complete'") == throughputAsked+1
	})
	took := time.Since(begin)
	transactions = commits(b, conn) - transactions
	cpu, postgres = mustCPU(b, easel.PID())-cpu, childCPU(b, easel.Postgres())-postgres

	b.ReportMetric(throughputAsked/accepted.Seconds(), "accepted/s")
	b.ReportMetric(throughputAsked/took.Seconds(), "generations/s")
	b.ReportMetric(cpu.Seconds()*1e3/throughputAsked, "easel-cpu-ms/generation")
	b.ReportMetric(postgres.Seconds()*1e3/throughputAsked, "postgres-cpu-ms/generation")
	b.ReportMetric(transactions/throughputAsked, "transactions/generation")
	b.ReportMetric(0, "ns/op")
	easel.Stop()
}

// commits is how many transactions the database has committed.
func commits(b *testing.B, conn *pgx.Conn) (n float64) {
	b.Helper()
	if _, err := conn.Exec(b.Context(), "SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot()"); err != nil {
		b.Fatal(err)
	}
	if err := conn.QueryRow(b.Context(), "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}

func mustCPU(b *testing.B, pid int) time.Duration {
	b.Helper()
	used, err := cpuTime(pid)
	if err != nil {
		b.Fatal(err)
	}
	return used
}

// childCPU is what the living children of a process have used: a Postgres' backends.
func childCPU(b *testing.B, parent int) (sum time.Duration) {
	b.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		text := string(stat)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		if len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			b.Fatal(err)
		}
		if used, err := cpuTime(pid); err == nil {
			sum += used
		}
	}
	return sum
}
