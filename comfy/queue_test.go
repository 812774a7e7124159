package comfy

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
)

// bodies records POSTs with what they say.
func bodies(p *[]string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			b, _ := io.ReadAll(r.Body)
			*p = append(*p, r.URL.Path+" "+string(b))
		}
		h(w, r)
	}
}

func TestCancelTouchesNothingElse(t *testing.T) {
	const (
		noJobs    = "/api/jobs/" + promptID + "/cancel "
		deleteIt  = `/queue {"delete":["` + promptID + `"]}`
		interrupt = `/interrupt {"prompt_id":"` + promptID + `"}`
	)
	ours := `{"queue_running": [` + queueItem("0", promptID) + `], "queue_pending": []}`
	theirs := `{"queue_running": [` + queueItem("0", "other") + `], "queue_pending": []}`
	for _, test := range []struct {
		name, queue string
		want        []string
	}{
		{"runs", ours, []string{noJobs, deleteIt, interrupt}},
		{"somebody else's runs", theirs, []string{noJobs, deleteIt}},
		{"nothing runs", emptyQueue, []string{noJobs, deleteIt}},
	} {
		var posts []string
		c := fake(t, ClientOptions{}, bodies(&posts, routes(map[string]string{
			"GET /queue": test.queue, "POST /queue": ``, "POST /interrupt": ``,
		})))
		for i, want := range [][]string{test.want, test.want[1:]} { // the second time the server is known to be old
			posts = nil
			if err := c.Cancel(t.Context(), promptID); err != nil {
				t.Errorf("%s: Cancel: %v", test.name, err)
			}
			if !slices.Equal(posts, want) {
				t.Errorf("%s, time %d: posted %q, want %q", test.name, i+1, posts, want)
			}
		}
	}
}

func TestCancelByTheJobsAPI(t *testing.T) {
	var posts []string
	for _, reply := range []string{`{"cancelled": true}`, `{"cancelled": false}`} {
		posts = nil
		c := fake(t, ClientOptions{}, bodies(&posts, routes(map[string]string{"POST /api/jobs/" + promptID + "/cancel": reply})))
		if err := c.Cancel(t.Context(), promptID); err != nil || len(posts) != 1 {
			t.Errorf("%s: Cancel = %v after %q, want one POST", reply, err, posts)
		}
	}
	c := fake(t, ClientOptions{}, routes(map[string]string{"POST /api/jobs/" + promptID + "/cancel": `{}`}))
	if err := c.Cancel(t.Context(), promptID); !errors.Is(err, ErrNotComfyUI) {
		t.Errorf("an answer without a word: error %v, want ErrNotComfyUI", err)
	}
}

func TestNoInterruptWithoutAnID(t *testing.T) {
	var posts []string
	c := fake(t, ClientOptions{}, bodies(&posts, routes(nil)))
	if err := c.interrupt(t.Context(), ""); err == nil || len(posts) != 0 {
		t.Errorf("interrupt of nothing: %v after %q, want an error and no request", err, posts)
	}
}

func TestQueueItems(t *testing.T) {
	c := fake(t, ClientOptions{}, routes(map[string]string{"GET /queue": `{"queue_running": [], "queue_pending": [
		[2, "b", {}, {"client_id": "easel"}, []], [1.5, "a", {}, "odd", []], [-9, "c"]]}`}))
	q, err := c.Queue(t.Context())
	want := []QueueItem{{-9, "c", ""}, {1.5, "a", ""}, {2, "b", "easel"}}
	if err != nil || !slices.Equal(q.Pending, want) || len(q.Running) != 0 {
		t.Errorf("Queue = %+v, %v, want %+v", q, err, want)
	}
	for _, odd := range []string{`[[1]]`, `[{}]`, `[["1", "a"]]`, `[[1, 2]]`} {
		c := fake(t, ClientOptions{}, routes(map[string]string{"GET /queue": `{"queue_running": ` + odd + `, "queue_pending": []}`}))
		if q, err := c.Queue(t.Context()); !errors.Is(err, ErrNotComfyUI) {
			t.Errorf("%s: Queue = %+v, %v, want ErrNotComfyUI", odd, q, err)
		}
	}
}
