package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// Limits of what ParseGraph reads. ComfyUI itself knows none; real graphs have up to some
// hundreds of nodes and nest their inputs two or three levels deep.
const (
	MaxNodes      = 5_000
	MaxInputs     = 100_000 // of all nodes together
	MaxGraphDepth = 64
)

// ErrUIFormat is a graph as ComfyUI's editor saves it, which a server cannot run.
var ErrUIFormat = errors.New("this is a saved graph of ComfyUI's editor; export it in API format")

// GraphError is what is wrong with a graph, at which node.
type GraphError struct {
	Node    string // id of the node; empty when it is the graph as a whole
	Input   string // name of the input; empty when it is the node as a whole
	Problem string // lower case, for people: "class_type is missing"
}

func (e *GraphError) Error() string {
	switch {
	case e.Node == "":
		return e.Problem
	case e.Input == "":
		return fmt.Sprintf("node %s: %s", quote(e.Node), e.Problem)
	default:
		return fmt.Sprintf("node %s, input %s: %s", quote(e.Node), quote(e.Input), e.Problem)
	}
}

// Graph is a graph in API format, as POST /prompt takes it, by node id. Ids are any text:
// "3" as well as "10:9:8".
type Graph map[string]Node

// Node is one node of a graph.
type Node struct {
	ClassType string `json:"class_type"`
	// Inputs are kept as they came: numbers with all their digits, since seeds go to 2^64-1 and
	// a float64 ends at 2^53.
	Inputs map[string]json.RawMessage `json:"inputs"`
	Meta   json.RawMessage            `json:"_meta,omitempty"` // the editor's; ComfyUI ignores it
}

// ParseGraph reads a graph in API format. It refuses what a server would misread or choke on:
// keys that stand twice, nesting deeper than MaxGraphDepth (before anything is decoded), more
// than MaxNodes nodes, nodes without a class. Links and classes are not checked here; see Check.
//
// Errors are ErrUIFormat, a *GraphError, or a *JSONError.
func ParseGraph(data []byte) (Graph, error) {
	if err := CheckJSON(data, MaxGraphDepth); err != nil {
		return nil, err
	}
	var nodes map[string]json.RawMessage
	if err := json.Unmarshal(data, &nodes); err != nil || nodes == nil {
		return nil, &GraphError{Problem: "a graph is a JSON object of nodes by their id"}
	}
	if looksLikeUI(nodes) {
		return nil, ErrUIFormat
	}
	switch {
	case len(nodes) == 0:
		return nil, &GraphError{Problem: "the graph has no nodes"}
	case len(nodes) > MaxNodes:
		return nil, &GraphError{Problem: fmt.Sprintf("the graph has %d nodes; %d are allowed", len(nodes), MaxNodes)}
	}
	g := make(Graph, len(nodes))
	inputs := 0
	for _, id := range sortedKeys(nodes) {
		n, err := parseNode(nodes[id])
		if err != nil {
			return nil, &GraphError{Node: id, Problem: err.Error()}
		}
		inputs += len(n.Inputs)
		g[id] = n
	}
	if inputs > MaxInputs {
		return nil, &GraphError{Problem: fmt.Sprintf("the nodes have %d inputs; %d are allowed", inputs, MaxInputs)}
	}
	return g, nil
}

// CheckTexts refuses a NUL in any of the texts: ComfyUI would take it, Postgres does not. The error is a *GraphError.
func (g Graph) CheckTexts() error {
	for _, id := range sortedKeys(g) {
		n := g[id]
		for _, input := range sortedKeys(n.Inputs) {
			if holdsNUL(n.Inputs[input]) || strings.Contains(input, "\x00") {
				return &GraphError{Node: id, Input: input, Problem: errNUL.Error()}
			}
		}
		if strings.Contains(id+n.ClassType, "\x00") || holdsNUL(n.Meta) {
			return &GraphError{Node: id, Problem: errNUL.Error()}
		}
	}
	return nil
}

// looksLikeUI knows the editor's format by its list of nodes: in API format the value of any
// key is a node, which is an object.
func looksLikeUI(top map[string]json.RawMessage) bool {
	nodes, ok := top["nodes"]
	return ok && isArray(nodes)
}

// parseNode takes the members by their exact names. A struct would take "Class_Type" too, and
// ComfyUI would not.
func parseNode(data json.RawMessage) (Node, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil || members == nil {
		return Node{}, errors.New("a node is a JSON object")
	}
	var n Node
	if raw, ok := members["class_type"]; !ok {
		return Node{}, errors.New("class_type is missing")
	} else if json.Unmarshal(raw, &n.ClassType) != nil || n.ClassType == "" {
		return Node{}, errors.New("class_type must be text")
	}
	if raw, ok := members["inputs"]; ok {
		if err := json.Unmarshal(raw, &n.Inputs); err != nil {
			return Node{}, errors.New("inputs must be an object")
		}
	}
	if n.Inputs == nil {
		n.Inputs = map[string]json.RawMessage{} // ComfyUI fails on a node without the key
	}
	n.Meta = members["_meta"]
	return n, nil
}

// Marshal writes the graph as POST /prompt takes it: nodes and inputs sorted by name, so equal
// graphs give equal bytes, and every number as it was read.
func (g Graph) Marshal() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // it is no HTML, and prompts have < and > for LoRAs
	if g == nil {
		g = Graph{}
	}
	if err := enc.Encode(map[string]Node(g)); err != nil {
		return nil, fmt.Errorf("marshal graph: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Clone is a copy whose nodes and inputs can be set without touching g. The raw values
// themselves are shared: they are replaced, never written into.
func (g Graph) Clone() Graph {
	if g == nil {
		return nil
	}
	c := make(Graph, len(g))
	for id, n := range g {
		n.Inputs = maps.Clone(n.Inputs)
		c[id] = n
	}
	return c
}

// Set puts a value at an input; the node must exist.
func (g Graph) Set(node, input string, value json.RawMessage) error {
	n, ok := g[node]
	if !ok {
		return &GraphError{Node: node, Problem: "there is no such node"}
	}
	if n.Inputs == nil {
		n.Inputs = map[string]json.RawMessage{}
		g[node] = n
	}
	n.Inputs[input] = value
	return nil
}

// Link reads an input as a link to an output of another node: from is that node's id, slot the
// place of its output, from 0. ok is false for plain values. As in ComfyUI, a list of a text and
// a number is a link, and nothing else is.
func (n Node) Link(input string) (from string, slot int, ok bool) {
	raw := n.Inputs[input]
	if !isArray(raw) {
		return "", 0, false
	}
	var pair []json.RawMessage
	if json.Unmarshal(raw, &pair) != nil || len(pair) != 2 || !isString(pair[0]) {
		return "", 0, false
	}
	f, err := strconv.ParseFloat(string(pair[1]), 64)
	if err != nil || f < 0 || f != float64(int(f)) {
		return "", 0, false
	}
	if json.Unmarshal(pair[0], &from) != nil {
		return "", 0, false
	}
	return from, int(f), true
}

// Int reads an input as a whole number the way ComfyUI does for an INT: 20, 20.9 and "20" are
// all 20. ok is false for links, other values, and numbers outside int64.
func (n Node) Int(input string) (value int64, ok bool) {
	raw := n.Inputs[input]
	var text string
	switch {
	case isString(raw):
		if json.Unmarshal(raw, &text) != nil {
			return 0, false
		}
		v, err := strconv.ParseInt(text, 10, 64)
		return v, err == nil
	case isNumber(raw):
		if v, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			return v, true
		}
		f, err := strconv.ParseFloat(string(raw), 64)
		if err != nil || f >= 1<<63 || f < -1<<63 {
			return 0, false
		}
		return int64(f), true
	default:
		return 0, false
	}
}

// Text reads an input as text; ok is false for links and other values.
func (n Node) Text(input string) (value string, ok bool) {
	raw := n.Inputs[input]
	if !isString(raw) || json.Unmarshal(raw, &value) != nil {
		return "", false
	}
	return value, true
}

// Title is what the graph's author called the node; empty when it has no title of its own.
func (n Node) Title() string {
	var meta struct {
		Title string `json:"title"`
	}
	if len(n.Meta) == 0 || json.Unmarshal(n.Meta, &meta) != nil {
		return ""
	}
	return meta.Title
}
