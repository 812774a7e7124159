package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"easel"
	"easel/db"
	"easel/studio"
)

func newMigrate() *cobra.Command {
	status := &cobra.Command{
		Use:   "status",
		Short: "Tell the version of the database's schema, and the one that this Easel needs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStores(cmd, true, func(ctx context.Context, stores *easel.Stores) error {
				current, known, err := db.SchemaVersion(ctx, stores.Pool)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "version %d, this Easel brings it to %d\n", current, known)
				return err
			})
		},
	}
	up := &cobra.Command{
		Use:   "up",
		Short: "Bring the database up to date, as a start of Easel does",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStores(cmd, true, func(ctx context.Context, stores *easel.Stores) error {
				if err := db.Migrate(ctx, stores.Pool); err != nil {
					return err
				}
				return studio.Migrate(ctx, stores.Pool)
			})
		},
	}
	cmd := &cobra.Command{Use: "migrate", Short: "Look after the database's schema", Args: cobra.NoArgs, RunE: up.RunE}
	cmd.AddCommand(status, up)
	return cmd
}
