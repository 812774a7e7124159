package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"easel/studio"
)

// importWait is for one file: it is read against what every server has.
const importWait = 2 * time.Minute

// newWorkflow brings workflows to a running Easel, which alone knows what its servers have.
func newWorkflow() *cobra.Command {
	cmd := &cobra.Command{Use: "workflow", Short: "Bring workflows to a running Easel", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return cmd.Help()
	}}
	var site, title string
	bring := &cobra.Command{
		Use:   "import FILE...",
		Short: "Bring files saved from ComfyUI, or pictures that carry their workflow, to a running Easel",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			if title != "" && len(files) > 1 {
				return usageError{errors.New("--title names one file; there are several")}
			}
			address, err := apiWorkflows(cmd, site)
			if err != nil {
				return err
			}
			var failed []error
			for _, file := range files {
				kept, err := importFile(cmd.Context(), address, file, title)
				if err != nil {
					failed = append(failed, fmt.Errorf("%s: %w", file, err))
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s (%s)\n", file, kept.ID, kept.state())
			}
			return errors.Join(failed...)
		},
	}
	bring.Flags().StringVar(&site, "url", "", "address of the Easel; empty: the one that this configuration would serve")
	bring.Flags().StringVar(&title, "title", "", "title of the workflow; empty: as the file says, or is named")
	cmd.AddCommand(bring)
	return cmd
}

// apiWorkflows is where a site takes workflows.
func apiWorkflows(cmd *cobra.Command, site string) (string, error) {
	if site == "" {
		config, _, err := load(cmd)
		if err != nil {
			return "", err
		}
		_, port, err := net.SplitHostPort(config.Listen)
		if err != nil {
			return "", usageError{err}
		}
		site = "http://" + net.JoinHostPort("127.0.0.1", port) + config.BasePath
	}
	return strings.TrimSuffix(site, "/") + "/api/workflows", nil
}

// imported is what Easel says of a workflow that it keeps.
type imported struct {
	ID       string `json:"id"`
	HasGraph bool   `json:"hasGraph"`
	Runnable bool   `json:"runnable"`
	Problems []struct {
		Message string `json:"message"`
	} `json:"problems"`
}

func (i *imported) state() string {
	switch {
	case i.Runnable:
		return "ready"
	case !i.HasGraph:
		return "kept, but no server is there to convert it with"
	case len(i.Problems) > 0:
		return "kept, but no server can run it: " + i.Problems[0].Message
	}
	return "kept, but no server can run it now"
}

// importFile sends one file. What Easel has against it is the error, in its words.
func importFile(ctx context.Context, address, file, title string) (*imported, error) {
	if info, err := os.Stat(file); err != nil {
		return nil, err
	} else if info.Size() > studio.MaxWorkflowBytes {
		return nil, fmt.Errorf("it has more than %d MiB", studio.MaxWorkflowBytes>>20)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, importWait)
	defer cancel()
	query := url.Values{"filename": {filepath.Base(file)}}
	if title != "" {
		query.Set("title", title)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"?"+query.Encode(), bytes.NewReader(data))
	if err != nil {
		return nil, usageError{err}
	}
	request.Header.Set("Content-Type", "application/octet-stream")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, studio.MaxWorkflowBytes))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusCreated {
		return nil, refusal(response.Status, answer)
	}
	kept := &imported{}
	if err := json.Unmarshal(answer, kept); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", address, err)
	}
	return kept, nil
}

// refusal is a problem in words.
func refusal(status string, answer []byte) error {
	var problem struct {
		Detail string `json:"detail"`
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(answer, &problem) != nil || problem.Detail == "" {
		return fmt.Errorf("answered %s", status)
	}
	if len(problem.Errors) > 0 {
		return errors.New(problem.Errors[0].Message)
	}
	return errors.New(problem.Detail)
}
