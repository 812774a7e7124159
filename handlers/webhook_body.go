package handlers

import (
	"bytes"

	"easel/studio"
	"easel/views"
)

// WebhookBody makes what is posted of a generation: the JSON of GET /api/generations/{id}, byte
// for byte.
func WebhookBody(basePath string) func(*studio.Generation) ([]byte, error) {
	paths := views.Paths{Base: basePath}
	return func(g *studio.Generation) ([]byte, error) {
		var b bytes.Buffer
		err := encodeJSON(&b, newGenerationJSON(paths, g, studio.RecordProgress(g)))
		return b.Bytes(), err
	}
}
