package views

import (
	"strconv"
	"time"
)

// WorkflowsView is the page of what can be asked for.
type WorkflowsView struct {
	Workflows []WorkflowRow
	Bring     BringForm
	Removed   string // title of what was removed just now; empty: nothing was
	Now       time.Time
}

// WorkflowRow is one workflow in the list.
type WorkflowRow struct {
	ID, Title, Description string
	BuiltIn                bool
	HasGraph               bool   // otherwise it could not be converted yet
	Missing                string // what keeps every server from running it; empty: one can, or it is not known
	UpdatedAt              time.Time
}

// Health is how the dot of a workflow is coloured.
func (w *WorkflowRow) Health() string {
	if !w.HasGraph || w.Missing != "" {
		return "none"
	}
	return "good"
}

// Words say whether it can be asked for.
func (w *WorkflowRow) Words() string {
	switch {
	case !w.HasGraph:
		return "Could not be converted yet"
	case w.Missing != "":
		return w.Missing
	case w.BuiltIn:
		return "Comes with Easel"
	}
	return "Ready"
}

// BringForm brings a file.
type BringForm struct{ File, Text, Title Field }

// WorkflowView is the page of one workflow.
type WorkflowView struct {
	WorkflowRow

	Version  int
	Source   string // what was brought: "portrait.png, 1.2 MB"; empty: it comes with Easel
	Nodes    int
	Exports  []WorkflowExport
	Problems []WorkflowProblem // what keeps it from running on any server
	Read     []WorkflowProblem // what there was to say when it was read
	Notes    []WorkflowProblem // what is chosen in place of what no server has
	Servers  []WorkflowServer
	Editor   WorkflowEditor
	Preview  WorkflowPreview
}

// WorkflowExport is a format in which it can be had.
type WorkflowExport struct{ Label, URL string }

// WorkflowProblem is a sentence, and the node it is about.
type WorkflowProblem struct{ Node, Message string }

// WorkflowServer says whether a server can run it.
type WorkflowServer struct {
	Name     string
	Known    bool
	Runs     bool
	Problems []WorkflowProblem
}

// Health is how its dot is coloured.
func (s *WorkflowServer) Health() string {
	switch {
	case !s.Known:
		return "some"
	case !s.Runs:
		return "none"
	}
	return "good"
}

// Words say the same.
func (s *WorkflowServer) Words() string {
	switch {
	case !s.Known:
		return "has not said yet what it has"
	case !s.Runs:
		return "cannot run it"
	}
	return "can run it"
}

// WorkflowEditor changes what people see of a workflow, and fill in.
type WorkflowEditor struct {
	URL         string
	Version     int
	Title       Field
	Description Field
	Fields      []EditedField // those of the form first, in its order
	Groups      []string      // that are in use, to choose from
	Problem     string        // about the whole; empty: none
	Saved       bool
}

// EditedField is one field of the form, or one that the graph has beside them.
type EditedField struct {
	Name    string
	Title   string // as it is known by while its label is being changed
	Where   string // in the graph: "KSampler, steps"
	Shown   bool   // in the form
	Label   Field
	Group   Field
	Help    Field
	Default Field
	Error   string
	Open    bool
	Up      bool // it can move to the front, or back
	Down    bool
}

func (f *EditedField) id() string { return "field-" + f.Name }

// shownName is the control that puts it into the form.
func (f *EditedField) shownName() string { return "show." + f.Name }

// WorkflowPreview is the form as people will see it.
type WorkflowPreview struct {
	Form    Composer
	Problem string // why it is not shown; empty: it is
}

// nodes is how large a graph is, in words.
func (w *WorkflowView) nodes() string { return plural(w.Nodes, "node") }

// inForm is how many fields people see.
func (e *WorkflowEditor) inForm() string {
	n := 0
	for i := range e.Fields {
		if e.Fields[i].Shown {
			n++
		}
	}
	return strconv.Itoa(n) + " of " + strconv.Itoa(len(e.Fields)) + " are in the form"
}
