package simulator

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/google/uuid"
)

func getPrompt(p *process, w http.ResponseWriter, _ *http.Request) error {
	return answer(w, http.StatusOK, queueInfo(p.queue.remaining()))
}

// postPrompt validates a graph and queues it.
func postPrompt(p *process, w http.ResponseWriter, r *http.Request) error {
	v, err := body(r)
	if tooLarge(err) {
		plain(w, http.StatusRequestEntityTooLarge, "Maximum request body size 104857600 exceeded")
		return nil
	}
	if err != nil {
		return err
	}
	request, ok := v.(*object)
	if _, isList := v.([]any); !ok && !isList {
		return errTrouble
	}
	number, order, err := p.numberOf(request)
	if err != nil {
		return err
	}
	prompt, given := request.get("prompt")
	if !given {
		return refuse(w, &refusal{"no_prompt", "No prompt provided", "No prompt provided"}, newObject())
	}
	id, refused := promptID(request, p.sim.config.NewServer)
	p.sim.ledger.note(func(l *Ledger) { l.posts[id]++ })
	if refused != nil {
		return refuse(w, refused, newObject())
	}
	graph, isGraph := prompt.(*object)
	if list, isList := prompt.([]any); isList && len(list) == 0 {
		graph, isGraph = newObject(), true
	}
	if !isGraph {
		return errTrouble
	}
	var targets []string
	if v, ok := request.get("partial_execution_targets"); ok && v != nil {
		targets = []string{}
		for _, t := range asList(v) {
			targets = append(targets, pythonStr(t))
		}
	}
	checked, err := p.sim.classes.validate(graph, targets, p.sim.config.NewServer)
	if err != nil {
		return err
	}
	extra, err := p.extraData(request)
	if err != nil {
		return err
	}
	if checked.refused != nil {
		return refuse(w, checked.refused, checked.nodeErrors)
	}
	p.sim.logger.DebugContext(r.Context(), "prompt queued", "prompt_id", id)
	p.queue.put(&item{number: number, order: order, id: id, graph: graph, extra: extra, outputs: checked.outputs})
	return answer(w, http.StatusOK, pairs("prompt_id", id, "number", number, "node_errors", checked.nodeErrors))
}

func refuse(w http.ResponseWriter, why *refusal, nodeErrors *object) error {
	return answer(w, http.StatusBadRequest, pairs("error", why.json(), "node_errors", nodeErrors))
}

// numberOf returns the place in the queue: the client's, else a count that refused prompts use up too.
func (p *process) numberOf(request *object) (number any, order float64, err error) {
	if v, ok := request.get("number"); ok {
		f, err := pythonFloatOf(v)
		if err != nil {
			return nil, 0, err
		}
		return f, f.(float64), nil
	}
	n := p.nextNumber()
	if front, _ := request.get("front"); pythonBool(front) {
		n = -n
	}
	return intOf(n), float64(n), nil
}

// promptID returns the client's id, or a new one. 0.3.64 makes a text of any value; newer servers want a UUID.
func promptID(request *object, newer bool) (string, *refusal) {
	v, given := request.get("prompt_id")
	if newer {
		if v == nil {
			return uuid.NewString(), nil
		}
		text := pythonStr(v)
		if parsed, err := uuid.Parse(text); err != nil || parsed.String() != text {
			return text, &refusal{"invalid_prompt_id", "prompt_id must be a valid UUID", text}
		}
		return text, nil
	}
	if !given {
		return uuid.NewString(), nil
	}
	return pythonStr(v), nil
}

func (p *process) extraData(request *object) (*object, error) {
	extra := newObject()
	v, given := request.get("extra_data")
	if given {
		o, ok := v.(*object)
		_, named := request.get("client_id")
		switch {
		case ok:
			extra = o
		case named || v != nil:
			return nil, errTrouble
		}
	}
	if id, ok := request.get("client_id"); ok {
		extra.set("client_id", id)
	}
	if p.sim.config.NewServer {
		extra.set("create_time", p.sim.config.Now().UnixMilli())
	}
	return extra, nil
}

func getQueue(p *process, w http.ResponseWriter, _ *http.Request) error {
	running, pending := p.queue.tasks()
	if p.sim.config.NewServer {
		for _, list := range [][]*item{running, pending} {
			for i := range list {
				list[i] = list[i].public()
			}
		}
	}
	return answer(w, http.StatusOK, pairs("queue_running", listItems(running), "queue_pending", listItems(pending)))
}

func listItems(items []*item) []any {
	list := make([]any, len(items))
	for i, it := range items {
		list[i] = it.json()
	}
	return list
}

func postQueue(p *process, w http.ResponseWriter, r *http.Request) error {
	request, err := bodyObject(r)
	if err != nil {
		return err
	}
	if all, _ := request.get("clear"); pythonBool(all) {
		p.sim.ledger.note(func(l *Ledger) { l.clears++ })
		p.queue.clear()
	}
	for _, id := range texts(request, "delete") {
		p.sim.ledger.note(func(l *Ledger) { l.deletes = append(l.deletes, id) })
		p.queue.delete(id)
	}
	return nil
}

// texts returns the strings of a list; of a string, its letters, as Python iterates.
func texts(o *object, key string) []string {
	v, _ := o.get(key)
	var out []string
	if s, ok := v.(string); ok {
		for _, r := range s {
			out = append(out, string(r))
		}
	}
	for _, item := range asList(v) {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// postInterrupt sets the flag that the running node looks at. A body that is no JSON counts as empty.
func postInterrupt(p *process, _ http.ResponseWriter, r *http.Request) error {
	request := newObject()
	if v, err := body(r); err == nil {
		o, ok := v.(*object)
		if !ok {
			return errTrouble
		}
		request = o
	}
	id, _ := request.get("prompt_id")
	if !pythonBool(id) {
		p.sim.ledger.note(func(l *Ledger) { l.interrupts = append(l.interrupts, "") })
		p.interrupted.Store(true)
		return nil
	}
	text := pythonStr(id)
	p.sim.ledger.note(func(l *Ledger) { l.interrupts = append(l.interrupts, text) })
	if p.queue.isRunning(text) {
		p.interrupted.Store(true)
	}
	return nil
}

func getHistory(p *process, w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	limit, offset := -1, -1
	for name, into := range map[string]*int{"max_items": &limit, "offset": &offset} {
		if !query.Has(name) {
			continue
		}
		n, err := strconv.Atoi(query.Get(name))
		if err != nil {
			return err
		}
		*into = n
	}
	entries := p.visible()
	all := newObject()
	if query.Has("max_items") && limit <= 0 {
		return answer(w, http.StatusOK, all)
	}
	if offset < 0 && limit > 0 {
		offset = len(entries) - limit
	}
	for i, e := range entries {
		if i >= offset && (limit < 0 || len(all.keys) < limit) {
			all.set(e.item.id, e.json())
		}
	}
	return answer(w, http.StatusOK, all)
}

func getHistoryEntry(p *process, w http.ResponseWriter, r *http.Request) error {
	id := last(r, "/history/")
	found := newObject()
	for _, e := range p.visible() {
		if e.item.id == id {
			found.set(id, e.json())
		}
	}
	return answer(w, http.StatusOK, found)
}

// visible is the history without entries that a fault holds back.
func (p *process) visible() []*entry {
	entries := p.queue.entries()
	if !p.sim.faults.isHistoryLate() {
		return entries
	}
	return slices.DeleteFunc(entries, func(e *entry) bool { return e.late })
}

func postHistory(p *process, w http.ResponseWriter, r *http.Request) error {
	request, err := bodyObject(r)
	if err != nil {
		return err
	}
	if all, _ := request.get("clear"); pythonBool(all) {
		p.sim.ledger.note(func(l *Ledger) { l.clears++ })
		p.queue.forgetAll()
	}
	for _, id := range texts(request, "delete") {
		p.queue.forget(id)
	}
	return nil
}

// postFree is done when the worker is idle.
func postFree(p *process, _ http.ResponseWriter, r *http.Request) error {
	request, err := bodyObject(r)
	if err != nil {
		return err
	}
	unload, _ := request.get("unload_models")
	memory, _ := request.get("free_memory")
	if pythonBool(unload) {
		p.unload.Store(true)
	}
	if pythonBool(memory) {
		p.unload.Store(true)
		p.freeMemory.Store(true)
	}
	select {
	case p.queue.wake <- struct{}{}:
	default: // the worker is awake already
	}
	return nil
}
