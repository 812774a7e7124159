package harness

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Ledger is a client outside of every Easel that keeps what it was told: each acknowledged id, and
// each end that it was shown. At the last it holds the installation to that.
type Ledger struct {
	in *Installation

	mu         sync.Mutex
	acked      map[string]string // id by Idempotency-Key
	ends       map[string]string // status by id, as first shown
	refused    int               // tries without an acknowledgement
	complaints []string
}

// NewLedger keeps the ledger of an installation. From here on the database counts, at each new
// attempt, whether the image has another live one.
func NewLedger(t testing.TB, in *Installation) *Ledger {
	t.Helper()
	if _, err := in.Pool.Exec(t.Context(), doubleAttempts); err != nil {
		t.Fatalf("watch for double attempts: %v", err)
	}
	return &Ledger{in: in, acked: make(map[string]string), ends: make(map[string]string)}
}

// doubleAttempts notes what the partial index on live attempts must have made impossible, and every
// change of an end, whoever makes it.
const doubleAttempts = `
CREATE TABLE ledger_faults (what text NOT NULL, prompt_id uuid NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE FUNCTION ledger_watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.finished_at IS NULL AND EXISTS (SELECT FROM attempts a
        WHERE (a.generation_id, a.image_index) = (NEW.generation_id, NEW.image_index)
          AND a.prompt_id <> NEW.prompt_id AND a.finished_at IS NULL) THEN
        INSERT INTO ledger_faults (what, prompt_id) VALUES ('two live attempts', NEW.prompt_id);
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.finished_at IS NOT NULL AND OLD.state <> NEW.state AND NEW.state <> 'succeeded' THEN
        INSERT INTO ledger_faults (what, prompt_id) VALUES ('an end changed', NEW.prompt_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_watch AFTER INSERT OR UPDATE ON attempts FOR EACH ROW EXECUTE FUNCTION ledger_watch();`

// askPause is how long Ask waits before it asks again.
const askPause = 200 * time.Millisecond

// Ask asks one Easel or another until there is an acknowledgement, always with the same key, and
// gives the id; empty when ctx ended before.
func (l *Ledger) Ask(ctx context.Context, random *rand.Rand, a Ask) string {
	pause := time.NewTicker(askPause)
	defer pause.Stop()
	for ctx.Err() == nil {
		e := l.in.Easels[random.IntN(len(l.in.Easels))]
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		g, status, err := e.Try(try, a)
		cancel()
		if err == nil && status == http.StatusCreated {
			l.mu.Lock()
			if before, again := l.acked[a.Key]; again && before != g.ID {
				l.complaints = append(l.complaints, fmt.Sprintf("key %s gave %s and then %s", a.Key, before, g.ID))
			}
			l.acked[a.Key] = g.ID
			l.mu.Unlock()
			return g.ID
		}
		l.mu.Lock()
		l.refused++
		l.mu.Unlock()
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
	return ""
}

// Await reads a generation, from one Easel or another, until it has ended, and notes the end; false
// when ctx ended before.
func (l *Ledger) Await(ctx context.Context, random *rand.Rand, id string) bool {
	pause := time.NewTicker(askPause)
	defer pause.Stop()
	for ctx.Err() == nil {
		look, cancel := context.WithTimeout(ctx, 10*time.Second)
		g, status, err := l.in.Easels[random.IntN(len(l.in.Easels))].Look(look, id)
		cancel()
		switch {
		case err == nil && status == http.StatusNotFound:
			l.complain("generation %s was acknowledged and is not there", id)
			return true
		case err == nil && status == http.StatusOK && g.Ended():
			l.mu.Lock()
			l.ends[id] = g.Status
			l.mu.Unlock()
			return true
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
	return false
}

func (l *Ledger) complain(format string, values ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.complaints = append(l.complaints, fmt.Sprintf(format, values...))
}

// Figures are what a run came to.
type Figures struct {
	Acknowledged, Refused       int
	Complete, Failed, Cancelled int
	Posts, Runs                 int // of prompts, in all ComfyUIs
	Losses, Reruns              int
	Pictures                    int           // read over HTTP, hashed and decoded
	P95                         time.Duration // from acceptance to end
}

// Check holds the installation, in which nothing may be broken any more, to the ledger. Each
// complaint fails the test.
func (l *Ledger) Check(t testing.TB) (f Figures) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	f.Acknowledged, f.Refused = len(l.acked), l.refused
	acked := make([]string, 0, len(l.acked))
	for _, id := range l.acked {
		acked = append(acked, id)
	}
	for i, id := range acked {
		l.checkGeneration(t, &f, i, id)
	}
	in := l.in
	if n := in.Count("SELECT count(*) FROM generations WHERE id::text = ANY($1)", acked); n != len(acked) {
		l.complaints = append(l.complaints, fmt.Sprintf("%d of %d acknowledged generations are in the database", n, len(acked)))
	}
	if n := in.Count("SELECT count(*) FROM generations WHERE finished_at IS NULL"); n != 0 {
		l.complaints = append(l.complaints, fmt.Sprintf("%d generations have not ended", n))
	}
	if n := in.Count("SELECT count(*) FROM attempts WHERE finished_at IS NULL"); n != 0 {
		l.complaints = append(l.complaints, fmt.Sprintf("%d attempts are still live", n))
	}
	if n := in.Count("SELECT count(*) FROM ledger_faults"); n != 0 {
		l.complaints = append(l.complaints, fmt.Sprintf("%d times an image had two live attempts, or an end changed", n))
	}
	f.Losses = in.Count("SELECT count(*) FROM attempts WHERE state = 'lost'")
	f.Reruns = in.Count("SELECT count(*) FROM attempts WHERE number > 1")
	l.checkComfyUIs(t, &f)
	var seconds float64
	if err := in.Pool.QueryRow(t.Context(), `SELECT coalesce(percentile_cont(0.95) WITHIN GROUP
		(ORDER BY extract(epoch FROM finished_at - created_at)), 0)::float8 FROM generations`).Scan(&seconds); err != nil {
		t.Error(err)
	}
	f.P95 = time.Duration(seconds * float64(time.Second)).Round(10 * time.Millisecond)
	for _, complaint := range l.complaints {
		t.Error(complaint)
	}
	return f
}

// checkGeneration: it is there, it has ended as was shown before, and every complete image has a
// file of the stored hash that decodes (P02, P03, P06).
func (l *Ledger) checkGeneration(t testing.TB, f *Figures, n int, id string) {
	t.Helper()
	e := l.in.Easels[n%len(l.in.Easels)]
	var g Generation
	var status int
	var err error
	// Another instance may have shown the end: this one has until a lost bell is found out about (P19).
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		g, status, err = e.Look(t.Context(), id)
		if err == nil && status == http.StatusOK && g.Ended() || time.Since(began) > Patience {
			break
		}
	}
	if err != nil || status != http.StatusOK {
		t.Errorf("acknowledged generation %s: status %d, %v", id, status, err)
		return
	}
	if shown, ok := l.ends[id]; ok && shown != g.Status {
		t.Errorf("generation %s had ended as %s and is %s now", id, shown, g.Status)
	}
	switch g.Status {
	case "complete":
		f.Complete++
	case "failed":
		f.Failed++
	case "cancelled":
		f.Cancelled++
	default:
		t.Errorf("generation %s is %s", id, g.Status)
	}
	for _, image := range g.Images {
		if image.Status != "complete" {
			continue
		}
		var want string
		if err := l.in.Pool.QueryRow(t.Context(),
			"SELECT sha256 FROM outputs WHERE generation_id = $1 AND image_index = $2 AND position = 0", id, image.Index).Scan(&want); err != nil {
			t.Errorf("output of generation %s: %v", id, err)
			continue
		}
		if err := wholePicture(t.Context(), e.URL+image.URL, want); err != nil {
			t.Errorf("picture of generation %s: %v", id, err)
			continue
		}
		f.Pictures++
	}
}

func wholePicture(ctx context.Context, address, sha string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %d, %w", address, response.StatusCode, err)
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != sha {
		return fmt.Errorf("%s has another hash than stored", address)
	}
	if _, err := png.Decode(bytes.NewReader(content)); err != nil {
		return fmt.Errorf("%s does not decode: %w", address, err)
	}
	return nil
}

// checkComfyUIs: no prompt id was posted twice (P05), nothing was stopped that was not named and
// nothing cleared (P16), and no image ran more often than once and once for each loss.
func (l *Ledger) checkComfyUIs(t testing.TB, f *Figures) {
	t.Helper()
	posts, runs := map[string]int{}, map[string]int{}
	for i, comfy := range l.in.ComfyUIs {
		ledger := comfy.Ledger()
		for id, n := range ledger.Posts() {
			posts[id] += n
		}
		for id, n := range ledger.Runs() {
			runs[id] += n
			f.Runs += n
		}
		for _, id := range ledger.Interrupts() {
			if id == "" {
				t.Errorf("ComfyUI %d was sent an interrupt that names no prompt", i+1)
			}
		}
		if n := ledger.Clears(); n != 0 {
			t.Errorf("ComfyUI %d was told to clear its queue or history %d times", i+1, n)
		}
	}
	f.Posts = len(posts)
	for id, n := range posts {
		if n != 1 {
			t.Errorf("prompt %s was posted %d times", id, n)
		}
	}
	rows, err := l.in.Pool.Query(t.Context(), `SELECT generation_id::text || '/' || image_index, prompt_id::text, state FROM attempts`)
	if err != nil {
		t.Error(err)
		return
	}
	defer rows.Close()
	ran, lost := map[string]int{}, map[string]int{}
	for rows.Next() {
		var image, prompt, state string
		if err := rows.Scan(&image, &prompt, &state); err != nil {
			t.Error(err)
			return
		}
		ran[image] += runs[prompt]
		if state == "lost" {
			lost[image]++
		}
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
	for image, n := range ran {
		if n > 1+lost[image] {
			t.Errorf("image %s ran %d times with %d losses", image, n, lost[image])
		}
	}
}
