package blob

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/singleflight"

	"easel/failpoint"
)

// tempPrefix marks a file that a Put is writing. It lies in the folder itself, on the same file
// system as its place, so that the rename is one step.
const tempPrefix = ".put-"

// Folder is a Store in a folder of the file system: aa/bb/<sha256>, with the first four digits
// as two levels of folders. Every access goes through an os.Root, so neither a name nor a symbolic
// link leads out of it.
type Folder struct {
	root *os.Root
	sync func(*os.File) error // (*os.File).Sync; a test lets it fail
	look func() error         // readable; a test lets it hang

	looking singleflight.Group // so that a file system that hangs takes one goroutine, however often it is asked
}

var _ Store = (*Folder)(nil)

// NewFolder opens dir and makes it if it is missing. The caller closes the Folder.
func NewFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open blob folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open blob folder: %w", err)
	}
	folder := &Folder{root: root, sync: (*os.File).Sync}
	folder.look = folder.readable
	return folder, nil
}

// Close lets go of the folder. Blobs that are open stay readable.
func (f *Folder) Close() error { return f.root.Close() }

// Put writes into a temporary file, syncs it, renames it to its name and syncs the folders. A
// crash at any point leaves at most a temporary file, or the whole blob.
func (f *Folder) Put(ctx context.Context, r io.Reader, max int64) (Info, error) {
	info, err := f.put(ctx, r, max)
	if err != nil {
		return Info{}, fmt.Errorf("store blob: %w", noSpace(err))
	}
	return info, nil
}

func (f *Folder) put(ctx context.Context, r io.Reader, max int64) (Info, error) {
	temp := tempPrefix + rand.Text()
	file, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Info{}, err
	}
	renamed := false
	defer func() {
		_ = file.Close() // after an error; otherwise it is closed already
		if !renamed {
			_ = f.root.Remove(temp) // what stays is for Sweep
		}
	}()

	hash := sha256.New()
	size, err := copyAtMost(io.MultiWriter(file, hash), withContext{ctx, r}, max)
	if err != nil {
		return Info{}, err
	}
	if err := f.sync(file); err != nil {
		return Info{}, err
	}
	if err := file.Close(); err != nil {
		return Info{}, err
	}
	info := Info{SHA256: hex.EncodeToString(hash.Sum(nil)), Size: size, StoredAt: time.Now()}
	name := place(info.SHA256)
	switch there, err := f.root.Stat(name); {
	case err == nil && there.Mode().IsRegular() && there.Size() == size:
		if err := f.root.Chtimes(name, info.StoredAt, info.StoredAt); err != nil {
			return Info{}, err
		}
	case err == nil || errors.Is(err, fs.ErrNotExist):
		// One with another size was cut by a power loss, before we had promised it.
		if err := f.root.MkdirAll(path.Dir(name), 0o700); err != nil {
			return Info{}, err
		}
		if err := f.root.Rename(temp, name); err != nil {
			return Info{}, err
		}
		renamed = true
		failpoint.Hit(failpoint.AfterRename)
	default:
		return Info{}, err
	}
	// Also for content that was there: whoever stored it may have died before this line.
	return info, f.syncFolders(path.Dir(name))
}

// syncFolders makes the entries on the way to the folder dir survive a power cut.
func (f *Folder) syncFolders(dir string) error {
	for {
		folder, err := f.root.Open(dir)
		if err != nil {
			return err
		}
		err = f.sync(folder)
		_ = folder.Close() // opened for reading
		if err != nil {
			return fmt.Errorf("sync folder: %w", err)
		}
		if dir == "." {
			return nil
		}
		dir = path.Dir(dir)
	}
}

// Open implements Store.
func (f *Folder) Open(_ context.Context, sha256 string) (io.ReadSeekCloser, error) {
	if !IsName(sha256) {
		return nil, ErrNotFound
	}
	file, err := f.root.Open(place(sha256))
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", notFound(err))
	}
	return file, nil
}

// Stat implements Store.
func (f *Folder) Stat(_ context.Context, sha256 string) (Info, error) {
	if !IsName(sha256) {
		return Info{}, ErrNotFound
	}
	stat, err := f.root.Stat(place(sha256))
	if err != nil {
		return Info{}, fmt.Errorf("stat blob: %w", notFound(err))
	}
	return Info{SHA256: sha256, Size: stat.Size(), StoredAt: stat.ModTime()}, nil
}

// Delete implements Store. The two folders above the blob stay: another Put may be about to use them.
func (f *Folder) Delete(_ context.Context, sha256 string) error {
	if !IsName(sha256) {
		return nil
	}
	if err := f.root.Remove(place(sha256)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete blob: %w", err)
	}
	return nil
}

// Walk implements Store. Files that are no blobs of ours are passed over.
func (f *Folder) Walk(ctx context.Context) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		err := fs.WalkDir(f.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil // deleted meanwhile
			}
			if err != nil {
				return err
			}
			if sha := path.Base(name); !entry.Type().IsRegular() || !IsName(sha) || name != place(sha) {
				return nil
			}
			stat, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if !yield(Info{SHA256: path.Base(name), Size: stat.Size(), StoredAt: stat.ModTime()}, nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield(Info{}, fmt.Errorf("walk blobs: %w", err))
		}
	}
}

// Sweep implements Store. A Put that is at work renews its file with every write, so one that is
// older than a few minutes has no writer.
func (f *Folder) Sweep(ctx context.Context, olderThan time.Duration) (removed int, err error) {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return 0, fmt.Errorf("sweep blobs: %w", err)
	}
	limit := time.Now().Add(-olderThan)
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		if !strings.HasPrefix(entry.Name(), tempPrefix) || entry.IsDir() {
			continue
		}
		stat, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && stat.ModTime().After(limit) {
			continue
		}
		if err == nil {
			err = f.root.Remove(entry.Name())
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // its Put ended just now
		}
		if err != nil {
			return removed, fmt.Errorf("sweep blobs: %w", err)
		}
		removed++
	}
	return removed, nil
}

// Check implements Store: a folder that was removed or unmounted under us does not answer. A network's file system
// may hang, which nothing can interrupt: that question is left behind, and those who ask later wait for its answer.
func (f *Folder) Check(ctx context.Context) error {
	var err error
	select {
	case answer := <-f.looking.DoChan("", func() (any, error) { return nil, f.look() }):
		err = answer.Err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// readable reads the first entry of the folder.
func (f *Folder) readable() error {
	dir, err := f.root.Open(".")
	if err != nil {
		return err
	}
	_, err = dir.ReadDir(1)
	_ = dir.Close() // opened for reading
	if errors.Is(err, io.EOF) {
		return nil // empty
	}
	return err
}

// place is where a blob lies in the folder.
func place(sha256 string) string {
	return path.Join(sha256[:2], sha256[2:4], sha256)
}

// copyAtMost copies r to w until io.EOF; more than max bytes are ErrTooLarge.
func copyAtMost(w io.Writer, r io.Reader, max int64) (int64, error) {
	size, err := io.Copy(w, io.LimitReader(r, max))
	if err != nil {
		return 0, err
	}
	if size == max { // a content of exactly max bytes is fine: look whether there is more
		if _, err := io.ReadFull(r, make([]byte, 1)); err == nil {
			return 0, ErrTooLarge
		} else if !errors.Is(err, io.EOF) {
			return 0, err
		}
	}
	return size, nil
}

// withContext is a reader that ends with its context.
type withContext struct {
	ctx context.Context // lives for one Put
	r   io.Reader
}

func (r withContext) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	return err
}

// noSpace adds ErrNoSpace to a full disk and a full quota.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
