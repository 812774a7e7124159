package workflow

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// MaxFields limits a form: beyond it nobody finds anything, and a page of it is slow.
const MaxFields = 200

// Hints is what a graph saved by the editor says beside its nodes; the zero value is of a graph
// that came without.
type Hints struct {
	Groups map[string]string // title of the group that a node lies in, by node id
	Order  map[string]int    // place of a node as people read the graph
}

// Discover finds the fields of a form for a graph: prompts, followed from the samplers through
// whatever lies between; what the samplers are told; sizes, models, LoRAs, control nets and input
// images. infos are what the servers say of the graph's classes; one that none of them knows is
// read by the usual names of its inputs. Nodes for which nothing is put out have no fields.
//
// Places that hold the same and mean the same become one field with several targets: the seed of
// two samplers, the text of both of SDXL's encoders. The first field of a kind has its plain name
// (steps), further ones are numbered in the order of the work (steps2). Names depend on the graph
// alone; hints choose groups and the order in which fields are shown. Defaults are the graph's
// own values.
func Discover(g Graph, infos []*ObjectInfo, hints Hints) []Field {
	d := &discovery{survey: newSurvey(g, infos), infos: infos, taken: map[Target]bool{}, walked: map[step]bool{}, counts: map[*role]int{}}
	d.samplers()
	if d.counts[rolePrompt]+d.counts[roleNegative] == 0 {
		d.looseTexts()
	}
	d.nodes()
	return d.fields(hints)
}

// Rest are the inputs that could have a field as well, beside those in taken: every value of a
// node that something is put out for. Their names differ from those in taken, their groups are
// the titles of their nodes.
func Rest(g Graph, infos []*ObjectInfo, taken []Field) []Field {
	d := &discovery{survey: newSurvey(g, infos), infos: infos, taken: map[Target]bool{}, counts: map[*role]int{}}
	names := map[string]bool{}
	for _, f := range taken {
		names[f.Name] = true
		for _, t := range f.Targets {
			d.taken[t] = true
		}
	}
	var fields []Field
	for _, id := range d.ids {
		for _, name := range d.inputs(id) {
			if len(fields) == MaxFields {
				return fields
			}
			if _, linked := d.links[id][name]; linked || name == filenamePrefix {
				continue // our own runs say where files go
			}
			in := d.input(id, name)
			if d.class(id) != nil && (in == nil || !in.Widget()) {
				continue
			}
			r := &role{name: camel(name), label: spoken(name), kind: rawKind(in, g[id].Inputs[name]), group: d.heading(id)}
			if in != nil {
				r.help = cut(oneLine(in.Tooltip), maxHelpRunes)
			}
			if f := d.add(r, id, name, 0); f != nil {
				fields = append(fields, d.field(f, names))
			}
		}
	}
	return fields
}

// maxHelpRunes is more than a server's own hints have.
const maxHelpRunes = 400

// rawKind is the kind of a field for an input that nobody has a role for.
func rawKind(in *Input, raw json.RawMessage) Kind {
	switch {
	case in != nil && in.UploadImage && !in.Remote:
		return Image
	case in != nil && in.Type == TypeInt && (in.Name == "seed" || in.Name == "noise_seed" || in.ControlSlot):
		return Seed
	case isString(raw):
		return kindOf(in, Text)
	case isNumber(raw):
		return kindOf(in, Number)
	}
	return kindOf(in, Boolean)
}

type discovery struct {
	*survey
	infos  []*ObjectInfo
	taken  map[Target]bool
	walked map[step]bool // of the way to the prompts
	finds  []*find
	counts map[*role]int // how many finds a role has
}

// find is a field in the making.
type find struct {
	role     *role
	number   int    // which of its role, from 1
	node     string // where it was found; the targets may lie in another node
	input    string
	kind     Kind
	value    json.RawMessage
	targets  []Target
	own      *Input // what is known about the place where it was found, when the target lies elsewhere
	several  bool   // its node has several inputs of this role
	required bool
}

// add makes a field of an input, or adds the input as a target to one that holds the same. unit
// is the number that all fields of one LoRA share, and keeps them apart from those of the next; 0:
// the role counts for itself.
// What was made is returned; nil when nothing was.
func (d *discovery) add(r *role, id, name string, unit int) *find {
	target, raw, ok := d.value(id, name)
	if !ok || d.taken[target] || len(d.finds) >= MaxFields {
		return nil
	}
	in := d.input(target.Node, target.Input)
	kind := kindOf(in, r.kind)
	value, ok := literal(kind, raw)
	if !ok || kind == Text && tooLong(value) {
		return nil
	}
	d.taken[target] = true
	if r.joins {
		for _, f := range d.finds {
			if f.role == r && f.kind == kind && (unit == 0 || f.number == unit) && bytes.Equal(f.value, value) {
				f.targets = append(f.targets, target)
				return nil
			}
		}
	}
	d.counts[r]++
	f := &find{role: r, number: unit, node: id, input: name, kind: kind, value: value, targets: []Target{target}}
	if unit == 0 {
		f.number = d.counts[r]
	}
	if target.Node != id {
		f.own = d.input(id, name)
	}
	switch kind {
	case Text:
		f.required = r == rolePrompt && f.number == 1 && strings.Trim(string(value), `" `) != ""
	case Image:
		f.required = !d.offered(target)
	}
	d.finds = append(d.finds, f)
	return f
}

// tooLong: a form does not take so much text, so that the value stays as it is.
func tooLong(value json.RawMessage) bool {
	var text string
	return json.Unmarshal(value, &text) == nil && CheckText("", text, false, MaxTextRunes) != ""
}

// offered reports whether some server has the file that a graph came with.
func (d *discovery) offered(t Target) bool {
	file, _ := d.graph[t.Node].Text(t.Input)
	return slices.ContainsFunc(d.infos, func(info *ObjectInfo) bool {
		class, ok := info.Class(d.graph[t.Node].ClassType)
		if !ok {
			return false
		}
		in, ok := class.Input(t.Input)
		return ok && slices.Contains(in.Choices, file)
	})
}

// fields are the finds as people read them: what everybody needs, then the graph's groups, then
// the rest.
func (d *discovery) fields(hints Hints) []Field {
	type placed struct {
		Field
		place []int // to be compared from the left; see below
	}
	all := make([]placed, 0, len(d.finds))
	groups := map[string]int{} // the first place of each group in the graph
	names, labels := map[string]bool{}, map[string]bool{}
	for _, f := range d.finds {
		p := placed{Field: d.field(f, names)}
		p.Label = d.label(f, labels)
		at, known := hints.Order[f.node]
		if !known {
			at = math.MaxInt - 1 // before the rest
		}
		if f.role == roleUpscaler && d.counts[roleSteps] == 0 {
			p.Group = GroupMain // it is all that this graph does
		}
		together := f.role
		if f.role.with != nil {
			together = f.role.with
		}
		p.place = []int{slices.Index(roles, together), f.number, slices.Index(roles, f.role)}
		if title := cut(oneLine(hints.Groups[f.node]), maxGroupRunes); title != "" && !f.role.stays {
			p.Group = title
			p.place = slices.Insert(p.place, 0, at)
		}
		if first, ok := groups[p.Group]; !ok || at < first {
			groups[p.Group] = at
		}
		all = append(all, p)
	}
	groups[GroupMain], groups[GroupMore] = math.MinInt, math.MaxInt
	slices.SortStableFunc(all, func(a, b placed) int {
		return cmp.Or(
			cmp.Compare(groups[a.Group], groups[b.Group]),
			cmp.Compare(a.Group, b.Group),
			slices.Compare(a.place, b.place),
		)
	})
	fields := make([]Field, len(all))
	for i, p := range all {
		fields[i] = p.Field
	}
	return fields
}

// field makes a field with a name of its own.
func (d *discovery) field(f *find, names map[string]bool) Field {
	field := Field{
		Name: freeName(f.role.name, f.number, names), Label: f.role.label, Help: f.role.help, Group: f.role.group,
		Kind: f.kind, Required: f.required, Targets: f.targets,
	}
	switch f.kind {
	case Seed: // a random one, unless somebody asks for the same picture
	case Image:
		var file string
		if json.Unmarshal(f.value, &file) == nil {
			if sum, ok := UploadSum(file); ok {
				field.Default, field.Required = textJSON(sum), false
			}
		}
	default:
		field.Default = f.value
	}
	if f.own != nil {
		field.Min, field.Max, field.Step = f.own.Min, f.own.Max, f.own.Step
	}
	return field
}

// freeName numbers a name that is not the first of its role, and goes on counting while it is taken.
func freeName(name string, number int, taken map[string]bool) string {
	free := name
	if number > 1 {
		free += strconv.Itoa(number)
	}
	for n := max(number, 1) + 1; taken[free]; n++ {
		free = name + strconv.Itoa(n)
	}
	taken[free] = true
	return free
}

// maxLabelRunes keeps a label on a line or two.
const maxLabelRunes = 80

// label is the role's, told apart from others by the title that the graph's author gave the node.
func (d *discovery) label(f *find, used map[string]bool) string {
	label, title := f.role.label, d.ownTitle(f.node)
	switch {
	case f.kind == Image && title != "":
		label = title
	case f.role == roleModelFile:
		label = d.heading(f.node) // what kind of model, only its loader says
	case f.number == 1 && !used[label]:
	case f.several:
		label = spoken(f.input)
		if f.role == roleNegative {
			label = "Negative " + strings.ToLower(label)
		}
	case title != "":
		label += " (" + title + ")"
	case d.graph[f.node].ClassType != d.graph[d.first(f.role).node].ClassType:
		label += " (" + d.heading(f.node) + ")"
	default:
		label = fmt.Sprintf("%s %d", label, f.number)
	}
	label = cut(label, maxLabelRunes)
	for n, base := 2, label; used[label]; n++ {
		label = fmt.Sprintf("%s %d", base, n)
	}
	used[label] = true
	return label
}

// first is the find that has its role's plain name.
func (d *discovery) first(r *role) *find {
	return d.finds[slices.IndexFunc(d.finds, func(f *find) bool { return f.role == r })]
}

// ownTitle is the title of a node unless it only repeats what kind of node it is.
func (d *discovery) ownTitle(id string) string {
	n := d.graph[id]
	title := cut(oneLine(n.Title()), maxLabelRunes/2)
	for _, class := range d.classes { // the editor keeps the title of a node whose class was changed
		if class != nil && strings.EqualFold(title, class.DisplayName) {
			return ""
		}
	}
	if title == n.ClassType {
		return ""
	}
	return title
}

// heading names a node for people.
func (d *discovery) heading(id string) string {
	if title := d.ownTitle(id); title != "" {
		return title
	}
	if class := d.class(id); class != nil {
		return cut(oneLine(class.DisplayName), maxGroupRunes)
	}
	return cut(oneLine(d.graph[id].ClassType), maxGroupRunes)
}

// maxNameBytes leaves room for a number.
const maxNameBytes = 50

// camel writes an input's name as fields are named: start_at_step is startAtStep.
func camel(name string) string {
	var b strings.Builder
	upper := false
	for _, r := range name {
		switch {
		case r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) && b.Len() > 0):
			switch {
			case b.Len() == 0:
				r = unicode.ToLower(r)
			case upper:
				r = unicode.ToUpper(r)
			}
			b.WriteRune(r)
			upper = false
		default:
			upper = b.Len() > 0
		}
		if b.Len() == maxNameBytes {
			break
		}
	}
	if b.Len() == 0 {
		return "value"
	}
	return b.String()
}

// spoken writes an input's name as a label: start_at_step is "Start at step".
func spoken(name string) string {
	text := oneLine(strings.ReplaceAll(name, "_", " "))
	if text == "" {
		return "Value"
	}
	first, rest := []rune(text)[:1], []rune(text)[1:]
	return cut(strings.ToUpper(string(first))+string(rest), maxLabelRunes)
}

// oneLine takes line ends, doubled spaces and control characters out of a title.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
