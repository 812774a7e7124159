package backup

import (
	"archive/tar"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"easel/blob"
	"easel/db"
)

// Source is what is written.
type Source struct {
	Pool    *pgxpool.Pool
	Blobs   blob.Store
	Version string // of this program
	Keys    string // folder of key files; empty: they are left out
}

// Write writes all of source to w, as it is at one moment, while Easel may go on working. A file
// that the storage has lost does not end it: Report names it.
//
// Removals of files wait until it is done, since a file of a generation that is deleted meanwhile
// still belongs to that moment.
func Write(ctx context.Context, source Source, w io.Writer) (report Report, err error) {
	began := time.Now()
	current, known, err := db.SchemaVersion(ctx, source.Pool)
	switch {
	case err != nil:
		return Report{}, err
	case current == 0:
		return Report{}, errors.New("there is nothing to back up: the database has no tables")
	case current > known:
		return Report{}, fmt.Errorf("%w: its schema has version %d, this program knows up to %d", db.ErrNewerSchema, current, known)
	}
	guard, err := source.Pool.Begin(ctx)
	if err != nil {
		return Report{}, err
	}
	defer func() { _ = guard.Rollback(context.WithoutCancel(ctx)) }() // it has written nothing
	if err := patient(ctx, guard); err != nil {
		return Report{}, err
	}
	if err := db.New(guard).RemovalForbid(ctx); err != nil {
		return Report{}, fmt.Errorf("another backup is being made: %w", err)
	}
	out := &writer{source: source, tar: tar.NewWriter(w), end: end{Tables: map[string]content{}}}
	if err := out.tables(ctx, current); err != nil {
		return Report{}, fmt.Errorf("read the tables: %w", err)
	}
	if err := out.keys(); err != nil {
		return Report{}, fmt.Errorf("read the keys: %w", err)
	}
	if err := out.files(ctx); err != nil {
		return Report{}, err
	}
	if err := writeJSON(out.tar, endName, out.end); err != nil {
		return Report{}, err
	}
	if err := out.tar.Close(); err != nil {
		return Report{}, err
	}
	return Report{
		Schema: current, Generations: out.end.Tables["generations"].Rows, Files: out.end.Blobs, Bytes: out.end.Bytes,
		Missing: out.end.Missing, Damaged: out.end.Damaged, Took: time.Since(began),
	}, nil
}

type writer struct {
	source Source
	tar    *tar.Writer
	end    end
	blobs  [][32]byte // that the rows refer to
}

// tables copies the rows, and notes which files they refer to, in one snapshot.
func (w *writer) tables(ctx context.Context, schema int64) error {
	return pgx.BeginTxFunc(ctx, w.source.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := patient(ctx, tx); err != nil {
			return err
		}
		tables, err := readTables(ctx, tx)
		if err != nil {
			return err
		}
		err = writeJSON(w.tar, manifestName, manifest{
			Format: format, Version: w.source.Version, Schema: schema, Time: time.Now().UTC(), Tables: tables,
		})
		if err != nil {
			return err
		}
		for _, t := range tables {
			if err := w.table(ctx, tx, t); err != nil {
				return fmt.Errorf("%s: %w", t.Name, err)
			}
		}
		w.blobs, err = referred(ctx, tx)
		return err
	})
}

func (w *writer) table(ctx context.Context, tx pgx.Tx, t table) error {
	parts := &parts{tar: w.tar, name: t.Name, digest: newDigest()}
	tag, err := tx.Conn().PgConn().CopyTo(ctx, parts, "COPY "+t.target()+" TO STDOUT")
	if err == nil {
		err = parts.flush()
	}
	w.end.Tables[t.Name] = content{Rows: tag.RowsAffected(), SHA256: parts.digest.String()}
	return err
}

// referred lists the files that rows refer to, each once.
func referred(ctx context.Context, tx pgx.Tx) ([][32]byte, error) {
	var uploads bool // a database of before there were any may be backed up, too
	if err := tx.QueryRow(ctx, "SELECT to_regclass('uploads') IS NOT NULL").Scan(&uploads); err != nil {
		return nil, err
	}
	sql := `SELECT decode(sha256, 'hex') FROM outputs
		UNION SELECT decode(thumbnail, 'hex') FROM outputs WHERE thumbnail <> ''`
	if uploads {
		sql += `
		UNION SELECT decode(sha256, 'hex') FROM uploads
		UNION SELECT decode(thumbnail, 'hex') FROM uploads`
	}
	rows, err := tx.Query(ctx, sql+" ORDER BY 1")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (name [32]byte, err error) {
		var bytes []byte
		err = row.Scan(&bytes)
		copy(name[:], bytes)
		return name, err
	})
}

// parts cuts what is written into entries.
type parts struct {
	tar    *tar.Writer
	name   string
	digest *digest
	buffer []byte
	number int
}

func (p *parts) Write(content []byte) (int, error) {
	_, _ = p.digest.Write(content) // a hash takes everything
	p.buffer = append(p.buffer, content...)
	if len(p.buffer) >= partBytes {
		return len(content), p.flush()
	}
	return len(content), nil
}

func (p *parts) flush() error {
	if len(p.buffer) == 0 {
		return nil
	}
	p.number++
	err := writeEntry(p.tar, part(p.name, p.number), p.buffer)
	p.buffer = p.buffer[:0]
	return err
}

// keys copies the key files.
func (w *writer) keys() error {
	if w.source.Keys == "" {
		return nil
	}
	entries, err := os.ReadDir(w.source.Keys)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if _, ok := keyOf(keyPrefix + entry.Name()); !ok || !entry.Type().IsRegular() {
			continue
		}
		content, err := os.ReadFile(filepath.Join(w.source.Keys, entry.Name()))
		if err != nil {
			return err
		}
		if len(content) > maxKeyBytes {
			return fmt.Errorf("%s is larger than %d KiB", entry.Name(), maxKeyBytes>>10)
		}
		if err := writeEntry(w.tar, keyPrefix+entry.Name(), content); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) files(ctx context.Context) error {
	for _, sum := range w.blobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := hex.EncodeToString(sum[:])
		err := w.file(ctx, name)
		if errors.Is(err, blob.ErrNotFound) {
			w.end.Missing = append(w.end.Missing, name)
			continue
		}
		if err != nil {
			return fmt.Errorf("copy file %s: %w", name, err)
		}
	}
	return nil
}

func (w *writer) file(ctx context.Context, name string) error {
	file, err := w.source.Blobs.Open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // read only
	size, err := file.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	if err := w.tar.WriteHeader(header(blobPrefix+name, size)); err != nil {
		return err
	}
	digest := newDigest()
	if _, err := io.CopyN(io.MultiWriter(w.tar, digest), file, size); err != nil {
		return err
	}
	if digest.String() != name {
		w.end.Damaged = append(w.end.Damaged, name)
	}
	w.end.Blobs++
	w.end.Bytes += size
	return nil
}
