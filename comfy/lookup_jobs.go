package comfy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
)

// jobsAPI remembers which routes of the jobs API (ComfyUI 0.3.7x and later) a server does not have. They came in
// different versions. The zero value is to try.
type jobsAPI struct{ noRead, noCancel atomic.Bool }

// Reconnected tells the client that its server may be another one now: call it when the socket has connected.
// What the server offers is then found out anew.
func (c *Client) Reconnected() {
	c.jobs.noRead.Store(false)
	c.jobs.noCancel.Store(false)
}

// lookupJob is Lookup through GET /api/jobs/{id}, which reads queue and history in one step. ok is false where
// the job or the route is missing: 404 is the answer to both, and a proxy in between may dress it as JSON, so
// absence is always left to /queue and /history to confirm.
func (c *Client) lookupJob(ctx context.Context, promptID string) (l Lookup, ok bool, err error) {
	if c.jobs.noRead.Load() {
		return Lookup{}, false, nil
	}
	const what = "look up job"
	a, err := c.do(ctx, call{
		what: what, method: http.MethodGet, path: "/api/jobs/" + url.PathEscape(promptID), limit: maxBody,
	})
	if err != nil {
		return Lookup{}, false, err
	}
	if a.missing() {
		c.jobs.noRead.Store(!a.saysError())
		return Lookup{}, false, nil
	}
	var job struct {
		ID      string                     `json:"id"`
		Status  string                     `json:"status"`
		Outputs map[string]json.RawMessage `json:"outputs"`
		Verdict *historyStatus             `json:"execution_status"` // the status of the history entry
	}
	if err := a.object(&job); err != nil {
		return Lookup{}, false, fmt.Errorf("%s: %w", what, err)
	}
	if job.ID != promptID {
		return Lookup{}, false, fmt.Errorf("%s: %w: a job of another id", what, ErrNotComfyUI)
	}
	switch job.Status {
	case "pending":
		// The job does not say how many are before it. If it moves on meanwhile, that is the news.
		q, err := c.Queue(ctx)
		if err != nil {
			return Lookup{}, false, err
		}
		if state, ahead := q.Find(promptID); state != Absent {
			return Lookup{State: state, Ahead: ahead}, true, nil
		}
		return Lookup{State: Waiting}, true, nil
	case "in_progress":
		return Lookup{State: Running}, true, nil
	case "completed", "failed", "cancelled":
		// "completed" is also said of an entry without a status, so the entry itself is read.
		e := historyEntry{Outputs: job.Outputs, Status: job.Verdict}
		return e.verdict(), true, nil
	}
	return Lookup{}, false, fmt.Errorf("%s: unknown status %q", what, job.Status)
}

// cancelJob is Cancel through POST /api/jobs/{id}/cancel, which stops the job only if it still is that job. done
// is false where the route is missing; an unknown job is 200.
func (c *Client) cancelJob(ctx context.Context, promptID string) (done bool, err error) {
	if c.jobs.noCancel.Load() {
		return false, nil
	}
	const what = "cancel job"
	a, err := c.do(ctx, call{what: what, method: http.MethodPost, path: "/api/jobs/" + url.PathEscape(promptID) + "/cancel"})
	if err != nil {
		return false, err
	}
	if a.missing() {
		c.jobs.noCancel.Store(true)
		return false, nil
	}
	var reply struct {
		Cancelled *bool `json:"cancelled"`
	}
	if err := a.object(&reply); err != nil {
		return false, fmt.Errorf("%s: %w", what, err)
	}
	if reply.Cancelled == nil {
		return false, fmt.Errorf("%s: %w", what, errors.Join(ErrNotComfyUI, errors.New("no word on what was cancelled")))
	}
	return true, nil
}

// missing reports whether a route is not offered.
func (a *answer) missing() bool {
	return a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed || a.status == http.StatusNotImplemented
}

// saysError reports whether a 404 is that of the jobs API, {"error": "Job not found"}, and not of a server that
// does not have the route.
func (a *answer) saysError() bool {
	var reply struct {
		Error string `json:"error"`
	}
	return json.Unmarshal(a.body, &reply) == nil && reply.Error != ""
}
