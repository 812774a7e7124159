package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// stores are all kinds of Store; each test below holds for each of them.
var stores = map[string]func(*testing.T) Store{
	"folder": func(t *testing.T) Store { folder, _ := newFolder(t); return folder },
	"s3":     func(t *testing.T) Store { return newS3(t, newBucket(t)) },
}

func conforms(t *testing.T, test func(*testing.T, Store)) {
	t.Helper()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func mustPut(t *testing.T, store Store, content string) Info {
	t.Helper()
	info, err := store.Put(t.Context(), strings.NewReader(content), limit)
	if err != nil {
		t.Fatal(err)
	}
	if info.SHA256 != nameOf(content) || info.Size != int64(len(content)) || time.Since(info.StoredAt).Abs() > time.Minute {
		t.Fatalf("Put = %+v, want %s of %d bytes, now", info, nameOf(content), len(content))
	}
	return info
}

func names(t *testing.T, store Store) (list []string) {
	t.Helper()
	for info, err := range store.Walk(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, info.SHA256)
	}
	return list
}

func TestStoreKeepsAndReads(t *testing.T) {
	conforms(t, func(t *testing.T, store Store) {
		for _, content := range []string{"a picture", "x", strings.Repeat("0123456789", 30_000)} {
			info := mustPut(t, store, content)
			mustPut(t, store, content) // again: the same
			stat, err := store.Stat(t.Context(), info.SHA256)
			if err != nil || stat.SHA256 != info.SHA256 || stat.Size != info.Size || time.Since(stat.StoredAt).Abs() > time.Minute {
				t.Errorf("Stat = %+v, %v, want %+v", stat, err, info)
			}
			file, err := store.Open(t.Context(), info.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			if err := iotest.TestReader(file, []byte(content)); err != nil { // reads and seeks every way
				t.Error(err)
			}
			if err := file.Close(); err != nil {
				t.Error(err)
			}
		}
		if list := names(t, store); len(list) != 3 || !isSorted(list) {
			t.Errorf("Walk yields %q, want three, sorted", list)
		}
		if err := store.Check(t.Context()); err != nil {
			t.Errorf("Check: %v", err)
		}
		if removed, err := store.Sweep(t.Context(), 0); removed != 0 || err != nil {
			t.Errorf("Sweep = %d, %v, want nothing left behind", removed, err)
		}
	})
}

func TestStoreDeletes(t *testing.T) {
	conforms(t, func(t *testing.T, store Store) {
		info := mustPut(t, store, "0123456789")
		file, err := store.Open(t.Context(), info.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for range 2 { // the second time it is gone already
			if err := store.Delete(t.Context(), info.SHA256); err != nil {
				t.Fatal(err)
			}
		}
		if content, err := io.ReadAll(file); string(content) != "0123456789" || err != nil {
			t.Errorf("what was open reads %q, %v", content, err)
		}
		for _, name := range []string{info.SHA256, "", "..", "../" + info.SHA256, strings.ToUpper(info.SHA256)} {
			if _, err := store.Open(t.Context(), name); !errors.Is(err, ErrNotFound) {
				t.Errorf("Open(%q): %v, want ErrNotFound", name, err)
			}
			if _, err := store.Stat(t.Context(), name); !errors.Is(err, ErrNotFound) {
				t.Errorf("Stat(%q): %v, want ErrNotFound", name, err)
			}
			if err := store.Delete(t.Context(), name); err != nil {
				t.Errorf("Delete(%q): %v", name, err)
			}
		}
	})
}

func TestStoreRefusesWhatIsNotWhole(t *testing.T) {
	broken := errors.New("broken")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx  context.Context
		text string
		end  error // after text
		want error
	}{
		"over the cap":      {t.Context(), "123456", io.EOF, ErrTooLarge},
		"truncated":         {t.Context(), "123", io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
		"broken at the cap": {t.Context(), "12345", broken, broken},
		"caller has left":   {gone, "12345", io.EOF, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			conforms(t, func(t *testing.T, store Store) {
				content := io.MultiReader(strings.NewReader(test.text), iotest.ErrReader(test.end))
				if info, err := store.Put(test.ctx, content, 5); !errors.Is(err, test.want) || info != (Info{}) {
					t.Errorf("Put = %+v, %v, want %v", info, err, test.want)
				}
				if list := names(t, store); len(list) != 0 {
					t.Errorf("Walk yields %q, want nothing", list)
				}
			})
		})
	}
}

func TestStoreAtOnce(t *testing.T) {
	conforms(t, func(t *testing.T, store Store) {
		var group sync.WaitGroup
		for i := range 16 {
			group.Go(func() {
				content := strings.Repeat("the same", 1+i%2)
				info, err := store.Put(context.Background(), iotest.HalfReader(strings.NewReader(content)), limit)
				if err != nil || info.SHA256 != nameOf(content) {
					t.Errorf("Put = %+v, %v", info, err)
				}
			})
		}
		group.Wait()
		if list := names(t, store); len(list) != 2 {
			t.Errorf("Walk yields %q, want two", list)
		}
		for range store.Walk(t.Context()) { //nolint:errcheck // an error would be the first and is not the point
			break // a caller may stop early
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		ended := false
		for _, err := range store.Walk(gone) {
			ended = errors.Is(err, context.Canceled)
		}
		if !ended {
			t.Error("Walk of a caller that left does not say so")
		}
	})
}

func readAll(t *testing.T, store Store, name string) ([]byte, error) {
	t.Helper()
	file, err := store.Open(t.Context(), name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(file)
	return b.Bytes(), err
}
