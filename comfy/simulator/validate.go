package simulator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// refusal is why a prompt was not queued: the body of a 400.
type refusal struct {
	kind, message, details string
}

func (r *refusal) json() *object {
	return pairs("type", r.kind, "message", r.message, "details", r.details, "extra_info", newObject())
}

// errTrouble is an exception that ComfyUI does not catch: the answer is 500.
var errTrouble = errors.New("server got itself in trouble")

// verdict is what validation found: good outputs run even when others are refused.
type verdict struct {
	outputs    []string
	nodeErrors *object
	refused    *refusal // nil: at least one output is good
}

// validation checks one prompt, as ComfyUI's execution.py does in validate_prompt and validate_inputs: from each output
// node down its links. It converts values in place ("20" becomes 20), so the history shows them converted.
type validation struct {
	set    *classes
	known  map[string]*class
	prompt *object
	newer  bool

	order   []string // nodes in the order in which their verdict was reached
	results map[string]*nodeResult
	inside  []string // the path from the output to here
}

type nodeResult struct {
	valid  bool
	errors []any
}

func (s *classes) validate(prompt *object, targets []string, newer bool) (verdict, error) {
	v := &validation{set: s, prompt: prompt, newer: newer, known: map[string]*class{}, results: map[string]*nodeResult{}}
	refuse := func(kind, message, details string) (verdict, error) {
		return verdict{nodeErrors: newObject(), refused: &refusal{kind, message, details}}, nil
	}
	var outputs []string
	for _, id := range prompt.keys {
		node, ok := prompt.values[id].(*object)
		if !ok {
			return verdict{}, errTrouble
		}
		if _, ok := node.get("class_type"); !ok {
			return refuse("invalid_prompt", "Cannot execute because a node is missing the class_type property.",
				fmt.Sprintf("Node ID '#%s'", id))
		}
		name := node.text("class_type")
		c := v.class(name)
		if c == nil {
			return refuse("invalid_prompt", fmt.Sprintf("Cannot execute because node %s does not exist.", name),
				fmt.Sprintf("Node ID '#%s'", id))
		}
		if c.output && (targets == nil || slices.Contains(targets, id)) {
			outputs = append(outputs, id)
		}
	}
	slices.Sort(outputs) // ComfyUI keeps a set here: any order is as good
	if len(outputs) == 0 {
		return refuse("prompt_no_outputs", "Prompt has no outputs", "")
	}

	result := verdict{nodeErrors: newObject()}
	var reasons []string
	for _, id := range outputs {
		checked, err := v.node(id)
		if err != nil {
			checked = &nodeResult{errors: []any{pairs("type", "exception_during_validation",
				"message", "Exception when validating node", "details", err.Error(),
				"extra_info", pairs("exception_type", err.kind, "traceback", traceback("validate_prompt")))}}
			v.settle(id, checked)
		}
		if checked.valid {
			result.outputs = append(result.outputs, id)
			continue
		}
		for _, e := range checked.errors {
			reason, _ := e.(*object)
			reasons = append(reasons, reason.text("message")+": "+reason.text("details"))
		}
		v.blame(result.nodeErrors, id)
	}
	if len(result.outputs) == 0 {
		result.refused = &refusal{
			"prompt_outputs_failed_validation", "Prompt outputs failed validation",
			strings.Join(reasons, "\n"),
		}
	}
	return result, nil
}

// blame lists every invalid node found so far as a reason why the output cannot run, as ComfyUI does: also those that
// this output does not depend on.
func (v *validation) blame(into *object, output string) {
	for _, id := range v.order {
		r := v.results[id]
		if r.valid || len(r.errors) == 0 {
			continue // invalid without errors of its own: something above it is to blame
		}
		entry := into.member(id)
		if entry == nil {
			entry = pairs("errors", r.errors, "dependent_outputs", []any{},
				"class_type", v.prompt.member(id).text("class_type"))
			into.set(id, entry)
		}
		dependent, _ := entry.get("dependent_outputs")
		entry.set("dependent_outputs", append(asList(dependent), output))
	}
}

func (v *validation) class(name string) *class {
	if c, ok := v.known[name]; ok {
		return c
	}
	v.known[name] = v.set.get(name)
	return v.known[name]
}

func (v *validation) settle(id string, r *nodeResult) {
	if _, again := v.results[id]; !again {
		v.order = append(v.order, id)
	}
	v.results[id] = r
}

// exception is a Python exception that validation stumbles over.
type exception struct{ kind, text string }

func (e *exception) Error() string { return e.text }

// node checks one node and all above it.
func (v *validation) node(id string) (*nodeResult, *exception) {
	if r, ok := v.results[id]; ok {
		return r, nil
	}
	node := v.prompt.member(id)
	inputs := node.member("inputs")
	if inputs == nil {
		return nil, &exception{"KeyError", "'inputs'"}
	}
	v.inside = append(v.inside, id)
	defer func() { v.inside = v.inside[:len(v.inside)-1] }()

	r := &nodeResult{valid: true}
	fail := func(in input, kind, message, details string, extra ...any) {
		info := pairs("input_name", in.name)
		for i := 0; i+1 < len(extra); i += 2 {
			info.set(extra[i].(string), extra[i+1])
		}
		r.errors = append(r.errors, pairs("type", kind, "message", message, "details", details, "extra_info", info))
	}
	c := v.class(node.text("class_type"))
	for _, in := range c.inputs {
		value, given := inputs.get(in.name)
		if !given {
			if in.required {
				fail(in, "required_input_missing", "Required input is missing", in.name)
			}
			continue
		}
		if list, ok := value.([]any); ok {
			if err := v.linked(in, list, r, fail); err != nil {
				return nil, err
			}
			continue
		}
		v.literal(c, in, value, inputs, fail)
	}
	r.valid = r.valid && len(r.errors) == 0
	v.settle(id, r)
	return r, nil
}

type failure func(in input, kind, message, details string, extra ...any)

// linked checks an input that names another node's output.
func (v *validation) linked(in input, list []any, r *nodeResult, fail failure) *exception {
	if len(list) != 2 {
		fail(in, "bad_linked_input", "Bad linked input, must be a length-2 list of [node_id, slot_index]", in.name,
			"input_config", in.config, "received_value", list)
		return nil
	}
	from := pythonStr(list[0])
	above := v.prompt.member(from)
	if above == nil {
		return &exception{"KeyError", pythonRepr(list[0])}
	}
	returns := v.class(above.text("class_type")).returns
	slot := intValue(list[1])
	if slot < 0 || slot >= len(returns) {
		return &exception{"IndexError", "tuple index out of range"}
	}
	if !fits(returns[slot], in) {
		wanted := pythonStr(in.kind)
		fail(in, "return_type_mismatch", "Return type mismatch between linked nodes",
			fmt.Sprintf("%s, received_type(%s) mismatch input_type(%s)", in.name, returns[slot], wanted),
			"input_config", in.config, "received_type", returns[slot], "linked_node", list)
		return nil
	}
	if slices.Contains(v.inside, from) {
		r.valid = false // ComfyUI runs into its recursion limit here, and no reason is left of it
		if v.newer {
			fail(in, "dependency_cycle", "Dependency cycle detected", in.name, "linked_node", list)
		}
		return nil
	}
	upstream, err := v.node(from)
	if err != nil {
		r.valid = false
		v.settle(from, &nodeResult{errors: []any{pairs("type", "exception_during_inner_validation",
			"message", "Exception when validating inner node", "details", err.text,
			"extra_info", pairs("input_name", in.name, "input_config", in.config, "exception_message", err.text,
				"exception_type", err.kind, "traceback", traceback("validate_inputs"), "linked_node", list))}})
		return nil
	}
	r.valid = r.valid && upstream.valid
	return nil
}

// fits reports whether an output of that type may go into in; "*" goes with everything.
func fits(received string, in input) bool {
	wanted, isName := in.kind.(string)
	if !isName { // a choice takes another node's choice
		return received == "COMBO" || received == "*"
	}
	return received == wanted || received == "*" || wanted == "*" ||
		slices.Contains(strings.Split(wanted, ","), received)
}

// literal checks and converts a value that stands in the prompt itself.
func (v *validation) literal(c *class, in input, value any, inputs *object, fail failure) {
	if wrapped, ok := value.(*object); ok {
		if inner, ok := wrapped.get("__value__"); ok {
			value = inner
		}
	}
	var err error
	received := value
	switch in.kind {
	case "INT":
		value, err = pythonInt(value)
	case "FLOAT":
		value, err = pythonFloatOf(value)
	case "STRING":
		value = pythonStr(value)
	case "BOOLEAN":
		value = pythonBool(value)
	}
	if err != nil {
		fail(in, "invalid_input_type", fmt.Sprintf("Failed to convert an input value to a %s value", in.kind),
			fmt.Sprintf("%s, %s, %s", in.name, pythonStr(received), err),
			"input_config", in.config, "received_value", received, "exception_message", err.Error())
		return
	}
	inputs.set(in.name, value)
	if c.checksImage && in.name == "image" {
		if _, ok := v.set.files.open(annotated(pythonStr(value), folderInput)); !ok {
			fail(in, "custom_validation_failed", "Custom validation failed for node",
				"image - Invalid image file: "+pythonStr(value))
		}
		return
	}
	for _, bound := range []struct {
		option, kind, words string
		wrong               int
	}{
		{"min", "value_smaller_than_min", "smaller than min", -1},
		{"max", "value_bigger_than_max", "bigger than max", 1},
	} {
		limit, ok := in.options.get(bound.option)
		if !ok {
			continue
		}
		if order, ok := compare(value, limit); ok && order == bound.wrong {
			fail(in, bound.kind, fmt.Sprintf("Value %s %s of %s", pythonStr(value), bound.words, pythonStr(limit)),
				in.name, "input_config", in.config, "received_value", value)
			return
		}
	}
	choices, ok := in.choices()
	if !ok || slices.ContainsFunc(choices, func(c any) bool { return same(c, value) }) {
		return
	}
	listed, config := pythonRepr(choices), in.config
	if len(choices) > 20 { // gigantic lists are not sent back
		listed, config = fmt.Sprintf("(list of length %d)", len(choices)), nil
	}
	fail(in, "value_not_in_list", "Value not in list",
		fmt.Sprintf("%s: '%s' not in %s", in.name, pythonStr(value), listed),
		"input_config", config, "received_value", value)
}

// same is Python's ==, as far as choices go: texts, numbers, booleans.
func same(a, b any) bool {
	if order, ok := compare(a, b); ok {
		return order == 0
	}
	switch a.(type) {
	case string, bool, nil:
		return a == b
	default:
		return false
	}
}

// traceback is what ComfyUI would tell of its stack; only its shape is meant to be read.
func traceback(functions ...string) []any {
	lines := make([]any, len(functions))
	for i, f := range functions {
		lines[i] = fmt.Sprintf("  File \"execution.py\", in %s\n", f)
	}
	return lines
}
