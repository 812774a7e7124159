package studio

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"

	"easel/comfy/workflow"
)

// forms knows what can be asked for: the workflows, and what the servers allow in their fields.
type forms struct {
	mu    sync.Mutex // guards all below
	infos map[uuid.UUID]*workflow.ObjectInfo
	made  map[string]workflow.Form // by workflow, until an info changes
	said  map[string]string        // by needs, what missing says, until an info changes
}

func newForms() *forms {
	return &forms{infos: make(map[uuid.UUID]*workflow.ObjectInfo), made: make(map[string]workflow.Form), said: make(map[string]string)}
}

// learn takes in the node classes of a server, fresh or as last known.
func (f *forms) learn(server uuid.UUID, info *workflow.ObjectInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.infos[server] = info
	clear(f.made)
	clear(f.said)
}

// forget leaves out a server that is gone.
func (f *forms) forget(server uuid.UUID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.infos, server)
	clear(f.made)
	clear(f.said)
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
	if form, ok := f.made[w.ID]; ok {
		return form
	}
	// The oldest server's choices come first, whenever the form is made.
	infos := make([]*workflow.ObjectInfo, 0, len(f.infos))
	for _, server := range slices.SortedFunc(maps.Keys(f.infos), byAge) {
		infos = append(infos, f.infos[server])
	}
	form := w.Form(infos...)
	f.made[w.ID] = form
	return form
}

// byAge orders UUIDv7.
func byAge(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// settings reads stored values, each in the type of its field. Those of a workflow that is no
// longer there keep the types that JSON gives them.
func (f *forms) settings(id string, data []byte) (workflow.Values, error) {
	if w, ok := workflow.Builtin(id); ok {
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
			if isModel(choice) {
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

// Workflows lists what can be asked for, each with the form that the present servers allow.
func (s *Studio) Workflows() []workflow.Form {
	builtins := workflow.Builtins()
	list := make([]workflow.Form, len(builtins))
	for i, w := range builtins {
		list[i] = s.forms.of(w)
	}
	return list
}

// Away lists, by field of a workflow, the models to choose from that no server which takes work has now: a
// generation that needs one waits until that changes.
func (s *Studio) Away(id string) map[string]map[string]bool {
	w, ok := workflow.Builtin(id)
	if !ok {
		return nil
	}
	var takesWork []uuid.UUID
	for _, server := range s.Overview().Servers {
		if server.Mode == ModeActive && (server.State == ServerUp || server.State == ServerStalled) {
			takesWork = append(takesWork, server.ID)
		}
	}
	return s.forms.away(w, takesWork)
}

// Form is one of them; ok is false for an unknown id.
func (s *Studio) Form(id string) (form workflow.Form, ok bool) {
	w, ok := workflow.Builtin(id)
	if !ok {
		return workflow.Form{}, false
	}
	return s.forms.of(w), true
}
