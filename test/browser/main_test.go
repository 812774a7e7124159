package browser

import (
	"os"
	"testing"

	"easel/test/harness"
)

func TestMain(m *testing.M) {
	code := m.Run()
	Quit()
	harness.RemoveBinary()
	os.Exit(code)
}
