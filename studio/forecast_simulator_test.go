package studio_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"easel/blob"
	"easel/comfy/simulator"
	"easel/db/dbtest"
	"easel/studio"
)

// moments are when a range was stated.
var moments = [...]string{"accepted", "begun", "25%", "50%", "75%"}

// BenchmarkForecastSimulator is the whole of Easel, with a database and sockets, at work on three simulated servers
// whose times are those of real cards, fifty times as fast, with noise in everything. It says how many ends lay in the
// ranges that were stated, and how wide these were in parts of what was left.
func BenchmarkForecastSimulator(b *testing.B) {
	for _, users := range []int{1, 3} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) { forecastSimulator(b, users) })
	}
}

func forecastSimulator(b *testing.B, users int) {
	var of tallies
	for i := range b.N {
		installed(b, users, uint64(i)+1).work(300, 60, &of) //nolint:gosec // small
	}
	for at, t := range of.moments {
		b.Logf("%s: of %d ends %d came too early and %d too late", moments[at], t.all, t.early, t.late)
		b.ReportMetric(100*float64(t.all-t.early-t.late)/float64(t.all), "%inside-"+moments[at])
		b.ReportMetric(t.width/t.left, "width-"+moments[at])
	}
	b.ReportMetric(0, "ns/op")
}

// tallies count, by the moment when a range was stated, what came of it.
type tallies struct {
	mu      sync.Mutex // guards moments
	moments [len(moments)]struct {
		all, early, late int
		width, left      float64 // sums: how far the ranges reach, and how long it took, in seconds
	}
}

// count takes in a range, and what came, in seconds from then on.
func (t *tallies) count(moment int, low, high, took float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := &t.moments[moment]
	at.all++
	at.width += high - low
	at.left += took
	switch {
	case took < low:
		at.early++
	case took > high:
		at.late++
	}
}

// installation is an Easel with three servers, of which the slowest takes twice as long as the fastest.
type installation struct {
	*studio.Studio

	b     *testing.B
	pool  *pgxpool.Pool
	users []uuid.UUID
	noise *rand.Rand
}

func installed(b *testing.B, users int, seed uint64) *installation {
	b.Helper()
	in := &installation{b: b, pool: dbtest.New(b, dbtest.With("river", studio.Migrate)), noise: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // a model
	for i := range users {
		user := uuid.New()
		if _, err := in.pool.Exec(b.Context(), "INSERT INTO users (id, name) VALUES ($1, $2)", user, fmt.Sprint("user ", i)); err != nil {
			b.Fatal(err)
		}
		in.users = append(in.users, user)
	}
	names := make([]string, len(checkpoints))
	for i, c := range checkpoints {
		names[i] = c.name
	}
	var servers []studio.ServerConfig
	for i, pace := range []float64{1, 1.3, 2} {
		gate := newCard(in.pool, pace, seed, uint64(i)+1).pass //nolint:gosec // small
		running, err := simulator.Start("127.0.0.1:0", simulator.Config{Models: names, NoPreviews: true, Flat: true, Gate: gate})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(running.Close)
		servers = append(servers, studio.ServerConfig{Name: fmt.Sprint("card-", i), URL: running.URL()})
	}
	in.start(servers)
	return in
}

// start runs the studio until the bench is over, and returns when it hears all servers.
func (in *installation) start(servers []studio.ServerConfig) {
	in.b.Helper()
	blobs, err := blob.NewFolder(in.b.TempDir())
	if err != nil {
		in.b.Fatal(err)
	}
	timing := quick
	timing.Yield = 500 * time.Millisecond / hurry // what of Easel's own waits is part of an image's time
	in.Studio, err = studio.New(studio.Config{Pool: in.pool, Blobs: blobs, Servers: servers, Sole: true, Logger: slog.New(slog.DiscardHandler), Timing: timing})
	if err != nil {
		in.b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx) }()
	in.b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			in.b.Errorf("Run() = %v", err)
		}
		_ = blobs.Close()
	})
	overview := in.WatchOverview()
	defer overview.Close()
	for range overview.Changed() {
		up := 0
		for _, server := range overview.Latest().Servers {
			if server.State == studio.ServerUp {
				up++
			}
		}
		if up == len(servers) {
			return
		}
	}
}

// work has bursts of generations asked for, and ends with the last of them. What was said of the first ones, when
// little was learned, does not count.
func (in *installation) work(generations, unlearned int, of *tallies) {
	var following sync.WaitGroup
	over := make(chan struct{}, generations+longestBurst)
	var counted []uuid.UUID
	began := time.Now()
	for made, live := 0, 0; made < generations; {
		for _, id := range in.burst() {
			made, live = made+1, live+1
			learned := made > unlearned
			if learned {
				counted = append(counted, id)
			}
			following.Go(func() {
				defer func() { over <- struct{}{} }()
				if said, took, ok := in.follow(id); ok && learned {
					of.count(0, said.low.Seconds(), said.high.Seconds(), took.Seconds())
				}
			})
		}
		for range min(live, in.noise.IntN(longestBurst+2)) { // the queue grows and shrinks
			<-over
			live--
		}
	}
	following.Wait()
	in.calibrations(counted, of)
	in.b.Logf("%d of %d generations counted, after %v", len(counted), len(counted)+unlearned, time.Since(began).Round(time.Second))
}

const longestBurst = 8

// burst is what a user asks for at once: of one model, each of one of four sizes and with 12 to 32 steps.
func (in *installation) burst() (ids []uuid.UUID) {
	user, model := in.users[in.noise.IntN(len(in.users))], checkpoints[in.noise.IntN(len(checkpoints))].name
	for range 1 + in.noise.IntN(longestBurst) {
		size := [][2]int{{512, 512}, {512, 768}, {768, 512}, {768, 768}}[in.noise.IntN(4)]
		g, _, err := in.Create(in.b.Context(), studio.Request{
			UserID: user, Prompt: "noise " + strconv.Itoa(in.noise.Int()), Original: []byte("{}"),
			Settings: map[string]json.RawMessage{
				"model":  json.RawMessage(strconv.Quote(model)),
				"width":  json.RawMessage(strconv.Itoa(size[0])),
				"height": json.RawMessage(strconv.Itoa(size[1])),
				"steps":  json.RawMessage(strconv.Itoa(12 + 4*in.noise.IntN(6))),
			},
		})
		if err != nil {
			in.b.Fatal(err)
		}
		ids = append(ids, g.ID)
	}
	return ids
}

// stated is the range in which an end is expected, from a time on.
type stated struct {
	at        time.Time
	low, high time.Duration
}

// follow waits for the end of a generation. said is what was stated of it first while it waited, and took how long it
// took from then on; false if nothing was, for it began at once.
func (in *installation) follow(id uuid.UUID) (said stated, took time.Duration, ok bool) {
	watch, err := in.Watch(in.b.Context(), id)
	if err != nil {
		in.b.Error(err)
		return said, 0, false
	}
	defer watch.Close()
	for range watch.Changed() {
		state := watch.Latest()
		p := &state.Progress
		if said.at.IsZero() && p.QueuePosition > 0 && p.ETAKnown {
			said = stated{p.ExpectedFinish.Add(-p.ETA), p.ETALow, p.ETAHigh}
		}
		switch g := &state.Generation; {
		case g.Status == studio.Complete:
			return said, g.FinishedAt.Sub(said.at), !said.at.IsZero()
		case g.Status.Ended():
			in.b.Errorf("a generation ended as %s: %s", g.Status, g.ErrorMessage)
			return said, 0, false
		}
	}
	return said, 0, false
}

// calibrations counts what the studio itself has kept of its ranges, from the beginning of each run on.
func (in *installation) calibrations(generations []uuid.UUID, of *tallies) {
	rows, err := in.pool.Query(in.b.Context(),
		"SELECT calibration FROM attempts WHERE state = 'succeeded' AND generation_id = ANY ($1)", generations)
	if err != nil {
		in.b.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var c studio.Calibration
		if err := rows.Scan(&c); err != nil {
			in.b.Fatal(err)
		}
		if c.First != nil {
			of.said(1, c.First, c.Seconds)
		}
		for i := range c.Later {
			of.said(1+c.Later[i].From/25, &c.Later[i], c.Seconds)
		}
	}
	if err := rows.Err(); err != nil {
		in.b.Fatal(err)
	}
}

// said is count of a range that is kept in seconds since ComfyUI's start.
func (t *tallies) said(moment int, s *studio.ETASaid, end float64) {
	t.count(moment, s.Low-s.At, s.High-s.At, end-s.At)
}
