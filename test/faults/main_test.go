// Package faults proves the fault matrix: each row of docs/reliability.md is one test with its number,
// here or in test/trouble, on the built program with a real Postgres, and one run kills everything
// at random under a ledger outside of it.
package faults

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"easel/test/harness"
)

// How hard TestCrash is on the installation: `make test` runs it as it stands
// here, `make test-crash` and `make soak` give more.
var (
	instances   = flag.Int("instances", 3, "Easels of TestCrash")
	servers     = flag.Int("servers", 4, "ComfyUIs of TestCrash")
	generations = flag.Int("generations", 120, "generations of TestCrash")
	kills       = flag.Int("kills", 10, "deaths of TestCrash")
	soak        = flag.Duration("soak", 0, "how long TestCrash goes on, with harmful deeds besides; 0: until -generations and -kills are over")
	bus         = flag.String("bus", "", "EASEL_BUS of TestCrash; redis, nats: with a server of their own")
	seed        = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what happens when in TestCrash")
)

// together is how many tests run at once: they wait, most of the time, for what Easel waits for.
const together = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", together); err != nil {
			panic(err) // the testing package has this flag
		}
	}
	code := m.Run()
	harness.RemoveBinary()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
