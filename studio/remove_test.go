package studio_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"easel/blob"
	"easel/comfy/simulator"
	"easel/studio"
)

// removed waits until every removal that was asked for is done.
func (w *workshop) removed() {
	w.t.Helper()
	w.eventually("removed", func() bool {
		return w.count("SELECT count(*) FROM river.river_job WHERE kind = 'blob_delete' AND finalized_at IS NULL") == 0
	})
}

// alike is a storage in which all pictures are one, and all thumbnails another: every generation
// that ends and every one that is deleted have to do with the same two files.
type alike struct{ blob.Store }

func (s alike) Put(ctx context.Context, r io.Reader, max int64) (blob.Info, error) {
	content, err := io.ReadAll(io.LimitReader(r, max))
	if err != nil {
		return blob.Info{}, err
	}
	if bytes.HasPrefix(content, []byte("\xff\xd8\xff")) {
		return s.Store.Put(ctx, strings.NewReader("the thumbnail"), max)
	}
	return s.Store.Put(ctx, strings.NewReader("the picture"), max)
}

// Two instances store and remove the same files all the time: what is complete has its files until
// it is deleted itself, and in the end nothing is left.
func TestRemovalAgainstReference(t *testing.T) {
	t.Parallel()
	w := open(t, func(w *workshop, _ *simulator.Config) {
		w.storage = func(s blob.Store) blob.Store { return alike{s} }
	})
	second, stop := w.run(w.pool, false)
	defer stop()
	instances := []*studio.Studio{w.studio, second}
	const workers, rounds = 8, 6
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			here, there := instances[worker%2], instances[(worker+1)%2]
			for range rounds {
				if err := completeAndDelete(t.Context(), here, there); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	w.removed()
	for info, err := range w.blobs.Walk(t.Context()) {
		t.Errorf("%+v, %v is left", info, err)
	}
}

// completeAndDelete asks one instance for a picture, reads it, and has the other delete it.
func completeAndDelete(ctx context.Context, here, there *studio.Studio) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	g, _, err := here.Create(ctx, request("all alike"))
	if err != nil {
		return err
	}
	watch, err := here.Watch(ctx, g.ID)
	if err != nil {
		return err
	}
	defer watch.Close()
	for !watch.Latest().Generation.Status.Ended() {
		select {
		case <-watch.Changed():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, thumbnail := range []bool{false, true} {
		file, err := there.Output(ctx, g.ID, 1, 0, thumbnail)
		if err != nil {
			return errors.Join(errors.New("a complete generation has lost its file"), err)
		}
		_ = file.Body.Close()
	}
	return there.Delete(ctx, g.ID)
}

// moody is a storage that fails as it is told, where it would write, remove or answer.
type moody struct {
	blob.Store
	mood *atomic.Pointer[error]
}

func (s moody) err() error {
	if err := s.mood.Load(); err != nil {
		return *err
	}
	return nil
}

func (s moody) Put(ctx context.Context, r io.Reader, max int64) (blob.Info, error) {
	if err := s.err(); err != nil {
		return blob.Info{}, err
	}
	return s.Store.Put(ctx, r, max)
}

func (s moody) Delete(ctx context.Context, name string) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.Delete(ctx, name)
}

func (s moody) Check(ctx context.Context) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.Check(ctx)
}

// withMood opens a workshop whose storage fails with what the pointer holds.
func withMood(t *testing.T, settings ...setting) (*workshop, *atomic.Pointer[error]) {
	mood := new(atomic.Pointer[error])
	return open(t, append(settings, func(w *workshop, _ *simulator.Config) {
		w.storage = func(s blob.Store) blob.Store { return moody{s, mood} }
	})...), mood
}

// The rows go at once, the files when the storage is back.
func TestDeleteWhileStorageIsDown(t *testing.T) {
	t.Parallel()
	w, mood := withMood(t)
	g := w.create(request("deleted while the storage is away"))
	w.awaitStatus(g.ID, studio.Complete)
	mood.Store(&blob.ErrUnavailable)
	if err := w.studio.Delete(t.Context(), g.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.studio.State(t.Context(), g.ID); !errors.Is(err, studio.ErrNotFound) {
		t.Errorf("State() of a deleted one = %v, want ErrNotFound", err)
	}
	w.eventually("tried in vain", func() bool {
		return w.count("SELECT count(*) FROM river.river_job WHERE kind = 'blob_delete' AND state = 'retryable'") == 1
	})
	mood.Store(nil)
	w.removed()
	for info, err := range w.blobs.Walk(t.Context()) {
		t.Errorf("%+v, %v is left", info, err)
	}
}
