//go:build unix

package embedded

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What Easel does not understand it leaves alone, to the last byte, and says what it is (P22).
func TestStrangeData(t *testing.T) {
	t.Parallel()
	dir := madeBefore(t)
	data := filepath.Join(dir, "pg", "data")
	if err := os.WriteFile(filepath.Join(data, "marker"), []byte("do not delete"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		file   string
		change func(file string) error
		want   []string // in the error
	}{
		{"older version", "PG_VERSION", write("14\n"), []string{"Postgres 14", "nothing was changed", "postgresql-14"}},
		{"newer version", "PG_VERSION", write("99\n"), []string{"Postgres 99", "nothing was changed", "DATABASE_URL"}},
		{"unreadable version", "PG_VERSION", write("\x00\xff"), []string{"unknown version", "nothing was changed"}},
		{"empty version", "PG_VERSION", write(""), []string{"unknown version", "nothing was changed"}},
		{"no version", "PG_VERSION", os.Remove, []string{"PG_VERSION is missing", "nothing was changed"}},
		{"no password", passwordFile, os.Remove, []string{"password", "docs/database.md"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(data, test.file)
			whole, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := test.change(file); err != nil {
				t.Fatal(err)
			}
			defer func() { // for the next one
				if err := os.WriteFile(file, whole, 0o600); err != nil {
					t.Error(err)
				}
			}()
			before := contents(t, data)
			s, err := Start(t.Context(), Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
			if err == nil {
				_ = s.Stop(context.Background())
				t.Fatal("started")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if after := contents(t, data); !slices.Equal(before, after) {
				t.Error("the data folder was changed")
			}
		})
	}
}

func write(text string) func(string) error {
	return func(file string) error { return os.WriteFile(file, []byte(text), 0o600) }
}

// contents lists every file with its hash.
func contents(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			list = append(list, name)
			return err
		}
		content, err := os.ReadFile(name)
		list = append(list, fmt.Sprintf("%s %x", name, sha256.Sum256(content)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Folders that cannot be made are named.
func TestImpossibleFolder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(tempDir(t), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(file, "below"), "/proc/easel/data"} {
		_, err := Start(t.Context(), Config{DataDir: dir})
		if err == nil || !strings.Contains(err.Error(), filepath.Dir(dir)) || !strings.Contains(err.Error(), "EASEL_DATA_DIR") {
			t.Errorf("Start in %s: %v, want an error that names the folder and the way out", dir, err)
		}
	}
	if _, err := Start(t.Context(), Config{}); err == nil {
		t.Error("started without a data folder")
	}
}

// A home that only its owner may enter stops root, whose Postgres runs as somebody else, with
// the folder and the remedy; the owner it does not stop.
func TestUncrossableParent(t *testing.T) {
	t.Parallel()
	home := tempDir(t) // 0700
	dir := filepath.Join(home, "share", "easel")
	s, err := Start(t.Context(), Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if os.Geteuid() != 0 {
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		return
	}
	if err == nil {
		_ = s.Stop(context.Background())
		t.Fatal("started, although the account of Postgres cannot get there")
	}
	for _, want := range []string{me(t).name, "cannot enter " + home + ";", "chmod o+x " + home} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

// The wanted account has to exist, and only root can become another.
func TestAccount(t *testing.T) {
	t.Parallel()
	if _, err := chooseAccount("no-such-account", ""); err == nil || !strings.Contains(err.Error(), "no-such-account") {
		t.Errorf("an account that does not exist: %v", err)
	}
	if _, err := chooseAccount("root", ""); err == nil {
		t.Error("Postgres would run as root")
	}
	if _, err := ourselves(54321, ""); err == nil || !strings.Contains(err.Error(), "/etc/passwd") || !strings.Contains(err.Error(), "DATABASE_URL") {
		t.Errorf("a user id without a name: %v", err) // as containers have
	}
	if a := me(t); a.uid == 0 || a.name == "" || (a.credential != nil) != (os.Geteuid() == 0) {
		t.Errorf("chosen account = %+v", a)
	}
	// Data that exist are run by their owner, and by no other.
	dir := madeBefore(t)
	if _, err := Start(t.Context(), Config{DataDir: dir, User: "daemon"}); err == nil || !strings.Contains(err.Error(), "EASEL_PG_USER") {
		t.Errorf("run as another account: %v", err)
	}
}

// Without binaries the error holds the line that installs them, and the other ways.
func TestNoBinaries(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		found []binaries
		want  int
		says  []string
	}{
		"none at all":         {nil, 0, []string{"no Postgres was found", "apt-get install postgresql,", "DATABASE_URL", "EASEL_PG_BIN"}},
		"none for the data":   {nil, 16, []string{"Postgres 16", "apt-get install postgresql-16,"}},
		"too old":             {[]binaries{{"/old", 14, "14.9"}}, 0, []string{"14.9 in /old", "15 or newer"}},
		"others for the data": {[]binaries{{"/new", 18, "18.1"}, {"/old", 16, "16.4"}}, 17, []string{"Postgres 17", "18.1 in /new, 16.4 in /old"}},
	} {
		_, err := choose(test.found, test.want)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, says := range test.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: error %q does not say %q", name, err, says)
			}
		}
	}
	if _, err := findBinaries(t.TempDir(), 0); err == nil || !strings.Contains(err.Error(), "EASEL_PG_BIN") {
		t.Errorf("a folder without binaries: %v", err)
	}
}

// The data's own version is taken before the newest, and links are followed to the real folder.
func TestFindBinaries(t *testing.T) {
	t.Parallel()
	found := []binaries{{"/14", 14, "14.1"}, {"/18", 18, "18.1"}, {"/16", 16, "16.4"}}
	for want, dir := range map[int]string{0: "/18", 16: "/16", 18: "/18", 14: "/14"} {
		if b, err := choose(found, want); err != nil || b.dir != dir {
			t.Errorf("choose(%d) = %v, %v, want %s", want, b, err, dir)
		}
	}
	real, err := findBinaries("", 0)
	if err != nil {
		t.Fatal(err)
	}
	links := t.TempDir()
	if err := os.Symlink(real.postgres(), filepath.Join(links, "postgres")); err != nil {
		t.Fatal(err)
	}
	if linked, err := findBinaries(links, 0); err != nil || linked != real {
		t.Errorf("through a link: %+v, %v, want %+v", linked, err, real)
	}
	for path, want := range map[string]int{"/usr/lib/postgresql/17/bin": 17, "/opt/postgresql@16/bin": 16, "/usr/bin": 0} {
		if got := number(path); got != want {
			t.Errorf("number(%s) = %d, want %d", path, got, want)
		}
	}
}
