package expressions

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The bundle that all of this is measured against.
const (
	datastarModule = "github.com/starfederation/datastar@v1.0.2"
	datastarSHA256 = "2837d87acf6ee0ba8e4e63765926c25a98d63883b02f88be194a86b81d3fd24a"
)

// datastar is the bundle, out of the module cache or, the first time, from the module proxy.
func datastar(t *testing.T) []byte {
	t.Helper()
	download := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", datastarModule)
	download.Stderr = os.Stderr
	told, err := download.Output()
	if err != nil {
		t.Fatalf("go mod download: %v\n%s", err, told)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(told, &module); err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile(filepath.Join(module.Dir, "bundles", "datastar.js"))
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(bundle); hex.EncodeToString(sum[:]) != datastarSHA256 {
		t.Fatalf("the bundle is not the one that was read: %x", sum)
	}
	return bundle
}
