package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const limit = 1 << 20 // bytes, more than any content here

func newFolder(t *testing.T) (*Folder, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "images")
	folder, err := NewFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
	})
	return folder, dir
}

func nameOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

func put(t *testing.T, folder *Folder, content string) Info {
	t.Helper()
	info, err := folder.Put(t.Context(), strings.NewReader(content), limit)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func read(t *testing.T, folder *Folder, name string) string {
	t.Helper()
	file, err := folder.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	content, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// files lists everything in dir that is not a folder.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			rel, _ := filepath.Rel(dir, name)
			list = append(list, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestPutAndOpen(t *testing.T) {
	folder, dir := newFolder(t)
	for _, content := range []string{"a picture", "", strings.Repeat("x", 300_000)} {
		name := nameOf(content)
		info := put(t, folder, content)
		if info.SHA256 != name || info.Size != int64(len(content)) || time.Since(info.StoredAt) > time.Minute {
			t.Errorf("Put = %+v, want %s of %d bytes, now", info, name, len(content))
		}
		if got := read(t, folder, name); got != content {
			t.Errorf("read %d bytes, want %d", len(got), len(content))
		}
		stat, err := folder.Stat(t.Context(), name)
		if err != nil || stat.SHA256 != name || stat.Size != info.Size {
			t.Errorf("Stat = %+v, %v, want %+v", stat, err, info)
		}
		if _, err := os.Stat(filepath.Join(dir, name[:2], name[2:4], name)); err != nil {
			t.Error(err)
		}
	}
	if list := files(t, dir); len(list) != 3 {
		t.Errorf("files = %q, want the three blobs alone", list)
	}
}

// A visitor asks for a range of a file that somebody else deletes.
func TestOpenOutlivesDelete(t *testing.T) {
	folder, _ := newFolder(t)
	info := put(t, folder, "0123456789")
	file, err := folder.Open(t.Context(), info.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range 2 { // the second time it is gone already
		if err := folder.Delete(t.Context(), info.SHA256); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := file.Seek(4, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(file); string(rest) != "456789" || err != nil {
		t.Errorf("read %q, %v", rest, err)
	}
	if _, err := folder.Open(t.Context(), info.SHA256); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open after Delete: %v, want ErrNotFound", err)
	}
	if _, err := folder.Stat(t.Context(), info.SHA256); !errors.Is(err, ErrNotFound) {
		t.Errorf("Stat after Delete: %v, want ErrNotFound", err)
	}
}

// A content at the cap is stored, one byte more is not, and a broken reader leaves nothing.
func TestPutRefuses(t *testing.T) {
	broken := errors.New("broken")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx  context.Context
		r    io.Reader
		max  int64
		want error
	}{
		"at the cap":            {t.Context(), strings.NewReader("12345"), 5, nil},
		"over the cap":          {t.Context(), strings.NewReader("123456"), 5, ErrTooLarge},
		"endless":               {t.Context(), endless{}, 1 << 16, ErrTooLarge},
		"cap of nothing":        {t.Context(), strings.NewReader("1"), 0, ErrTooLarge},
		"truncated":             {t.Context(), io.MultiReader(strings.NewReader("123"), iotest.ErrReader(io.ErrUnexpectedEOF)), 5, io.ErrUnexpectedEOF},
		"broken at the cap":     {t.Context(), io.MultiReader(strings.NewReader("12345"), iotest.ErrReader(broken)), 5, broken},
		"one byte at a time":    {t.Context(), iotest.OneByteReader(strings.NewReader("12345")), 5, nil},
		"end with the last":     {t.Context(), iotest.DataErrReader(strings.NewReader("12345")), 5, nil},
		"caller has left":       {gone, strings.NewReader("12345"), 5, context.Canceled},
		"timeout in the middle": {t.Context(), iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("12345"))), 5, iotest.ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			folder, dir := newFolder(t)
			info, err := folder.Put(test.ctx, test.r, test.max)
			if !errors.Is(err, test.want) {
				t.Fatalf("Put: %v, want %v", err, test.want)
			}
			want := 0
			if test.want == nil {
				want = 1
			} else if info != (Info{}) {
				t.Errorf("Put = %+v with an error", info)
			}
			if list := files(t, dir); len(list) != want {
				t.Errorf("files = %q, want %d", list, want)
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// The same picture from many at once is one file, and each of them is told its name.
func TestPutEqualAtOnce(t *testing.T) {
	folder, dir := newFolder(t)
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			info, err := folder.Put(context.Background(), iotest.HalfReader(strings.NewReader("the same")), limit)
			if err != nil || info.SHA256 != nameOf("the same") {
				t.Errorf("Put = %+v, %v", info, err)
			}
		})
	}
	group.Wait()
	if list := files(t, dir); len(list) != 1 {
		t.Errorf("files = %q, want one", list)
	}
	if got := read(t, folder, nameOf("the same")); got != "the same" {
		t.Errorf("content = %q", got)
	}
}

// Storing what is there writes nothing, but makes it young again, so that whoever removes old
// orphans leaves it.
func TestPutAgainRenews(t *testing.T) {
	folder, dir := newFolder(t)
	info := put(t, folder, "again")
	place := filepath.Join(dir, place(info.SHA256))
	old := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(place, old, old); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(place)
	if err != nil {
		t.Fatal(err)
	}
	put(t, folder, "again")
	after, err := os.Stat(place)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("the file was written again")
	}
	if stat, err := folder.Stat(t.Context(), info.SHA256); err != nil || time.Since(stat.StoredAt) > time.Minute {
		t.Errorf("StoredAt = %v, %v, want now", stat.StoredAt, err)
	}
}

// A power cut can leave a name with half its content, if the file system renames before it
// writes. The next Put of it mends that.
func TestPutMendsTruncated(t *testing.T) {
	folder, dir := newFolder(t)
	info := put(t, folder, "whole content")
	if err := os.Truncate(filepath.Join(dir, place(info.SHA256)), 5); err != nil {
		t.Fatal(err)
	}
	put(t, folder, "whole content")
	if got := read(t, folder, info.SHA256); got != "whole content" {
		t.Errorf("content = %q", got)
	}
}

// Whatever step a Put dies at, nothing is promised, a second Put succeeds, and the folder is
// synced before it says so.
func TestPutDiesAtEachSync(t *testing.T) {
	cut := errors.New("power cut")
	const syncs = 4 // the file, bb, aa, the folder itself
	for dies := range syncs {
		folder, dir := newFolder(t)
		done := 0
		folder.sync = func(file *os.File) error {
			if done == dies {
				return cut
			}
			done++
			return file.Sync()
		}
		if _, err := folder.Put(t.Context(), strings.NewReader("content"), limit); !errors.Is(err, cut) {
			t.Fatalf("Put with sync %d failing: %v, want the failure", dies, err)
		}
		var synced []string
		folder.sync = func(file *os.File) error {
			synced = append(synced, filepath.Base(file.Name()))
			return file.Sync()
		}
		info := put(t, folder, "content")
		if len(synced) != syncs || !cmp.Equal(synced[1:3], []string{info.SHA256[2:4], info.SHA256[:2]}) {
			t.Errorf("synced %q, want the file, then its folders", synced)
		}
		if list := files(t, dir); len(list) != 1 {
			t.Errorf("files = %q, want one", list)
		}
		if got := read(t, folder, info.SHA256); got != "content" {
			t.Errorf("content = %q", got)
		}
	}
}

// What a killed Put left goes when it is old; a Put that is at work and the blobs stay.
func TestSweep(t *testing.T) {
	folder, dir := newFolder(t)
	info := put(t, folder, "stays")
	old := time.Now().Add(-25 * time.Hour)
	for name, at := range map[string]time.Time{tempPrefix + "old": old, tempPrefix + "young": time.Now(), "README": old, place(info.SHA256): old} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("stays"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if removed, err := folder.Sweep(t.Context(), 24*time.Hour); removed != 1 || err != nil {
		t.Errorf("Sweep = %d, %v, want 1", removed, err)
	}
	if diff := cmp.Diff([]string{tempPrefix + "young", "README", place(info.SHA256)}, files(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestWalk(t *testing.T) {
	folder, dir := newFolder(t)
	var want []string
	for _, content := range []string{"a", "b", "c", "d", "e"} {
		want = append(want, put(t, folder, content).SHA256)
	}
	for _, stray := range []string{tempPrefix + "x", "README", filepath.Join(want[0][:2], want[1])} { // a blob in the wrong place is none
		if err := os.WriteFile(filepath.Join(dir, stray), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for info, err := range folder.Walk(t.Context()) {
		if err != nil || info.Size != 1 {
			t.Fatalf("Walk: %+v, %v", info, err)
		}
		got = append(got, info.SHA256)
		if err := folder.Delete(t.Context(), info.SHA256); err != nil { // as its callers do
			t.Fatal(err)
		}
	}
	if len(got) != len(want) || !isSorted(got) {
		t.Errorf("Walk yields %q, want %q, sorted", got, want)
	}
	put(t, folder, "a")
	put(t, folder, "b")
	for range folder.Walk(t.Context()) { //nolint:errcheck // an error would be the first and is not the point
		break // a caller may stop early
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for info, err := range folder.Walk(gone) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Walk of a caller that left: %+v, %v", info, err)
		}
	}
}

func isSorted(list []string) bool {
	for i := 1; i < len(list); i++ {
		if list[i-1] >= list[i] {
			return false
		}
	}
	return true
}

// A symbolic link that somebody put there leads nowhere outside.
func TestSymlinkEscape(t *testing.T) {
	folder, dir := newFolder(t)
	outside := t.TempDir()
	secret := nameOf("secret")
	if err := os.MkdirAll(filepath.Join(outside, secret[2:4]), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, secret[2:4], secret), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, secret[:2])); err != nil {
		t.Fatal(err)
	}
	if file, err := folder.Open(t.Context(), secret); err == nil {
		file.Close()
		t.Error("read a file outside")
	}
	if _, err := folder.Stat(t.Context(), secret); err == nil {
		t.Error("saw a file outside")
	}
	if err := folder.Delete(t.Context(), secret); err == nil {
		t.Error("Delete outside: no error")
	}
	if _, err := folder.Put(t.Context(), strings.NewReader("secret"), limit); err == nil {
		t.Error("stored outside")
	}
	for info, err := range folder.Walk(t.Context()) {
		t.Errorf("Walk yields %+v, %v", info, err)
	}
	if list := files(t, outside); len(list) != 1 {
		t.Errorf("outside = %q, want it as it was", list)
	}
}

// A full disk can be told from a broken one. /dev/full is the real thing as far as write goes.
func TestNoSpace(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if _, err := copyAtMost(full, strings.NewReader("content"), limit); !errors.Is(noSpace(err), ErrNoSpace) {
		t.Errorf("write to a full disk: %v, want ErrNoSpace", noSpace(err))
	}

	folder, dir := newFolder(t)
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		folder.sync = func(file *os.File) error { return &os.PathError{Op: "sync", Path: file.Name(), Err: cause} }
		if _, err := folder.Put(t.Context(), strings.NewReader("content"), limit); !errors.Is(err, ErrNoSpace) || !errors.Is(err, cause) {
			t.Errorf("Put: %v, want ErrNoSpace for %v", err, cause)
		}
	}
	folder.sync = func(*os.File) error { return syscall.EIO }
	if _, err := folder.Put(t.Context(), strings.NewReader("content"), limit); err == nil || errors.Is(err, ErrNoSpace) {
		t.Errorf("Put on a broken disk: %v, want another error", err)
	}
	if list := files(t, dir); len(list) != 0 {
		t.Errorf("files = %q, want none", list)
	}
}

// FuzzNames tries names of any shape: what is no SHA-256 is not found, and nothing but a blob is ever read.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{
		"", ".", "..", "/etc/passwd", "../../../etc/passwd", `..\..\x`, "%2e%2e/x", "a\x00b", strings.Repeat("a", 64),
		strings.Repeat("A", 64), strings.Repeat("../", 21) + "a", "aa/aa/" + strings.Repeat("a", 58), tempPrefix + "x",
	} {
		f.Add(seed)
	}
	folder, err := NewFolder(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	defer folder.Close()
	stored, err := folder.Put(f.Context(), bytes.NewReader([]byte("content")), limit)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stored.SHA256)
	f.Fuzz(func(t *testing.T, name string) {
		file, err := folder.Open(t.Context(), name)
		if name == stored.SHA256 {
			if err != nil {
				t.Fatal(err)
			}
			file.Close()
			return
		}
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("Open(%q): %v, want ErrNotFound", name, err)
		}
		if _, err := folder.Stat(t.Context(), name); !errors.Is(err, ErrNotFound) {
			t.Errorf("Stat(%q): %v, want ErrNotFound", name, err)
		}
		if err := folder.Delete(t.Context(), name); err != nil {
			t.Errorf("Delete(%q): %v", name, err)
		}
		if got := read(t, folder, stored.SHA256); got != "content" {
			t.Errorf("after Delete(%q) the blob holds %q", name, got)
		}
	})
}

// A network's file system may hang for as long as its server is away. Whoever asks is told so in their own time, and
// one question is under way, not one a caller.
func TestCheckDoesNotHang(t *testing.T) {
	folder, _ := newFolder(t)
	away := make(chan struct{})
	var asked atomic.Int32
	look := folder.look
	folder.look = func() error {
		asked.Add(1)
		<-away
		return look()
	}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if err := folder.Check(ctx); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Check of a folder that hangs: %v, want ErrUnavailable for the lack of time", err)
		}
		cancel()
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("it was asked %d times meanwhile, want once", n)
	}
	close(away)
	if err := folder.Check(t.Context()); err != nil {
		t.Errorf("Check when it is back: %v", err)
	}
}
