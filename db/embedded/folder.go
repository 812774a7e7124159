//go:build unix

package embedded

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// longestSocketFolder leaves room for "/.s.PGSQL.5432" and the final NUL in a socket's address,
// which is 104 bytes long on macOS and the BSDs, 108 on Linux.
const longestSocketFolder = 104 - len("/.s.PGSQL.5432") - 1

// folder is where things lie, all absolute.
type folder struct {
	dataDir string // Easel's own
	pg      string
	data    string
	run     string
	lock    string
}

func newFolder(dataDir string) (folder, error) {
	if dataDir == "" {
		return folder{}, errors.New("no data folder was named")
	}
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return folder{}, err
	}
	pg := filepath.Join(dataDir, "pg")
	return folder{
		dataDir: dataDir,
		pg:      pg,
		data:    filepath.Join(pg, "data"),
		run:     filepath.Join(pg, "run"),
		lock:    filepath.Join(pg, "lock"),
	}, nil
}

// prepare makes the folders above the database. Run by another account, the database must be
// reached through them: they can be crossed by everybody, and read by us alone.
func (f folder) prepare(a account) error {
	mode := fs.FileMode(0o700)
	if a.credential != nil {
		mode = 0o711
	}
	for _, dir := range []string{f.dataDir, f.pg} {
		err := os.MkdirAll(dir, mode)
		if err == nil && a.credential != nil {
			err = letCross(dir)
		}
		if err != nil {
			return fmt.Errorf("make data folder: %w; choose another with EASEL_DATA_DIR", err)
		}
	}
	return nil
}

// letCross adds the right to cross dir; who may list or write it stays as it is.
func letCross(dir string) error {
	stat, err := os.Stat(dir)
	if err != nil {
		return err
	}
	const cross = 0o011
	if stat.Mode()&cross == cross {
		return nil
	}
	return os.Chmod(dir, stat.Mode().Perm()|cross)
}

// socketFolder makes the folder for the socket: beside the data, or, where that path is too long
// for a socket's address, under a name made from it in a folder for such things.
func (f folder) socketFolder(a account) (string, error) {
	sum := sha256.Sum256([]byte(f.data))
	short := "easel-" + hex.EncodeToString(sum[:6])
	candidates := []string{f.run}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && a.credential == nil {
		candidates = append(candidates, filepath.Join(dir, short))
	}
	candidates = append(candidates, filepath.Join(os.TempDir(), short), filepath.Join("/tmp", short))
	var errs []error
	for _, dir := range candidates {
		if len(dir) > longestSocketFolder || strings.Contains(dir, ",") { // a comma separates folders
			continue
		}
		if err := makePrivate(dir, a); err != nil {
			errs = append(errs, err)
			continue
		}
		return dir, nil
	}
	return "", fmt.Errorf("no folder for the database's socket (at most %d bytes of path): %w; "+
		"choose a shorter EASEL_DATA_DIR", longestSocketFolder, errors.Join(errs...))
}

// makePrivate makes dir, for the account alone. One that somebody else made is refused: in /tmp
// anybody can be first.
func makePrivate(dir string, a account) error {
	switch err := os.Mkdir(dir, 0o700); {
	case err == nil:
		return a.give(dir)
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	stat, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	owner := int(stat.Sys().(*syscall.Stat_t).Uid)
	if owner == os.Geteuid() && owner != a.uid { // we made it and died before giving it away
		if err := a.give(dir); err != nil {
			return err
		}
		owner = a.uid
	}
	if !stat.IsDir() || owner != a.uid || stat.Mode().Perm() != 0o700 {
		return fmt.Errorf("%s is not a folder of %s alone (mode 0700); remove it", dir, a.name)
	}
	return nil
}

// acquireLock makes sure that one Easel at a time uses the database, and leaves our process id
// for the next one to name. The kernel lets go of it with our last breath.
func acquireLock(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock database: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock database: %s: %w", name, err)
		}
		return nil, fmt.Errorf("%s is in use by another Easel%s; stop that one, or give this one another EASEL_DATA_DIR or a DATABASE_URL",
			filepath.Dir(name), holder(file))
	}
	err = file.Truncate(0)
	if err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock database: %w", err)
	}
	return file, nil
}

// holder names the process that wrote its id into the lock, where it could be read.
func holder(file *os.File) string {
	text := make([]byte, 32)
	n, _ := file.ReadAt(text, 0) // io.EOF: it is shorter
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}
