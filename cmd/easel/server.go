package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"easel/comfy"
	"easel/studio"
)

// newServer looks at ComfyUI servers without a running Easel and without its database.
func newServer() *cobra.Command {
	cmd := &cobra.Command{Use: "server", Short: "Look at the ComfyUI servers", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return cmd.Help()
	}}
	var asJSON bool
	test := &cobra.Command{
		Use:   "test ADDRESS",
		Short: "Test whether a ComfyUI can be used; exit code 0 says yes",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := studio.CheckServer(cmd.Context(), args[0])
			if invalid, ok := errors.AsType[*studio.InvalidError](err); ok {
				return usageError{errors.New(invalid.Fields[0].Message)}
			}
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(report)
			} else {
				table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
				for _, check := range report.Checks {
					fmt.Fprintf(table, "%s\t%s\t%s\n", check.Verdict, check.Name, check.Words)
				}
				err = table.Flush()
			}
			if err == nil && !report.Usable {
				err = fmt.Errorf("%s cannot be used as it is", report.URL)
			}
			return err
		},
	}
	test.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	list := &cobra.Command{
		Use:   "list",
		Short: "List the servers of COMFYUI_URL and whether each can be used; those added on the page are in /api/servers",
		Args:  cobra.NoArgs,
		RunE:  listServers,
	}
	cmd.AddCommand(list, test)
	return cmd
}

func listServers(cmd *cobra.Command, _ []string) error {
	config, _, err := load(cmd)
	if err != nil {
		return err
	}
	servers, err := config.Servers()
	if err != nil {
		return usageError{err}
	}
	if len(servers) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "COMFYUI_URL names none. Those that Easel has found or people have added are in /api/servers.")
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	for _, server := range servers {
		fmt.Fprintf(table, "%s\t%s\t%s\n", server.Name, comfy.Redacted(server.URL), state(cmd.Context(), server.URL))
	}
	return table.Flush()
}

// state is a server in a few words.
func state(ctx context.Context, address string) string {
	report, err := studio.CheckServer(ctx, address)
	switch {
	case err != nil:
		return "its address cannot be used"
	case report.Usable:
		return "can be used"
	}
	for _, check := range report.Checks {
		if check.Verdict == studio.VerdictBad {
			return check.Words
		}
	}
	return "cannot be used"
}
