package simulator

import (
	"container/heap"
	"slices"
	"sync"
)

// item is one queued prompt.
type item struct {
	number  any     // integer or float64, as the response shows it
	order   float64 // the same as a number: the lower runs first
	id      string
	graph   *object
	extra   *object
	outputs []string
}

// json is the form of an item in /queue and /history.
func (i *item) json() []any {
	return []any{i.number, i.id, i.graph, i.extra, anyList(i.outputs)}
}

// public returns the item without the keys that ComfyUI keeps out of its history.
func (i *item) public() *item {
	shown := *i
	shown.extra = newObject()
	for _, key := range i.extra.keys {
		if key != "api_key_comfy_org" && key != "auth_token_comfy_org" {
			shown.extra.set(key, i.extra.values[key])
		}
	}
	return &shown
}

func anyList(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// entry is one line of the history.
type entry struct {
	item     *item
	status   string // success or error
	messages []any  // [type, data] pairs
	outputs  *object
	meta     *object
	late     bool // ended while Faults.HistoryLate was on
}

func (e *entry) json() *object {
	return pairs(
		"prompt", e.item.json(),
		"outputs", e.outputs,
		"status", pairs("status_str", e.status, "completed", e.status == "success", "messages", e.messages),
		"meta", e.meta,
	)
}

// queue holds what waits, what runs and what is over. A prompt moves from one to the next in one step.
type queue struct {
	changed func(remaining int) // called under mu
	wake    chan struct{}       // has room for one: something may be waiting
	bound   int

	mu      sync.Mutex
	pending pending
	running *item
	history []*entry // oldest first, one for each id
}

func newQueue(bound int, changed func(int)) *queue {
	return &queue{changed: changed, bound: bound, wake: make(chan struct{}, 1)}
}

func (q *queue) remaining() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count()
}

func (q *queue) count() int {
	n := len(q.pending)
	if q.running != nil {
		n++
	}
	return n
}

func (q *queue) put(i *item) {
	q.mu.Lock()
	heap.Push(&q.pending, i)
	q.changed(q.count())
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default: // the worker has not answered the last call yet; it will see this prompt too
	}
}

// take makes the first pending prompt the running one; ok is false when none waits.
func (q *queue) take() (i *item, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.pending) == 0 {
		return nil, false
	}
	q.running = heap.Pop(&q.pending).(*item)
	q.changed(q.count())
	return q.running, true
}

// done moves the running prompt to the history.
func (q *queue) done(e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running = nil
	q.history = slices.DeleteFunc(q.history, func(old *entry) bool { return old.item.id == e.item.id })
	if over := len(q.history) + 1 - q.bound; over > 0 {
		q.history = slices.Delete(q.history, 0, over)
	}
	q.history = append(q.history, e)
	q.changed(q.count())
}

// delete drops the first pending prompt with that id and reports whether there was one.
func (q *queue) delete(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := slices.IndexFunc(q.pending, func(i *item) bool { return i.id == id })
	if at < 0 {
		return false
	}
	heap.Remove(&q.pending, at)
	q.changed(q.count())
	return true
}

// clear drops everything that waits.
func (q *queue) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending = nil
	q.changed(q.count())
}

// isRunning reports whether a prompt with that id runs now.
func (q *queue) isRunning(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running != nil && q.running.id == id
}

// tasks returns what runs and what waits, the latter in heap order as ComfyUI shows it.
func (q *queue) tasks() (running, pending []*item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running != nil {
		running = []*item{q.running}
	}
	return running, slices.Clone(q.pending)
}

// entries returns the history, oldest first.
func (q *queue) entries() []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.history)
}

func (q *queue) forget(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.history = slices.DeleteFunc(q.history, func(e *entry) bool { return e.item.id == id })
}

func (q *queue) forgetAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.history = nil
}

// pending is a heap by (number, prompt_id), as Python's heapq orders the tuples.
type pending []*item

func (p pending) Len() int { return len(p) }
func (p pending) Less(a, b int) bool {
	if p[a].order != p[b].order {
		return p[a].order < p[b].order
	}
	return p[a].id < p[b].id
}
func (p pending) Swap(a, b int) { p[a], p[b] = p[b], p[a] }
func (p *pending) Push(x any)   { *p = append(*p, x.(*item)) }
func (p *pending) Pop() any {
	old := *p
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*p = old[:len(old)-1]
	return last
}
