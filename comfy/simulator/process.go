package simulator

import (
	"context"
	"sync"
	"sync/atomic"
)

// process is what a ComfyUI process keeps in memory; a restart makes a new one.
type process struct {
	sim    *Simulator
	hub    *hub
	queue  *queue
	ctx    context.Context // ends when the process is killed
	cancel context.CancelFunc
	work   sync.WaitGroup // the worker, the publish loop and every request

	interrupted atomic.Bool // ComfyUI's global flag: cleared when a prompt starts
	unload      atomic.Bool // POST /free: done when the worker is idle
	freeMemory  atomic.Bool

	mu       sync.Mutex
	stopping bool
	number   int64   // of prompts posted, refused ones included
	client   *string // client_id of the prompt begun last; nil: it has none
	lastNode string  // display id of the node that runs; "": none
}

func newProcess(s *Simulator) *process {
	p := &process{sim: s}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.hub = newHub(p)
	p.queue = newQueue(s.config.MaxHistory, p.queueChanged)
	p.work.Go(p.hub.publish)
	p.work.Go(newWorker(p).loop)
	return p
}

// enter counts a request in; ok is false when the process is being killed. leave counts it out.
func (p *process) enter() (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return nil, false
	}
	p.work.Add(1)
	return p.work.Done, true
}

// stop kills the process and returns when all its goroutines have ended.
func (p *process) stop() {
	p.mu.Lock()
	p.stopping = true
	p.mu.Unlock()
	p.cancel()
	p.hub.cutAll()
	p.work.Wait()
}

// queueChanged tells every socket how many prompts are left; the queue calls it under its lock, so that the numbers
// go out in the order of the changes.
func (p *process) queueChanged(remaining int) {
	p.hub.broadcast("status", pairs("status", queueInfo(remaining)))
}

func queueInfo(remaining int) *object {
	return pairs("exec_info", pairs("queue_remaining", remaining))
}

// begin notes whose prompt the worker runs now.
func (p *process) begin(client *string) {
	p.interrupted.Store(false)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client = client
}

// enterNode notes which node a client that reconnects will be told of; "" for none.
func (p *process) enterNode(display string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastNode = display
}

// runningNode returns the display id of the node that runs now if the prompt belongs to clientID, else "".
func (p *process) runningNode(clientID string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client == nil || *p.client != clientID {
		return ""
	}
	return p.lastNode
}

// nextNumber counts a prompt that was posted.
func (p *process) nextNumber() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.number
	p.number++
	return n
}
