package blob

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// bucket is an S3 on a real socket, whose answers a test may spoil.
type bucket struct {
	address string // host:port
	backend *s3mem.Backend
	clock   *clock

	mu    sync.Mutex
	spoil func(w http.ResponseWriter, r *http.Request, serve http.Handler) bool // true: answered
	asked []string                                                              // methods
}

type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time                  { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func newBucket(t *testing.T) *bucket {
	t.Helper()
	b := &bucket{clock: &clock{}}
	b.backend = s3mem.New(s3mem.WithTimeSource(b.clock))
	if err := b.backend.CreateBucket("pictures"); err != nil {
		t.Fatal(err)
	}
	fake := gofakes3.New(b.backend, gofakes3.WithTimeSkewLimit(0), gofakes3.WithTimeSource(b.clock)).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.asked = append(b.asked, r.Method)
		spoil := b.spoil
		b.mu.Unlock()
		if spoil == nil || !spoil(w, r, fake) {
			fake.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	b.address = strings.TrimPrefix(server.URL, "http://")
	return b
}

func (b *bucket) spoils(how func(w http.ResponseWriter, r *http.Request, serve http.Handler) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spoil = how
}

// requests are the methods since the last call.
func (b *bucket) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.asked
	b.asked = nil
	return asked
}

func newS3(t *testing.T, b *bucket) *S3 {
	t.Helper()
	store, err := NewS3(S3Config{
		Endpoint: b.address, Bucket: "pictures", Prefix: "easel/one", Region: "us-east-1", PathStyle: true, Insecure: true,
		AccessKey: "key", SecretKey: "secret", Scratch: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(store.config.Scratch); err != nil || len(left) != 0 {
			t.Errorf("scratch holds %v, %v, want nothing", left, err)
		}
	})
	return store
}

func refuse(status int, code string) func(http.ResponseWriter, *http.Request, http.Handler) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
		return true
	}
}

// What the storage says is told apart by what somebody can do about it.
func TestS3Errors(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		code   string
		want   error
	}{
		"denied":       {http.StatusForbidden, "AccessDenied", ErrRefused},
		"wrong key":    {http.StatusForbidden, "SignatureDoesNotMatch", ErrRefused},
		"no bucket":    {http.StatusNotFound, "NoSuchBucket", ErrRefused},
		"full":         {http.StatusInsufficientStorage, "XMinioStorageFull", ErrNoSpace},
		"over quota":   {http.StatusBadRequest, "XMinioAdminBucketQuotaExceeded", ErrNoSpace},
		"plain 507":    {http.StatusInsufficientStorage, "Whatever", ErrNoSpace},
		"broken":       {http.StatusNotImplemented, "NotImplemented", ErrUnavailable},
		"out of order": {http.StatusInternalServerError, "InternalError", ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			store := newS3(t, b)
			b.spoils(func(w http.ResponseWriter, r *http.Request, serve http.Handler) bool {
				return r.Method == http.MethodPut && refuse(test.status, test.code)(w, r, serve)
			})
			if _, err := store.Put(t.Context(), strings.NewReader("content"), limit); !errors.Is(err, test.want) {
				t.Errorf("Put: %v, want %v", err, test.want)
			}
			if list := names(t, store); len(list) != 0 {
				t.Errorf("Walk yields %q, want nothing", list)
			}
		})
	}
}

func TestS3Check(t *testing.T) {
	b := newBucket(t)
	store := newS3(t, b)
	b.spoils(refuse(http.StatusForbidden, "AccessDenied"))
	if err := store.Check(t.Context()); !errors.Is(err, ErrRefused) {
		t.Errorf("Check with the wrong keys: %v, want ErrRefused", err)
	}
	b.spoils(refuse(http.StatusServiceUnavailable, "SlowDown"))
	if err := store.Check(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Check of a storage that is down: %v, want ErrUnavailable", err)
	}
	b.spoils(nil)
	store.config.Bucket = "nothing-here"
	if err := store.Check(t.Context()); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "no bucket nothing-here") {
		t.Errorf("Check without a bucket: %v, want ErrRefused and its name", err)
	}
}

// One hiccup is tried again, and nobody hears of it.
func TestS3Hiccups(t *testing.T) {
	b := newBucket(t)
	store := newS3(t, b)
	var n atomic.Int64
	b.spoils(func(w http.ResponseWriter, r *http.Request, serve http.Handler) bool {
		return n.Add(1)%2 == 1 && refuse(http.StatusServiceUnavailable, "SlowDown")(w, r, serve)
	})
	info := mustPut(t, store, "content")
	if content, err := readAll(t, store, info.SHA256); string(content) != "content" || err != nil {
		t.Errorf("read %q, %v", content, err)
	}
}

// An answer that breaks off is continued from where it broke, and given up when it always does.
func TestS3BodyCut(t *testing.T) {
	b := newBucket(t)
	store := newS3(t, b)
	content := strings.Repeat("0123456789abcdef", 20_000)
	info := mustPut(t, store, content)
	b.requests()
	cut := func(w http.ResponseWriter, r *http.Request, serve http.Handler) bool {
		if r.Method != http.MethodGet {
			return false
		}
		answer := httptest.NewRecorder()
		serve.ServeHTTP(answer, r)
		body := answer.Body.Bytes()
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body[:min(len(body), 100_000)])
		if len(body) > 100_000 {
			panic(http.ErrAbortHandler)
		}
		return true
	}
	b.spoils(cut)
	got, err := readAll(t, store, info.SHA256)
	if err != nil || string(got) != content {
		t.Errorf("read %d bytes, %v, want all %d", len(got), err, len(content))
	}
	if n := len(b.requests()); n != 4 {
		t.Errorf("%d requests, want 4 of at most 100,000 bytes", n)
	}
	b.spoils(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.WriteHeader(http.StatusOK)
		panic(http.ErrAbortHandler)
	})
	if got, err := readAll(t, store, info.SHA256); err == nil {
		t.Errorf("read %d bytes of an answer that always breaks off, want an error", len(got))
	}
}

// A storage that says yes and keeps half is found out.
func TestS3KeepsLessThanItSays(t *testing.T) {
	b := newBucket(t)
	store := newS3(t, b)
	b.spoils(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != http.MethodPut {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		key := strings.TrimPrefix(r.URL.Path, "/pictures/")
		if _, err := b.backend.PutObject("pictures", key, map[string]string{"Last-Modified": time.Now().UTC().Format(http.TimeFormat)}, strings.NewReader("half"), 4, nil); err != nil {
			t.Error(err)
		}
		w.Header().Set("ETag", `"whatever"`)
		return true
	})
	if _, err := store.Put(t.Context(), strings.NewReader("whole content"), limit); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Put: %v, want ErrUnavailable", err)
	}
	b.spoils(nil)
	info := mustPut(t, store, "whole content") // another try mends it
	if content, err := readAll(t, store, info.SHA256); string(content) != "whole content" || err != nil {
		t.Errorf("read %q, %v", content, err)
	}
}

// What is there already is not sent again, but is young afterwards; where a copy is not possible,
// it is sent.
func TestS3PutAgainRenews(t *testing.T) {
	for name, spoil := range map[string]func(http.ResponseWriter, *http.Request, http.Handler) bool{
		"copied": nil,
		"sent": func(w http.ResponseWriter, r *http.Request, serve http.Handler) bool {
			return r.Header.Get("X-Amz-Copy-Source") != "" && refuse(http.StatusNotImplemented, "NotImplemented")(w, r, serve)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBucket(t)
			store := newS3(t, b)
			info := mustPut(t, store, "again")
			const day = 48 * time.Hour
			b.clock.ahead.Store(int64(day))
			b.spoils(spoil)
			b.requests()
			mustPut(t, store, "again")
			if spoil == nil {
				if diff := cmp.Diff([]string{http.MethodHead, http.MethodPut}, b.requests()); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
			}
			stat, err := store.Stat(t.Context(), info.SHA256)
			if err != nil || stat.StoredAt.Sub(info.StoredAt) < day-time.Minute {
				t.Errorf("Stat = %+v, %v, want two days later than %v", stat, err, info.StoredAt)
			}
		})
	}
}

// A visitor asks for a part: that part is fetched and no more.
func TestS3Seek(t *testing.T) {
	b := newBucket(t)
	store := newS3(t, b)
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	info := mustPut(t, store, string(content))
	b.requests()
	file, err := store.Open(t.Context(), info.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if size, err := file.Seek(0, io.SeekEnd); size != int64(len(content)) || err != nil {
		t.Errorf("Seek to the end = %d, %v", size, err)
	}
	for _, at := range []int64{0, 10, 900_005, 3} {
		if _, err := file.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 7)
		if _, err := io.ReadFull(file, p); err != nil || !bytes.Equal(p, content[at:at+7]) {
			t.Errorf("at %d: %q, %v, want %q", at, p, err, content[at:at+7])
		}
	}
	if n := len(b.requests()); n != 3 { // the first, one far ahead, one back
		t.Errorf("%d requests, want 3", n)
	}
	if _, err := file.Seek(-1, io.SeekStart); err == nil {
		t.Error("Seek before the start: no error")
	}
}

// Objects of others below the same prefix are none of ours.
func TestS3WalkPassesStrangers(t *testing.T) {
	b := newBucket(t)
	store := newS3(t, b)
	info := mustPut(t, store, "ours")
	for _, key := range []string{"easel/one/README", "easel/one/aa/bb/" + info.SHA256, "easel/" + place(info.SHA256), place(info.SHA256)} {
		if _, err := b.backend.PutObject("pictures", key, map[string]string{"Last-Modified": time.Now().UTC().Format(http.TimeFormat)}, strings.NewReader("x"), 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{info.SHA256}, names(t, store)); diff != "" {
		t.Errorf("Walk (-want +got):\n%s", diff)
	}
}

func TestParseS3(t *testing.T) {
	for address, want := range map[string]S3Config{
		"s3://pictures": {Bucket: "pictures"},
		"s3://pictures/easel/one/?region=eu-west-1":  {Bucket: "pictures", Prefix: "easel/one", Region: "eu-west-1"},
		"s3://b?endpoint=minio:9000&insecure=true":   {Bucket: "b", Endpoint: "minio:9000", Insecure: true, PathStyle: true},
		"s3://b?endpoint=x.example&path_style=false": {Bucket: "b", Endpoint: "x.example"},
	} {
		if got, err := ParseS3(address); err != nil || got != want {
			t.Errorf("ParseS3(%s) = %+v, %v, want %+v", address, got, err, want)
		}
	}
	for address, part := range map[string]string{
		"":                             "not s3://",
		"https://b":                    "not s3://",
		"s3:///prefix":                 "not s3://",
		"s3://key:secret@b":            "EASEL_S3_ACCESS_KEY",
		"s3://b/a//c":                  "empty part",
		"s3://b?endpiont=x":            "endpiont is unknown",
		"s3://b?insecure=maybe":        "neither true nor false",
		"s3://b?region=a&region=b":     "twice",
		"s3://b?endpoint=http://x:900": "not a host",
		"s3://b?a=%zz":                 "cannot be read",
	} {
		if got, err := ParseS3(address); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("ParseS3(%s) = %+v, %v, want an error about %q", address, got, err, part)
		}
	}
}
