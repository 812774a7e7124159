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

// How hard TestCrash and TestSoak are on the installation: `make test` runs TestCrash as it stands
// here, `make test-crash` and `make soak` give more.
var (
	instances   = flag.Int("instances", 3, "Easels of TestCrash and TestSoak")
	servers     = flag.Int("servers", 4, "ComfyUIs of TestCrash and TestSoak")
	generations = flag.Int("generations", 120, "generations of TestCrash")
	kills       = flag.Int("kills", 10, "deaths of TestCrash")
	soak        = flag.Duration("soak", 0, "how long TestSoak goes on; 0: it is left out")
	bus         = flag.String("bus", "", "EASEL_BUS of TestCrash and TestSoak; redis, nats: with a server of their own")
	seed        = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what happens when in TestCrash and TestSoak")
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
