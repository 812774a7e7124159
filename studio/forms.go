package studio

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"

	"easel/comfy/workflow"
)

// forms knows what the servers allow in the fields of workflows.
type forms struct {
	mu    sync.Mutex // guards all below
	infos map[uuid.UUID]*workflow.ObjectInfo
	made  map[*workflow.Workflow]workflow.Form // until an info changes
	said  map[string]string                    // by needs, what missing says, until an info changes
	fit   map[fitting]bool                     // what fits says, until an info changes
}

func newForms() *forms {
	return &forms{
		infos: make(map[uuid.UUID]*workflow.ObjectInfo), made: make(map[*workflow.Workflow]workflow.Form),
		said: make(map[string]string), fit: make(map[fitting]bool),
	}
}

// learn takes in the node classes of a server, fresh or as last known.
func (f *forms) learn(server uuid.UUID, info *workflow.ObjectInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.infos[server] = info
	clear(f.made)
	clear(f.said)
	clear(f.fit)
}

// forget leaves out a server that is gone.
func (f *forms) forget(server uuid.UUID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.infos, server)
	clear(f.made)
	clear(f.said)
	clear(f.fit)
}

// info is what is known of the node classes of a server; nil when nothing is.
func (f *forms) info(server uuid.UUID) *workflow.ObjectInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.infos[server]
}

// of is the form of a workflow over all servers, made once for each change of what they know.
func (f *forms) of(w *workflow.Workflow) workflow.Form {
	f.mu.Lock()
	defer f.mu.Unlock()
	if form, ok := f.made[w]; ok {
		return form
	}
	form := w.Form(f.byAge()...)
	if len(f.made) >= maxMade {
		clear(f.made)
	}
	f.made[w] = form
	return form
}

// byAge are the classes of all servers, the oldest server's first: its choices come first, whenever a form is made. mu
// is held.
func (f *forms) byAge() []*workflow.ObjectInfo {
	infos := make([]*workflow.ObjectInfo, 0, len(f.infos))
	for _, server := range slices.SortedFunc(maps.Keys(f.infos), byAge) {
		infos = append(infos, f.infos[server])
	}
	return infos
}

// all are the classes of all servers, the oldest server's first.
func (f *forms) all() []*workflow.ObjectInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.byAge()
}

// maxMade bounds how many forms are kept.
const maxMade = 200

// byAge orders UUIDv7.
func byAge(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// settings reads stored values, each in the type of its field. Those of a workflow that is no
// longer there (nil) keep the types that JSON gives them.
func (f *forms) settings(w *workflow.Workflow, data []byte) (workflow.Values, error) {
	if w != nil {
		return workflow.ParseValues(f.of(w), data)
	}
	var v workflow.Values
	err := json.Unmarshal(data, &v)
	return v, err
}

// away lists, by field, the models to choose from that no server which takes work has. None are listed while that
// cannot be told: nothing takes work, or one of those that do has not said what it has.
func (f *forms) away(w *workflow.Workflow, takesWork []uuid.UUID) map[string]map[string]bool {
	all := f.of(w)
	f.mu.Lock()
	defer f.mu.Unlock()
	infos := make([]*workflow.ObjectInfo, 0, len(takesWork))
	for _, id := range takesWork {
		info := f.infos[id]
		if info == nil {
			return nil
		}
		infos = append(infos, info)
	}
	if len(infos) == 0 || len(infos) == len(f.infos) {
		return nil
	}
	now := w.Form(infos...)
	away := make(map[string]map[string]bool)
	for _, field := range all.Fields {
		models := make(map[string]bool)
		for _, choice := range field.Choices {
			if workflow.IsModelFile(choice) {
				models[choice] = true
			}
		}
		there, _ := now.Field(field.Name)
		for _, choice := range there.Choices {
			delete(models, choice)
		}
		if len(models) > 0 {
			away[field.Name] = models
		}
	}
	return away
}

// Workflows lists what can be asked for: first what comes with Easel, then what people brought, by title.
func (s *Studio) Workflows() []WorkflowHead { return s.library.list() }

// Forms are the forms of all workflows that can be asked for, as the present servers allow. Errors: ErrUnavailable.
func (s *Studio) Forms(ctx context.Context) ([]workflow.Form, error) {
	var made []workflow.Form
	for some := range slices.Chunk(s.library.list(), formsAtOnce) {
		refs := make([]workflowRef, len(some))
		for i := range some {
			refs[i] = workflowRef{some[i].ID, some[i].Version}
		}
		found, err := s.library.findAll(ctx, s.library.queries, refs)
		if err != nil {
			return nil, err
		}
		for _, ref := range refs {
			if w := found[ref]; w != nil {
				made = append(made, s.forms.of(w))
			}
		}
	}
	return made, nil
}

// WorkflowsMissing says in words, by id, what keeps every server from running a workflow; those that one can run, or
// that cannot be told yet, are left out. Errors: ErrUnavailable.
func (s *Studio) WorkflowsMissing(ctx context.Context) (map[string]string, error) {
	missing := make(map[string]string)
	for some := range slices.Chunk(s.library.list(), formsAtOnce) {
		refs := make([]workflowRef, len(some))
		for i := range some {
			refs[i] = workflowRef{some[i].ID, some[i].Version}
		}
		found, err := s.library.findAll(ctx, s.library.queries, refs)
		if err != nil {
			return nil, err
		}
		for _, ref := range refs {
			if w := found[ref]; w != nil {
				if said := s.forms.missing(needsOf(asOffered(w, s.forms.of(w)))); said != "" {
					missing[ref.id] = said + "."
				}
			}
		}
	}
	return missing, nil
}

// asOffered is the graph that is sent when nothing in the form is touched: a model that no server has is another one
// then.
func asOffered(w *workflow.Workflow, form workflow.Form) workflow.Graph {
	values := make(workflow.Values)
	for _, field := range form.Fields {
		if field.Kind == workflow.Choice && field.Default != nil {
			values[field.Name] = field.Default
		}
	}
	graph, err := w.Apply(values)
	if err != nil {
		return w.Graph // its own values do for what is wanted here
	}
	return graph
}

// formsAtOnce is how many graphs are read by one statement.
const formsAtOnce = 50

// Form is what can be filled in for a workflow. Errors: ErrNoWorkflow, ErrUnavailable.
func (s *Studio) Form(ctx context.Context, id string) (workflow.Form, error) {
	w, _, err := s.library.current(ctx, id)
	if err != nil {
		return workflow.Form{}, err
	}
	return s.forms.of(w), nil
}

// FormOf is the form with which a generation was asked for. Errors: ErrNoWorkflow, ErrUnavailable.
func (s *Studio) FormOf(ctx context.Context, g *Generation) (workflow.Form, error) {
	w, err := s.library.find(ctx, s.library.queries, workflowRef{g.Workflow, g.WorkflowVersion})
	if err != nil {
		return workflow.Form{}, err
	}
	return s.forms.of(w), nil
}

// Away lists, by field of a workflow, the models to choose from that no server which takes work has now: a
// generation that needs one waits until that changes.
func (s *Studio) Away(ctx context.Context, id string) map[string]map[string]bool {
	w, _, err := s.library.current(ctx, id)
	if err != nil {
		return nil // whoever asks for the form is told
	}
	var takesWork []uuid.UUID
	for _, server := range s.Overview().Servers {
		if server.Mode == ModeActive && (server.State == ServerUp || server.State == ServerStalled) {
			takesWork = append(takesWork, server.ID)
		}
	}
	return s.forms.away(w, takesWork)
}
