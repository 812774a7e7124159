package simulator

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// worker is the one thread that runs prompts, with what it keeps from run to run.
type worker struct {
	p      *process
	cache  *cache
	loaded map[string]bool // models in memory
}

func newWorker(p *process) *worker {
	return &worker{p: p, cache: newCache(), loaded: map[string]bool{}}
}

// loop runs one prompt after the other until the process ends.
func (w *worker) loop() {
	for w.p.ctx.Err() == nil {
		if w.p.unload.Swap(false) {
			clear(w.loaded)
		}
		if w.p.freeMemory.Swap(false) {
			w.cache = newCache()
		}
		if !w.p.sim.faults.waitHeld(w.p.ctx) {
			return
		}
		it, ok := w.p.queue.take()
		if !ok {
			select {
			case <-w.p.ctx.Done():
			case <-w.p.queue.wake:
			}
			continue
		}
		w.run(it)
	}
}

// run is the execution of one prompt.
type run struct {
	*worker
	item     *item
	client   *string // nil: events that have no owner go nowhere, some to everybody
	messages []any   // for the history
	nodes    map[string]*object
	origins  map[string]origin
	signs    map[string]string
	progress *progress
	schedule *schedule
	pending  map[string]*expansion // nodes that became a graph and wait for it
	done     map[string]*result    // of nodes of expansions, which have no signature here
	executed []string
}

// errInterrupted and errKilled end a run from outside; a *nodeError is what a node raised.
var (
	errInterrupted = errors.New("interrupted")
	errKilled      = errors.New("killed")
)

type nodeError struct{ kind, text string }

func (e *nodeError) Error() string { return e.kind + ": " + e.text }

func (w *worker) run(it *item) {
	r := &run{
		worker: w, item: it, nodes: map[string]*object{}, origins: map[string]origin{},
		pending: map[string]*expansion{}, done: map[string]*result{},
	}
	if id, ok := it.extra.get("client_id"); ok && id != nil {
		text := pythonStr(id)
		r.client = &text
	}
	w.p.sim.ledger.note(func(l *Ledger) { l.runs[it.id]++ })
	w.p.begin(r.client)
	r.tell("execution_start", pairs("prompt_id", it.id), false)
	r.pause(Point{Stage: StageStart})

	status := "success"
	node, err := r.execute()
	switch {
	case errors.Is(err, errKilled) || w.p.ctx.Err() != nil:
		return
	case err != nil:
		status = "error"
		r.failed(node, err)
	default:
		r.tell("execution_success", pairs("prompt_id", it.id), false)
	}
	w.p.enterNode("")
	r.pause(Point{Stage: StageFinish})
	if w.p.ctx.Err() != nil {
		return
	}
	outputs, meta := r.shown()
	w.p.queue.done(&entry{
		item: it.public(), status: status, messages: r.messages, outputs: outputs, meta: meta,
		late: w.p.sim.faults.isHistoryLate(),
	})
	w.p.sim.faults.ended(w.p)
	if r.client != nil {
		w.p.hub.send("executing", pairs("node", nil, "prompt_id", it.id), r.client)
	}
}

// tell sends an event of the prompt's life, with a time stamp, and keeps it for the history. Without an owner it goes
// nowhere, or to everybody.
func (r *run) tell(kind string, data *object, everybody bool) {
	data.set("timestamp", r.p.sim.config.Now().UnixMilli())
	r.messages = append(r.messages, []any{kind, data})
	if r.client != nil || everybody {
		r.p.hub.send(kind, data, r.client)
	}
}

// toOwner sends an event that prompts without client_id do not have.
func (r *run) toOwner(kind string, data *object) {
	if r.client != nil {
		r.p.hub.send(kind, data, r.client)
	}
}

// execute runs the graph node by node. On an error it names the node.
func (r *run) execute() (node string, err error) {
	graph := r.item.graph
	for _, id := range graph.keys {
		r.nodes[id] = graph.member(id)
		r.origins[id] = origin{real: id, display: id}
	}
	r.signs = signatures(graph, r.dependsOn)
	r.cache.keep(r.signs)
	r.cache.keepObjects(graph)
	r.progress = &progress{
		nodes: newObject(), prompt: r.item.id,
		origin: func(id string) origin { return r.origins[id] },
		send:   func(kind string, data *object) { r.p.hub.send(kind, data, r.client) },
	}
	cached := []any{}
	for _, id := range graph.keys {
		if r.result(id) != nil {
			cached = append(cached, id)
		}
	}
	r.tell("execution_cached", pairs("nodes", cached, "prompt_id", r.item.id), false)

	known := map[string]*class{}
	r.schedule = newSchedule(
		func(id string) *object { return r.nodes[id] },
		func(name string) *class {
			if _, ok := known[name]; !ok {
				known[name] = r.p.sim.classes.get(name)
			}
			return known[name]
		},
		func(id string) bool { return r.result(id) != nil },
	)
	for _, id := range r.item.outputs {
		r.schedule.add(id)
	}
	for {
		id, ok := r.schedule.next()
		if !ok {
			return "", nil
		}
		finished, err := r.node(id)
		if err != nil {
			return id, err
		}
		if finished {
			r.schedule.done(id)
		}
	}
}

// dependsOn is what a node's result depends on besides its inputs (ComfyUI's IS_CHANGED).
func (r *run) dependsOn(id string, node *object) string {
	switch node.text("class_type") {
	case "LoadImage":
		stored, ok := r.p.sim.files.open(annotated(node.member("inputs").text("image"), folderInput))
		if ok {
			return stored.etag
		}
	case "SaveImageWebsocket":
		return r.item.id + id // never the same: it runs each time
	}
	return ""
}

// result returns what a node left in the cache, or nil.
func (r *run) result(id string) *result {
	if sign, ok := r.signs[id]; ok {
		return r.cache.results[sign]
	}
	return r.done[id]
}

// keep stores a node's result.
func (r *run) keep(id string, got *result) {
	if sign, ok := r.signs[id]; ok {
		r.cache.results[sign] = got
		return
	}
	r.done[id] = got
}

// shown is what the history tells of outputs: the ui of every node that has one, cached ones included.
func (r *run) shown() (outputs, meta *object) {
	outputs, meta = newObject(), newObject()
	for _, id := range r.item.graph.keys {
		if got := r.result(id); got != nil && got.ui != nil {
			outputs.set(id, got.ui)
			meta.set(id, got.meta)
		}
	}
	return outputs, meta
}

// failed tells how a run ended early. An expanded node is named by the node of the graph that was sent.
func (r *run) failed(id string, err error) {
	data := pairs("prompt_id", r.item.id, "node_id", r.origins[id].real,
		"node_type", r.nodes[id].text("class_type"), "executed", anyList(r.executed))
	if errors.Is(err, errInterrupted) {
		r.tell("execution_interrupted", data, true)
		return
	}
	raised := &nodeError{"RuntimeError", err.Error()}
	if e, ok := errors.AsType[*nodeError](err); ok {
		raised = e
	}
	data.set("exception_message", raised.text+"\n")
	data.set("exception_type", raised.kind)
	data.set("traceback", traceback("execute", "get_output_data", "_async_map_node_over_list", "process_inputs"))
	data.set("current_inputs", r.currentInputs(id))
	data.set("current_outputs", anyList(r.item.graph.keys))
	r.tell("execution_error", data, false)
}

func (r *run) currentInputs(id string) *object {
	shown := newObject()
	inputs := r.nodes[id].member("inputs")
	for _, name := range inputs.keys {
		value := inputs.values[name]
		if _, _, ok := link(value); ok {
			value = fmt.Sprintf("<%s>", r.schedule.class(r.nodes[id].text("class_type")).input(name).kind)
		}
		shown.set(name, []any{pythonStr(value)})
	}
	return shown
}

// pause stops at a point of the run while a test's gate or a fault holds the worker.
func (r *run) pause(at Point) {
	at.PromptID = r.item.id
	if gate := r.p.sim.config.Gate; gate != nil {
		gate(r.p.ctx, at)
	}
	r.p.sim.faults.waitHeld(r.p.ctx) // its end without leave shows in ctx, which the caller asks
}

// wait lets time pass, as the pace wants it. The error is errKilled.
func (r *run) wait(d time.Duration) error {
	if d <= 0 {
		if r.p.ctx.Err() != nil {
			return errKilled
		}
		return nil
	}
	return sleep(r.p.ctx, d)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return errKilled
	case <-timer.C:
		return nil
	}
}
