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
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"easel/blob"
	"easel/db"
)

// Target is where a backup is read into.
type Target struct {
	Pool   *pgxpool.Pool
	Blobs  blob.Store
	Keys   string // folder of key files; those of the backup are refused when others are there
	Paused bool   // what waits does not start before somebody resumes the queue
}

// ErrNotEmpty says that the database holds something already. Nothing was changed.
var ErrNotEmpty = errors.New("the database is not empty")

// Read reads a backup into an empty database, at the version of the schema that it was made with,
// and brings it up to date afterwards. Rows are committed in one transaction after the last file was
// stored and every count and hash has been compared: a file that is damaged or cut off leaves the
// database empty. Files that were stored by then are removed by Easel's daily look for such.
//
// What was inside a ComfyUI is taken for lost and made again: whether the Easel that the backup
// is of goes on is unknown, so its prompts are neither adopted nor cancelled. Servers get client ids
// of their own for the same reason.
func Read(ctx context.Context, target Target, r io.Reader) (report Report, err error) {
	began := time.Now()
	in := &reader{target: target, tar: tar.NewReader(r), seen: map[[32]byte]struct{}{}, tables: map[string]content{}, keys: map[string][]byte{}}
	if err := in.readManifest(); err != nil {
		return Report{}, err
	}
	if err := in.prepare(ctx); err != nil {
		return Report{}, err
	}
	if err := pgx.BeginFunc(ctx, target.Pool, func(tx pgx.Tx) error { return in.restore(ctx, tx) }); err != nil {
		return Report{}, err
	}
	if err := db.Migrate(ctx, target.Pool); err != nil {
		return Report{}, fmt.Errorf("everything is restored, but not up to date yet; starting Easel tries again: %w", err)
	}
	return Report{
		Schema: in.manifest.Schema, Generations: in.tables["generations"].Rows, Files: in.end.Blobs, Bytes: in.end.Bytes,
		Missing: in.end.Missing, Damaged: in.end.Damaged, Waiting: in.waiting, Took: time.Since(began),
	}, nil
}

type reader struct {
	target   Target
	tar      *tar.Reader
	header   *tar.Header // of the entry that is next; nil at the end
	manifest manifest
	end      end

	tables  map[string]content    // as they were read
	seen    map[[32]byte]struct{} // blobs, under the name that they have in the backup
	damaged []string              // blobs whose bytes have another hash
	bytes   int64
	keys    map[string][]byte
	waiting int64
}

// next goes on to the next entry, and refuses what we would not have written: nothing of a tar is
// ever a path for us.
func (r *reader) next() error {
	header, err := r.tar.Next()
	if errors.Is(err, io.EOF) {
		r.header = nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("the backup is damaged or cut off: %w", err)
	}
	if header.Typeflag != tar.TypeReg {
		return fmt.Errorf("the backup holds %q, which is no plain file", header.Name)
	}
	r.header = header
	return nil
}

func (r *reader) readManifest() error {
	if err := r.next(); err != nil {
		return err
	}
	if r.header == nil || r.header.Name != manifestName {
		return errors.New("this is no backup of Easel: it does not begin with " + manifestName)
	}
	if err := readJSON(r.tar, &r.manifest); err != nil {
		return fmt.Errorf("the backup's %s cannot be read: %w", manifestName, err)
	}
	if r.manifest.Format != format {
		return fmt.Errorf("the backup has format %d, made by Easel %s; this program reads format %d", r.manifest.Format, r.manifest.Version, format)
	}
	return r.next()
}

// prepare brings an empty database to the version of the backup.
func (r *reader) prepare(ctx context.Context) error {
	pool := r.target.Pool
	current, known, err := db.SchemaVersion(ctx, pool)
	switch want := r.manifest.Schema; {
	case err != nil:
		return err
	case want < 1 || want > known:
		return fmt.Errorf("%w: the backup was made by Easel %s with version %d of the schema, this program knows up to %d; "+
			"restore it with that Easel or a newer one", db.ErrNewerSchema, r.manifest.Version, want, known)
	case current > want:
		return fmt.Errorf("%w: it has version %d of the schema already, the backup %d; "+
			"give a database without tables, or another EASEL_DATA_DIR", ErrNotEmpty, current, want)
	}
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return refuseRows(ctx, tx, current) }); err != nil {
		return err
	}
	return db.MigrateTo(ctx, pool, r.manifest.Schema)
}

// refuseRows makes sure that nothing would be lost: no rows but those that a first start makes
// by itself, and no Easel at work on them.
func refuseRows(ctx context.Context, tx pgx.Tx, schema int64) error {
	tables, err := readTables(ctx, tx)
	if err != nil {
		return err
	}
	if schema == 0 && len(tables) > 0 {
		return fmt.Errorf("%w: it has a table %s, and none of Easel's", ErrNotEmpty, tables[0].Name)
	}
	for _, t := range tables {
		own := "true"
		switch t.Name {
		case "users":
			own = "name <> 'local'"
		case "settings":
			own = "name <> " + installation
		case "servers": // those of the configuration are made at each start
			own = "lease_until > now()"
			if slices.Contains(t.Columns, "source") {
				own += " OR source <> 'config'"
			}
		}
		var used bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+pgx.Identifier{t.Name}.Sanitize()+" WHERE "+own+")").Scan(&used); err != nil {
			return err
		}
		if used && t.Name == "servers" {
			return fmt.Errorf("%w: an Easel is at work on it, or servers were added to it", ErrNotEmpty)
		}
		if used {
			return fmt.Errorf("%w: its table %s has rows; a backup is restored into one without anything in it", ErrNotEmpty, t.Name)
		}
	}
	return nil
}

// installation is the setting by which a database is told from others, as an SQL text.
const installation = "'installation'"

// has reports whether the version of the schema that the backup was made with has a column.
func (r *reader) has(name, column string) bool {
	return slices.ContainsFunc(r.manifest.Tables, func(t table) bool { return t.Name == name && slices.Contains(t.Columns, column) })
}

// restore does all that is committed together.
func (r *reader) restore(ctx context.Context, tx pgx.Tx) error {
	if err := patient(ctx, tx); err != nil {
		return err
	}
	here, err := readTables(ctx, tx)
	if err != nil {
		return err
	}
	if err := sameTables(here, r.manifest.Tables); err != nil {
		return err
	}
	for _, t := range here { // nobody adds rows meanwhile, and none of ours rings a bell
		if _, err := tx.Exec(ctx, "ALTER TABLE "+pgx.Identifier{t.Name}.Sanitize()+" DISABLE TRIGGER USER"); err != nil {
			return err
		}
	}
	if err := refuseRows(ctx, tx, r.manifest.Schema); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM servers; DELETE FROM users"); err != nil {
		return err
	}
	if r.has("settings", "name") {
		if _, err := tx.Exec(ctx, "DELETE FROM settings"); err != nil {
			return err
		}
	}
	for _, t := range r.manifest.Tables {
		if err := r.table(ctx, tx, t); err != nil {
			return fmt.Errorf("restore %s: %w", t.Name, err)
		}
	}
	if err := r.files(ctx); err != nil {
		return err
	}
	if err := r.compare(); err != nil {
		return err
	}
	if err := r.whole(ctx, tx); err != nil {
		return err
	}
	if err := r.settle(ctx, tx); err != nil {
		return fmt.Errorf("settle what was running: %w", err)
	}
	for _, t := range here {
		if _, err := tx.Exec(ctx, "ALTER TABLE "+pgx.Identifier{t.Name}.Sanitize()+" ENABLE TRIGGER USER"); err != nil {
			return err
		}
	}
	return r.restoreKeys()
}

func sameTables(here, there []table) error {
	order := func(a, b table) int { return strings.Compare(a.Name, b.Name) }
	here, there = slices.SortedFunc(slices.Values(here), order), slices.SortedFunc(slices.Values(there), order)
	if !slices.EqualFunc(here, there, func(a, b table) bool {
		return a.Name == b.Name && slices.Equal(slices.Sorted(slices.Values(a.Columns)), slices.Sorted(slices.Values(b.Columns)))
	}) {
		return errors.New("the backup has other tables or columns than its version of the schema")
	}
	return nil
}

func (r *reader) table(ctx context.Context, tx pgx.Tx, t table) error {
	rows := &rows{from: r, name: t.Name, digest: newDigest()}
	tag, err := tx.Conn().PgConn().CopyFrom(ctx, rows, "COPY "+t.target()+" FROM STDIN")
	switch {
	case rows.err != nil:
		return rows.err
	case err != nil:
		return err
	}
	r.tables[t.Name] = content{Rows: tag.RowsAffected(), SHA256: rows.digest.String()}
	return nil
}

// rows reads the parts of one table as one stream.
type rows struct {
	from   *reader
	name   string
	digest *digest
	number int  // of the part that is open
	open   bool // there is one
	err    error
}

func (p *rows) Read(b []byte) (int, error) {
	for {
		if !p.open {
			if p.from.header == nil || p.from.header.Name != part(p.name, p.number+1) {
				return 0, io.EOF
			}
			if p.from.header.Size > maxPart {
				p.err = fmt.Errorf("%s is larger than %d MiB", p.from.header.Name, maxPart>>20)
				return 0, p.err
			}
			p.number++
			p.open = true
		}
		n, err := p.from.tar.Read(b)
		_, _ = p.digest.Write(b[:n]) // a hash takes everything
		if errors.Is(err, io.EOF) {
			p.open = false
			err = p.from.next()
		} else if err != nil {
			err = fmt.Errorf("the backup is damaged or cut off: %w", err)
		}
		if n > 0 || err != nil {
			p.err = err
			return n, err
		}
	}
}

// files reads what follows the tables: files, keys, and the end.
func (r *reader) files(ctx context.Context) error {
	for r.header != nil {
		name := r.header.Name
		if sum, ok := blobOf(name); ok {
			if err := r.file(ctx, sum); err != nil {
				return err
			}
		} else if key, ok := keyOf(name); ok {
			content, err := io.ReadAll(io.LimitReader(r.tar, maxKeyBytes+1))
			if err != nil {
				return fmt.Errorf("the backup is damaged or cut off: %w", err)
			}
			if r.keys[key] = content; len(content) > maxKeyBytes || len(r.keys) > maxKeys {
				return errors.New("the backup's keys are larger than keys are")
			}
		} else if name == endName {
			if err := readJSON(r.tar, &r.end); err != nil {
				return fmt.Errorf("the backup's %s cannot be read: %w", endName, err)
			}
			if err := r.next(); err != nil {
				return err
			}
			if r.header != nil {
				return fmt.Errorf("the backup goes on after its end with %q", r.header.Name)
			}
			return nil
		} else {
			return fmt.Errorf("the backup holds %q, which does not belong there", name)
		}
		if err := r.next(); err != nil {
			return err
		}
	}
	return fmt.Errorf("the backup is cut off: it has no %s", endName)
}

func (r *reader) file(ctx context.Context, name string) error {
	stored, err := r.target.Blobs.Put(ctx, r.tar, maxBlob)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the backup is damaged or cut off in file %s", name)
	case err != nil:
		return fmt.Errorf("file %s: %w", name, err)
	}
	if stored.SHA256 != name {
		r.damaged = append(r.damaged, name)
	}
	r.seen[sum(name)] = struct{}{}
	r.bytes += stored.Size
	return nil
}

// sum is the name of a blob in half the room.
func sum(name string) (s [32]byte) {
	bytes, _ := hex.DecodeString(name) // names were checked
	copy(s[:], bytes)
	return s
}

// compare holds what was read against what was written.
func (r *reader) compare() error {
	for _, t := range r.manifest.Tables {
		if got, want := r.tables[t.Name], r.end.Tables[t.Name]; got != want {
			return fmt.Errorf("the backup is damaged: of %s it has %d rows (%.12s), it was made with %d (%.12s)",
				t.Name, got.Rows, got.SHA256, want.Rows, want.SHA256)
		}
	}
	if len(r.seen) != r.end.Blobs || r.bytes != r.end.Bytes {
		return fmt.Errorf("the backup is damaged: it has %d files of %d bytes, it was made with %d of %d",
			len(r.seen), r.bytes, r.end.Blobs, r.end.Bytes)
	}
	for _, name := range r.damaged {
		if !slices.Contains(r.end.Damaged, name) {
			return fmt.Errorf("the backup is damaged: the bytes of file %s have another hash", name)
		}
	}
	return nil
}

// whole makes sure that each row's file came along, or was missing from the beginning.
func (r *reader) whole(ctx context.Context, tx pgx.Tx) error {
	for _, name := range r.end.Missing {
		if blob.IsName(name) {
			r.seen[sum(name)] = struct{}{}
		}
	}
	names, err := referred(ctx, tx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := r.seen[name]; !ok {
			return fmt.Errorf("the backup is damaged: file %x is not in it", name)
		}
	}
	return nil
}

// settle has nothing claim what belongs to the Easel that the backup is of. Columns that a later
// version of the schema has are cleared where they are.
func (r *reader) settle(ctx context.Context, tx pgx.Tx) error {
	statements := []string{
		// ComfyUI gives the messages of a client id to whoever named it last.
		"UPDATE servers SET owner = NULL, lease_until = 'epoch', client_id = 'easel-' || gen_random_uuid()",
		`UPDATE attempts SET state = 'lost', loss_reason = 'restored', finished_at = now()
		 WHERE state IN ('submitting', 'submitted', 'running', 'finalizing')`,
		"UPDATE images SET status = 'pending', started_at = NULL WHERE status = 'generating'",
		`UPDATE images i SET status = 'cancelled', finished_at = now() FROM generations g
		 WHERE g.id = i.generation_id AND i.status = 'pending' AND g.cancel_requested_at IS NOT NULL`,
		`UPDATE generations SET status = 'cancelled', images_left = 0, finished_at = now()
		 WHERE images_left > 0 AND cancel_requested_at IS NOT NULL`,
	}
	if r.has("attempts", "watch_until") { // or we would cancel them where they are
		statements = append(statements, "UPDATE attempts SET watch_until = NULL WHERE watch_until IS NOT NULL")
	}
	if r.has("webhook_deliveries", "job_id") { // jobs are not in a backup; those without one get another
		statements = append(statements, "UPDATE webhook_deliveries SET job_id = NULL WHERE job_id IS NOT NULL AND state = 'pending'")
	}
	if r.has("push_messages", "job_id") {
		statements = append(statements, "UPDATE push_messages SET job_id = NULL")
	}
	if r.has("settings", "name") { // on one Redis or NATS the two would hear each other
		statements = append(statements, "DELETE FROM settings WHERE name = "+installation)
	}
	if r.target.Paused {
		if !r.has("settings", "value") {
			return errors.New("the backup is of a version whose queue cannot be paused; restore it with no servers set instead")
		}
		statements = append(statements, "INSERT INTO settings (name, value) VALUES ('queue_paused', 'true') "+
			"ON CONFLICT (name) DO UPDATE SET value = excluded.value")
	}
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM generations WHERE images_left > 0").Scan(&r.waiting); err != nil {
		return err
	}
	return continueCounting(ctx, tx)
}

// continueCounting has columns that count go on after the highest that was restored.
func continueCounting(ctx context.Context, tx pgx.Tx) error {
	list, err := tx.Query(ctx, `
		SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname <> ALL($1::text[])
		  AND a.attnum > 0 AND NOT a.attisdropped AND pg_get_serial_sequence(c.oid::regclass::text, a.attname) IS NOT NULL`, unkept)
	if err != nil {
		return err
	}
	type counter struct{ Table, Column string }
	counters, err := pgx.CollectRows(list, pgx.RowToStructByPos[counter])
	if err != nil {
		return err
	}
	for _, c := range counters {
		name, column := pgx.Identifier{c.Table}.Sanitize(), pgx.Identifier{c.Column}.Sanitize()
		_, err := tx.Exec(ctx, fmt.Sprintf("SELECT setval(pg_get_serial_sequence($1, $2), coalesce(max(%s), 0) + 1, false) FROM %s", column, name), name, c.Column)
		if err != nil {
			return err
		}
	}
	return nil
}

// restoreKeys writes the keys of the backup. It comes last: when it fails, nothing is committed.
func (r *reader) restoreKeys() error {
	for name, content := range r.keys {
		if err := r.restoreKey(filepath.Join(r.target.Keys, name), content); err != nil {
			return fmt.Errorf("restore key %s: %w", name, err)
		}
	}
	return nil
}

func (r *reader) restoreKey(path string, content []byte) error {
	there, err := os.ReadFile(path)
	switch {
	case err == nil && string(there) == string(content):
		return nil
	case err == nil:
		return fmt.Errorf("there is another one in %s; move it away", path)
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(r.target.Keys, 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}
