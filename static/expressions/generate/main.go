// Command generate writes the script of all Datastar expressions in the views.
package main

import (
	"flag"
	"fmt"
	"os"

	"easel/static/expressions"
)

func main() {
	views := flag.String("views", "views", "folder of the package that templ made")
	out := flag.String("out", "static/expressions.js", "file to write")
	flag.Parse()
	if err := run(*views, *out); err != nil {
		fmt.Fprintln(os.Stderr, "expressions:", err)
		os.Exit(1)
	}
}

func run(views, out string) error {
	all, err := expressions.Collect(views)
	if err != nil {
		return err
	}
	table, err := expressions.Table(all)
	if err != nil {
		return err
	}
	script, err := expressions.Script(table)
	if err != nil {
		return err
	}
	return os.WriteFile(out, script, 0o644) // a source file, for everybody to read
}
