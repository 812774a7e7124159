package faults

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"easel/comfy/simulator"
	"easel/failpoint"
	"easel/test/harness"
)

// victim is one Easel with a private database and one ComfyUI, which dies at named points.
type victim struct {
	*harness.Easel

	t     *testing.T
	comfy *simulator.Running
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	comfy, err := simulator.Start("127.0.0.1:0", simulator.Config{PreviewSize: 64})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(comfy.Close)
	return &victim{t: t, comfy: comfy, Easel: harness.Start(t, harness.Options{ComfyUI: comfy.URL()})}
}

// dieAt asks for a picture, has the program die at a point of its life, starts it again, and waits
// for the picture, which must have been asked for once.
func (v *victim) dieAt(point string) harness.Generation {
	v.t.Helper()
	v.Stop()
	v.SetEnv(failpoint.Variable, point)
	v.Restart()
	ask := harness.Ask{Prompt: "dies " + point, Key: point, Steps: 4}
	first, status, err := v.Try(v.t.Context(), ask)
	v.AwaitDeath()
	v.SetEnv(failpoint.Variable, "")
	v.Restart()
	again, _, errAgain := v.Try(v.t.Context(), ask)
	if errAgain != nil {
		v.t.Fatal(errAgain)
	}
	if err == nil && status == http.StatusCreated && first.ID != again.ID {
		v.t.Errorf("%s: the key gave %s before the death and %s after it", point, first.ID, again.ID)
	}
	if n := v.Count("SELECT count(*) FROM generations WHERE prompt = $1", ask.Prompt); n != 1 {
		v.t.Errorf("%s: %d generations, want 1", point, n)
	}
	return v.AwaitStatus(again.ID, "complete")
}

// attempts counts those of a generation that are in a state; any state if it is empty.
func (v *victim) attempts(g harness.Generation, state string) int {
	v.t.Helper()
	return v.Count("SELECT count(*) FROM attempts WHERE generation_id = $1 AND ($2 = '' OR state = $2)", g.ID, state)
}

// ran counts how often ComfyUI was sent, and began, the prompts of a generation.
func (v *victim) ran(g harness.Generation) (posts, runs int) {
	v.t.Helper()
	conn, err := v.Database(v.t.Context())
	if err != nil {
		v.t.Fatal(err)
	}
	defer conn.Close(v.t.Context())
	rows, err := conn.Query(v.t.Context(), "SELECT prompt_id::text FROM attempts WHERE generation_id = $1", g.ID)
	if err != nil {
		v.t.Fatal(err)
	}
	defer rows.Close()
	ledger := v.comfy.Ledger()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			v.t.Fatal(err)
		}
		posts, runs = posts+ledger.Posts()[id], runs+ledger.Runs()[id]
	}
	if err := rows.Err(); err != nil {
		v.t.Fatal(err)
	}
	return posts, runs
}

// once checks that a generation took so many attempts, and was posted and run once.
func (v *victim) once(point string, g harness.Generation, attempts int) {
	v.t.Helper()
	if posts, runs := v.ran(g); posts != 1 || runs != 1 {
		v.t.Errorf("%s: posted %d times and run %d times, want once", point, posts, runs)
	}
	if n := v.attempts(g, ""); n != attempts {
		v.t.Errorf("%s: %d attempts, want %d", point, n, attempts)
	}
}

// Killed around the commit of what was asked for (P01, P02): before it nothing is there, after it the
// same key gives what was stored, whether or not the answer was sent.
func TestFault01_KilledAfterAcceptBeforeReply(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	for _, point := range []string{failpoint.BeforeAccept, failpoint.AfterAccept} {
		v.once(point, v.dieAt(point), 1)
	}
}

// Killed around the commit of the attempt, before ComfyUI has heard of it (P05, P07): the prompt is
// looked up, is absent for 30 s, and another is sent.
func TestFault02_KilledAfterAttemptBeforePost(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	v.once(failpoint.BeforeAttempt, v.dieAt(failpoint.BeforeAttempt), 1)
	for _, point := range []string{failpoint.AfterAttempt, failpoint.BeforePost} {
		g := v.dieAt(point)
		v.once(point, g, 2)
		if n := v.attempts(g, "lost"); n != 1 {
			t.Errorf("%s: %d attempts are lost, want 1", point, n)
		}
	}
}

// Killed after the POST, before what came of it was stored (P05): the prompt is adopted by its id.
func TestFault03_KilledAfterPostBeforeReplyStored(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	for _, point := range []string{failpoint.AfterPost, failpoint.AfterReply} {
		v.once(point, v.dieAt(point), 1)
	}
}

// Killed when the end was read and not yet stored, or just stored: it is read again, and the files
// are fetched by one job.
func TestFault05_KilledAfterHistoryBeforeFinalizing(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	for i, point := range []string{failpoint.AfterHistory, failpoint.AfterFinalizing} {
		v.once(point, v.dieAt(point), 1)
		if n := v.Count("SELECT count(*) FROM river.river_job WHERE kind = 'finalize'"); n != i+1 {
			t.Errorf("%s: %d jobs for %d pictures", point, n, i+1)
		}
	}
}

// Killed around the rename of the file and the last commit (P06): the job runs again, to the same
// hash and one row.
func TestFault06_KilledBetweenRenameAndCommit(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	for _, point := range []string{failpoint.AfterRename, failpoint.BeforeSucceed, failpoint.AfterSucceed} {
		g := v.dieAt(point)
		v.once(point, g, 1)
		if n := v.Count("SELECT count(*) FROM outputs WHERE generation_id = $1", g.ID); n != 1 {
			t.Errorf("%s: %d outputs, want 1", point, n)
		}
	}
	v.whole()
}

// Killed in the middle of a download (P06): no part of a file is left anywhere.
func TestFault07_KilledInDownload(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	v.once(failpoint.InDownload, v.dieAt(failpoint.InDownload), 1)
	v.whole()
}

// whole checks that every file in the folder of pictures has the hash that it is named after, and
// that nothing else is left.
func (v *victim) whole() {
	v.t.Helper()
	pictures := 0
	for _, folder := range []string{"images", "tmp"} {
		err := filepath.WalkDir(filepath.Join(v.DataDir, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != entry.Name() && !strings.HasPrefix(entry.Name(), ".put-") {
				return fmt.Errorf("%s has another content than its name", path)
			}
			pictures++
			return nil
		})
		if err != nil {
			v.t.Error(err)
		}
	}
	if pictures == 0 {
		v.t.Error("there are no files at all")
	}
}
