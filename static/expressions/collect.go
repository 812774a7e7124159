package expressions

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/html"
)

// varying stands, while a component is read, where it writes something that is not constant.
const varying = "\uE000"

// Collect finds every Datastar attribute that the Go package in dir, made by templ, can write,
// in the order of files. The error joins all that is wrong: an expression that is not constant,
// an attribute that Datastar would ignore.
func Collect(dir string) ([]Expression, error) {
	c := collector{fset: token.NewFileSet(), constants: map[string]ast.Expr{}}
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no Go files in %s: %w", dir, os.ErrNotExist)
	}
	slices.Sort(paths)
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(c.fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read views: %w", err)
		}
		files = append(files, file)
		c.readConstants(file)
	}
	for _, file := range files {
		for _, decl := range file.Decls {
			if function, ok := decl.(*ast.FuncDecl); ok && function.Body != nil {
				c.readComponent(function)
			}
		}
		c.readAttributes(file)
	}
	return c.found, errors.Join(c.wrong...)
}

type collector struct {
	fset      *token.FileSet
	constants map[string]ast.Expr // of the package, by name
	found     []Expression
	wrong     []error
}

func (c *collector) readConstants(file *ast.File) {
	for _, decl := range file.Decls {
		general, ok := decl.(*ast.GenDecl)
		if !ok || general.Tok != token.CONST {
			continue
		}
		for _, spec := range general.Specs {
			values, ok := spec.(*ast.ValueSpec)
			if !ok {
				continue
			}
			for i, name := range values.Names {
				if i < len(values.Values) {
					c.constants[name.Name] = values.Values[i]
				}
			}
		}
	}
}

// text is the value of a constant text: a literal, a constant of the package, or a sum of such.
func (c *collector) text(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, e.Kind == token.STRING && err == nil
	case *ast.Ident:
		value, ok := c.constants[e.Name]
		if !ok {
			return "", false
		}
		return c.text(value)
	case *ast.ParenExpr:
		return c.text(e.X)
	case *ast.BinaryExpr:
		left, leftOK := c.text(e.X)
		right, rightOK := c.text(e.Y)
		return left + right, e.Op == token.ADD && leftOK && rightOK
	}
	return "", false
}

// readComponent puts together what a component writes, from top to bottom, and reads it as HTML.
// Both branches of an if are in it, one after the other.
func (c *collector) readComponent(function *ast.FuncDecl) {
	var page strings.Builder
	variables := map[string]string{} // of templ, that hold a constant
	ast.Inspect(function.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt: // templ_Var2, err = templ.JoinStringErrs(value)
			if call, ok := soleCall(n); ok && isSelector(call.Fun, "templ", "JoinStringErrs") && len(call.Args) == 1 {
				if name, ok := n.Lhs[0].(*ast.Ident); ok {
					if text, constant := c.text(call.Args[0]); constant {
						variables[name.Name] = text
					}
				}
			}
		case *ast.CallExpr:
			switch {
			case isSelector(n.Fun, "templruntime", "WriteString") && len(n.Args) == 3:
				text, _ := c.text(n.Args[2])
				page.WriteString(text)
			case isSelector(n.Fun, "", "WriteString") && len(n.Args) == 1: // Buffer.WriteString(templ.EscapeString(Var2))
				page.WriteString(html.EscapeString(escaped(n.Args[0], variables)))
			}
		}
		return true
	})
	c.readHTML(page.String(), c.where(function)+" "+function.Name.Name)
}

func (c *collector) readHTML(page, where string) {
	tokens := html.NewTokenizer(strings.NewReader(page))
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			return
		case html.StartTagToken, html.SelfClosingTagToken:
			for name, value := range attributes(string(tokens.Raw())) {
				c.add(Expression{Attribute: name, Value: value, Where: where})
			}
		}
	}
}

// attributes reads those of a start tag, all of them: the tokenizer would leave out the second of
// one name, which here stands in the other branch of an if.
func attributes(tag string) iter.Seq2[string, string] {
	const space = " \t\n\f\r"
	return func(yield func(string, string) bool) {
		tag = strings.TrimLeft(tag, "<")
		tag = tag[strings.IndexAny(tag+">", space+"/>"):] // behind the name of the element
		for {
			tag = strings.TrimLeft(tag, space+"/")
			end := strings.IndexAny(tag+">", space+"/>=")
			if end == 0 {
				return // at the closing bracket
			}
			name, value := tag[:end], ""
			tag = strings.TrimLeft(tag[end:], space)
			if after, ok := strings.CutPrefix(tag, "="); ok {
				after = strings.TrimLeft(after, space)
				if after != "" && (after[0] == '"' || after[0] == '\'') {
					value, tag, _ = strings.Cut(after[1:], after[:1])
				} else {
					end := strings.IndexAny(after+">", space+">")
					value, tag = after[:end], after[end:]
				}
			}
			if !yield(strings.ToLower(name), html.UnescapeString(value)) {
				return
			}
		}
	}
}

// escaped is what templ.EscapeString(v) writes, when v holds a constant.
func escaped(e ast.Expr, variables map[string]string) string {
	if call, ok := e.(*ast.CallExpr); ok && len(call.Args) == 1 {
		e = call.Args[0]
	}
	if name, ok := e.(*ast.Ident); ok {
		if text, constant := variables[name.Name]; constant {
			return text
		}
	}
	return varying
}

// readAttributes finds Datastar attributes that Go code puts together, as templ.Attributes does.
func (c *collector) readAttributes(file *ast.File) {
	pair := func(key, value ast.Expr) {
		name, ok := c.text(key)
		if !ok || !strings.HasPrefix(name, "data-") {
			return
		}
		text, constant := c.text(value)
		if !constant {
			text = varying
		}
		c.add(Expression{Attribute: name, Value: text, Where: c.where(key)})
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			pair(n.Key, n.Value)
		case *ast.AssignStmt:
			if index, ok := n.Lhs[0].(*ast.IndexExpr); ok && len(n.Lhs) == 1 && len(n.Rhs) == 1 {
				pair(index.Index, n.Rhs[0])
			}
		}
		return true
	})
}

func (c *collector) add(e Expression) {
	p, name, ok, err := pluginOf(e.Attribute)
	switch {
	case err != nil:
		c.wrong = append(c.wrong, fmt.Errorf("%s: %w", e.Where, err))
	case !ok || !p.code && !filters[name]:
	case strings.Contains(e.Value, varying):
		c.wrong = append(c.wrong, fmt.Errorf("%s: %s is not constant; hand what varies over in a data- attribute", e.Where, e.Attribute))
	default:
		c.found = append(c.found, e)
	}
}

func (c *collector) where(n ast.Node) string {
	at := c.fset.Position(n.Pos())
	return filepath.Base(at.Filename) + ":" + strconv.Itoa(at.Line)
}

// soleCall is the call on the right of an assignment.
func soleCall(n *ast.AssignStmt) (*ast.CallExpr, bool) {
	if len(n.Rhs) != 1 {
		return nil, false
	}
	call, ok := n.Rhs[0].(*ast.CallExpr)
	return call, ok
}

// isSelector reports whether e is x.name; an empty x: of any value.
func isSelector(e ast.Expr, x, name string) bool {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != name {
		return false
	}
	of, ok := selector.X.(*ast.Ident)
	return ok && (x == "" || of.Name == x)
}
