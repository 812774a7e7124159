// Package trouble runs the built program while everything around it dies, stalls or lies, over real
// sockets: what has been accepted is never lost, and nobody is shown what is not so. Each test is
// named for what happens; docs/failures.md is the list.
package trouble

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"easel/test/browser"
	"easel/test/harness"
)

// together is how many tests run at once. Most of their time goes into waiting for what Easel itself
// waits for (30 s until a lost prompt is believed to be lost), which costs no processor.
const together = "8"

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
	browser.Quit()
	harness.RemoveBinary()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
