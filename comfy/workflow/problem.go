package workflow

// Problem is one thing that is wrong with a graph, where, and in words for the person who brought
// it. Whatever is not about one node or one input leaves these empty.
type Problem struct {
	Node    string `json:"node,omitempty"`  // the node's id, as in the graph: "3" or "10:9:8"
	Title   string `json:"title,omitempty"` // what the graph's author called the node
	Class   string `json:"class,omitempty"` // its class_type
	Input   string `json:"input,omitempty"` // the input's name
	Code    string `json:"code"`            // one of the codes below, for programs
	Message string `json:"message"`         // a sentence: "No server has the node “FaceDetailer”."
}

// Codes of problems.
const (
	CodeUnknownNode  = "unknown_node"   // a class that is not known
	CodeUnknownValue = "unknown_choice" // a value that is not in the list, such as a missing model
	CodeMissingInput = "missing_input"  // a required input without a value or link
	CodeBadValue     = "bad_value"      // a value of a wrong type, or out of bounds
	CodeBrokenLink   = "broken_link"    // a link to a node or an output that does not exist
	CodeTypeMismatch = "type_mismatch"  // a link of one type to an input of another
	CodeCycle        = "cycle"          // links that run in a circle
	CodeTooLarge     = "too_large"      // more nodes, or deeper nesting, than is taken
	CodeNoOutput     = "no_output"      // nothing would be saved
)
