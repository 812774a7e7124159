package views

import (
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"
)

// Composer is the form that asks for a generation. Names of its controls are the names that
// problems are reported under: prompt, totalImages, settings.steps.
type Composer struct {
	Workflow    string
	Title       string         // of the workflow
	Workflows   []WorkflowLink // all that can be asked for
	Nonce       string         // joins double posts of the same form
	RetryOf     string         // id of the failed or cancelled generation that is tried again; empty: none
	Prompt      Field
	NoPrompt    bool    // the workflow takes none
	Shapes      []Shape // empty where the workflow has no width and height
	Free        bool    // width and height are given by hand
	Size        []Field // width and height
	Images      Field
	Main        []Field
	Groups      []FieldGroup // under headings of their own
	More        []Field
	MoreOpen    bool   // as it was left
	Problem     string // about the whole; empty: none
	PromptRunes int    // how long a prompt may be
}

// FieldGroup are fields that belong together.
type FieldGroup struct {
	Title  string
	Fields []Field
}

// WorkflowLink leads to the form of another workflow.
type WorkflowLink struct {
	Title, URL string
	Present    bool
}

// Shape is a size that is chosen by its look.
type Shape struct {
	Label         string // 3:2
	Value         string // 1216x832, what the form sends
	Width, Height int
	Checked       bool
}

// box is the rectangle that stands for a shape, in a square of 24.
func (s Shape) box() (x, y, w, h string) {
	const side = 20.0
	width, height := side, side
	if s.Width > s.Height {
		height = side * float64(s.Height) / float64(s.Width)
	} else {
		width = side * float64(s.Width) / float64(s.Height)
	}
	text := func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
	return text(12 - width/2), text(12 - height/2), text(width), text(height)
}

// Field is one control.
type Field struct {
	Name           string // of the control, and of the problems about it
	Label          string
	Help           string
	Kind           string // text, integer, number, choice, boolean, seed, image: as package workflow has them; url
	Value          string // as typed
	Min, Max, Step string // of a number; empty: not known
	Choices        []string
	Away           map[string]bool // those of the options that no server which takes work has now
	Error          string          // a sentence; empty: none
}

// ID is that of the control.
func (f Field) ID() string { return f.Name }

// describedBy names the elements that say more about a control.
func (f Field) describedBy() string {
	switch {
	case f.Error != "" && f.Help != "":
		return f.ID() + "-error " + f.ID() + "-help"
	case f.Error != "":
		return f.ID() + "-error"
	case f.Help != "":
		return f.ID() + "-help"
	}
	return ""
}

// options are the choices, with the present value among them even when no server has it now.
func (f Field) options() []string {
	for _, choice := range f.Choices {
		if choice == f.Value {
			return f.Choices
		}
	}
	return append([]string{f.Value}, f.Choices...)
}

// invalid is the value of aria-invalid.
func (f Field) invalid() string { return strconv.FormatBool(f.Error != "") }

// HasErrors reports whether anything in the form is complained about.
func (c Composer) HasErrors() bool {
	return c.Problem != "" || c.Prompt.Error != "" || c.Images.Error != "" ||
		anyError(c.Size) || anyError(c.Main) || anyError(c.More) ||
		slices.ContainsFunc(c.Groups, func(g FieldGroup) bool { return anyError(g.Fields) })
}

func anyError(fields []Field) bool {
	for _, field := range fields {
		if field.Error != "" {
			return true
		}
	}
	return false
}

// described ties a control to its notes.
func described(f Field) templ.Attributes {
	attributes := templ.Attributes{"aria-invalid": f.invalid()}
	if notes := f.describedBy(); notes != "" {
		attributes["aria-describedby"] = notes
	}
	return attributes
}

// Uploaded is the SHA-256 of the picture that an image's control holds; empty: none.
func (f Field) Uploaded() string {
	if len(f.Value) != 64 || strings.Trim(f.Value, "0123456789abcdef") != "" {
		return ""
	}
	return f.Value
}

// HasPictures reports whether a picture can be given in the form: then it must be sent in parts.
func (c Composer) HasPictures() bool {
	all := slices.Concat(c.Main, c.More)
	for _, g := range c.Groups {
		all = append(all, g.Fields...)
	}
	return slices.ContainsFunc(all, func(f Field) bool { return f.Kind == "image" })
}
