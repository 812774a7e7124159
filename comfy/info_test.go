package comfy

import (
	"encoding/json"
	"testing"
)

func TestObjectInfoToleratesNaN(t *testing.T) {
	c := fake(t, ClientOptions{}, routes(map[string]string{
		"GET /object_info": `{"X": {"input": {"required": {"a": ["FLOAT", {"default": NaN, "max": Infinity, "min": -Infinity, "tooltip": "NaN is text here"}], "seed": ["INT", {"max": 18446744073709551615}]}}}}`,
	}))
	raw, err := c.ObjectInfo(t.Context())
	if err != nil || !json.Valid(raw) {
		t.Fatalf("ObjectInfo = %s, %v, want valid JSON", raw, err)
	}
	var info struct {
		X struct {
			Input struct {
				Required map[string][]json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(raw, &info); err != nil {
		t.Fatal(err)
	}
	var options struct {
		Default, Min, Max *float64
		Tooltip           string
	}
	if err := json.Unmarshal(info.X.Input.Required["a"][1], &options); err != nil {
		t.Fatal(err)
	}
	if options.Default != nil || options.Min != nil || options.Max != nil || options.Tooltip != "NaN is text here" {
		t.Errorf("options %+v", options)
	}
	if got := string(info.X.Input.Required["seed"][1]); got != `{"max": 18446744073709551615}` {
		t.Errorf("seed options %s lost a digit", got)
	}
}

func TestFeatures(t *testing.T) {
	old := fake(t, ClientOptions{}, routes(nil))
	if f, err := old.Features(t.Context()); err != nil || f.SupportsPreviewMetadata || f.All != nil {
		t.Errorf("of an old server: %+v, %v, want none", f, err)
	}
	odd := fake(t, ClientOptions{}, routes(map[string]string{
		"GET /features": `{"supports_preview_metadata": "true", "max_upload_size": "big", "extension": {"manager": {}}}`,
	}))
	if f, err := odd.Features(t.Context()); err != nil || f.SupportsPreviewMetadata || f.MaxUploadSize != 0 || len(f.All) != 3 {
		t.Errorf("of odd values: %+v, %v, want only JSON true to count", f, err)
	}
}
