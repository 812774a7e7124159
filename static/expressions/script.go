package expressions

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Table is what Datastar would compile of all, each once, in a stable order.
func Table(all []Expression) ([]Function, error) {
	var table []Function
	for _, e := range all {
		f, ok, err := Compile(e)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", e.Where, e.Attribute, err)
		}
		if ok {
			table = append(table, f)
		}
	}
	slices.SortFunc(table, func(a, b Function) int { return strings.Compare(a.key(), b.key()) })
	return slices.Compact(table), nil
}

// The script around the table. It is a classic script in sloppy mode, as what Function compiles
// is: parameters may have the same name twice. Function's prototype stays, other scripts use it.
const (
	scriptHead = `// Code generated from the views by easel/static/expressions. DO NOT EDIT.
//
// Datastar calls Function with the text of each expression. Here it gets the function that was
// made of that text beforehand; a text that is not in the table does not run.
(() => {
  const table = new Map([
`
	scriptTail = `  ]);
  const original = globalThis.Function;
  function Function(...parts) {
    const made = table.get(parts.slice(0, -1).join(',') + '|' + parts.at(-1));
    if (!made) throw new EvalError('not an expression of these pages');
    return made;
  }
  Function.prototype = original.prototype;
  globalThis.Function = Function;
  // Datastar parses patches into a template. Nothing in them runs: the policy allows no inline
  // script and no handler attribute, and the table no other expression.
  globalThis.trustedTypes?.createPolicy('default', {createHTML: (html) => html});
})();
`
)

// Script is the script that holds table.
func Script(table []Function) ([]byte, error) {
	var b strings.Builder
	b.WriteString(scriptHead)
	for _, f := range table {
		key, err := literal(f.key())
		if err != nil {
			return nil, err
		}
		// On a line of its own, so that a comment at the end of a body ends there.
		fmt.Fprintf(&b, "    [%s, function (%s) {\n%s\n    }],\n", key, f.Parameters, f.Body)
	}
	b.WriteString(scriptTail)
	return []byte(b.String()), nil
}

// literal is text as a literal of JavaScript, which JSON's are.
func literal(text string) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}
