// Package backup writes everything that Easel keeps into one tar file and reads it back: into
// another folder, another Postgres of any version that Easel runs on, another storage.
//
//	manifest.json             what follows, and who made it
//	tables/NAME/NNNNNN.copy   a table's rows in Postgres' text format of COPY, cut into parts
//	keys/NAME                 the folder keys, if that was asked for
//	blobs/SHA256              a stored file under the hash of its content
//	end.json                  counts and hashes; without it the file was cut off
//
// Rows come before files, so that the snapshot of the database ends early; a reader commits them
// after the last file. Parts have a size that is known before they are written, as tar demands,
// and need no room on the disk.
package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"easel/blob"
)

// format is the version of the layout. A reader takes this one alone.
const format = 1

const (
	manifestName = "manifest.json"
	endName      = "end.json"
	tablePrefix  = "tables/"
	blobPrefix   = "blobs/"
	keyPrefix    = "keys/"

	partBytes   = 1 << 20   // of a table; held in memory
	maxPart     = 64 << 20  // that is read
	maxJSON     = 64 << 20  // the list of missing files may be long
	maxKeyBytes = 64 << 10  // of one key file
	maxKeys     = 64        // files
	maxBlob     = 256 << 20 // as large as one may be stored
)

// manifest is the first entry.
type manifest struct {
	Format  int       `json:"format"`
	Version string    `json:"version"` // of the Easel that made it
	Schema  int64     `json:"schema"`  // of its database
	Time    time.Time `json:"time"`
	Tables  []table   `json:"tables"` // in the order in which they can be filled
}

// table is a table with the columns that were copied.
type table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
}

// end is the last entry.
type end struct {
	Tables  map[string]content `json:"tables"`
	Blobs   int                `json:"blobs"`
	Bytes   int64              `json:"bytes"`   // of the blobs
	Missing []string           `json:"missing"` // blobs that rows name and the storage did not have
	Damaged []string           `json:"damaged"` // blobs whose bytes do not have their hash
}

// content is what there is of one table.
type content struct {
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"` // over all its parts
}

// Report is what was written or read.
type Report struct {
	Schema      int64
	Generations int64
	Files       int
	Bytes       int64    // of the files
	Missing     []string // files that the storage had lost when the backup was made
	Damaged     []string // files that it had, with other bytes than were stored
	Waiting     int64    // restored generations that are not over
	Took        time.Duration
}

func (r Report) String() string {
	return fmt.Sprintf("%d generations, %d files of %.1f MB, in %s", r.Generations, r.Files,
		float64(r.Bytes)/1e6, r.Took.Round(10*time.Millisecond))
}

// part is the place of a table's part.
func part(name string, number int) string {
	return fmt.Sprintf("%s%s/%06d.copy", tablePrefix, name, number)
}

func writeJSON(w *tar.Writer, name string, value any) error {
	text, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return err
	}
	return writeEntry(w, name, text)
}

func writeEntry(w *tar.Writer, name string, content []byte) error {
	if err := w.WriteHeader(header(name, int64(len(content)))); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

func header(name string, size int64) *tar.Header {
	return &tar.Header{Name: name, Size: size, Mode: 0o600, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
}

// readJSON reads an entry whole.
func readJSON(r io.Reader, value any) error {
	text, err := io.ReadAll(io.LimitReader(r, maxJSON+1))
	if err != nil {
		return err
	}
	if len(text) > maxJSON {
		return fmt.Errorf("it is larger than %d MiB", maxJSON>>20)
	}
	return json.Unmarshal(text, value)
}

// digest is a hash with the count of what went through it.
type digest struct {
	hash.Hash
	size int64
}

func newDigest() *digest { return &digest{Hash: sha256.New()} }

func (d *digest) Write(p []byte) (int, error) {
	d.size += int64(len(p))
	return d.Hash.Write(p)
}

func (d *digest) String() string { return hex.EncodeToString(d.Sum(nil)) }

// blobOf is the hash that an entry's name gives.
func blobOf(name string) (sha256 string, ok bool) {
	sha256, ok = strings.CutPrefix(name, blobPrefix)
	return sha256, ok && blob.IsName(sha256)
}

// keyOf is the file name that an entry's name gives: no path, nothing hidden.
func keyOf(name string) (file string, ok bool) {
	file, ok = strings.CutPrefix(name, keyPrefix)
	return file, ok && file != "" && file[0] != '.' && !strings.ContainsAny(file, "/\\\x00")
}
