package studio

import (
	"container/list"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"easel/comfy/workflow"
	"easel/db"
)

// ErrNoWorkflow is said of an id that no workflow has, or no longer.
var ErrNoWorkflow = errors.New("no such workflow")

// workflowRef names what a generation was asked for with. Version 0 is a workflow that comes with Easel.
type workflowRef struct {
	id      string
	version int
}

// refOf is the workflow of a stored generation.
func refOf(id string, version *int32) workflowRef {
	if version == nil {
		return workflowRef{id: id}
	}
	return workflowRef{id, int(*version)}
}

// stored is what the column workflow_version holds.
func (r workflowRef) stored() *int32 {
	if r.version == 0 {
		return nil
	}
	version := int32(r.version) //nolint:gosec // it came out of such a column
	return &version
}

// WorkflowHead is what is known of a workflow without its graph.
type WorkflowHead struct {
	ID          string
	Title       string
	Description string
	Version     int  // that is asked for from now on; 0: it comes with Easel
	HasGraph    bool // otherwise the file that was brought could not be converted yet
	OwnerID     uuid.UUID
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// BuiltIn reports whether a workflow comes with Easel: then it cannot be changed.
func (h *WorkflowHead) BuiltIn() bool { return h.Version == 0 }

// library is the one owner of workflows in memory: those that come with Easel and those that people brought. Of the
// latter it keeps the list, which a bell renews, and as many versions as fit into keptBytes; a version never changes.
type library struct {
	queries *db.Queries
	reread  chan struct{} // rung when somebody has changed a workflow

	// reading is held from the reading to its taking effect: what was read earlier must not replace
	// what was read later.
	reading sync.Mutex
	heads   atomic.Pointer[catalogue] // nil: not read yet

	mu       sync.Mutex // guards all below
	versions map[workflowRef]*list.Element
	used     *list.List // of *keptVersion, the latest first
	bytes    int
}

// catalogue is the list of workflows as it was read at one time.
type catalogue struct {
	list []WorkflowHead // those that come with Easel first, the others by title
	byID map[string]*WorkflowHead
}

type keptVersion struct {
	ref      workflowRef
	workflow *workflow.Workflow
	bytes    int // of its graph and fields, as they are stored
}

const (
	maxWorkflows = 500      // that are kept beside those that come with Easel
	keptBytes    = 32 << 20 // of graphs as they are stored; in memory they are a few times that
)

// workflowID reports whether a text can be the id of a workflow that people brought.
func workflowID(text string) bool { return len(text) <= maxWorkflowID && idPattern.MatchString(text) }

const maxWorkflowID = 80

var idPattern = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func newLibrary(queries *db.Queries) *library {
	return &library{
		queries: queries, reread: make(chan struct{}, 1),
		versions: make(map[workflowRef]*list.Element), used: list.New(),
	}
}

// read takes the list from the database.
func (l *library) read(ctx context.Context) error {
	l.reading.Lock()
	defer l.reading.Unlock()
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	rows, err := l.queries.WorkflowList(ctx, maxWorkflows)
	if err != nil {
		return fmt.Errorf("read workflows: %w", err)
	}
	c := &catalogue{byID: make(map[string]*WorkflowHead, len(rows)+1)}
	for _, w := range workflow.Builtins() {
		c.list = append(c.list, WorkflowHead{ID: w.ID, Title: w.Title, Description: w.Description, HasGraph: true})
	}
	for _, row := range rows {
		c.list = append(c.list, WorkflowHead{
			ID: row.ID, Title: row.Title, Description: row.Description, Version: int(row.Version), HasGraph: row.HasGraph,
			OwnerID: row.OwnerID, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
		})
	}
	for i := range c.list {
		c.byID[c.list[i].ID] = &c.list[i]
	}
	l.heads.Store(c)
	return nil
}

// list are all workflows, as far as they were read.
func (l *library) list() []WorkflowHead {
	if c := l.heads.Load(); c != nil {
		return c.list
	}
	var own []WorkflowHead
	for _, w := range workflow.Builtins() {
		own = append(own, WorkflowHead{ID: w.ID, Title: w.Title, Description: w.Description, HasGraph: true})
	}
	return own
}

// head finds a workflow by its id. One that is not in memory may just have been brought to another instance.
func (l *library) head(ctx context.Context, id string) (WorkflowHead, error) {
	if w, ok := workflow.Builtin(id); ok {
		return WorkflowHead{ID: w.ID, Title: w.Title, Description: w.Description, HasGraph: true}, nil
	}
	if !workflowID(id) {
		return WorkflowHead{}, ErrNoWorkflow
	}
	if c := l.heads.Load(); c != nil {
		if h, ok := c.byID[id]; ok {
			return *h, nil
		}
	}
	if err := l.read(ctx); err != nil {
		return WorkflowHead{}, unavailable(err)
	}
	if h, ok := l.heads.Load().byID[id]; ok {
		return *h, nil
	}
	return WorkflowHead{}, ErrNoWorkflow
}

// current is a workflow as it is asked for from now on. Errors: ErrNoWorkflow, also while it has no graph.
func (l *library) current(ctx context.Context, id string) (*workflow.Workflow, workflowRef, error) {
	head, err := l.head(ctx, id)
	if err != nil {
		return nil, workflowRef{}, err
	}
	ref := workflowRef{head.ID, head.Version}
	w, err := l.find(ctx, l.queries, ref)
	return w, ref, err
}

// find is one version. queries are the caller's: within a transaction there may be no second connection.
// Errors: ErrNoWorkflow, also for one without a graph.
func (l *library) find(ctx context.Context, queries *db.Queries, ref workflowRef) (*workflow.Workflow, error) {
	found, err := l.findAll(ctx, queries, []workflowRef{ref})
	if err != nil {
		return nil, err
	}
	w := found[ref]
	if w == nil {
		return nil, ErrNoWorkflow
	}
	return w, nil
}

// findAll is find for many, in one statement at most; what is not there is left out.
func (l *library) findAll(ctx context.Context, queries *db.Queries, refs []workflowRef) (map[workflowRef]*workflow.Workflow, error) {
	found := make(map[workflowRef]*workflow.Workflow, len(refs))
	var away db.WorkflowVersionsParams
	for _, ref := range refs {
		if _, known := found[ref]; known {
			continue
		}
		found[ref] = l.inMemory(ref)
		if found[ref] == nil && ref.version > 0 {
			away.Ids = append(away.Ids, ref.id)
			away.Versions = append(away.Versions, *ref.stored())
		}
	}
	if len(away.Ids) == 0 {
		return found, nil
	}
	rows, err := queries.WorkflowVersions(ctx, away)
	if err != nil {
		return nil, unavailable(fmt.Errorf("read workflows: %w", err))
	}
	for _, row := range rows {
		ref := workflowRef{row.WorkflowID, int(row.Version)}
		if len(row.Graph) == 0 {
			continue
		}
		w, err := builtOf(row.WorkflowID, row.Title, row.Description, row.Graph, row.Fields)
		if err != nil {
			return nil, err
		}
		found[ref] = w
		l.keep(ref, w, len(row.Graph)+len(row.Fields))
	}
	return found, nil
}

// builtOf makes a workflow of its columns.
func builtOf(id, title, description string, graph, fields []byte) (*workflow.Workflow, error) {
	g, err := workflow.ParseGraph(graph)
	if err != nil {
		return nil, fmt.Errorf("read the graph of workflow %s: %w", id, err)
	}
	var list []workflow.Field
	if err := json.Unmarshal(fields, &list); err != nil {
		return nil, fmt.Errorf("read the fields of workflow %s: %w", id, err)
	}
	return workflow.New(id, title, description, g, list)
}

func (l *library) inMemory(ref workflowRef) *workflow.Workflow {
	if ref.version == 0 {
		w, _ := workflow.Builtin(ref.id)
		return w
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.versions[ref]
	if !ok {
		return nil
	}
	l.used.MoveToFront(at)
	return at.Value.(*keptVersion).workflow
}

// keep keeps a version; those that were not used for longest make room.
func (l *library) keep(ref workflowRef, w *workflow.Workflow, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.versions[ref]; known {
		return
	}
	l.versions[ref] = l.used.PushFront(&keptVersion{ref, w, bytes})
	for l.bytes += bytes; l.bytes > keptBytes && l.used.Len() > 1; {
		last := l.used.Remove(l.used.Back()).(*keptVersion)
		delete(l.versions, last.ref)
		l.bytes -= last.bytes
	}
}

// keepLibrary reads the list anew whenever somebody has changed a workflow, until ctx ends.
func (s *Studio) keepLibrary(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.library.reread:
		}
		for {
			err := s.library.read(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			s.logger.WarnContext(ctx, "could not read the workflows", "err", err, "retry_in", reloadAfter)
			sleep(ctx, reloadAfter)
		}
	}
}
