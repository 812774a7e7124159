package simulator

import (
	"encoding/binary"

	"easel/comfy/simulator/paint"
)

// The binary events and image formats of ComfyUI's protocol.py.
const (
	eventPreview         = 1
	eventText            = 3
	eventMetadataPreview = 4

	formatJPEG = 1
	formatPNG  = 2
)

// sendPicture sends event 1: format, then the image. Nothing in it tells whose it is.
func (c *call) sendPicture(picture paint.Encoded) {
	format := uint32(formatJPEG)
	if picture.MIME == "image/png" {
		format = formatPNG
	}
	payload := append(binary.BigEndian.AppendUint32(nil, format), picture.Bytes...)
	c.p.hub.sendBinary(eventPreview, payload, c.client)
}

// sendMetadataPreview sends event 4: the length of a JSON header, the header, the image.
func (c *call) sendMetadataPreview(picture paint.Encoded) {
	from := c.origins[c.id]
	var parent any
	if from.parent != "" {
		parent = from.parent
	}
	header := encode(pairs("node_id", c.id, "prompt_id", c.item.id, "display_node_id", from.display,
		"parent_node_id", parent, "real_node_id", from.real, "image_type", picture.MIME))
	payload := binary.BigEndian.AppendUint32(nil, uint32(len(header)))
	payload = append(append(payload, header...), picture.Bytes...)
	c.p.hub.sendBinary(eventMetadataPreview, payload, c.client)
}

// sendText sends event 3: the length of the node's id, the id, the text.
func (c *call) sendText(text string) {
	payload := binary.BigEndian.AppendUint32(nil, uint32(len(c.id)))
	payload = append(append(payload, c.id...), text...)
	c.p.hub.sendBinary(eventText, payload, c.client)
}
