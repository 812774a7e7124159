package comfy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// OutputFile is a file that a prompt has shown or saved, as ComfyUI names it. The names are ComfyUI's and mean
// nothing outside a call of View: never a path on this machine.
type OutputFile struct {
	Node      string // id of the node in the sent graph
	Filename  string
	Subfolder string
	Type      string // output, temp (gone with the next start of the server) or input
	Kind      string // the list it stood in: images, gifs, audio, ...
	Index     int    // its place in that list, from 0
}

// ExecutionError is what made a prompt fail.
type ExecutionError struct {
	NodeID        string
	NodeType      string // class of the node
	ExceptionType string // such as RuntimeError, torch.OutOfMemoryError
	Message       string // may hold the server's paths
	Traceback     string // holds the server's paths
}

// historyEntry is one entry of /history, or the same parts of a job.
type historyEntry struct {
	Outputs map[string]json.RawMessage `json:"outputs"`
	Status  *historyStatus             `json:"status"`
}

type historyStatus struct {
	StatusStr string          `json:"status_str"`
	Messages  historyMessages `json:"messages"`
}

// historyMessages is a list of [type, data]. What has another shape is passed over: a prompt that
// has ended must not stay without an end for the words about it.
type historyMessages []historyMessage

type historyMessage struct {
	Type string
	Data json.RawMessage
}

func (all *historyMessages) UnmarshalJSON(b []byte) error {
	var list []json.RawMessage
	_ = json.Unmarshal(b, &list) // not even a list: there are none
	for _, raw := range list {
		var m historyMessage
		parts := []any{&m.Type, &m.Data}
		if json.Unmarshal(raw, &parts) == nil && len(parts) == 2 && m.Data != nil {
			*all = append(*all, m)
		}
	}
	return nil
}

// history reads the entry of a prompt; nil while it waits or runs, and if it is unknown.
func (c *Client) history(ctx context.Context, promptID string) (*historyEntry, error) {
	const what = "read history"
	var reply map[string]*historyEntry
	k := call{what: what, method: http.MethodGet, path: "/history/" + url.PathEscape(promptID), limit: maxBody}
	if err := c.get(ctx, k, &reply); err != nil {
		return nil, err
	}
	if len(reply) == 0 {
		return nil, nil
	}
	e := reply[promptID]
	if e == nil { // absence is an empty object; anything else is not about this prompt
		return nil, fmt.Errorf("%s: %w: an entry of something else", what, ErrNotComfyUI)
	}
	return e, nil
}

// verdict reads an entry: success only from status_str success. Everything else is an end too, since history
// knows no other entries.
func (e *historyEntry) verdict() Lookup {
	l := Lookup{State: Failed, Outputs: outputFiles(e.Outputs)}
	if e.Status == nil || e.Status.StatusStr == "" {
		l.Error = &ExecutionError{Message: "ComfyUI's history does not say how the prompt ended"}
		return l
	}
	if e.Status.StatusStr == "success" {
		l.State = Succeeded
		return l
	}
	for _, m := range slices.Backward(e.Status.Messages) {
		switch m.Type {
		case TypeExecutionInterrupted:
			l.State = Interrupted
			return l
		case TypeExecutionError:
			if x := executionError(m.Data); x.ExceptionType != blocked {
				l.Error = x
				return l
			}
		}
	}
	l.Error = &ExecutionError{Message: "ComfyUI's history says " + strconv.Quote(e.Status.StatusStr) + " and no more"}
	return l
}

func executionError(data json.RawMessage) *ExecutionError {
	var d struct {
		NodeID           json.RawMessage `json:"node_id"`
		NodeType         string          `json:"node_type"`
		ExceptionType    string          `json:"exception_type"`
		ExceptionMessage string          `json:"exception_message"`
		Traceback        []string        `json:"traceback"`
	}
	_ = json.Unmarshal(data, &d) // what could be read is kept: the end is certain, its words are not
	return &ExecutionError{
		NodeID:        strings.Trim(string(d.NodeID), `"`),
		NodeType:      d.NodeType,
		ExceptionType: d.ExceptionType,
		Message:       strings.TrimSpace(d.ExceptionMessage),
		Traceback:     strings.Join(d.Traceback, ""),
	}
}

// outputFiles lists the files in a map of node id to ui output. Whatever has no file name (text, flags, a custom
// node's own shapes) is passed over. The order is that of the node ids (numbers as numbers), kinds and lists.
func outputFiles(outputs map[string]json.RawMessage) []OutputFile {
	var files []OutputFile
	for node, raw := range outputs {
		var kinds map[string]json.RawMessage
		if json.Unmarshal(raw, &kinds) != nil {
			continue
		}
		for kind, raw := range kinds {
			var items []json.RawMessage
			if json.Unmarshal(raw, &items) != nil {
				continue
			}
			for i, raw := range items {
				var item struct{ Filename, Subfolder, Type string }
				if json.Unmarshal(raw, &item) != nil || item.Filename == "" {
					continue
				}
				files = append(files, OutputFile{
					Node: node, Kind: kind, Index: i,
					Filename: item.Filename, Subfolder: item.Subfolder, Type: cmp.Or(item.Type, "output"),
				})
			}
		}
	}
	slices.SortFunc(files, func(a, b OutputFile) int {
		return cmp.Or(compareIDs(a.Node, b.Node), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Index, b.Index))
	})
	return files
}

// compareIDs puts 9 before 10, and numbers before other text.
func compareIDs(a, b string) int {
	x, errA := strconv.ParseUint(a, 10, 64)
	y, errB := strconv.ParseUint(b, 10, 64)
	switch {
	case errA == nil && errB == nil:
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
	case errA == nil:
		return -1
	case errB == nil:
		return 1
	}
	return cmp.Compare(a, b)
}
