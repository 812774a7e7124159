package simulator

import (
	"net/http"
	"slices"
	"strings"
)

// The jobs API of newer servers: one place to ask for a prompt in any state, and a cancel that never hits another.
// Source: ComfyUI comfy_execution/jobs.py and server.py, versions up to 0.38.1.

// jobs returns every prompt that the process knows: the running one, those that wait in their order, the history.
// The queue is read first, so that a prompt that ends in between is seen at least once.
func (p *process) jobs() []*object {
	running, pending := p.queue.tasks()
	slices.SortFunc(pending, func(a, b *item) int {
		if a.order != b.order {
			if a.order < b.order {
				return -1
			}
			return 1
		}
		return strings.Compare(a.id, b.id)
	})
	var all []*object
	for _, it := range running {
		all = append(all, job(it, "in_progress"))
	}
	for _, it := range pending {
		all = append(all, job(it, "pending"))
	}
	for _, e := range p.visible() {
		status := "completed"
		if e.status != "success" {
			status = "failed"
			if interruption(e) != nil {
				status = "cancelled"
			}
		}
		j := job(e.item, status)
		j.set("outputs", e.outputs)
		j.set("outputs_count", countFiles(e.outputs))
		j.set("execution_status", pairs("status_str", e.status, "completed", e.status == "success", "messages", e.messages))
		if failure := lastMessage(e, "execution_error"); failure != nil {
			j.set("execution_error", failure)
		}
		all = append(all, j)
	}
	return all
}

func job(it *item, status string) *object {
	created, _ := it.extra.get("create_time")
	return pairs("id", it.id, "status", status, "priority", it.number, "create_time", created,
		"workflow", pairs("prompt", it.graph, "extra_data", it.extra))
}

func interruption(e *entry) *object { return lastMessage(e, "execution_interrupted") }

func lastMessage(e *entry, kind string) *object {
	for _, m := range e.messages {
		if pair := asList(m); len(pair) == 2 && pair[0] == kind {
			data, _ := pair[1].(*object)
			return data
		}
	}
	return nil
}

func countFiles(outputs *object) int {
	n := 0
	for _, id := range outputs.keys {
		images, _ := outputs.member(id).get("images")
		n += len(asList(images))
	}
	return n
}

func getJobs(p *process, w http.ResponseWriter, r *http.Request) error {
	wanted := r.URL.Query().Get("status")
	list := []any{}
	for _, j := range p.jobs() {
		if wanted == "" || slices.Contains(strings.Split(wanted, ","), j.text("status")) {
			list = append(list, j)
		}
	}
	return answer(w, http.StatusOK, pairs("jobs", list,
		"pagination", pairs("offset", 0, "limit", nil, "total", len(list), "has_more", false)))
}

func getJob(p *process, w http.ResponseWriter, r *http.Request) error {
	id := last(r, "/api/jobs/")
	for _, j := range p.jobs() {
		if j.text("id") == id {
			return answer(w, http.StatusOK, j)
		}
	}
	return answer(w, http.StatusNotFound, pairs("error", "Job not found"))
}

// postJobCancel is POST /api/jobs/{id}/cancel, and /api/jobs/cancel with {"job_ids": [...]}.
func postJobCancel(p *process, w http.ResponseWriter, r *http.Request) error {
	name := last(r, "/api/jobs/")
	if name == "cancel" {
		request, err := bodyObject(r)
		if err != nil {
			return err
		}
		for _, id := range texts(request, "job_ids") {
			p.cancelJob(id)
		}
		return answer(w, http.StatusOK, pairs("cancelled", true))
	}
	id, ok := strings.CutSuffix(name, "/cancel")
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return nil
	}
	return answer(w, http.StatusOK, pairs("cancelled", p.cancelJob(id)))
}

// cancelJob takes a waiting prompt out of the queue or interrupts it if it runs; anything else is left alone.
func (p *process) cancelJob(id string) bool {
	p.sim.ledger.note(func(l *Ledger) { l.cancels = append(l.cancels, id) })
	if p.queue.delete(id) {
		return true
	}
	if p.queue.isRunning(id) {
		p.interrupted.Store(true)
		return true
	}
	return false
}
