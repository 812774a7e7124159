package harness

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"easel/comfy/simulator"
)

// Scale says how large an Installation is.
type Scale struct {
	Instances int              // Easels
	Servers   int              // ComfyUIs
	ComfyUI   simulator.Config // of each
	Bus       string           // EASEL_BUS; empty: Postgres
	Env       []string         // NAME=VALUE, of each Easel
	Plain     bool             // without the race detector, to measure
	Keep      func(line string) bool
}

// Installation is several Easels with one Postgres, one folder of pictures and several ComfyUIs.
// Everything in it can be killed, stopped, cut off and brought back by itself.
type Installation struct {
	Postgres *Postgres
	Pool     *pgxpool.Pool // the test's own way to the database
	DataDir  string        // of all Easels
	Easels   []*Easel
	Roads    []*Proxy // of each Easel to Postgres
	ComfyUIs []*simulator.Running
	Links    []*Proxy // of all Easels to each ComfyUI

	t testing.TB
}

// StartInstallation runs one until the test ends.
func StartInstallation(t testing.TB, s Scale) *Installation {
	t.Helper()
	in := &Installation{Postgres: StartPostgres(t), DataDir: DataDir(t), t: t}
	in.Pool = in.Postgres.Pool(t)
	var servers []string
	for n := range s.Servers {
		comfy, err := simulator.Start("127.0.0.1:0", s.ComfyUI)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(comfy.Close)
		link := NewProxy(t, comfy.URL())
		in.ComfyUIs, in.Links = append(in.ComfyUIs, comfy), append(in.Links, link)
		servers = append(servers, fmt.Sprintf("gpu%d=%s", n+1, link.URL()))
	}
	env := slices.Clone(s.Env)
	if s.Bus != "" {
		env = append(env, "EASEL_BUS="+s.Bus)
	}
	for range s.Instances {
		road, databaseURL := in.Postgres.Link(t)
		in.Roads = append(in.Roads, road)
		in.Easels = append(in.Easels, Start(t, Options{
			ComfyUI: strings.Join(servers, ","), DataDir: in.DataDir, Keep: s.Keep, Plain: s.Plain,
			Env: append(slices.Clone(env), "DATABASE_URL="+databaseURL),
		}))
	}
	return in
}

// Count runs a query that gives one number.
func (in *Installation) Count(sql string, args ...any) (n int) {
	in.t.Helper()
	if err := in.Pool.QueryRow(in.t.Context(), sql, args...).Scan(&n); err != nil {
		in.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// Owner is the Easel that holds the lease of a server, by its fence in their logs; -1 for none.
func (in *Installation) Owner(server string) (instance int, fence int64) {
	in.t.Helper()
	var held bool
	if err := in.Pool.QueryRow(in.t.Context(),
		"SELECT fence, owner IS NOT NULL AND lease_until > now() FROM servers WHERE name = $1", server).Scan(&fence, &held); err != nil {
		in.t.Fatalf("read the lease of %s: %v", server, err)
	}
	if !held {
		return -1, fence
	}
	for i, e := range in.Easels {
		for _, taken := range e.Leases() {
			if taken.Server == server && taken.Fence == fence {
				return i, fence
			}
		}
	}
	return -1, fence
}

// AwaitOwner waits until some Easel holds the lease of a server, and until ok says so of which.
func (in *Installation) AwaitOwner(server string, ok func(instance int) bool) (instance int, fence int64) {
	in.t.Helper()
	Eventually(in.t, "has "+server+" the wanted owner", func() bool {
		instance, fence = in.Owner(server)
		return instance >= 0 && ok(instance)
	}, func() string { return fmt.Sprintf("instance %d with fence %d", instance, fence) })
	return instance, fence
}
