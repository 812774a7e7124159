// Package expressions compiles the Datastar expressions of our templates beforehand, into one
// script. Datastar makes a function of each expression's text when it needs it, which a
// Content-Security-Policy only allows with 'unsafe-eval', and with that every attribute that
// somebody manages to put into a page is a script too. Here the functions exist before, a text
// that is not among them is refused, and the policy stays strict.
//
// That works because our expressions are constants. Collect proves it of each one: it reads what
// templ made of the templates, so that it sees the very attributes that a browser gets.
package expressions

import (
	"fmt"
	"strings"
)

//go:generate go run ./generate -views ../../views -out ../expressions.js

// Expression is the value of one Datastar attribute.
type Expression struct {
	Attribute string // its name in the page, such as data-on:click__prevent
	Value     string
	Where     string // file and line
}

// plugin says how Datastar 1.0.2 compiles the value of an attribute.
// Source: library/src/plugins/attributes of its module.
type plugin struct {
	code     bool   // the value is compiled
	returns  bool   // its last statement is the result (returnsValue)
	argument string // name of the further parameter (argNames)
}

// plugins are the attributes of the free bundle, by the name between "data-" and a colon.
var plugins = map[string]plugin{
	"attr":                   {code: true, returns: true},
	"class":                  {code: true, returns: true},
	"computed":               {code: true, returns: true},
	"effect":                 {code: true},
	"init":                   {code: true},
	"on":                     {code: true, argument: "evt"},
	"on-intersect":           {code: true},
	"on-interval":            {code: true},
	"on-signal-patch":        {code: true, returns: true, argument: "patch"},
	"show":                   {code: true, returns: true},
	"signals":                {code: true, returns: true},
	"style":                  {code: true, returns: true},
	"text":                   {code: true, returns: true},
	"bind":                   {},
	"ignore":                 {},
	"ignore-morph":           {},
	"indicator":              {},
	"json-signals":           {},
	"on-signal-patch-filter": {},
	"preserve-attr":          {},
	"ref":                    {},
}

// filters are attributes whose value is an object of regular expressions, read as JSON or else
// compiled as JavaScript (jsStrToObject).
var filters = map[string]bool{"json-signals": true, "on-signal-patch-filter": true}

// pluginOf splits the name of an attribute. ok is false for what Datastar leaves alone; err says
// that the name is one that Datastar ignores although it was meant for it.
func pluginOf(attribute string) (p plugin, name string, ok bool, err error) {
	rest, ok := strings.CutPrefix(attribute, "data-")
	if !ok {
		return plugin{}, "", false, nil
	}
	name, _, _ = strings.Cut(rest, "__")
	name, _, keyed := strings.Cut(name, ":")
	if p, ok = plugins[name]; ok {
		return p, name, true, nil
	}
	if keyed || strings.HasPrefix(name, "on-") || strings.Contains(rest, "__") {
		return plugin{}, name, false, fmt.Errorf("%s is no attribute of Datastar, which would ignore it", attribute)
	}
	return plugin{}, name, false, nil
}

// Function is one precompiled function.
type Function struct {
	Parameters string // separated by commas
	Body       string
}

// key is what Datastar hands to Function, as the script looks it up.
func (f Function) key() string { return f.Parameters + "|" + f.Body }

// Compile is what Datastar would make of e; ok is false when it compiles nothing.
func Compile(e Expression) (f Function, ok bool, err error) {
	p, name, ok, err := pluginOf(e.Attribute)
	if err != nil || !ok {
		return Function{}, false, err
	}
	if filters[name] {
		if strings.TrimSpace(e.Value) == "" || isJSON(e.Value) {
			return Function{}, false, nil
		}
		return Function{Body: "return (" + e.Value + ")"}, true, nil
	}
	if !p.code || e.Value == "" {
		return Function{}, false, nil
	}
	body, err := body(e.Value, p.returns)
	if err != nil {
		return Function{}, false, err
	}
	f = Function{Parameters: "el,$,__action,evt", Body: body}
	if p.argument != "" {
		f.Parameters += "," + p.argument
	}
	return f, true, nil
}
