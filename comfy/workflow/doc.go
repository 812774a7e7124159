// Package workflow knows ComfyUI's graphs and nothing else of ComfyUI: how a graph in API format
// is read and written, what a server's /object_info says about the nodes in it, and how a graph
// with named fields becomes a form whose values go back into the graph. For a graph without fields
// it finds them (Discover), and it says what keeps a graph from running, and where (Diagnose).
//
// A workflow is data. Which node holds the prompt or the seed stands in the workflow's fields,
// never in code, so any graph can take the place of the built-in one.
package workflow
