package trouble

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// A backup that is made while Easel works, restored in two other places: a fresh data folder, and from
// there one whose pictures lie in S3. Everything that had ended is there, to the byte of the answer
// and of each file; what had not is made there, and the first Easel does not notice.
func TestBackupAndRestore_P25(t *testing.T) {
	t.Parallel()
	comfy := startComfyUI(t, simulator.Config{PreviewSize: 64})
	first := harness.Start(t, harness.Options{ComfyUI: comfy.URL()})
	var ended []string
	for i := range 4 {
		ended = append(ended, first.Generate(harness.Ask{Prompt: fmt.Sprintf("before the backup %d\t\\N ünï", i), Steps: 2, Images: 1 + i%2}))
	}
	for _, id := range ended {
		first.AwaitStatus(id, "complete")
	}
	for i := range 12 {
		first.Generate(harness.Ask{Prompt: fmt.Sprintf("under load %d", i), Steps: 8})
	}
	file := filepath.Join(t.TempDir(), "easel.tar")
	began := time.Now()
	command(t, 0, "Backed up", harness.Options{DataDir: first.DataDir}, "backup", file)
	harness.Within(t, "a backup of a few pictures", began, 5*time.Second)
	command(t, 1, "is there already", harness.Options{DataDir: first.DataDir}, "backup", file)
	command(t, 1, "in use by another Easel", harness.Options{DataDir: first.DataDir}, "restore", file)

	folder := harness.Options{DataDir: harness.DataDir(t), ComfyUI: comfy.URL()}
	command(t, 0, "Restored", folder, "restore", file)
	command(t, 1, "not empty", folder, "restore", file)
	inFolder := harness.Start(t, folder)
	compare(t, first, inFolder, ended)

	// Ended generations alone, of an Easel that is down, and into another kind of storage.
	inFolder.Stop()
	whole := filepath.Join(t.TempDir(), "easel.tar")
	command(t, 0, "Backed up", folder, "backup", whole)
	s3 := folder
	s3.DataDir, s3.Env = harness.DataDir(t), bucketFor(t)
	command(t, 0, "Restored", s3, "restore", whole)
	inS3 := harness.Start(t, s3)
	inFolder.Restart()
	compare(t, inFolder, inS3, ended)
	ranges(t, inS3.URL+"/generations/"+ended[0]+"/images/1/0")
	id := inS3.Generate(harness.Ask{Prompt: "made in the new place", Steps: 2})
	inS3.AwaitStatus(id, "complete")

	for id, n := range comfy.Ledger().Posts() {
		if n != 1 {
			t.Errorf("prompt %s was posted %d times", id, n)
		}
	}
	if n := len(comfy.Ledger().Interrupts()); n != 0 {
		t.Errorf("%d prompts were interrupted, want none", n)
	}
}

// command runs a subcommand and looks for its code and a part of what it says.
func command(t *testing.T, code int, part string, o harness.Options, args ...string) {
	t.Helper()
	got, output := harness.Run(t, o, args...)
	if got != code || !strings.Contains(output, part) {
		t.Fatalf("easel %s = %d, want %d and %q:\n%s", strings.Join(args, " "), got, code, part, output)
	}
}

// bucketFor starts an S3, and gives the variables that name a bucket in it.
func bucketFor(t *testing.T) []string {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("pictures"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return []string{
		"EASEL_STORAGE=s3://pictures/easel?insecure=true&region=us-east-1&endpoint=" + strings.TrimPrefix(server.URL, "http://"),
		"EASEL_S3_ACCESS_KEY=key", "EASEL_S3_SECRET_KEY=secret",
	}
}

// compare waits until all is made in both places, and holds every generation of there against
// the one here. Those in ended must be alike to the byte.
func compare(t *testing.T, here, there *harness.Easel, ended []string) {
	t.Helper()
	for _, e := range []*harness.Easel{here, there} {
		harness.Eventually(t, "all is made", func() bool {
			return e.Count("SELECT count(*) FROM generations WHERE images_left > 0") == 0
		})
	}
	if n, want := there.Count("SELECT count(*) FROM generations"), here.Count("SELECT count(*) FROM generations"); n != want {
		t.Errorf("%d generations there, %d here", n, want)
	}
	for _, id := range ended {
		_, want := here.Get("/api/generations/" + id)
		_, got := there.Get("/api/generations/" + id)
		if got != want {
			t.Errorf("generation %s is\n%s\nit was\n%s", id, got, want)
		}
	}
	conn, err := there.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), "SELECT generation_id::text, image_index, position, sha256, thumbnail FROM outputs")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for rows.Next() {
		var id, sum, thumbnail string
		var image, position int
		if err := rows.Scan(&id, &image, &position, &sum, &thumbnail); err != nil {
			t.Fatal(err)
		}
		path := fmt.Sprintf("/generations/%s/images/%d/%d", id, image, position)
		for path, want := range map[string]string{path: sum, path + "/thumbnail": thumbnail} {
			if got := sumOf(fetch(t, there.URL+path)); got != want {
				t.Errorf("%s has the hash %s, want %s", path, got, want)
			}
			files++
		}
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
	if n := there.Count("SELECT count(*) * 2 FROM images WHERE status = 'complete'"); files != n || n == 0 {
		t.Errorf("%d files were compared, of %d", files, n)
	}
	for _, id := range ended {
		path := "/generations/" + id + "/images/1/0"
		if !bytes.Equal(fetch(t, here.URL+path), fetch(t, there.URL+path)) {
			t.Errorf("%s is another picture", path)
		}
	}
}

// ranges asks for parts of a picture, as a player or a broken download does.
func ranges(t *testing.T, address string) {
	t.Helper()
	whole := fetch(t, address)
	for asked, want := range map[string][]byte{
		"bytes=5-9": whole[5:10], "bytes=-4": whole[len(whole)-4:], fmt.Sprintf("bytes=%d-", len(whole)-1): whole[len(whole)-1:],
		"bytes=99999999-": nil,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Range", asked)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			t.Errorf("%s: %v", asked, err)
		}
		switch {
		case want == nil && response.StatusCode != http.StatusRequestedRangeNotSatisfiable:
			t.Errorf("%s: status %d", asked, response.StatusCode)
		case want != nil && (response.StatusCode != http.StatusPartialContent || !bytes.Equal(got, want)):
			t.Errorf("%s: status %d with %d bytes %x, want %x", asked, response.StatusCode, len(got), got[:min(len(got), 16)], want)
		}
	}
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// The doctor finds an Easel that works in order, and names what is wrong with one that does not.
func TestDoctor(t *testing.T) {
	t.Parallel()
	comfy := startComfyUI(t, simulator.Config{PreviewSize: 64})
	e := harness.Start(t, harness.Options{ComfyUI: comfy.URL()})
	o := harness.Options{DataDir: e.DataDir, ComfyUI: comfy.URL()}
	for _, part := range []string{"A file was stored, read and removed", "LISTEN hears NOTIFY", "the latest", "It is a ComfyUI"} {
		command(t, 0, part, o, "doctor")
	}
	command(t, 0, `"verdict":"ok"`, o, "doctor", "--json")
	command(t, 0, "this Easel brings it to", o, "migrate", "status")
	o.ComfyUI = "http://127.0.0.1:1"
	command(t, 1, "Is ComfyUI running", o, "doctor")
	o.ComfyUI, o.Env = comfy.URL(), bucketFor(t)
	o.Env[0] = strings.Replace(o.Env[0], "pictures", "elsewhere", 1)
	command(t, 1, "there is no bucket elsewhere", o, "doctor")
	redis := harness.StartRedis(t)
	o.Env = []string{"EASEL_BUS=" + redis.URL()}
	command(t, 0, "brought back what was said there", o, "doctor")
	redis.Kill()
	command(t, 0, "asks the database every second instead", o, "doctor")
	o.Env = []string{"DATABASE_URL=postgres://easel:hidden@127.0.0.1:1/easel"}
	command(t, 69, "there is no database to work with", o, "doctor")
}

// An Easel whose bucket is not there does not start, and says so; one whose S3 is down does, and
// tells so in /readyz.
func TestStorageAtStart(t *testing.T) {
	t.Parallel()
	o := harness.Options{DataDir: harness.DataDir(t), Env: bucketFor(t)}
	o.Env[0] = strings.Replace(o.Env[0], "pictures", "elsewhere", 1)
	command(t, 1, "there is no bucket elsewhere", o)
	o.Env = []string{"EASEL_STORAGE=s3://pictures?insecure=true&region=us-east-1&endpoint=127.0.0.1:1", "EASEL_S3_ACCESS_KEY=key", "EASEL_S3_SECRET_KEY=secret"}
	o.DataDir = ""
	e := harness.Start(t, o)
	var status int
	var body string
	harness.Eventually(t, "ready, with its storage down", func() bool { // 503 while a busy database takes its time
		status, body = e.Get("/readyz")
		return status == 200 && strings.Contains(body, `"storage":"down"`)
	}, func() string { return fmt.Sprintf("/readyz = %d %s", status, body) })
}
