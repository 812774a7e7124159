package comfy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"testing"

	"easel/comfy/transcript"
)

// frameOf makes a binary frame: numbers as 4 bytes, texts and bytes as they are.
func frameOf(parts ...any) []byte {
	var frame []byte
	for _, part := range parts {
		switch v := part.(type) {
		case int:
			frame = binary.BigEndian.AppendUint32(frame, uint32(v)) //nolint:gosec // small numbers of this file
		case string:
			frame = append(frame, v...)
		}
	}
	return frame
}

const previewMeta = `{"node_id": "3", "prompt_id": "p", "display_node_id": "3", "parent_node_id": null, "real_node_id": "3", "image_type": "image/jpeg"}`

func TestDecodeBinary(t *testing.T) {
	for _, tt := range []struct {
		name  string
		frame []byte
		want  Message
	}{
		{"jpeg", frameOf(1, 1, "picture"), Message{Type: TypePreview, MIME: "image/jpeg", Image: []byte("picture")}},
		{"png", frameOf(1, 2, "picture"), Message{Type: TypePreview, MIME: "image/png", Image: []byte("picture")}},
		{"text", frameOf(3, 2, "42", "halfway, ä"), Message{Type: TypeText, Node: "42", Text: "halfway, ä"}},
		{"empty text", frameOf(3, 0), Message{Type: TypeText}},
		{
			"with metadata", frameOf(4, len(previewMeta), previewMeta, "picture"),
			Message{Type: TypePreviewWithMetadata, PromptID: "p", Node: "3", DisplayNode: "3", MIME: "image/jpeg", Image: []byte("picture")},
		},
		{"unknown event", frameOf(9, "whatever"), Message{Type: "event 9"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeBinary(tt.frame)
			if err != nil {
				t.Fatal(err)
			}
			if got.Type != tt.want.Type || got.PromptID != tt.want.PromptID || got.Node != tt.want.Node || got.DisplayNode != tt.want.DisplayNode ||
				got.MIME != tt.want.MIME || got.Text != tt.want.Text || !bytes.Equal(got.Image, tt.want.Image) {
				t.Errorf("DecodeBinary() = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestDecodeBinaryMalformed(t *testing.T) {
	script := `{"prompt_id": "p", "image_type": "text/html"}`
	for name, frame := range map[string][]byte{
		"empty":                 nil,
		"three bytes":           {0, 0, 0},
		"event alone":           frameOf(1),
		"no image":              frameOf(1, 1),
		"unknown format":        frameOf(1, 3, "picture"),
		"text without length":   frameOf(3),
		"text cut":              frameOf(3, 100, "42"),
		"metadata cut":          frameOf(4, 1<<31-1, previewMeta),
		"metadata no JSON":      frameOf(4, 3, "abc", "picture"),
		"metadata no image":     frameOf(4, len(previewMeta), previewMeta),
		"metadata other format": frameOf(4, len(script), script, "<script>"),
	} {
		if m, err := DecodeBinary(frame); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: DecodeBinary() = %+v, %v, want ErrFrame", name, m, err)
		}
	}
}

func TestDecodePreviewOtherEvent(t *testing.T) {
	if _, _, err := DecodePreview(frameOf(4, 1, "picture")); !errors.Is(err, ErrFrame) {
		t.Errorf("err = %v, want ErrFrame", err)
	}
}

// Real previews of both kinds are pictures that can be decoded.
func TestRealPreviewsArePictures(t *testing.T) {
	file, err := transcript.Read("", "10-previews-and-flags/server-small-previews")
	if err != nil {
		t.Fatal(err)
	}
	pictures := map[string]int{}
	for _, e := range file.Received("") {
		if e.Op != "binary" || !e.Whole() {
			continue
		}
		m := decodeEntry(t, e)
		config, format, err := image.DecodeConfig(bytes.NewReader(m.Image))
		if err != nil {
			t.Errorf("%s: %v", m.Type, err)
			continue
		}
		if "image/"+format != m.MIME || max(config.Width, config.Height) != 64 {
			t.Errorf("%s: %s of %d x %d", m.MIME, format, config.Width, config.Height)
		}
		pictures[m.Type]++
	}
	if pictures[TypePreview] == 0 || pictures[TypePreviewWithMetadata] == 0 {
		t.Errorf("pictures = %v, want both kinds", pictures)
	}
}
