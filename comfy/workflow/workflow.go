package workflow

import (
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
)

// Workflow is a graph with named fields. It is data: see builtin/text-to-image.json for the
// form on disk.
type Workflow struct {
	ID          string
	Title       string
	Description string
	Graph       Graph // with the values that hold where no field says otherwise
	Fields      []Field
}

// Field names a place in a graph, or several that always hold the same.
type Field struct {
	Name     string          `json:"name"` // camelCase
	Label    string          `json:"label"`
	Help     string          `json:"help,omitempty"`
	Group    string          `json:"group"` // GroupMain, GroupMore, or a heading of its own
	Kind     Kind            `json:"kind"`
	Default  json.RawMessage `json:"default,omitempty"`
	Min      *float64        `json:"min,omitempty"` // own bounds: servers may narrow them, not widen
	Max      *float64        `json:"max,omitempty"`
	Step     *float64        `json:"step,omitempty"`
	Required bool            `json:"required,omitempty"`
	MaxRunes int             `json:"maxRunes,omitempty"`
	Targets  []Target        `json:"targets"`

	value any // Default, of the Kind's Go type
}

// maxGroupRunes limits the name of a group: it is a heading.
const maxGroupRunes = 100

// Target is one input of one node.
type Target struct {
	Node  string `json:"node"`
	Input string `json:"input"`
}

// Parse reads a workflow: {"id", "title", "description", "graph", "fields"}. Every field needs a
// name of its own, a known kind and targets that exist in the graph and are no links.
func Parse(data []byte) (*Workflow, error) {
	if err := CheckJSON(data, MaxGraphDepth+2); err != nil {
		return nil, err
	}
	var file struct {
		ID          string          `json:"id"`
		Title       string          `json:"title"`
		Description string          `json:"description"`
		Graph       json.RawMessage `json:"graph"`
		Fields      []Field         `json:"fields"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("read workflow: %w", err)
	}
	if file.ID == "" || file.Title == "" {
		return nil, fmt.Errorf("read workflow: id and title are needed")
	}
	g, err := ParseGraph(file.Graph)
	if err != nil {
		return nil, fmt.Errorf("read workflow %s: %w", file.ID, err)
	}
	return New(file.ID, file.Title, file.Description, g, file.Fields)
}

// New makes a workflow of a graph and fields for it, by the rules of Parse. The graph is the
// workflow's from then on.
func New(id, title, description string, g Graph, fields []Field) (*Workflow, error) {
	w := &Workflow{ID: id, Title: title, Description: description, Graph: g, Fields: slices.Clone(fields)}
	names := map[string]bool{}
	for i := range w.Fields {
		f := &w.Fields[i]
		if f.Name == "" || names[f.Name] {
			return nil, fmt.Errorf("read workflow %s: field %d needs a name of its own, not %s", w.ID, i, quote(f.Name))
		}
		names[f.Name] = true
		if err := w.check(f); err != nil {
			return nil, fmt.Errorf("read workflow %s, field %s: %w", w.ID, quote(f.Name), err)
		}
	}
	return w, nil
}

func (w *Workflow) check(f *Field) error {
	if !slices.Contains([]Kind{Text, Integer, Number, Choice, Boolean, Seed, Image}, f.Kind) {
		return fmt.Errorf("%s is no kind of field", quote(string(f.Kind)))
	}
	if complaint := CheckText("The group", f.Group, true, maxGroupRunes); complaint != "" {
		return errors.New(complaint)
	}
	if f.Label == "" || len(f.Targets) == 0 {
		return fmt.Errorf("a label and at least one target are needed")
	}
	for _, t := range f.Targets {
		n, ok := w.Graph[t.Node]
		if !ok {
			return fmt.Errorf("the graph has no node %s", quote(t.Node))
		}
		if strings.Contains(t.Input, "\x00") {
			return fmt.Errorf("the name of an input of node %s holds a NUL character", quote(t.Node))
		}
		if _, _, linked := n.Link(t.Input); linked {
			return fmt.Errorf("input %s of node %s is linked", quote(t.Input), quote(t.Node))
		}
	}
	if len(f.Default) == 0 || isNull(f.Default) {
		return nil
	}
	if holdsNUL(f.Default) {
		return fmt.Errorf("its default: %w", errNUL)
	}
	v, err := typed(f.Kind, f.Default)
	if err != nil {
		return fmt.Errorf("its default: %w", err)
	}
	f.value = v
	return nil
}

//go:embed builtin/*.json
var builtinFiles embed.FS

// builtins reads the embedded workflows once. They are part of the program: one that cannot be
// read is a mistake of ours, which the tests find before anyone else.
var builtins = sync.OnceValue(func() []*Workflow {
	entries, err := builtinFiles.ReadDir("builtin")
	if err != nil {
		panic(err)
	}
	list := make([]*Workflow, 0, len(entries))
	for _, e := range entries {
		data, err := builtinFiles.ReadFile(path.Join("builtin", e.Name()))
		if err != nil {
			panic(err)
		}
		w, err := Parse(data)
		if err != nil {
			panic(fmt.Sprintf("%s: %v", e.Name(), err))
		}
		list = append(list, w)
	}
	slices.SortStableFunc(list, func(a, b *Workflow) int { // the one that is used when none is named comes first
		return cmp.Compare(order(a), order(b))
	})
	return list
})

func order(w *Workflow) int {
	if w.ID == TextToImage {
		return 0
	}
	return 1
}

// Builtins are the workflows that come with Easel. They are shared: nobody may change them, and
// Apply works on a copy.
func Builtins() []*Workflow { return slices.Clone(builtins()) }

// Builtin finds one of them by id.
func Builtin(id string) (*Workflow, bool) {
	for _, w := range builtins() {
		if w.ID == id {
			return w, true
		}
	}
	return nil, false
}
