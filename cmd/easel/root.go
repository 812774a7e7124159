package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"easel"
)

// flagVariables maps the few flags to the variables that they stand for.
var flagVariables = map[string]string{
	"listen":    "EASEL_LISTEN",
	"data-dir":  "EASEL_DATA_DIR",
	"comfyui":   "COMFYUI_URL",
	"log-level": "EASEL_LOG_LEVEL",
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "easel",
		Short:         "A live studio in front of ComfyUI",
		Long:          "Easel is a live studio in front of ComfyUI: type a prompt, watch every step, find the pictures.\nWithout a subcommand it serves.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          serve,
	}
	root.PersistentFlags().String("config", "", "configuration file of NAME=VALUE lines")
	root.PersistentFlags().String("listen", "", "address to listen on")
	root.PersistentFlags().String("data-dir", "", "folder of the private database and the pictures")
	root.PersistentFlags().String("comfyui", "", "ComfyUI's address; more than one comma separated")
	root.PersistentFlags().String("log-level", "", "debug, info, warn or error")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		&cobra.Command{Use: "serve", Short: "Serve (the default)", Args: cobra.NoArgs, RunE: serve},
		newConfig(), newVersion(), newHealthcheck(), newServer(), newBackup(), newRestore(), newDoctor(), newMigrate(), newWorkflow(),
	)
	return root
}

// load is the configuration in force: flags, environment, files, defaults.
func load(cmd *cobra.Command) (easel.Config, []easel.Setting, error) {
	sources := easel.Sources{Flags: map[string]string{}, Environ: os.Environ()}
	for flag, variable := range flagVariables {
		if f := cmd.Flags().Lookup(flag); f != nil && f.Changed {
			sources.Flags[variable] = f.Value.String()
		}
	}
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return easel.Config{}, nil, err
	}
	sources.File = file
	config, settings, err := easel.Load(sources)
	if err != nil {
		return easel.Config{}, nil, usageError{err}
	}
	return config, settings, nil
}

func newConfig() *cobra.Command {
	var asJSON bool
	var only string
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the configuration in force, and where each value came from",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, settings, err := load(cmd)
			if err != nil {
				return err
			}
			if only != "" {
				for _, s := range settings {
					if s.Name == only {
						fmt.Fprintln(cmd.OutOrStdout(), s.Value)
						return nil
					}
				}
				return usageError{fmt.Errorf("%s is not a variable of Easel", only)}
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(settings)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			for _, s := range settings {
				fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, s.Value, s.Source)
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&only, "value", "", "print the value of one variable")
	cmd.AddCommand(newConfigDoc())
	return cmd
}

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"version": easel.Version(), "go": runtime.Version()})
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "easel %s (%s)\n", easel.Version(), runtime.Version())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
