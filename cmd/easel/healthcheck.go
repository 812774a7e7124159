package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// newHealthcheck is for containers that have no curl.
func newHealthcheck() *cobra.Command {
	return &cobra.Command{
		Use:   "healthcheck [URL]",
		Short: "Ask a running Easel whether it is well; exit code 0 says yes",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, _, err := load(cmd)
			if err != nil {
				return err
			}
			_, port, err := net.SplitHostPort(config.Listen)
			if err != nil {
				return usageError{err}
			}
			address := "http://" + net.JoinHostPort("127.0.0.1", port) + config.BasePath + "/readyz"
			if len(args) == 1 {
				address = args[0]
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Second)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
			if err != nil {
				return usageError{err}
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("%s answered %s", address, response.Status)
			}
			return nil
		},
	}
}
