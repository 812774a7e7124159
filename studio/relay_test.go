package studio_test

import (
	"context"
	"sync"
	"testing"

	"easel/comfy/simulator"
	"easel/studio"
)

// deafBus is a bus that carries nothing while it is deaf, as a pooler between Easel and Postgres does.
type deafBus struct {
	studio.Bus
	mu   sync.Mutex
	deaf bool
}

func (b *deafBus) set(deaf bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deaf = deaf
}

func (b *deafBus) Run(ctx context.Context, hear func([]byte), missed func()) error {
	return b.Bus.Run(ctx, func(message []byte) {
		b.mu.Lock()
		deaf := b.deaf
		b.mu.Unlock()
		if !deaf {
			hear(message)
		}
	}, missed)
}

// P19, rows 14 and 15: bells that are never heard cost seconds and no state, and once they are heard again
// the bus is trusted again.
func TestLostBells(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.awaitServer(studio.ServerUp)
	bus := &deafBus{Bus: studio.NewPostgresBus(w.pool, logger(t)), deaf: true}
	w.bus = bus
	second, stop := w.run(w.pool, false)
	defer stop()
	g := w.create(request("never rung for"))
	w.awaitStatus(g.ID, studio.Complete)
	w.eventually("read by the other", func() bool { return len(second.Overview().Recent) == 1 })
	if n, _, _ := second.Counters().BusProbeSeconds.Read(); n != 0 {
		t.Errorf("%d probes came back over a deaf bus", n)
	}
	bus.set(false)
	w.eventually("heard again", func() bool {
		n, _, _ := second.Counters().BusProbeSeconds.Read()
		return n > 0
	})
}

// Whoever watches on an instance that does not follow the prompt sees its steps and previews as well, the last at
// once when he comes late; and its numbers do not go back when another instance takes over.
func TestProgressElsewhere(t *testing.T) {
	t.Parallel()
	for name, buses := range map[string]func(*workshop) (first, second studio.Bus){
		"by the database": func(*workshop) (studio.Bus, studio.Bus) { return nil, nil },
		"by another bus": func(*workshop) (studio.Bus, studio.Bus) {
			net := new(studio.MemoryNet)
			return net.NewBus(), net.NewBus()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var other studio.Bus
			w := open(t, stepping, func(w *workshop, _ *simulator.Config) { w.bus, other = buses(w) })
			w.awaitServer(studio.ServerUp)
			w.bus = other
			second, stop := w.run(w.pool, false)
			defer stop()
			g := w.create(request("seen from elsewhere"))
			w.atStep(3) // the second has been told of
			first := w.studio
			w.studio = second
			late := w.await(g.ID, "shown with its preview on the other instance", func(s *studio.State) bool {
				return s.Progress.CurrentStep >= 2 && s.Progress.PreviewRev > 0
			})
			if late.Progress.TotalSteps != 4 || late.Progress.Phase == "" {
				t.Errorf("shown as %+v", late.Progress)
			}
			if p, ok := second.Preview(t.Context(), g.ID, 1); !ok || len(p.Bytes) == 0 {
				t.Error("there is no preview on the other instance")
			}
			w.studio = first
			w.stop() // and the lease with it: the other goes on
			w.studio = second
			w.stepper.Open()
			floor := late.Progress
			w.await(g.ID, "complete", func(s *studio.State) bool {
				if s.Progress.CurrentStep < floor.CurrentStep || s.Progress.Percentage < floor.Percentage || s.Progress.Overall < floor.Overall {
					t.Errorf("went back from %+v to %+v", floor, s.Progress)
				}
				floor = s.Progress
				return s.Generation.Status.Ended()
			})
			w.once()
			w.eventually("without previews in the table", func() bool { return w.count("SELECT count(*) FROM previews") == 0 })
		})
	}
}
