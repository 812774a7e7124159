package comfy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// SystemStats is what a server says about itself and its machine. Sizes are bytes.
type SystemStats struct {
	System  System   `json:"system"`
	Devices []Device `json:"devices"`
}

// System is the machine and the software.
type System struct {
	OS             string   `json:"os"`
	RAMTotal       int64    `json:"ram_total"`
	RAMFree        int64    `json:"ram_free"`
	ComfyUIVersion string   `json:"comfyui_version"`
	PythonVersion  string   `json:"python_version"`
	PyTorchVersion string   `json:"pytorch_version"`
	Argv           []string `json:"argv"` // holds the server's paths
}

// Device is one device that computes.
type Device struct {
	Name           string `json:"name"`
	Type           string `json:"type"` // cpu, cuda, mps, ...
	VRAMTotal      int64  `json:"vram_total"`
	VRAMFree       int64  `json:"vram_free"`
	TorchVRAMTotal int64  `json:"torch_vram_total"`
	TorchVRAMFree  int64  `json:"torch_vram_free"`
}

// SystemStats asks how the server is: the cheapest sign of life that only a ComfyUI gives.
func (c *Client) SystemStats(ctx context.Context) (SystemStats, error) {
	const what = "read system stats"
	var reply struct {
		System  *System  `json:"system"`
		Devices []Device `json:"devices"`
	}
	if err := c.get(ctx, call{what: what, path: "/system_stats", limit: maxStats}, &reply); err != nil {
		return SystemStats{}, err
	}
	if reply.System == nil {
		return SystemStats{}, fmt.Errorf("%s: %w: no system", what, ErrNotComfyUI)
	}
	return SystemStats{System: *reply.System, Devices: reply.Devices}, nil
}

// Features are the flags of a server.
type Features struct {
	SupportsPreviewMetadata bool  // live previews that name their prompt and node, if the socket asks for them
	MaxUploadSize           int64 // bytes; 0 if it does not say

	All map[string]json.RawMessage // every flag, as sent
}

// Features reads the server's flags. A server from before there were any has none.
func (c *Client) Features(ctx context.Context) (Features, error) {
	const what = "read features"
	a, err := c.do(ctx, call{what: what, method: http.MethodGet, path: "/features"})
	switch {
	case err != nil:
		return Features{}, err
	case a.status == http.StatusNotFound:
		return Features{}, nil
	}
	var all map[string]json.RawMessage
	if err := a.object(&all); err != nil {
		return Features{}, fmt.Errorf("%s: %w", what, err)
	}
	return features(all), nil
}

func features(all map[string]json.RawMessage) Features {
	f := Features{All: all}
	// Only JSON true counts, and a flag of another kind is not ours.
	f.SupportsPreviewMetadata = string(all["supports_preview_metadata"]) == "true"
	if json.Unmarshal(all["max_upload_size"], &f.MaxUploadSize) != nil {
		f.MaxUploadSize = 0
	}
	return f
}

// ObjectInfo reads the description of every node class that the server has, at most 64 MiB: one JSON object,
// where NaN and the infinities, which Python writes, have become null.
func (c *Client) ObjectInfo(ctx context.Context) (raw []byte, err error) {
	const what = "read object info"
	a, err := c.do(ctx, call{
		what: what, method: http.MethodGet, path: "/object_info", limit: maxBody, transfer: true,
	})
	if err != nil {
		return nil, err
	}
	var info json.RawMessage
	if err := a.object(&info); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return info, nil
}
