package studio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"easel/comfy/workflow"
	"easel/db"
)

// Limits of what one workflow may be.
const (
	MaxWorkflowBytes = 16 << 20 // of the file that is brought; a backup holds a row in memory, twice as large
	MaxWorkflowRunes = 200      // of a title
	maxDescription   = 2000     // runes
	maxLabelRunes    = 100
	maxHelpRunes     = 500
	maxFieldsBytes   = 1 << 20 // of all fields of a workflow as JSON
)

// Errors of workflows, beside ErrNoWorkflow.
var (
	ErrWorkflowBuiltIn  = errors.New("the workflow comes with Easel")
	ErrWorkflowChanged  = errors.New("the workflow has been changed by somebody else")
	ErrTooManyWorkflows = errors.New("there are as many workflows as are kept")
	ErrNotExportable    = errors.New("the workflow is not there in this format")
)

// Workflow is one that can be asked for, as its owner sees it.
type Workflow struct {
	WorkflowHead

	Filename      string             // of what was brought; empty: it had none
	Container     string             // of what was brought: json, text, png, webp, jpeg; empty: it comes with Easel
	OriginalBytes int                // size of what was brought
	Graph         workflow.Graph     // nil: what was brought could not be converted yet
	Fields        []workflow.Field   // in the order of the form
	Spare         []workflow.Field   // found in the graph, and not in the form
	Form          workflow.Form      // as the present servers allow
	SpareForm     workflow.Form      // of Spare alone
	Read          []workflow.Problem // what there was to say when it was read
	Problems      []workflow.Problem // what keeps it from running on any server
	Notes         []workflow.Problem // what the form chooses in place of what no server has
	Servers       []WorkflowServer   // whether each can run it, by name
}

// Runnable reports whether some server can run it, as far as is known.
func (w *Workflow) Runnable() bool {
	return slices.ContainsFunc(w.Servers, func(s WorkflowServer) bool { return s.Runs })
}

// WorkflowServer says whether a server can run a workflow.
type WorkflowServer struct {
	ID       uuid.UUID
	Name     string
	Known    bool // otherwise it has not said what it has
	Runs     bool
	Problems []workflow.Problem // beside those of the workflow
}

// WorkflowFile is what a person brings.
type WorkflowFile struct {
	UserID uuid.UUID
	Name   string // of the file; may be empty
	Title  string // empty: as the file says, or is named
	Data   []byte
}

// WorkflowEdit is what the owner of a workflow wants changed; nil: left as it is.
type WorkflowEdit struct {
	Version     int // that the change was made for; 0: whatever there is
	Title       *string
	Description *string
	Fields      []workflow.Field // all of them, in the order of the form
}

// ImportWorkflow keeps what a person has brought. What no server can run, or convert, is kept as well, and says why.
// Errors: *InvalidError, ErrTooManyWorkflows, ErrUnavailable.
func (s *Studio) ImportWorkflow(ctx context.Context, f WorkflowFile) (*Workflow, error) {
	if complaint := checkFile(&f); complaint != nil {
		return nil, complaint
	}
	read, err := s.readWorkflow(ctx, f.Data)
	if err != nil {
		return nil, err
	}
	title := firstTitle(f.Title, read.title, stem(f.Name))
	columns, err := read.columns()
	if err != nil {
		return nil, err
	}
	if f.UserID == uuid.Nil {
		f.UserID = LocalUser
	}
	var id string
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		q := s.queries.WithTx(tx)
		if n, err := q.WorkflowCount(ctx); err != nil || n >= maxWorkflows {
			return errors.Join(err, tooMany(n))
		}
		var err error
		if id, err = takeID(ctx, q, f.UserID, title, read.description); err != nil {
			return err
		}
		source, err := q.WorkflowSourceInsert(ctx, db.WorkflowSourceInsertParams{
			WorkflowID: id, Filename: f.Name, Container: read.container, Original: f.Data,
			Graph: columns.graph, Problems: columns.problems,
		})
		if err != nil {
			return err
		}
		return q.WorkflowVersionInsert(ctx, db.WorkflowVersionInsertParams{
			WorkflowID: id, Version: 1, SourceID: source, Fields: columns.fields,
		})
	})
	if err != nil {
		return nil, unavailable(fmt.Errorf("store workflow: %w", err))
	}
	s.logger.InfoContext(ctx, "workflow brought", "workflow", id, "container", read.container, "bytes", len(f.Data))
	s.workflowsChanged(ctx)
	return s.Workflow(ctx, id)
}

func tooMany(n int64) error {
	if n >= maxWorkflows {
		return ErrTooManyWorkflows
	}
	return nil
}

// checkFile complains about what cannot be stored.
func checkFile(f *WorkflowFile) error {
	var complaints []FieldError
	switch {
	case len(f.Data) == 0:
		complaints = append(complaints, FieldError{Field: "file", Message: "There is nothing in this file."})
	case len(f.Data) > MaxWorkflowBytes:
		complaints = append(complaints, FieldError{Field: "file", Message: fmt.Sprintf("A file may have at most %d MiB.", MaxWorkflowBytes>>20)})
	}
	if f.Title != "" {
		if complaint := workflow.CheckText("The title", f.Title, true, MaxWorkflowRunes); complaint != "" {
			complaints = append(complaints, FieldError{Field: "title", Message: complaint})
		}
	}
	if len(complaints) > 0 {
		return &InvalidError{Fields: complaints}
	}
	f.Name = cleanName(f.Name)
	return nil
}

// cleanName is a file's name without its folder, as it can be stored.
func cleanName(name string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
	for len(name) > 255 {
		_, last := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-last]
	}
	return name
}

// stem is a file's name as a title.
func stem(name string) string {
	name, _, _ = strings.Cut(name, ".")
	name = strings.TrimSpace(strings.NewReplacer("_", " ", "-", " ").Replace(name))
	if name == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(first)) + name[size:]
}

// firstTitle is the first of them that can be one.
func firstTitle(titles ...string) string {
	for _, title := range titles {
		title = strings.Join(strings.Fields(clean(title)), " ")
		if runes := []rune(title); len(runes) > MaxWorkflowRunes {
			title = strings.TrimSpace(string(runes[:MaxWorkflowRunes]))
		}
		if title != "" {
			return title
		}
	}
	return "Untitled"
}

// takeID takes an id that people can read: the title in small letters, with a number where that is taken.
func takeID(ctx context.Context, q *db.Queries, owner uuid.UUID, title, description string) (string, error) {
	base := slug(title)
	for n := 1; n <= maxSameName; n++ {
		id := base
		if n > 1 {
			id += "-" + strconv.Itoa(n)
		}
		if _, taken := workflow.Builtin(id); taken {
			continue
		}
		rows, err := q.WorkflowInsert(ctx, db.WorkflowInsertParams{ID: id, OwnerID: owner, Title: title, Description: description})
		if err != nil || rows > 0 {
			return id, err
		}
	}
	id := strings.ReplaceAll(uuid.NewString(), "-", "")
	_, err := q.WorkflowInsert(ctx, db.WorkflowInsertParams{ID: id, OwnerID: owner, Title: title, Description: description})
	return id, err
}

// maxSameName is how many workflows of one name get a number.
const maxSameName = 50

// slug is a title as part of an address.
func slug(title string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 60 {
			break
		}
	}
	if s := strings.Trim(b.String(), "-"); s != "" {
		return s
	}
	return "workflow"
}

// workflowsChanged takes over a change that was committed, and tells the others.
func (s *Studio) workflowsChanged(ctx context.Context) {
	s.announce(bellWorkflows, uuid.Nil, 0)
	if err := s.library.read(ctx); err != nil {
		s.logger.WarnContext(ctx, "could not read the workflows back", "err", err)
		ring(s.library.reread)
	}
}

// Workflow is one with all that its owner sees. Errors: ErrNoWorkflow, ErrUnavailable.
func (s *Studio) Workflow(ctx context.Context, id string) (*Workflow, error) {
	if made, ok := workflow.Builtin(id); ok {
		w := &Workflow{
			WorkflowHead: WorkflowHead{ID: made.ID, Title: made.Title, Description: made.Description, HasGraph: true},
			Graph:        made.Graph, Fields: made.Fields, Form: s.forms.of(made),
		}
		s.examine(w)
		return w, nil
	}
	if !workflowID(id) {
		return nil, ErrNoWorkflow
	}
	row, err := db.One(s.queries.WorkflowGet(ctx, id))
	switch {
	case errors.Is(err, db.ErrNotFound):
		return nil, ErrNoWorkflow
	case err != nil:
		return nil, unavailable(fmt.Errorf("read workflow: %w", err))
	}
	w := &Workflow{
		WorkflowHead: WorkflowHead{
			ID: row.ID, Title: row.Title, Description: row.Description, Version: int(row.Version), HasGraph: len(row.Graph) > 0,
			OwnerID: row.OwnerID, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
		},
		Filename: row.Filename, Container: row.Container, OriginalBytes: int(row.OriginalBytes),
	}
	if err := json.Unmarshal(row.Problems, &w.Read); err != nil {
		return nil, fmt.Errorf("read the problems of workflow %s: %w", id, err)
	}
	if !w.HasGraph {
		return w, nil
	}
	made, err := s.library.find(ctx, s.library.queries, workflowRef{w.ID, w.Version})
	if err != nil {
		return nil, err
	}
	w.Graph, w.Fields, w.Form = made.Graph, made.Fields, s.forms.of(made)
	s.examine(w)
	return w, nil
}

// PreviewWorkflow is a workflow as EditWorkflow would leave it; nothing is stored.
// Errors: *InvalidError, ErrNoWorkflow, ErrWorkflowBuiltIn, ErrWorkflowChanged, ErrUnavailable.
func (s *Studio) PreviewWorkflow(ctx context.Context, id string, e WorkflowEdit) (*Workflow, error) {
	w, err := s.Workflow(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case w.BuiltIn():
		return nil, ErrWorkflowBuiltIn
	case e.Version != 0 && e.Version != w.Version:
		return nil, ErrWorkflowChanged
	}
	if err := e.onto(w); err != nil {
		return nil, err
	}
	if w.Graph == nil {
		return w, nil
	}
	made, err := workflow.New(w.ID, w.Title, w.Description, w.Graph, w.Fields)
	if err != nil {
		return nil, fmt.Errorf("put the form of workflow %s together: %w", id, err)
	}
	infos := s.forms.all()
	w.Form = made.Form(infos...)
	w.spare(infos)
	return w, nil
}

// EditWorkflow changes what people see and fill in. What was asked for before stays as it was.
// Errors: those of PreviewWorkflow.
func (s *Studio) EditWorkflow(ctx context.Context, id string, e WorkflowEdit) (*Workflow, error) {
	w, err := s.PreviewWorkflow(ctx, id, e)
	if err != nil {
		return nil, err
	}
	fields, err := json.Marshal(w.Fields)
	if err != nil {
		return nil, fmt.Errorf("encode fields: %w", err)
	}
	if w.Fields == nil {
		fields = []byte("[]")
	}
	if len(fields) > maxFieldsBytes {
		return nil, &InvalidError{Fields: []FieldError{{Field: "fields", Message: "The fields are more than can be kept."}}}
	}
	err = s.replaceVersion(ctx, w, func(q *db.Queries) error {
		return q.WorkflowVersionAgain(ctx, db.WorkflowVersionAgainParams{
			Fields: fields, WorkflowID: w.ID, Before: int32(w.Version), //nolint:gosec // it came out of such a column
		})
	})
	if err != nil {
		return nil, err
	}
	s.logger.InfoContext(ctx, "workflow edited", "workflow", id, "version", w.Version+1)
	return s.Workflow(ctx, id)
}

// replaceVersion makes the version after w's with insert, and the present one of it. Earlier ones go if nothing
// was made with them.
func (s *Studio) replaceVersion(ctx context.Context, w *Workflow, insert func(*db.Queries) error) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		q := s.queries.WithTx(tx)
		before := int32(w.Version) //nolint:gosec // it came out of such a column
		rows, err := q.WorkflowUpdate(ctx, db.WorkflowUpdateParams{
			Title: w.Title, Description: w.Description, Version: before + 1, ID: w.ID, Before: before,
		})
		if err != nil {
			return err
		}
		if rows == 0 {
			return ErrWorkflowChanged
		}
		return insert(q)
	})
	if err != nil {
		return unavailable(fmt.Errorf("store workflow: %w", err))
	}
	s.workflowsChanged(ctx)
	for _, forget := range []func(context.Context, string) error{s.queries.WorkflowForget, s.queries.WorkflowSourcesForget} {
		if err := forget(ctx, w.ID); err != nil { // asked for at this very moment: the next edit does it
			s.logger.DebugContext(ctx, "an earlier version of a workflow stays", "workflow", w.ID, "err", err)
			break
		}
	}
	return nil
}

// onto puts the changes over w.
func (e *WorkflowEdit) onto(w *Workflow) error {
	var complaints []FieldError
	check := func(field, label string, text *string, needed bool, most int, into *string) {
		if text == nil {
			return
		}
		if complaint := workflow.CheckText(label, *text, needed, most); complaint != "" {
			complaints = append(complaints, FieldError{Field: field, Message: complaint})
		}
		*into = strings.TrimSpace(*text)
	}
	check("title", "The title", e.Title, true, MaxWorkflowRunes, &w.Title)
	check("description", "The description", e.Description, false, maxDescription, &w.Description)
	if e.Fields != nil {
		complaints = append(complaints, checkFields(w, e.Fields)...)
		w.Fields = e.Fields
	}
	if len(complaints) > 0 {
		return &InvalidError{Fields: complaints}
	}
	return nil
}

// RereadWorkflow reads the file that was brought again, with what the servers have now. The fields that still fit stay as
// they are, and what is found besides follows them.
// Errors: *InvalidError, ErrNoWorkflow, ErrWorkflowBuiltIn, ErrWorkflowChanged, ErrUnavailable.
func (s *Studio) RereadWorkflow(ctx context.Context, id string) (*Workflow, error) {
	w, err := s.Workflow(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case w.BuiltIn():
		return nil, ErrWorkflowBuiltIn
	}
	file, err := s.ExportWorkflow(ctx, id, ExportOriginal)
	if err != nil {
		return nil, err
	}
	read, err := s.readWorkflow(ctx, file.Data)
	if err != nil {
		return nil, err
	}
	read.keep(w.Fields)
	columns, err := read.columns()
	if err != nil {
		return nil, err
	}
	err = s.replaceVersion(ctx, w, func(q *db.Queries) error {
		source, err := q.WorkflowSourceRead(ctx, db.WorkflowSourceReadParams{
			ID: w.ID, Before: int32(w.Version), Graph: columns.graph, Problems: columns.problems, //nolint:gosec // it came out of such a column
		})
		if err != nil {
			return err
		}
		return q.WorkflowVersionInsert(ctx, db.WorkflowVersionInsertParams{
			WorkflowID: w.ID, Version: int32(w.Version) + 1, SourceID: source, Fields: columns.fields, //nolint:gosec // as above
		})
	})
	if err != nil {
		return nil, err
	}
	s.logger.InfoContext(ctx, "workflow read again", "workflow", id, "version", w.Version+1)
	return s.Workflow(ctx, id)
}

// DeleteWorkflow takes a workflow out of the list. What was made with it stays as it is, can be looked at and made
// again by its graph; without any it is gone for good. Errors: ErrNoWorkflow, ErrWorkflowBuiltIn, ErrUnavailable.
func (s *Studio) DeleteWorkflow(ctx context.Context, id string) error {
	if _, ok := workflow.Builtin(id); ok {
		return ErrWorkflowBuiltIn
	}
	if !workflowID(id) {
		return ErrNoWorkflow
	}
	rows, err := s.queries.WorkflowArchive(ctx, id)
	if err != nil {
		return unavailable(fmt.Errorf("remove workflow: %w", err))
	}
	if rows == 0 {
		return ErrNoWorkflow
	}
	s.workflowsChanged(ctx)
	s.logger.InfoContext(ctx, "workflow removed", "workflow", id)
	for _, forget := range []func(context.Context, string) error{s.queries.WorkflowEmpty, s.queries.WorkflowSourcesForget} {
		if err := forget(ctx, id); err != nil { // in use since this moment: it stays for that
			s.logger.DebugContext(ctx, "a version of a removed workflow stays", "workflow", id, "err", err)
			break
		}
	}
	return nil
}
