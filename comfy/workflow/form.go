package workflow

import (
	"math"
	"slices"
)

// The ids of the built-in workflows. TextToImage is used when none is named.
const (
	TextToImage  = "text-to-image"
	ImageToImage = "image-to-image"
)

// Kind says what a field holds, and with that its control in a form.
type Kind string

// The kinds, each with the Go type of its value in Values.
const (
	Text    Kind = "text"    // string
	Integer Kind = "integer" // int64
	Number  Kind = "number"  // float64
	Choice  Kind = "choice"  // string, one of Choices
	Boolean Kind = "boolean" // bool
	Seed    Kind = "seed"    // uint64; absent, empty or negative input means: random, resolved by the caller
	Image   Kind = "image"   // string: the SHA-256 of an upload in hex; the graph gets UploadName of it
)

// The groups that every form may have. Any other group is shown under its own name.
const (
	GroupMain = "main" // always in sight
	GroupMore = "more" // folded away until somebody asks
)

// FormField is one field of a form: a named place in a graph, with what the servers allow there.
type FormField struct {
	Name     string // camelCase, the key in settings: steps, guidance, width, ...
	Label    string // for people: "Steps"
	Help     string
	Group    string // GroupMain, GroupMore, or a heading of the workflow's own
	Kind     Kind
	Default  any     // of the Kind's Go type; nil: none
	Min, Max float64 // bounds of numbers, inclusive; Bounded says whether they are known
	Step     float64 // of an Integer: a rule, counted from Min; of a Number: a hint for the control; 0: any
	Bounded  bool
	Choices  []string // of a Choice; empty: no server has told yet, any text is taken
	SeedMax  uint64   // of a Seed: the largest that the servers take, with all its digits
	Required bool     // of a Text: a given one must not be blank; of an Image: one must be given
	MaxRunes int      // of a Text: 0 for the general limit, MaxTextRunes
}

// Form is what a person or a program can fill in for one workflow.
type Form struct {
	ID          string // the workflow's
	Title       string
	Description string
	Fields      []FormField // in the order in which they are shown; prompt and negativePrompt are among them
}

// Field finds a field by name.
func (f Form) Field(name string) (FormField, bool) {
	for _, field := range f.Fields {
		if field.Name == name {
			return field, true
		}
	}
	return FormField{}, false
}

// openEnd stands for a bound that a server leaves open: what a browser's number holds exactly.
const openEnd = 1 << 53

// Form is the workflow's form on these servers. Bounds are the intersection of what they allow,
// choices the union, so that nothing is hidden that one of them could do; a server that lacks a
// class has no say in its fields. Without any server the workflow's own bounds hold, and choices
// are open.
func (w *Workflow) Form(infos ...*ObjectInfo) Form {
	f := Form{ID: w.ID, Title: w.Title, Description: w.Description, Fields: make([]FormField, 0, len(w.Fields))}
	for _, field := range w.Fields {
		ff := FormField{
			Name: field.Name, Label: field.Label, Help: field.Help, Group: field.Group,
			Kind: field.Kind, Default: field.value, Required: field.Required, MaxRunes: field.MaxRunes,
		}
		switch field.Kind {
		case Integer, Number:
			w.bound(&ff, field, infos)
		case Seed:
			ff.SeedMax = w.seedMax(field, infos)
			ff.Min, ff.Max, ff.Step, ff.Bounded = 0, float64(ff.SeedMax), 1, true
		case Choice:
			w.choose(&ff, field, infos)
		case Text, Boolean, Image: // a server's list of files says nothing about ours
		}
		f.Fields = append(f.Fields, ff)
	}
	return f
}

// bound narrows the workflow's own bounds by those of each server. A bound that would leave
// nothing is not taken: the servers disagree, and each refuses for itself.
func (w *Workflow) bound(ff *FormField, field Field, infos []*ObjectInfo) {
	lo, hi := -float64(openEnd), float64(openEnd)
	narrow := func(low, high, step *float64) {
		l, h := lo, hi
		if low != nil {
			l = max(l, *low)
		}
		if high != nil {
			h = min(h, *high)
		}
		if l > h {
			return
		}
		lo, hi = l, h
		ff.Bounded = ff.Bounded || low != nil || high != nil
		if step != nil && *step > 0 {
			ff.Step = commonStep(ff.Step, *step)
		}
	}
	narrow(field.Min, field.Max, field.Step)
	for _, in := range w.inputs(field, infos) {
		if in.Type == TypeInt || in.Type == TypeFloat {
			narrow(in.Min, in.Max, in.Step)
		}
	}
	ff.Min, ff.Max = lo, hi
	switch v := ff.Default.(type) {
	case int64:
		ff.Default = int64(nearest(float64(v), ff))
	case float64:
		ff.Default = min(max(v, lo), hi)
	}
}

// commonStep is the least step that keeps both: 8 and 64 give 64.
func commonStep(a, b float64) float64 {
	whole := func(f float64) bool { return f == math.Trunc(f) && f > 0 && f < 1<<31 }
	switch {
	case a == 0:
		return b
	case !whole(a) || !whole(b):
		return max(a, b)
	}
	x, y := int64(a), int64(b)
	for y != 0 {
		x, y = y, x%y
	}
	return a * b / float64(x)
}

// nearest is the whole number next to v that the field takes.
func nearest(v float64, ff *FormField) float64 {
	v = min(max(v, ff.Min), ff.Max)
	if ff.Step <= 1 {
		return v
	}
	base := ff.stepBase()
	n := base + math.Round((v-base)/ff.Step)*ff.Step
	if n > ff.Max {
		n -= ff.Step
	}
	if n < ff.Min {
		n += ff.Step
	}
	return n
}

// stepBase is where steps are counted from: 0 where Min is a multiple itself, else Min.
func (ff *FormField) stepBase() float64 {
	if !ff.Bounded || ff.Min == -openEnd || math.Mod(ff.Min, ff.Step) == 0 {
		return 0
	}
	return ff.Min
}

func (w *Workflow) seedMax(field Field, infos []*ObjectInfo) uint64 {
	limit := uint64(math.MaxUint64)
	for _, in := range w.inputs(field, infos) {
		if in.MaxUint > 0 {
			limit = min(limit, in.MaxUint)
		}
	}
	return limit
}

// choose unites the servers' lists, in the order of the first that has an entry. On one server
// an entry counts only when every target of the field takes it. The default of a field that has
// none is the first entry that all the servers offer: a record then names what drew the picture.
// Where they have nothing in common each settles for its own first.
func (w *Workflow) choose(ff *FormField, field Field, infos []*ObjectInfo) {
	offers := map[string]int{} // how many servers have the entry
	servers := 0
	for _, info := range infos {
		var common []string
		for i, in := range w.inputs(field, []*ObjectInfo{info}) {
			switch {
			case in.Type != TypeCombo || in.Remote:
				continue
			case i == 0:
				common = in.Choices
			default:
				common = both(common, in.Choices)
			}
		}
		if len(common) > 0 {
			servers++
		}
		here := map[string]bool{}
		for _, c := range common {
			if here[c] {
				continue
			}
			here[c] = true
			if offers[c]++; offers[c] == 1 {
				ff.Choices = append(ff.Choices, c)
			}
		}
	}
	switch d, ok := ff.Default.(string); {
	case len(ff.Choices) == 0:
	case !ok:
		if at := slices.IndexFunc(ff.Choices, func(c string) bool { return offers[c] == servers }); at >= 0 {
			ff.Default = ff.Choices[at]
		}
	case offers[d] == 0:
		ff.Default = ff.Choices[0]
	}
}

func both(a, b []string) []string {
	in := make(map[string]bool, len(b))
	for _, s := range b {
		in[s] = true
	}
	var out []string
	for _, s := range a {
		if in[s] {
			out = append(out, s)
		}
	}
	return out
}

// inputs finds the field's targets in what the servers say.
func (w *Workflow) inputs(field Field, infos []*ObjectInfo) []*Input {
	var found []*Input
	for _, info := range infos {
		for _, t := range field.Targets {
			c, ok := info.Class(w.Graph[t.Node].ClassType)
			if !ok {
				continue
			}
			if in, ok := c.Input(t.Input); ok {
				found = append(found, in)
			}
		}
	}
	return found
}
