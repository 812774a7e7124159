package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"easel/blob"
	"easel/db"
	"easel/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const (
	done    = "01900000-0000-7000-8000-000000000001"
	running = "01900000-0000-7000-8000-000000000002"
	stopped = "01900000-0000-7000-8000-000000000003" // asked to stop, and still in a ComfyUI
)

// filled is a database with one generation that has a picture, one that is being made and one that
// is being cancelled, and the storage of the picture.
func filled(t *testing.T) (*pgxpool.Pool, *blob.Folder, []blob.Info) {
	t.Helper()
	pool, folder := dbtest.New(t), newFolder(t)
	var files []blob.Info
	for _, content := range []string{"a picture", "its thumbnail"} {
		info, err := folder.Put(t.Context(), strings.NewReader(content), 100)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, info)
	}
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO servers (id, key, name, url, kind, client_id, owner, lease_until, fence)
		VALUES ('01900000-0000-7000-8000-00000000000a', 'http://comfy:8188', 'one', 'http://comfy:8188', 'comfyui', 'easel-original',
		        gen_random_uuid(), now() + interval '1 hour', 7)`)
	for i, id := range []string{done, running, stopped} {
		batch.Queue(`INSERT INTO generations (id, user_id, prompt, workflow, settings, request, total_images, images_left, origin, status, cancel_requested_at)
			SELECT $1, u.id, $2, 'w', '{"a": 1}', '\x00ff', 1, 1, gen_random_uuid(), 'generating', CASE WHEN $3 THEN now() END FROM users u`,
			id, "tab\tbackslash \\ newline\n\\. ünï", i == 2)
		batch.Queue("INSERT INTO images (generation_id, index, seed, status, started_at) VALUES ($1, 1, 18446744073709551615, 'generating', now())", id)
		batch.Queue(`INSERT INTO attempts (prompt_id, generation_id, image_index, number, server_id, fence, state, graph, result)
			VALUES ($1, $1, 1, 1, '01900000-0000-7000-8000-00000000000a', 7, 'finalizing', $2, '[]')`, id, bytes.Repeat([]byte("{}"), partBytes/4)) // twice as many letters as text: each row fills a part
	}
	batch.Queue("UPDATE attempts SET state = 'succeeded', finished_at = now() WHERE prompt_id = $1", done)
	batch.Queue("UPDATE images SET status = 'complete', finished_at = now() WHERE generation_id = $1", done)
	batch.Queue("UPDATE generations SET status = 'complete', images_left = 0, images_complete = 1, finished_at = now() WHERE id = $1", done)
	batch.Queue(`INSERT INTO outputs (prompt_id, node_id, idx, generation_id, image_index, position, kind, sha256, thumbnail, mime, size, width, height)
		VALUES ($1, '9', 0, $1, 1, 0, 'image', $2, $3, 'image/png', 9, 1, 1)`, done, files[0].SHA256, files[1].SHA256)
	if err := pool.SendBatch(t.Context(), batch).Close(); err != nil {
		t.Fatal(err)
	}
	return pool, folder, files
}

func newFolder(t *testing.T) *blob.Folder {
	t.Helper()
	folder, err := blob.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	return folder
}

func written(t *testing.T, source Source) ([]byte, Report) {
	t.Helper()
	var file bytes.Buffer
	report, err := Write(t.Context(), source, &file)
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), report
}

// dump is everything that is kept, as text.
func dump(t *testing.T, pool *pgxpool.Pool) map[string]string {
	t.Helper()
	rows := map[string]string{}
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		tables, err := readTables(t.Context(), tx)
		if err != nil {
			return err
		}
		for _, table := range tables {
			var text string
			err := tx.QueryRow(t.Context(), "SELECT coalesce(string_agg(r::text, E'\n' ORDER BY r::text), '') FROM "+table.Name+" r").Scan(&text)
			if err != nil {
				return err
			}
			rows[table.Name] = text
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func column(t *testing.T, pool *pgxpool.Pool, sql string) string {
	t.Helper()
	var value string
	if err := pool.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// Into a database that an Easel was started on: what had ended is the same, what had not is made again, and
// nothing claims what belongs to the first Easel.
func TestRestore(t *testing.T) {
	t.Parallel()
	pool, folder, files := filled(t)
	keys := t.TempDir()
	if err := os.WriteFile(filepath.Join(keys, "secret"), []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	theirs, err := db.New(pool).Installation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	file, report := written(t, Source{Pool: pool, Blobs: folder, Version: "test", Keys: keys})
	if report.Generations != 3 || report.Files != 2 || report.Bytes != 22 || report.Missing != nil || report.Damaged != nil {
		t.Errorf("report = %+v", report)
	}
	there, blobs := dbtest.New(t), newFolder(t)
	ours, err := db.New(there).Installation(t.Context()) // as a first start makes it
	if err != nil {
		t.Fatal(err)
	}
	target := Target{Pool: there, Blobs: blobs, Keys: filepath.Join(t.TempDir(), "keys"), Paused: true}
	report, err = Read(t.Context(), target, bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if report.Generations != 3 || report.Files != 2 || report.Waiting != 1 {
		t.Errorf("report = %+v", report)
	}
	want, got := dump(t, pool), dump(t, there)
	for _, same := range []string{"users", "outputs"} {
		if diff := cmp.Diff(want[same], got[same]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", same, diff)
		}
	}
	for sql, want := range map[string]string{
		"SELECT g::text FROM generations g WHERE id = '" + done + "'":                            column(t, pool, "SELECT g::text FROM generations g WHERE id = '"+done+"'"),
		"SELECT a::text FROM attempts a WHERE prompt_id = '" + done + "'":                        column(t, pool, "SELECT a::text FROM attempts a WHERE prompt_id = '"+done+"'"),
		"SELECT state || ' ' || loss_reason FROM attempts WHERE prompt_id = '" + running + "'":   "lost restored",
		"SELECT status || ' ' || seed FROM images WHERE generation_id = '" + running + "'":       "pending 18446744073709551615",
		"SELECT status || ' ' || images_left FROM generations WHERE id = '" + running + "'":      "generating 1",
		"SELECT status FROM images WHERE generation_id = '" + stopped + "'":                      "cancelled",
		"SELECT status || ' ' || images_left FROM generations WHERE id = '" + stopped + "'":      "cancelled 0",
		"SELECT (owner IS NULL AND lease_until < now() AND fence = 7)::text FROM servers":        "true",
		"SELECT (client_id LIKE 'easel-%' AND client_id <> 'easel-original')::text FROM servers": "true",
		"SELECT value::text FROM settings WHERE name = 'queue_paused'":                           "true",
		"SELECT count(*)::text FROM events":                                                      "1", // of its first start; no other bell was rung
	} {
		if got := column(t, there, sql); got != want {
			t.Errorf("%s = %q, want %q", sql, got, want)
		}
	}
	if again, err := db.New(there).Installation(t.Context()); err != nil || again == theirs || again == ours {
		t.Errorf("the restored database is called %q, %v; the one of the backup %q", again, err, theirs)
	}
	for _, f := range files {
		if info, err := blobs.Stat(t.Context(), f.SHA256); err != nil || info.Size != f.Size {
			t.Errorf("Stat(%s) = %+v, %v", f.SHA256, info, err)
		}
	}
	if key, err := os.ReadFile(filepath.Join(target.Keys, "secret")); string(key) != "key" || err != nil {
		t.Errorf("key = %q, %v", key, err)
	}
	// Rules of the schema are at work again: what has ended stays.
	if _, err := there.Exec(t.Context(), "UPDATE generations SET status = 'failed' WHERE id = $1", done); err == nil {
		t.Error("an ended generation changes after a restore")
	}
	if _, err := Read(t.Context(), target, bytes.NewReader(file)); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a second restore: %v, want ErrNotEmpty", err)
	}
}

// A backup of an older version goes in at that version, and is brought up to date by the same
// migrations as the database that it is of would have been.
func TestRestoreOlder(t *testing.T) {
	t.Parallel()
	old := dbtest.New(t, dbtest.Empty())
	if err := db.MigrateTo(t.Context(), old, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Exec(t.Context(), `INSERT INTO generations (id, user_id, prompt, workflow, settings, request, total_images, images_left, origin, created_at)
		SELECT $1, id, 'p', 'w', '{}', '', 1, 1, id, 'epoch' FROM users`, running); err != nil {
		t.Fatal(err)
	}
	file, _ := written(t, Source{Pool: old, Blobs: newFolder(t)})
	there := dbtest.New(t, dbtest.Empty())
	if _, err := Read(t.Context(), Target{Pool: there, Blobs: newFolder(t)}, bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	current, known, err := db.SchemaVersion(t.Context(), there)
	if err != nil || current != known {
		t.Errorf("schema = %d of %d, %v", current, known, err)
	}
	if rank := column(t, there, "SELECT rank::text FROM generations"); rank != "0" {
		t.Errorf("rank = %s, want 0 from the migration that made it of created_at", rank)
	}
	if _, err := Read(t.Context(), Target{Pool: dbtest.New(t), Blobs: newFolder(t)}, bytes.NewReader(file)); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("into tables of a later version: %v, want ErrNotEmpty", err)
	}
}

// edited writes a backup anew, entry by entry; edit gives what becomes of each.
func edited(t *testing.T, file []byte, edit func(name string, content []byte) (string, []byte)) []byte {
	t.Helper()
	var out bytes.Buffer
	in, w := tar.NewReader(bytes.NewReader(file)), tar.NewWriter(&out)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if name, content := edit(header.Name, content); name != "" {
			if err := writeEntry(w, name, content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What is not as it was made is refused in words, and the database stays empty.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	pool, folder, files := filled(t)
	file, _ := written(t, Source{Pool: pool, Blobs: folder})
	replace := func(part, with string) func(string, []byte) (string, []byte) {
		return func(name string, content []byte) (string, []byte) {
			return name, bytes.ReplaceAll(content, []byte(part), []byte(with))
		}
	}
	renamed := func(from, to string) func(string, []byte) (string, []byte) {
		return func(name string, content []byte) (string, []byte) { return strings.Replace(name, from, to, 1), content }
	}
	dropped := func(part string) func(string, []byte) (string, []byte) {
		return func(name string, content []byte) (string, []byte) {
			if strings.Contains(name, part) {
				return "", nil
			}
			return name, content
		}
	}
	link := func() []byte {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: manifestName, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}), w.Close()); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	there := dbtest.New(t)
	before := dump(t, there)
	for name, test := range map[string]struct {
		file []byte
		part string
	}{
		"nothing":            {nil, "no backup of Easel"},
		"no tar":             {bytes.Repeat([]byte("picture "), 1000), "damaged or cut off"},
		"a link":             {link(), "no plain file"},
		"another format":     {edited(t, file, replace(`"format": 1`, `"format": 2`)), "has format 2"},
		"newer":              {edited(t, file, replace(`"schema": `, `"schema": 99`)), "knows up to"},
		"another schema":     {edited(t, file, replace(`"prompt",`, `"pormpt",`)), "other tables or columns"},
		"cut in a table":     {file[:partBytes], "cut off"},
		"cut in a file":      {file[:len(file)-8*512], "cut off"},
		"without its end":    {edited(t, file, dropped(endName)), "no " + endName},
		"without a part":     {edited(t, file, dropped(part("attempts", 2))), "does not belong there"},
		"without a table":    {edited(t, file, dropped("tables/outputs/")), "0 rows"},
		"a row changed":      {edited(t, file, replace("backslash", "backslush")), "damaged: of generations"},
		"a file changed":     {edited(t, file, replace("a picture", "a pixture")), "another hash"},
		"without a file":     {edited(t, file, dropped(files[0].SHA256)), "1 files"},
		"another file":       {edited(t, file, renamed(files[0].SHA256, strings.Repeat("0", 64))), "another hash"},
		"a path":             {edited(t, file, renamed("blobs/", "../../etc/")), "does not belong there"},
		"a path after blobs": {edited(t, file, renamed(files[0].SHA256, "../../passwd")), "does not belong there"},
		"a hidden key":       {edited(t, file, renamed("blobs/"+files[0].SHA256, "keys/../x")), "does not belong there"},
		"one after the end":  {edited(t, file, renamed("blobs/"+files[0].SHA256, endName)), "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(t.Context(), Target{Pool: there, Blobs: newFolder(t), Keys: t.TempDir()}, bytes.NewReader(test.file))
			if err == nil || !strings.Contains(err.Error(), test.part) {
				t.Errorf("Read: %v, want an error with %q", err, test.part)
			}
			if diff := cmp.Diff(before, dump(t, there)); diff != "" {
				t.Errorf("the database has changed (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := Read(t.Context(), Target{Pool: there, Blobs: newFolder(t)}, bytes.NewReader(file)); err != nil {
		t.Errorf("after all of that, the backup itself: %v", err)
	}
}

// What the storage had lost before is told, by the backup and by the restore, and stops neither.
func TestBackupOfLostFiles(t *testing.T) {
	t.Parallel()
	pool, _, files := filled(t)
	place := filepath.Join(t.TempDir(), "images")
	other, err := blob.NewFolder(place)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	name := files[1].SHA256
	if err := os.MkdirAll(filepath.Join(place, name[:2], name[2:4]), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(place, name[:2], name[2:4], name), []byte("rotten"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, report := written(t, Source{Pool: pool, Blobs: other})
	for _, r := range []Report{report, func() Report {
		report, err := Read(t.Context(), Target{Pool: dbtest.New(t), Blobs: newFolder(t)}, bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		return report
	}()} {
		if !slices.Equal(r.Missing, []string{files[0].SHA256}) || !slices.Equal(r.Damaged, []string{name}) {
			t.Errorf("missing %q, damaged %q", r.Missing, r.Damaged)
		}
	}
}

// slow is a storage that waits before it is read.
type slow struct {
	blob.Store
	asked, go_ chan struct{}
}

func (s slow) Open(ctx context.Context, name string) (io.ReadSeekCloser, error) {
	s.asked <- struct{}{}
	<-s.go_
	return s.Store.Open(ctx, name)
}

// While a backup reads, files stay: who would remove one is told to come later. Rows may change.
func TestBackupForbidsRemoval(t *testing.T) {
	t.Parallel()
	pool, folder, _ := filled(t)
	storage := slow{folder, make(chan struct{}), make(chan struct{})}
	result := make(chan error, 1)
	go func() {
		_, err := Write(context.Background(), Source{Pool: pool, Blobs: storage}, io.Discard)
		result <- err
	}()
	<-storage.asked
	allowed := func() (allowed bool) {
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) (err error) {
			allowed, err = db.New(tx).RemovalAllowed(t.Context())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return allowed
	}
	if allowed() {
		t.Error("files may be removed while a backup reads them")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := pool.Exec(ctx, "UPDATE generations SET prompt = 'changed meanwhile'"); err != nil {
		t.Errorf("a change while a backup is made: %v", err)
	}
	close(storage.go_)
	<-storage.asked
	if err := <-result; err != nil {
		t.Error(err)
	}
	if !allowed() {
		t.Error("files may not be removed after a backup")
	}
}

func ExampleReport() {
	fmt.Println(Report{Generations: 3, Files: 2, Bytes: 2_200_000, Took: 1234567890})
	// Output: 3 generations, 2 files of 2.2 MB, in 1.23s
}
