package comfy

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"

	"easel/comfy/workflow"
)

// The events of binary frames, from ComfyUI's protocol.py. Event 2 never leaves the server.
const (
	eventPreview             = 1
	eventText                = 3
	eventPreviewWithMetadata = 4
)

// DecodeBinary decodes a binary frame: 4 bytes of event, big-endian, then what the event defines.
//
//	event 1  4 bytes of format (1 JPEG, 2 PNG), then the image
//	event 3  4 bytes n, n bytes of node id, then text
//	event 4  4 bytes n, n bytes of JSON (prompt_id, node_id, image_type, ...), then the image
//
// Image aliases frame. An event that is not known here is no error: its Type is "event " and the
// number. The error wraps ErrFrame. Source: ComfyUI server.py, encode_bytes and send_image.
func DecodeBinary(frame []byte) (Message, error) {
	event, rest, err := cutUint32(frame)
	if err != nil {
		return Message{}, fmt.Errorf("decode binary message: %w", err)
	}
	switch event {
	case eventPreview:
		image, mime, err := DecodePreview(frame)
		return Message{Type: TypePreview, Image: image, MIME: mime}, err
	case eventText:
		node, text, err := cutPrefixed(rest)
		if err != nil {
			return Message{}, fmt.Errorf("decode text of a node: %w", err)
		}
		return Message{Type: TypeText, Node: string(node), Text: string(text)}, nil
	case eventPreviewWithMetadata:
		return decodePreviewWithMetadata(rest)
	}
	return Message{Type: "event " + strconv.FormatUint(uint64(event), 10)}, nil
}

// DecodePreview splits a binary WebSocket frame into an encoded image and its MIME type.
//
// frame is 4 bytes of event (1, PREVIEW_IMAGE) and 4 bytes of format (1 JPEG, 2 PNG), both
// big-endian, then the image, which aliases frame. Anything else returns ErrFrame.
// Source: ComfyUI server.py, send_image and encode_bytes.
func DecodePreview(frame []byte) (image []byte, mime string, err error) {
	event, rest, err := cutUint32(frame)
	if err != nil {
		return nil, "", fmt.Errorf("decode preview: %w", err)
	}
	format, image, err := cutUint32(rest)
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("decode preview: %w", err)
	case event != eventPreview:
		return nil, "", fmt.Errorf("decode preview: %w: event %d", ErrFrame, event)
	case len(image) == 0:
		return nil, "", fmt.Errorf("decode preview: %w: no image", ErrFrame)
	case format == 1:
		return image, "image/jpeg", nil
	case format == 2:
		return image, "image/png", nil
	}
	return nil, "", fmt.Errorf("decode preview: %w: format %d", ErrFrame, format)
}

// decodePreviewWithMetadata decodes event 4, without the event number.
func decodePreviewWithMetadata(rest []byte) (Message, error) {
	header, image, err := cutPrefixed(rest)
	if err != nil {
		return Message{}, fmt.Errorf("decode preview with metadata: %w", err)
	}
	var meta struct {
		PromptID    string `json:"prompt_id"`
		Node        string `json:"node_id"`
		DisplayNode string `json:"display_node_id"`
		ImageType   string `json:"image_type"`
	}
	if err := json.Unmarshal(workflow.WithoutNaN(header), &meta); err != nil {
		return Message{}, fmt.Errorf("decode preview with metadata: %w: %w", ErrFrame, err)
	}
	if len(image) == 0 {
		return Message{}, fmt.Errorf("decode preview with metadata: %w: no image", ErrFrame)
	}
	// The type goes on to browsers as a Content-Type, so only the two that exist pass.
	if meta.ImageType != "image/jpeg" && meta.ImageType != "image/png" {
		return Message{}, fmt.Errorf("decode preview with metadata: %w: image type %q", ErrFrame, meta.ImageType)
	}
	return Message{
		Type: TypePreviewWithMetadata, PromptID: meta.PromptID, Node: meta.Node, DisplayNode: meta.DisplayNode,
		Image: image, MIME: meta.ImageType,
	}, nil
}

// cutPrefixed cuts off a part that is led by its length.
func cutPrefixed(data []byte) (part, rest []byte, err error) {
	n, rest, err := cutUint32(data)
	if err != nil {
		return nil, nil, err
	}
	if uint64(n) > uint64(len(rest)) {
		return nil, nil, fmt.Errorf("%w: %d bytes announced, %d there", ErrFrame, n, len(rest))
	}
	return rest[:n:n], rest[n:], nil
}

func cutUint32(data []byte) (n uint32, rest []byte, err error) {
	if len(data) < 4 {
		return 0, nil, fmt.Errorf("%w: %d bytes where 4 are needed", ErrFrame, len(data))
	}
	return binary.BigEndian.Uint32(data), data[4:], nil
}
