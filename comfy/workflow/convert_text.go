package workflow

import (
	"encoding/json"
	"slices"
	"strings"
)

// savers are the classes whose filename_prefix the editor fills in from other nodes.
var savers = []string{
	"SaveImage", "SaveAnimatedWEBP", "SaveWEBM", "SaveAudio", "SaveGLB", "SaveAnimatedPNG",
	"CLIPSave", "VAESave", "ModelSave", "LoraSave", "SaveLatent",
}

// text is the value of a widget as it is sent: in prompts without the comments, in the names of files
// with what they take from other nodes.
func (c *converter) text(n *uiNode, w *widget) json.RawMessage {
	if w.input.Type != TypeString || !isString(w.value) {
		return w.value
	}
	s := asText(w.value)
	switch {
	case w.input.DynamicPrompts:
		return textJSON(onlyAlternatives(withoutComments(s)))
	case w.name == filenamePrefix && slices.Contains(savers, n.class):
		return textJSON(c.top.canvas.replaceNames(s))
	}
	return w.value
}

// withoutComments cuts /* ... */ and everything from // to the end of its line, as the editor does:
// of http://x remains http:.
func withoutComments(s string) string {
	var b strings.Builder
	for {
		at := strings.IndexByte(s, '/')
		if at < 0 || at+1 == len(s) {
			b.WriteString(s)
			return b.String()
		}
		end := at + 1 // a slash like any other
		switch s[at+1] {
		case '*':
			if n := strings.Index(s[at+2:], "*/"); n >= 0 {
				end = at + 2 + n + 2
				b.WriteString(s[:at])
				s = s[end:]
				continue
			}
		case '/':
			end = at + len(s[at:])
			if n := strings.IndexAny(s[at:], "\n\r\u2028\u2029"); n >= 0 {
				end = at + n
			}
			b.WriteString(s[:at])
			s = s[end:]
			continue
		}
		b.WriteString(s[:end])
		s = s[end:]
	}
}

// onlyAlternatives takes the braces away that hold nothing to choose from, which the editor would
// resolve to what is in them; {a|b} stays, for the form to pick. A backslash protects what follows.
func onlyAlternatives(s string) string {
	var open []int // where in out each brace stands that is not closed yet
	var choice []bool
	out := make([]byte, 0, len(s))
	closeTop := func() {
		at, keep := open[len(open)-1], choice[len(choice)-1]
		open, choice = open[:len(open)-1], choice[:len(choice)-1]
		if keep {
			out = append(out, '}')
			return
		}
		out = slices.Delete(out, at, at+1)
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			out = append(out, s[i])
			if i+1 < len(s) {
				i++
				out = append(out, s[i])
			}
			continue
		case '{':
			open, choice = append(open, len(out)), append(choice, false)
		case '|':
			if len(choice) > 0 {
				choice[len(choice)-1] = true
			}
		case '}':
			if len(open) > 0 {
				closeTop()
				continue
			}
		}
		out = append(out, s[i])
	}
	for len(open) > 0 { // what is never closed ends with the text
		closeTop()
	}
	return string(out)
}

// forbidden are the characters that no part of a file's name may have.
func forbidden(r rune) rune {
	if r < 0x20 || r == 0x7f || strings.ContainsRune(`/?<>\:*|"`, r) {
		return '_'
	}
	return r
}

// Bounds of what is filled in: names of files are short, and a hostile one could name a long text often.
const (
	mostNames      = 100
	mostNamedBytes = 1_000
)

// replaceNames fills in %Node.widget%: the value of that widget of the first node with this search
// name, else with this title. Everything else between percent signs stays as it is: dates, and what
// the server itself fills in.
func (c *canvas) replaceNames(s string) string {
	var b strings.Builder
	for range mostNames {
		start := strings.IndexByte(s, '%')
		if start < 0 {
			break
		}
		end := strings.IndexByte(s[start+1:], '%')
		if end < 0 {
			break
		}
		end += start + 1
		if end == start+1 { // %%: the second one may begin a name
			b.WriteString(s[:end])
			s = s[end:]
			continue
		}
		b.WriteString(s[:start])
		if value, ok := c.named(s[start+1 : end]); ok && len(value) <= mostNamedBytes {
			b.WriteString(strings.Map(forbidden, value))
		} else {
			b.WriteString(s[start : end+1])
		}
		s = s[end+1:]
	}
	b.WriteString(s)
	return b.String()
}

// named is the value of a widget by "Node.widget".
func (c *canvas) named(name string) (value string, ok bool) {
	parts := strings.Split(name, ".")
	if len(parts) != 2 {
		return "", false
	}
	if c.bySearchName == nil {
		c.bySearchName, c.byTitle = map[string]*uiNode{}, map[string]*uiNode{}
		c.index(c, map[*canvas]bool{})
	}
	n := c.bySearchName[parts[0]]
	if n == nil {
		n = c.byTitle[parts[0]]
	}
	if n == nil {
		return "", false
	}
	for i := range n.widgets {
		if n.widgets[i].name == parts[1] {
			return asText(n.widgets[i].value), true
		}
	}
	return "", false
}

// searchName is what a node is found by: a name of its own, else its class. Save nodes have none.
func (n *uiNode) searchName() string {
	if own := n.saved.Properties.SearchName; own != "" {
		return own
	}
	if n.kind == kindClass && !slices.Contains(savers, n.class) {
		return n.class
	}
	return ""
}

// index notes the names of the nodes of from and of what its subgraphs hold, each definition once; the
// first node of a name counts.
func (c *canvas) index(from *canvas, seen map[*canvas]bool) {
	seen[from] = true
	for _, n := range from.nodes {
		if name := n.searchName(); c.bySearchName[name] == nil {
			c.bySearchName[name] = n
		}
		if c.byTitle[n.title] == nil {
			c.byTitle[n.title] = n
		}
		if n.inner != nil && !seen[n.inner] {
			c.index(n.inner, seen)
		}
	}
}
