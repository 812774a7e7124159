package faults

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"easel/test/harness"
)

// nemesis breaks one part of an installation after the other, and mends each before it breaks the next.
// It notes the deaths of Easels, for the figures of the take-over.
type nemesis struct {
	t      *testing.T
	in     *harness.Installation
	broker broker // nil: the bus is Postgres
	random *rand.Rand

	did    map[string]int
	deaths [][]time.Time // of each Easel
}

func newNemesis(t *testing.T, in *harness.Installation, b broker, random *rand.Rand) *nemesis {
	return &nemesis{t: t, in: in, broker: b, random: random, did: make(map[string]int), deaths: make([][]time.Time, len(in.Easels))}
}

// broker is a bus that is a server of its own.
type broker interface {
	URL() string
	Kill()
	Start() error
	Freeze(on bool)
}

// deed breaks something for a while; it returns when it is whole again.
type deed struct {
	name string
	do   func(n *nemesis) error
}

// deadly are the deeds that count as kills; the others cut, slow and stop.
var deadly = []deed{
	{"Easel killed", (*nemesis).killEasel},
	{"Easel killed", (*nemesis).killEasel},
	{"Easel killed", (*nemesis).killEasel},
	{"Easel stopped and started", (*nemesis).stopEasel},
	{"ComfyUI killed", (*nemesis).killComfyUI},
	{"ComfyUI killed", (*nemesis).killComfyUI},
	{"Postgres killed", (*nemesis).killPostgres},
	{"bus killed", (*nemesis).killBroker},
}

var harmful = []deed{
	{"Easel frozen", (*nemesis).freezeEasel},
	{"Postgres restarted", func(n *nemesis) error { return n.in.Postgres.Restart() }},
	{"Postgres frozen", (*nemesis).freezePostgres},
	{"bus frozen", (*nemesis).freezeBroker},
	{"way to Postgres cut", (*nemesis).cutRoad},
	{"way to Postgres stalled", (*nemesis).stallRoad},
	{"way to ComfyUI cut", (*nemesis).cutLink},
	{"way to ComfyUI stalled", (*nemesis).stallLink},
	{"ComfyUI frozen", (*nemesis).freezeComfyUI},
	{"ComfyUI slow", (*nemesis).slowComfyUI},
	{"sockets forgotten", (*nemesis).deafen},
}

// strike does one deed of a list.
func (n *nemesis) strike(list []deed) {
	n.t.Helper()
	d := list[n.random.IntN(len(list))]
	if strings.HasPrefix(d.name, "bus") && n.broker == nil {
		d = list[0]
	}
	n.did[d.name]++
	if err := d.do(n); err != nil {
		n.t.Errorf("%s: %v", d.name, err)
	}
}

// pause is a random time up to a bound.
func (n *nemesis) pause(most time.Duration) {
	timer := time.NewTimer(time.Duration(n.random.Int64N(int64(most))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-n.t.Context().Done():
	}
}

func (n *nemesis) easel() (*harness.Easel, int) {
	i := n.random.IntN(len(n.in.Easels))
	return n.in.Easels[i], i
}

func (n *nemesis) killEasel() error {
	e, i := n.easel()
	n.deaths[i] = append(n.deaths[i], time.Now())
	e.Kill()
	n.pause(time.Second)
	return bringBack(e)
}

func (n *nemesis) stopEasel() error {
	e, i := n.easel()
	e.Stop()
	n.deaths[i] = append(n.deaths[i], time.Now())
	return bringBack(e)
}

// bringBack starts an Easel as systemd would: again, as long as the start is refused. Each start waits
// by itself for a database that is not there yet.
func bringBack(e *harness.Easel) error {
	for began := time.Now(); ; {
		err := e.TryRestart()
		if err == nil || time.Since(began) > harness.Patience {
			return err
		}
	}
}

func (n *nemesis) freezeEasel() error {
	e, _ := n.easel()
	e.Signal(syscall.SIGSTOP)
	n.pause(20 * time.Second) // longer than a lease, now and then
	e.Signal(syscall.SIGCONT)
	return nil
}

func (n *nemesis) killComfyUI() error {
	comfy := n.in.ComfyUIs[n.random.IntN(len(n.in.ComfyUIs))]
	comfy.Kill()
	n.pause(time.Second)
	return comfy.Restart()
}

func (n *nemesis) killPostgres() error { return n.in.Postgres.Kill() }

func (n *nemesis) killBroker() error {
	n.broker.Kill()
	n.pause(2 * time.Second)
	return n.broker.Start()
}

func (n *nemesis) freezePostgres() error {
	if err := n.in.Postgres.Freeze(true); err != nil {
		return err
	}
	n.pause(10 * time.Second)
	return n.in.Postgres.Freeze(false)
}

func (n *nemesis) freezeBroker() error {
	n.broker.Freeze(true)
	n.pause(20 * time.Second)
	n.broker.Freeze(false)
	return nil
}

func (n *nemesis) cutRoad() error {
	road := n.in.Roads[n.random.IntN(len(n.in.Roads))]
	road.Cut()
	n.pause(5 * time.Second)
	road.Mend()
	return nil
}

func (n *nemesis) stallRoad() error {
	road := n.in.Roads[n.random.IntN(len(n.in.Roads))]
	road.Stall(true)
	n.pause(20 * time.Second)
	road.Stall(false)
	return nil
}

func (n *nemesis) cutLink() error {
	link := n.in.Links[n.random.IntN(len(n.in.Links))]
	link.Cut()
	n.pause(5 * time.Second)
	link.Mend()
	return nil
}

func (n *nemesis) stallLink() error {
	link := n.in.Links[n.random.IntN(len(n.in.Links))]
	link.Stall(true)
	n.pause(10 * time.Second)
	link.Stall(false)
	return nil
}

func (n *nemesis) freezeComfyUI() error {
	faults := n.in.ComfyUIs[n.random.IntN(len(n.in.ComfyUIs))].Faults()
	faults.Freeze(true)
	n.pause(10 * time.Second)
	faults.Freeze(false)
	return nil
}

func (n *nemesis) slowComfyUI() error {
	faults := n.in.ComfyUIs[n.random.IntN(len(n.in.ComfyUIs))].Faults()
	faults.Throttle(50 << 10)
	faults.Delay(2 * time.Second)
	n.pause(10 * time.Second)
	faults.Throttle(0)
	faults.Delay(0)
	return nil
}

func (n *nemesis) deafen() error {
	n.in.ComfyUIs[n.random.IntN(len(n.in.ComfyUIs))].Faults().Deafen()
	return nil
}

// takeOvers are the times from the death of an Easel to the next lease of a server that it held.
func (n *nemesis) takeOvers() (list []time.Duration) {
	type taking struct {
		harness.Lease
		instance int
	}
	byFence := map[string]taking{}
	for i, e := range n.in.Easels {
		for _, l := range e.Leases() {
			byFence[fmt.Sprint(l.Server, " ", l.Fence)] = taking{l, i}
		}
	}
	for _, next := range byFence {
		before, known := byFence[fmt.Sprint(next.Server, " ", next.Fence-1)]
		if !known {
			continue
		}
		for _, death := range n.deaths[before.instance] {
			if death.After(before.Time) && death.Before(next.Time) {
				list = append(list, next.Time.Sub(death))
				break
			}
		}
	}
	return list
}

// tell is the deeds as words.
func (n *nemesis) tell() string {
	var words []string
	seen := map[string]bool{}
	for _, d := range append(append([]deed{}, deadly...), harmful...) {
		if count := n.did[d.name]; count > 0 && !seen[d.name] {
			seen[d.name] = true
			words = append(words, fmt.Sprintf("%s %d", d.name, count))
		}
	}
	return strings.Join(words, ", ")
}
