package studio_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"easel/blob"
	"easel/comfy/simulator"
	"easel/studio"
)

// A storage without room (row 17) or that is away (row 36): the picture stays in ComfyUI and shows
// "Storing", nothing new is sent that could not be kept, and all goes on by itself.
func TestStorageFullOrAway(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]error{
		"full": fmt.Errorf("store: %w", blob.ErrNoSpace), "away": fmt.Errorf("store: %w", blob.ErrUnavailable),
		"refuses": fmt.Errorf("store: %w", blob.ErrRefused),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, mood := withMood(t)
			mood.Store(&trouble)
			first := w.create(request("made while nothing can be stored"))
			w.await(first.ID, "storing", func(s *studio.State) bool { return s.Progress.Status == "Storing" })
			if err := w.studio.Storage(t.Context()); !errors.Is(err, trouble) {
				t.Errorf("Storage() = %v, want %v", err, trouble)
			}
			w.eventually("waited for", func() bool {
				return w.count("SELECT count(*) FROM river.river_job WHERE kind = 'finalize' AND metadata ? 'snoozes'") == 1
			})
			second := w.create(request("asked for meanwhile"))
			w.eventually("waited for again", func() bool {
				return w.count("SELECT count(*) FROM river.river_job WHERE kind = 'finalize' AND (metadata ->> 'snoozes')::integer >= 3") == 1
			})
			if n := len(w.comfy.Ledger().Posts()); n != 1 {
				t.Errorf("%d prompts were sent, want none while their pictures cannot be kept", n)
			}
			if g := w.stored(first.ID); g.Status != studio.Generating {
				t.Errorf("meanwhile it is %s, want generating", g.Status)
			}
			mood.Store(nil)
			w.awaitStatus(first.ID, studio.Complete)
			w.awaitStatus(second.ID, studio.Complete)
			w.once()
		})
	}
}

// Pictures in S3: stored, served, and waited for while it is down.
func TestPicturesInS3(t *testing.T) {
	t.Parallel()
	backend := s3mem.New()
	if err := backend.CreateBucket("pictures"); err != nil {
		t.Fatal(err)
	}
	fake := gofakes3.New(backend).Server()
	var down atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			panic(http.ErrAbortHandler)
		}
		fake.ServeHTTP(w, r)
	}))
	defer server.Close()
	store, err := blob.NewS3(blob.S3Config{
		Endpoint: strings.TrimPrefix(server.URL, "http://"), Bucket: "pictures", Region: "us-east-1", PathStyle: true, Insecure: true,
		AccessKey: "key", SecretKey: "secret", Scratch: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	w := open(t, func(w *workshop, _ *simulator.Config) {
		w.storage = func(blob.Store) blob.Store { return store }
	})
	g := w.create(request("kept far away"))
	output := w.awaitStatus(g.ID, studio.Complete).Generation.Images[0].Outputs[0]
	content, file := w.content(g.ID, 1, 0, false)
	if int64(len(content)) != output.Size || file.SHA256 != output.SHA256 {
		t.Errorf("read %d bytes of %s, want %d of %s", len(content), file.SHA256, output.Size, output.SHA256)
	}
	down.Store(true)
	late := w.create(request("made while S3 is down"))
	w.await(late.ID, "storing", func(s *studio.State) bool { return s.Progress.Status == "Storing" })
	w.eventually("noticed", func() bool { return w.studio.Storage(t.Context()) != nil })
	w.eventually("waited for", func() bool {
		return w.count("SELECT count(*) FROM river.river_job WHERE kind = 'finalize' AND metadata ? 'snoozes'") == 1
	})
	down.Store(false)
	w.awaitStatus(late.ID, studio.Complete)
	opened, err := w.studio.Output(t.Context(), late.ID, 1, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Body.Close()
	if n, err := io.Copy(io.Discard, opened.Body); n != opened.Size || err != nil {
		t.Errorf("thumbnail has %d bytes, %v, want %d", n, err, opened.Size)
	}
	w.once()
}
