package handlers

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"easel/test/browser"
)

func TestMain(m *testing.M) {
	code := m.Run()
	browser.Quit()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
