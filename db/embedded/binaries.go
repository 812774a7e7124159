//go:build unix

package embedded

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// minVersion is the oldest major version that Easel's schema runs on. No newest: each of
// Postgres' versions so far has run what the one before ran.
const minVersion = 15

// usualPlaces are where packages put their binaries, a folder for each major version.
var usualPlaces = []string{
	"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                   // PGDG's packages for Red Hat and SUSE
	"/usr/lib/postgresql*/bin",                           // SUSE
	"/usr/libexec/postgresql*",                           // Alpine
	"/opt/homebrew/opt/postgresql@*/bin",                 // Homebrew on Apple silicon
	"/usr/local/opt/postgresql@*/bin",                    // Homebrew on Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",    // Homebrew on Linux
	"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
	"/usr/local/pgsql/bin", "/usr/local/bin", "/usr/bin", // from source, FreeBSD, Arch
	"/opt/local/lib/postgresql*/bin", // MacPorts
}

// binaries are one version's programs.
type binaries struct {
	dir   string
	major int
	full  string // "15.18"
}

func (b binaries) postgres() string { return filepath.Join(b.dir, "postgres") }
func (b binaries) initdb() string   { return filepath.Join(b.dir, "initdb") }

// findBinaries looks in binDir, or when that is empty on PATH and then in the usual places,
// newest version first. want is the major version of data that exist, which only its own
// binaries can open; 0 takes any that is new enough.
func findBinaries(binDir string, want int) (binaries, error) {
	if binDir != "" {
		b, err := inspect(binDir)
		if err != nil {
			return binaries{}, fmt.Errorf("%w (EASEL_PG_BIN names the folder that holds postgres and initdb)", err)
		}
		return choose([]binaries{b}, want)
	}
	var found []binaries
	for _, dir := range candidates() {
		if b, err := inspect(dir); err == nil {
			found = append(found, b)
		}
	}
	return choose(found, want)
}

// candidates lists folders, those of PATH before the usual ones, in which the newest come first.
func candidates() []string {
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, pattern := range usualPlaces {
		matches, _ := filepath.Glob(pattern) // the patterns are well formed
		slices.SortStableFunc(matches, func(a, b string) int { return number(b) - number(a) })
		dirs = append(dirs, matches...)
	}
	return dirs
}

// number is the first number in a path, such as the version in postgresql@17 or pgsql-16.
func number(path string) int {
	start := strings.IndexAny(path, "0123456789")
	if start < 0 {
		return 0
	}
	n, _ := leadingNumber(path[start:])
	return n
}

func leadingNumber(s string) (int, error) {
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	return strconv.Atoi(s[:end])
}

// inspect asks the postgres in dir for its version. A link is followed: the real folder is where
// the other programs and files of that version lie.
func inspect(dir string) (binaries, error) {
	program, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	if err != nil {
		return binaries{}, err
	}
	b := binaries{dir: filepath.Dir(program)}
	if _, err := exec.LookPath(b.initdb()); err != nil {
		return binaries{}, err
	}
	out, err := exec.Command(program, "--version").Output() //nolint:noctx // prints a line
	if err != nil {
		return binaries{}, fmt.Errorf("%s --version: %w", program, err)
	}
	// postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
	_, version, ok := strings.Cut(string(out), "(PostgreSQL) ")
	if ok {
		b.full = strings.Fields(version + " ?")[0]
		b.major, err = leadingNumber(b.full)
	}
	if !ok || err != nil {
		return binaries{}, fmt.Errorf("%s --version said %q", program, out)
	}
	return b, nil
}

func choose(found []binaries, want int) (binaries, error) {
	for _, b := range found {
		if b.major == want || want == 0 && b.major >= minVersion {
			return b, nil
		}
	}
	switch {
	case want != 0 && len(found) > 0:
		return binaries{}, fmt.Errorf("the data are of Postgres %d, the binaries found are of %s; "+
			"nothing was changed: %s, or move the data with pg_dump as docs/database.md says", want, versions(found), howToInstall(want))
	case want != 0:
		return binaries{}, fmt.Errorf("the data are of Postgres %d, and its binaries are missing: %s", want, howToInstall(want))
	case len(found) > 0:
		return binaries{}, fmt.Errorf("it takes Postgres %d or newer, found %s: %s", minVersion, versions(found), howToInstall(0))
	default:
		return binaries{}, fmt.Errorf("no Postgres was found: %s", howToInstall(0))
	}
}

func versions(found []binaries) string {
	var list []string
	for _, b := range found {
		if one := b.full + " in " + b.dir; !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	return strings.Join(list, ", ")
}

// howToInstall is the way out for this system; major 0 is the system's own.
func howToInstall(major int) string {
	const otherwise = ", or name a server with DATABASE_URL, or the folder of the binaries with EASEL_PG_BIN"
	suffix := ""
	if major != 0 {
		suffix = strconv.Itoa(major)
	}
	if runtime.GOOS == "darwin" {
		if suffix == "" {
			suffix = "17"
		}
		return "install it with: brew install postgresql@" + suffix + otherwise
	}
	if suffix != "" {
		suffix = "-" + suffix
	}
	return "install it with: sudo apt-get install postgresql" + suffix + otherwise
}

// majorOf reads the version that data were made with; 0 when there are no data.
func majorOf(data string) (int, error) {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	switch {
	case err == nil:
	case !errors.Is(err, os.ErrNotExist):
		return 0, err
	case isEmpty(data):
		return 0, nil
	default:
		return 0, fmt.Errorf("%s holds files, but no database (PG_VERSION is missing); nothing was changed: "+
			"put the database back, or move the folder away", data)
	}
	major, err := leadingNumber(strings.TrimSpace(string(text)))
	if err != nil || major == 0 {
		return 0, fmt.Errorf("%s holds a database of an unknown version (PG_VERSION says %q); nothing was changed", data, text)
	}
	return major, nil
}

// isEmpty reports whether dir is missing or has nothing in it. One that cannot be read is not.
func isEmpty(dir string) bool {
	entries, err := os.ReadDir(dir)
	return len(entries) == 0 && (err == nil || errors.Is(err, os.ErrNotExist))
}
