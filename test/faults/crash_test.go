package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// clients is how many people ask at once, each for the next picture when the last one has ended.
const clients = 16

// endPatience is how long what is left may take once nothing is broken any more.
const endPatience = 10 * time.Minute

// Everything is killed at random while many ask: Easels, ComfyUIs, Postgres, the bus (P02 to P08,
// P15, P16). What was acknowledged ends, and every picture is whole. With -soak it goes on for that long, and
// parts are stopped, frozen, cut off and slowed down as well.
func TestCrash(t *testing.T) {
	t.Parallel()
	r := newRun(t)
	if *soak > 0 {
		r.soak(*soak)
	} else {
		r.crash(*generations, *kills)
	}
	r.finish()
}

// crash asks for so many generations while parts die so many times.
func (r *run) crash(generations, kills int) {
	asked := make(chan int, generations)
	for n := range generations {
		asked <- n
	}
	close(asked)
	r.crowd(asked)
	for range kills {
		r.nemesis.pause(2 * time.Second)
		r.nemesis.strike(deadly)
	}
}

// soak asks without end while everything is done to the installation that can be, until d is over.
func (r *run) soak(d time.Duration) {
	asked := make(chan int)
	stop := make(chan struct{})
	go func() {
		defer close(asked)
		for n := 0; ; n++ {
			select {
			case asked <- n:
			case <-stop:
				return
			}
		}
	}()
	r.crowd(asked)
	for ends := r.began.Add(d); time.Now().Before(ends) && !r.t.Failed(); {
		r.nemesis.pause(6 * time.Second)
		r.nemesis.strike(append(append([]deed{}, deadly...), harmful...))
	}
	close(stop)
}

// run is one installation that is used and broken at the same time.
type run struct {
	t       *testing.T
	in      *harness.Installation
	ledger  *harness.Ledger
	nemesis *nemesis
	began   time.Time
	asking  sync.WaitGroup
	late    context.CancelFunc
	ctx     context.Context // of the clients
}

func newRun(t *testing.T) *run {
	t.Helper()
	t.Logf("seed %d", *seed)
	scale := harness.Scale{
		Instances: *instances, Servers: *servers, Bus: *bus,
		ComfyUI: simulator.Config{PreviewSize: 64, Pace: simulator.Pace{Load: 100 * time.Millisecond, Step: 30 * time.Millisecond}},
		Env:     []string{"EASEL_LOG_LEVEL=info"},
		Keep: func(line string) bool { // an hour of it must fit into memory
			return !strings.HasPrefix(line, "{") || strings.Contains(line, `"lease `) || strings.Contains(line, `"level":"ERROR"`)
		},
	}
	var between broker
	switch *bus {
	case "redis":
		between = harness.StartRedis(t)
	case "nats":
		between = startNATS(t)
	}
	if between != nil {
		scale.Bus = between.URL()
	}
	in := harness.StartInstallation(t, scale)
	r := &run{t: t, in: in, ledger: harness.NewLedger(t, in), began: time.Now()}
	r.nemesis = newNemesis(t, in, between, rand.New(rand.NewPCG(*seed, 0)))
	r.ctx, r.late = context.WithCancel(t.Context())
	t.Cleanup(r.late)
	return r
}

// crowd asks for a generation for each number, and waits for its end before the next.
func (r *run) crowd(asked <-chan int) {
	for client := range clients {
		random := rand.New(rand.NewPCG(*seed, uint64(client)+1)) //nolint:gosec // a small number
		r.asking.Go(func() {
			for n := range asked {
				id := r.ledger.Ask(r.ctx, random, harness.Ask{
					Prompt: fmt.Sprintf("survivor %d", n), Key: fmt.Sprintf("survivor-%d", n),
					Steps: 2 + random.IntN(8), Images: 1 + random.IntN(2),
				})
				if id != "" {
					r.ledger.Await(r.ctx, random, id)
				}
			}
		})
	}
}

// finish waits for the ends, holds the installation to the ledger, and prints the figures.
func (r *run) finish() {
	t := r.t
	t.Helper()
	broken := time.Since(r.began)
	late := time.AfterFunc(endPatience, r.late)
	r.asking.Wait()
	if !late.Stop() {
		t.Errorf("something had not ended %s after the last deed", endPatience)
	}
	took := time.Since(r.began)
	f := r.ledger.Check(t)
	takeOvers := r.nemesis.takeOvers()
	slices.Sort(takeOvers)
	median, longest := time.Duration(0), time.Duration(0)
	if n := len(takeOvers); n > 0 {
		median, longest = takeOvers[n/2], takeOvers[n-1]
	}
	t.Logf(`figures
| what | figure |
| --- | --- |
| Easels, ComfyUIs, bus, seed | %d, %d, %s, %d |
| deeds | %s |
| time until the last deed, and until the last end | %s, %s |
| generations acknowledged, tries without an answer | %d, %d |
| complete, failed, cancelled | %d, %d, %d |
| generations a second | %.1f |
| prompts posted, runs begun | %d, %d |
| attempts lost, images sent again | %d, %d |
| pictures read, hashed and decoded | %d |
| from acceptance to end, p95 | %s |
| leases of dead Easels taken over; median, longest | %d; %s, %s |
`, len(r.in.Easels), len(r.in.ComfyUIs), busName(), *seed, r.nemesis.tell(), broken.Round(time.Second), took.Round(time.Second),
		f.Acknowledged, f.Refused, f.Complete, f.Failed, f.Cancelled, float64(f.Acknowledged)/took.Seconds(),
		f.Posts, f.Runs, f.Losses, f.Reruns, f.Pictures, f.P95,
		len(takeOvers), median.Round(10*time.Millisecond), longest.Round(10*time.Millisecond))
	if longest > 2*time.Minute {
		t.Errorf("a server was without an owner for %s, promised are 20 s (P09)", longest)
	}
}

func busName() string {
	if *bus == "" {
		return "postgres"
	}
	return *bus
}
