package comfy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// Queue is what a server has to do, everybody's prompts.
type Queue struct {
	Running []QueueItem // at most one in a plain ComfyUI
	Pending []QueueItem // in the order in which they will run
}

// QueueItem is one prompt in the queue.
type QueueItem struct {
	Number   float64 // lower runs first
	PromptID string
	ClientID string // of whoever hears about it; empty if nobody does
}

// Queue reads what runs and what waits.
func (c *Client) Queue(ctx context.Context) (Queue, error) {
	const what = "read queue"
	var reply struct {
		Running *[]queueItemReply `json:"queue_running"`
		Pending *[]queueItemReply `json:"queue_pending"`
	}
	if err := c.get(ctx, call{what: what, path: "/queue", limit: maxBody}, &reply); err != nil {
		return Queue{}, err
	}
	if reply.Running == nil || reply.Pending == nil { // an empty queue says so with two empty lists
		return Queue{}, fmt.Errorf("%s: %w: no queue_running or queue_pending", what, ErrNotComfyUI)
	}
	q := Queue{Running: queueItems(*reply.Running), Pending: queueItems(*reply.Pending)}
	// The list is a heap as it lies in memory; the worker takes the smallest tuple.
	slices.SortStableFunc(q.Pending, func(a, b QueueItem) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.PromptID, b.PromptID))
	})
	return q, nil
}

// Find says where a prompt stands: ahead is how many prompts end before it may begin, 0 if it runs.
func (q Queue) Find(promptID string) (state State, ahead int) {
	is := func(i QueueItem) bool { return i.PromptID == promptID }
	if slices.ContainsFunc(q.Running, is) {
		return Running, 0
	}
	if i := slices.IndexFunc(q.Pending, is); i >= 0 {
		return Waiting, len(q.Running) + i
	}
	return Absent, 0
}

// queueItemReply is [number, prompt_id, graph, extra_data, [output ids]]. The graph, the bulk of it, is not
// decoded.
type queueItemReply struct{ QueueItem }

func (i *queueItemReply) UnmarshalJSON(b []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	if len(parts) < 2 {
		return fmt.Errorf("queue item with %d parts", len(parts))
	}
	if err := json.Unmarshal(parts[0], &i.Number); err != nil {
		return fmt.Errorf("number of queue item: %w", err)
	}
	if err := json.Unmarshal(parts[1], &i.PromptID); err != nil {
		return fmt.Errorf("prompt_id of queue item: %w", err)
	}
	if len(parts) > 3 {
		var extra struct {
			ClientID string `json:"client_id"`
		}
		if json.Unmarshal(parts[3], &extra) == nil { // any text or object may stand there; not ours to check
			i.ClientID = extra.ClientID
		}
	}
	return nil
}

func queueItems(replies []queueItemReply) []QueueItem {
	items := make([]QueueItem, len(replies))
	for i, r := range replies {
		items[i] = r.QueueItem
	}
	return items
}

// Cancel asks the server to drop or stop one prompt, wherever it stands; one that is over or unknown is no error.
// It returns when the server has taken the request. A node that runs may take its time to notice (one sampler
// step, or its whole life), and may even end well: what became of the prompt is for Lookup to say.
//
// Nothing but this prompt is ever touched. The interrupt without an id, which stops whoever runs, is never sent,
// nor is the one with an id unless that id runs: servers before autumn 2025 do not read it.
func (c *Client) Cancel(ctx context.Context, promptID string) error {
	if done, err := c.cancelJob(ctx, promptID); done || err != nil {
		return err
	}
	// In this order: a prompt that begins to run after the first request is seen by the second.
	if err := c.deletePending(ctx, promptID); err != nil {
		return err
	}
	q, err := c.Queue(ctx)
	if err != nil {
		return fmt.Errorf("cancel prompt: %w", err)
	}
	if state, _ := q.Find(promptID); state != Running {
		return nil
	}
	return c.interrupt(ctx, promptID)
}

// deletePending takes a waiting prompt out of the queue. Any other id: no effect, no error.
func (c *Client) deletePending(ctx context.Context, promptID string) error {
	return c.post(ctx, call{what: "delete from queue", path: "/queue", json: map[string][]string{"delete": {promptID}}})
}

// interrupt stops a running prompt. Any other id: no effect, no error.
func (c *Client) interrupt(ctx context.Context, promptID string) error {
	if promptID == "" {
		return fmt.Errorf("interrupt: no prompt_id: it would stop whatever runs")
	}
	return c.post(ctx, call{what: "interrupt", path: "/interrupt", json: map[string]string{"prompt_id": promptID}})
}

// Free asks the server to unload its models and forget cached results once its worker is idle.
func (c *Client) Free(ctx context.Context) error {
	return c.post(ctx, call{
		what: "free memory", path: "/free", json: map[string]bool{"unload_models": true, "free_memory": true},
	})
}
