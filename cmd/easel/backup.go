package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"easel"
	"easel/backup"
)

func newBackup() *cobra.Command {
	var withKeys bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write everything into one file, while Easel may go on; - is standard output",
		Long: "Writes the database and every file that it names into one tar, as of one moment. Easel may be running.\n" +
			"Prompts, and addresses of servers with their passwords, are in it as they are: keep it safe.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStores(cmd, true, func(ctx context.Context, stores *easel.Stores) error {
				source := backup.Source{Pool: stores.Pool, Blobs: stores.Storage, Version: easel.Version()}
				if withKeys {
					source.Keys = stores.Keys
				}
				report, err := writeBackup(ctx, source, args[0], cmd.OutOrStdout())
				if err != nil {
					return fmt.Errorf("backup: %w", err)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "Backed up %s.\n", report)
				if !withKeys {
					fmt.Fprintln(cmd.ErrOrStderr(), "The folder keys is not in it; --with-keys takes it along.")
				}
				return complain(report)
			})
		},
	}
	cmd.Flags().BoolVar(&withKeys, "with-keys", false, "take the secret keys of the data folder along")
	return cmd
}

// writeBackup writes to a file beside its place and renames that, so that a backup is there whole
// or not at all.
func writeBackup(ctx context.Context, source backup.Source, name string, stdout io.Writer) (report backup.Report, err error) {
	if name == "-" {
		return backup.Write(ctx, source, stdout)
	}
	if _, err := os.Lstat(name); err == nil {
		return backup.Report{}, fmt.Errorf("%s is there already", name)
	}
	file, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".part-*") // 0600
	if err != nil {
		return backup.Report{}, err
	}
	defer func() {
		_ = file.Close() // after an error; otherwise it is closed already
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	if report, err = backup.Write(ctx, source, file); err != nil {
		return backup.Report{}, err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return backup.Report{}, err
	}
	return report, os.Rename(file.Name(), name)
}

// complain makes an error of files that the storage had lost before: the backup is good, and
// somebody should look.
func complain(report backup.Report) error {
	var lost []string
	if n := len(report.Missing); n > 0 {
		lost = append(lost, fmt.Sprintf("the storage does not have %d files that belong to generations, such as %s", n, report.Missing[0]))
	}
	if n := len(report.Damaged); n > 0 {
		lost = append(lost, fmt.Sprintf("the storage has %d files with other bytes than were stored, such as %s", n, report.Damaged[0]))
	}
	if len(lost) == 0 {
		return nil
	}
	return fmt.Errorf("all else is in order, but %s", strings.Join(lost, "; "))
}

func newRestore() *cobra.Command {
	var paused bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Read a backup into an empty database and a storage; - is standard input",
		Long: "Reads a backup into the database and the storage of the configuration. The database must be empty and Easel must not run on it.\n" +
			"What was being made when the backup was taken is made again.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStores(cmd, false, func(ctx context.Context, stores *easel.Stores) error {
				in := cmd.InOrStdin()
				if args[0] != "-" {
					file, err := os.Open(args[0])
					if err != nil {
						return err
					}
					defer file.Close()
					in = file
				}
				report, err := backup.Read(ctx, backup.Target{Pool: stores.Pool, Blobs: stores.Storage, Keys: stores.Keys, Paused: paused}, in)
				if err != nil {
					return fmt.Errorf("restore: %w", err)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "Restored %s.\n", report)
				if report.Waiting > 0 {
					fmt.Fprintf(cmd.ErrOrStderr(), "%d generations wait; %s.\n", report.Waiting, whatWaits(paused))
				}
				return complain(report)
			})
		},
	}
	cmd.Flags().BoolVar(&paused, "paused", false, "leave the queue paused, for a copy of an Easel that goes on elsewhere")
	return cmd
}

func whatWaits(paused bool) string {
	if paused {
		return "the queue is paused until somebody resumes it"
	}
	return "they begin when Easel starts"
}

// withStores runs a command on the database and the storage of the configuration. Everything but
// what the command says goes into the log.
func withStores(cmd *cobra.Command, shared bool, run func(context.Context, *easel.Stores) error) (err error) {
	config, _, err := load(cmd)
	if err != nil {
		return err
	}
	config.Logger = newLogger(config)
	stores, err := easel.OpenStores(cmd.Context(), config, shared)
	if err != nil {
		return unreachable(err)
	}
	defer func() { err = errors.Join(err, stores.Close()) }()
	return unreachable(run(cmd.Context(), stores))
}
