package workflow

import (
	"path"
	"slices"
	"strings"
)

// modelFiles are the endings of files that hold models.
var modelFiles = []string{".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx"}

// IsModelFile reports whether a text that an input holds is the file of a model.
func IsModelFile(name string) bool {
	return slices.Contains(modelFiles, strings.ToLower(path.Ext(name)))
}
