package harness

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"easel/db/embedded"
)

// DataDir makes a data folder that lives as long as the test. It is not t.TempDir: the private
// Postgres may run as another user, who must be able to cross the path.
func DataDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "easel-data-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // see above
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// cluster is a data folder with an empty private database in it. Making one takes seconds of two
// processors, a copy of it a tenth of one; the tests of the first start make their own.
var cluster = sync.OnceValues(func() (string, error) {
	dir, err := filesFolder()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "cluster")
	server, err := embedded.Start(context.Background(), embedded.Config{
		DataDir: dir, BinDir: os.Getenv("EASEL_PG_BIN"), User: os.Getenv("EASEL_PG_USER"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return "", err
	}
	return dir, server.Stop(context.Background())
})

// populate copies the empty database into a fresh data folder, owners and rights included.
func populate(dir string) error {
	from, err := cluster()
	if err != nil {
		return err
	}
	command := exec.CommandContext(context.Background(), "cp", "-a", filepath.Join(from, "pg"), dir)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("copy the database: %w: %s", err, out)
	}
	return nil
}

// files is where this test process keeps what all its tests share: binaries, the empty database.
var files struct {
	sync.Mutex
	dir string
}

func filesFolder() (string, error) {
	files.Lock()
	defer files.Unlock()
	if files.dir != "" {
		return files.dir, nil
	}
	dir, err := os.MkdirTemp("", "easel-binary-")
	if err != nil {
		return "", err
	}
	files.dir = dir
	return dir, os.Chmod(dir, 0o711) //nolint:gosec // a test runs the binary as another user
}

// RemoveBinary cleans up after the last test; call it from TestMain.
func RemoveBinary() {
	files.Lock()
	defer files.Unlock()
	if files.dir != "" {
		_ = os.RemoveAll(files.dir)
	}
}
