package workflow

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// findings are what speaks against a graph on one server, by the place and the kind of problem.
type findings map[Problem]finding

// finding becomes words when it is clear which servers are better off.
type finding struct {
	class string // a class that the server lacks, or the one whose input this is about
	input string // of which value is no choice
	value string
	said  string // what fits every server
}

// examine looks at each node as ComfyUI does: at the classes of all, at the inputs of those that
// something is put out for.
func (s *survey) examine() findings {
	found := findings{}
	puts := false
	for id, n := range s.graph {
		class := s.class(id)
		if class == nil {
			found[s.at(id, "", CodeUnknownNode)] = finding{class: n.ClassType}
			puts = true // perhaps
			continue
		}
		puts = puts || class.OutputNode
		if !s.live[id] {
			continue
		}
		for i := range class.Inputs {
			if in := &class.Inputs[i]; in.Section != Hidden {
				if code, f := s.examineInput(id, in); code != "" {
					f.class = n.ClassType
					found[s.at(id, in.Name, code)] = f
				}
			}
		}
	}
	if !puts {
		found[Problem{Code: CodeNoOutput}] = finding{said: "Nothing would be saved: the graph has no node that puts something out."}
	}
	return found
}

// linkTypes are what no graph can hold as a value. Other types may be controls of an extension.
var linkTypes = []string{
	"MODEL", "CLIP", "VAE", "CONDITIONING", "LATENT", "IMAGE", "MASK", "CONTROL_NET", "CLIP_VISION", "CLIP_VISION_OUTPUT",
	"UPSCALE_MODEL", "STYLE_MODEL", "NOISE", "GUIDER", "SAMPLER", "SIGMAS", "AUDIO", "VIDEO",
}

// examineInput looks at one input; no code is no complaint.
func (s *survey) examineInput(id string, in *Input) (code string, f finding) {
	raw, given := s.graph[id].Inputs[in.Name]
	from, linked := s.links[id][in.Name]
	switch {
	case !given && in.Section == Required:
		return CodeMissingInput, finding{said: show(in.Name) + " is needed, and is missing."}
	case !given:
		return "", f
	case linked:
		return s.examineLink(in, from)
	case isArray(raw):
		return CodeBadValue, finding{said: show(in.Name) + " is a list, which is neither a value nor a link."}
	case in.Section == Required && slices.Contains(linkTypes, in.Type):
		return CodeMissingInput, finding{said: fmt.Sprintf("%s needs a link to a node that gives %s.", show(in.Name), show(in.Type))}
	}
	raw = unwrapped(raw)
	if in.Type == TypeCombo {
		return examineChoice(in, raw)
	}
	if complaint := in.complain(raw); complaint != "" {
		return CodeBadValue, finding{said: complaint}
	}
	return "", f
}

func (s *survey) examineLink(in *Input, from source) (code string, f finding) {
	class := s.class(from.node)
	switch {
	case class == nil: // said of that node already
	case from.slot >= len(class.Outputs):
		return CodeBrokenLink, finding{said: fmt.Sprintf("%s is linked to output %d of node %s, which has %d.",
			show(in.Name), from.slot+1, show(from.node), len(class.Outputs))}
	case !fits(class.Outputs[from.slot].Type, in.Type):
		return CodeTypeMismatch, finding{said: fmt.Sprintf("%s takes %s, and is linked to an output that gives %s.",
			show(in.Name), show(in.Type), show(class.Outputs[from.slot].Type))}
	}
	return "", f
}

// fits reports whether an output of one type may go into an input of another. * goes with
// everything, and a type may be several: "IMAGE,MASK".
func fits(given, wanted string) bool {
	if given == "" || given == "*" || wanted == "*" || given == wanted {
		return true
	}
	all := strings.Split(wanted, ",")
	for one := range strings.SplitSeq(given, ",") {
		if !slices.Contains(all, one) {
			return false
		}
	}
	return true
}

func examineChoice(in *Input, raw json.RawMessage) (code string, f finding) {
	value, scalar := literal(Choice, raw)
	if in.Remote || in.Upload || !scalar || firstByte(raw) == '{' { // {...} is a choice of several
		return "", f
	}
	text, err := unquote(value)
	if err != nil || slices.Contains(in.Choices, text) || text == "" && len(in.Choices) > 0 {
		return "", f // an empty one becomes the first, see FillChoices
	}
	return CodeUnknownValue, finding{input: in.Name, value: text}
}

// complain says what is wrong with a value, which a server first turns into the type that it needs.
func (in *Input) complain(raw json.RawMessage) string {
	if in.Type != TypeInt && in.Type != TypeFloat {
		return "" // everything is a text, and a truth
	}
	switch string(raw) { // as Python has it
	case "true":
		raw = json.RawMessage("1")
	case "false":
		raw = json.RawMessage("0")
	}
	text, ok := decimal(raw)
	n, err := strconv.ParseFloat(text, 64)
	switch {
	case !ok || err != nil || !finite(n):
		return fmt.Sprintf("%s must be a number, and is %s.", show(in.Name), show(string(raw)))
	case in.Min != nil && n < *in.Min:
		return fmt.Sprintf("%s must be at least %s, and is %s.", show(in.Name), plain(*in.Min), show(text))
	case in.Max != nil && n > *in.Max:
		return fmt.Sprintf("%s must be at most %s, and is %s.", show(in.Name), plain(*in.Max), show(text))
	}
	return ""
}

// unwrapped is what {"__value__": ...} holds: so the editor sends a list that is no link.
func unwrapped(raw json.RawMessage) json.RawMessage {
	var box struct {
		Value json.RawMessage `json:"__value__"`
	}
	if firstByte(raw) == '{' && json.Unmarshal(raw, &box) == nil && len(box.Value) > 0 {
		return box.Value
	}
	return raw
}

// wording makes sentences of findings.
type wording struct {
	servers     []Named
	suggestions int               // that may still be looked for
	said        map[string]string // graphs repeat themselves
	classes     []string          // of all servers; nil: not listed yet
}

// all are the problems of findings in order, as many as are told.
func (w *wording) all(found findings, say func(finding) string) []Problem {
	problems := make([]Problem, 0, len(found))
	for at := range found {
		problems = append(problems, at)
	}
	sortProblems(problems)
	problems = problems[:min(len(problems), mostProblems)]
	for i, at := range problems {
		problems[i].Message = say(found[at])
	}
	return problems
}

// nowhere says it of all servers, with names that come near.
func (w *wording) nowhere(f finding) string {
	key := "nowhere\x00" + f.class + "\x00" + f.input + "\x00" + f.value
	if said, ok := w.said[key]; ok || f.said != "" {
		return said + f.said
	}
	var said string
	switch {
	case f.input == "":
		said = fmt.Sprintf("No server has the node %s.", show(f.class)) + w.near(f.class, w.allClasses)
	case f.value == "":
		said = fmt.Sprintf("No server has anything to choose for %s.", show(f.input))
	default:
		said = fmt.Sprintf("No server has %s to choose for %s.", show(f.value), show(f.input)) +
			w.near(f.value, func() []string { return w.choices(f.class, f.input) })
	}
	w.said[key] = said
	return said
}

// here says it of one server, with the names of those that are better off.
func (w *wording) here(f finding) string {
	key := "here\x00" + f.class + "\x00" + f.input + "\x00" + f.value
	if said, ok := w.said[key]; ok || f.said != "" {
		return said + f.said
	}
	var said string
	switch {
	case f.input == "":
		said = fmt.Sprintf("This server has no node %s.", show(f.class)) + w.others(func(info *ObjectInfo) bool {
			_, ok := info.Class(f.class)
			return ok
		})
	case f.value == "":
		said = fmt.Sprintf("This server has nothing to choose for %s.", show(f.input))
	default:
		said = fmt.Sprintf("This server has no %s to choose for %s.", show(f.value), show(f.input)) + w.others(func(info *ObjectInfo) bool {
			return slices.Contains(choicesOf(info, f.class, f.input), f.value)
		})
	}
	w.said[key] = said
	return said
}

func (w *wording) near(typed string, names func() []string) string {
	if w.suggestions == 0 {
		return ""
	}
	w.suggestions--
	return didYouMean(typed, names())
}

func (w *wording) others(have func(*ObjectInfo) bool) string {
	var names []string
	for _, server := range w.servers {
		if server.Info == nil || !have(server.Info) {
			continue
		}
		if len(names) == mostNamed {
			return " " + strings.Join(names, ", ") + " and others have it."
		}
		names = append(names, show(server.Name))
	}
	switch last := len(names) - 1; last {
	case -1:
		return ""
	case 0:
		return " " + names[0] + " has it."
	default:
		return " " + strings.Join(names[:last], ", ") + " and " + names[last] + " have it."
	}
}

func (w *wording) allClasses() []string {
	if w.classes == nil {
		for _, server := range w.servers {
			w.classes = append(w.classes, server.Info.Names()...)
		}
		slices.Sort(w.classes)
		w.classes = slices.Compact(w.classes)
	}
	return w.classes
}

func (w *wording) choices(class, input string) []string {
	var all []string
	for _, server := range w.servers {
		all = append(all, choicesOf(server.Info, class, input)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func choicesOf(info *ObjectInfo, class, input string) []string {
	if c, ok := info.Class(class); ok {
		if in, ok := c.Input(input); ok {
			return in.Choices
		}
	}
	return nil
}
