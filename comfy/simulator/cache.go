package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// cache keeps the results of the last prompt's nodes: a node is not run again while its class, its inputs and those of
// all its ancestors stay the same. Entries that the present graph could not use are dropped when it starts, so an
// unrelated prompt in between empties the cache, as in ComfyUI 0.3.64.
type cache struct {
	results map[string]*result // by signature
	objects map[string]*instance
}

// result is what a node left behind.
type result struct {
	outputs [][]any // of each output slot: one value, or several where the node makes a list
	ui      *object // nil: none
	meta    *object
}

// instance is what ComfyUI keeps of a node object from run to run.
type instance struct {
	tempPrefix string // PreviewImage: the random part of its file names
}

func newCache() *cache {
	return &cache{results: map[string]*result{}, objects: map[string]*instance{}}
}

// keep drops every result that no node of the graph has the signature of.
func (c *cache) keep(signatures map[string]string) {
	used := map[string]bool{}
	for _, s := range signatures {
		used[s] = true
	}
	for s := range c.results {
		if !used[s] {
			delete(c.results, s)
		}
	}
}

// keepObjects drops the instances of nodes that the graph does not have; they go by id and class.
func (c *cache) keepObjects(graph *object) {
	for key := range c.objects {
		if !slices.ContainsFunc(graph.keys, func(id string) bool { return objectKey(graph, id) == key }) {
			delete(c.objects, key)
		}
	}
}

func objectKey(graph *object, id string) string {
	return id + "\x00" + graph.member(id).text("class_type")
}

// signatures returns the signature of each node of a graph. changed is asked for what a class depends on besides its
// inputs, such as a file's content.
func signatures(graph *object, changed func(id string, node *object) string) map[string]string {
	signs := map[string]string{}
	var sign func(id string, path []string) string
	sign = func(id string, path []string) string {
		if s, ok := signs[id]; ok {
			return s
		}
		node := graph.member(id)
		if node == nil || slices.Contains(path, id) { // a branch that was not validated may end anywhere
			return "none"
		}
		inputs := node.member("inputs")
		parts := []any{node.text("class_type"), changed(id, node)}
		if inputs != nil {
			for _, name := range slices.Sorted(slices.Values(inputs.keys)) {
				value := inputs.values[name]
				if from, slot, ok := link(value); ok {
					parts = append(parts, name, "link", sign(from, append(path, id)), slot)
				} else {
					parts = append(parts, name, "value", value)
				}
			}
		}
		sum := sha256.Sum256(encode(parts))
		signs[id] = hex.EncodeToString(sum[:])
		return signs[id]
	}
	for _, id := range graph.keys {
		sign(id, nil)
	}
	return signs
}
