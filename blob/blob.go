// Package blob keeps files under the SHA-256 of their content.
//
// A blob never changes: the same bytes have the same name, so storing twice is storing once, and
// a name that was handed out stays true. Whoever stores keeps the name in the database; a blob
// that no row names is an orphan, and Walk finds it.
package blob

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

var (
	// ErrNotFound says that no blob has that name. A name that is no SHA-256 has no blob either.
	ErrNotFound = errors.New("blob not found")
	// ErrTooLarge says that the content is longer than the caller allowed. Nothing was stored.
	ErrTooLarge = errors.New("blob too large")
	// ErrNoSpace says that the storage is full. Nothing was stored; later it may work.
	ErrNoSpace = errors.New("no space left for blobs")
	// ErrUnavailable says that the storage cannot be reached, or cannot do this now; later it may.
	ErrUnavailable = errors.New("storage is not available")
	// ErrRefused says that the storage answers and will not have us: no such bucket, wrong keys,
	// no right. It stays so until somebody changes the configuration or the storage.
	ErrRefused = errors.New("storage refuses")
)

// Info describes a stored blob.
type Info struct {
	SHA256   string    // 64 lower-case hexadecimal digits: the name
	Size     int64     // bytes
	StoredAt time.Time // when it was last stored; storing the same content again renews it
}

// Store keeps blobs. All methods may be called at once from many goroutines and processes.
type Store interface {
	// Put stores what r yields until io.EOF, at most max bytes, and returns its name once it would
	// survive a power cut. On any error, of r too, nothing is stored. Content that is there
	// already is not written again; its StoredAt is renewed.
	Put(ctx context.Context, r io.Reader, max int64) (Info, error)
	// Open returns the content; the caller closes it. What is being read from the start to the end
	// stays readable after a Delete; a folder's blob stays readable in any order. ctx must live as
	// long as the content is read.
	Open(ctx context.Context, sha256 string) (io.ReadSeekCloser, error)
	// Stat describes a blob without reading it.
	Stat(ctx context.Context, sha256 string) (Info, error)
	// Delete removes a blob. One that is gone already is no error.
	Delete(ctx context.Context, sha256 string) error
	// Walk yields every blob, sorted by name. Blobs stored or deleted meanwhile may be yielded or
	// not. An error is yielded once and ends it.
	Walk(ctx context.Context) iter.Seq2[Info, error]
	// Sweep removes what broken Puts left behind, if it is older than olderThan, and says how
	// many. It never touches a blob.
	Sweep(ctx context.Context, olderThan time.Duration) (removed int, err error)
	// Check asks whether the storage answers and lets us in, and changes nothing. ErrUnavailable,
	// ErrRefused.
	Check(ctx context.Context) error
}

// IsName reports whether s has the form of a blob's name.
func IsName(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
