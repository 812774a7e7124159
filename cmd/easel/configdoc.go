package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"easel"
)

const configPageHead = `# Configuration

<!-- Made by make generate from the fields of easel.Config; edit those. -->

Easel runs without any of this. Strongest first: a flag, an environment variable, a file named by
NAME_FILE (for secrets), a line NAME=VALUE of the file given by --config or EASEL_CONFIG, the default.
Setting both NAME and NAME_FILE is an error, and so is an EASEL_ variable that does not exist:
the start stops and names the nearest one. "easel config" prints what is in force and where each
value came from, with passwords hidden.

| variable | default | meaning |
| --- | --- | --- |
`

func newConfigDoc() *cobra.Command {
	return &cobra.Command{
		Use:   "doc",
		Short: "Print the reference of all variables as Markdown",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return writeConfigPage(cmd.OutOrStdout())
		},
	}
}

func writeConfigPage(w io.Writer) error {
	_, settings, err := easel.Load(easel.Sources{})
	if err != nil {
		return err
	}
	var page strings.Builder
	page.WriteString(configPageHead)
	for _, s := range settings {
		value := s.Value
		if s.Name == "EASEL_DATA_DIR" { // depends on who asks
			value = ""
		}
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s |\n", s.Name, value, s.Doc)
	}
	fmt.Fprintf(&page, "| `PORT` | | The port alone, on 127.0.0.1; EASEL_LISTEN is stronger. |\n")
	fmt.Fprintf(&page, "| `EASEL_CONFIG` | | Path of the configuration file; --config is stronger. |\n")
	_, err = io.WriteString(w, page.String())
	return err
}
